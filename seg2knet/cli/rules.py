"""``seg2knet rules`` and ``seg2knet rule CODE``: list and explain the validator's rules."""

from __future__ import annotations

from typing import Optional

import click

from seg2knet.cli.terminal import echo, write_json


@click.command()
@click.option("--format", "output_format", type=click.Choice(["text", "markdown", "json"]), default="text")
@click.option("--select", help="Only rules whose code starts with this: CI.")
def rules(output_format: str, select: str, json_file: Optional[str] = None) -> None:
    """List the validator's rules. --format markdown writes docs/rules.md."""
    from seg2knet.validators.catalogue import as_dict, markdown, table
    from seg2knet.validators.engine import choose

    chosen = choose([select] if select else [])
    write_json(json_file or ("-" if output_format == "json" else None), [as_dict(one) for one in chosen])
    if output_format != "json":
        echo(markdown(chosen) if output_format == "markdown" else table(chosen), nl=False)


@click.command()
@click.argument("code")
def rule(code: str, json_file: Optional[str] = None) -> None:
    """Explain one of the validator's rules, by its code or name."""
    from seg2knet.errors import UsageError
    from seg2knet.validators.catalogue import as_dict, page
    from seg2knet.validators.model import all_rules

    rules = all_rules()
    chosen = rules.get(code.upper()) or next((one for one in rules.values() if one.name == code.lower()), None)
    if chosen is None:
        raise UsageError("there is no such rule", found=code, hint="seg2knet rules lists them")
    write_json(json_file, as_dict(chosen))
    echo(page(chosen))
