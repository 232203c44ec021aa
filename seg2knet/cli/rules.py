"""``seg2knet rules`` and ``seg2knet rule CODE``: list and explain the validator's rules."""

from __future__ import annotations

import json

import click

from seg2knet.cli.terminal import echo


@click.command()
@click.option("--format", "output_format", type=click.Choice(["text", "markdown", "json"]), default="text")
@click.option("--select", help="Only rules whose code starts with this: CI.")
def rules(output_format: str, select: str) -> None:
    """List the validator's rules. --format markdown writes docs/rules.md."""
    from seg2knet.validators.catalogue import as_dict, markdown, table
    from seg2knet.validators.engine import choose

    chosen = choose([select] if select else [])
    if output_format == "json":
        echo(json.dumps([as_dict(one) for one in chosen], indent=2))
    else:
        echo(markdown(chosen) if output_format == "markdown" else table(chosen), nl=False)


@click.command()
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def rule(code: str, as_json: bool) -> None:
    """Explain one of the validator's rules, by its code or name."""
    from seg2knet.errors import UsageError
    from seg2knet.validators.catalogue import as_dict, page
    from seg2knet.validators.model import all_rules

    rules = all_rules()
    chosen = rules.get(code.upper()) or next((one for one in rules.values() if one.name == code.lower()), None)
    if chosen is None:
        raise UsageError("there is no such rule", found=code, hint="seg2knet rules lists them")
    echo(json.dumps(as_dict(chosen), indent=2) if as_json else page(chosen))
