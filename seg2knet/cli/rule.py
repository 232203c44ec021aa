"""``seg2knet rule CODE``: explain a rule."""

from __future__ import annotations

import click


@click.command()
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def rule(code: str, as_json: bool) -> None:
    """Explain one of the validator's rules, by its code or name."""
    import json

    from seg2knet.errors import UsageError
    from seg2knet.validators.catalogue import as_dict, page
    from seg2knet.validators.model import all_rules

    rules = all_rules()
    found = rules.get(code.upper()) or next((each for each in rules.values() if each.name == code.lower()), None)
    if found is None:
        raise UsageError("no rule is called so", found=code, hint="seg2knet rules")
    click.echo(json.dumps(as_dict(found), indent=2) if as_json else page(found))
