"""``seg2knet rules``: list the rules."""

from __future__ import annotations

import click


@click.command()
@click.option("--format", "output_format", type=click.Choice(["text", "markdown", "json"]), default="text")
@click.option("--select", help="Only rules whose code begins so: CI.")
def rules(output_format: str, select: str) -> None:
    """List the validator's rules. docs/rules.md is made by --format markdown."""
    import json

    from seg2knet.validators.catalogue import as_dict, markdown, table
    from seg2knet.validators.engine import choose

    chosen = choose([select] if select else [])
    if output_format == "json":
        click.echo(json.dumps([as_dict(each) for each in chosen], indent=2))
    else:
        click.echo(markdown(chosen) if output_format == "markdown" else table(chosen), nl=False)
