"""What there is to choose from: ``seg2knet rules``, ``seg2knet rule CODE`` and ``seg2knet models``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Optional

import click

from seg2knet.cli.outcome import Outcome, speaks
from seg2knet.cli.terminal import echo
from seg2knet.errors import UsageError
from seg2knet.validators.model import FAMILIES, Fix, Rule, all_rules

FIXES = {
    Fix.SAFE: "safe (`--fix`)",
    Fix.UNSAFE: "unsafe (`--fix --unsafe-fixes`)",
    Fix.NONE: "none",
}


@speaks()
@click.command()
@click.option("--format", "output_format", type=click.Choice(["text", "markdown", "json"]), default="text")
@click.option("--select", help="Only rules whose code starts with this: CI.")
def rules(output_format: str, select: str) -> Outcome:
    """List the validator's rules. --format markdown writes docs/rules.md."""
    from seg2knet.validators.engine import choose

    chosen = choose([select] if select else [])
    if output_format == "json":
        echo(json.dumps([as_dict(one) for one in chosen], indent=2))
    else:
        echo(markdown(chosen) if output_format == "markdown" else table(chosen), nl=False)
    return Outcome(lambda: [as_dict(one) for one in chosen])


@speaks()
@click.command()
@click.argument("code")
def rule(code: str) -> Outcome:
    """Explain one of the validator's rules, by its code or name."""
    rules = all_rules()
    chosen = rules.get(code.upper()) or next((one for one in rules.values() if one.name == code.lower()), None)
    if chosen is None:
        raise UsageError("there is no such rule", found=code, hint="seg2knet rules lists them")
    echo(page(chosen))
    return Outcome(as_dict(chosen))


def as_dict(rule: Rule) -> dict[str, Any]:
    return {
        "code": rule.code,
        "name": rule.name,
        "severity": rule.severity.value,
        "fix": rule.fix.value,
        "family": FAMILIES[rule.family],
        "summary": rule.summary,
        "explanation": rule.explanation,
    }


def page(rule: Rule) -> str:
    return f"{rule.code} {rule.name} ({rule.severity.value}; fix: {FIXES[rule.fix]})\n\n{rule.explanation}"


def table(rules: Sequence[Rule]) -> str:
    width = max((len(rule.name) for rule in rules), default=0)
    return "".join(
        f"{rule.code}  {rule.name:<{width}}  {rule.severity.value:<7}  {rule.fix.value:<6}  "
        f"{rule.summary.rstrip('.')}\n"
        for rule in rules
    )


def markdown(rules: Sequence[Rule]) -> str:
    lines = [
        "# Rules",
        "",
        "<!-- Made from the code by: seg2knet rules --format markdown > docs/rules.md -->",
        "",
        "What `seg2knet validate` finds. Errors break or falsify training, warnings likely do harm, infos are worth "
        "knowing. A safe fix loses nothing; an unsafe one removes or guesses, and lists what it removed.",
        "",
    ]
    for family, title in FAMILIES.items():
        chosen = [rule for rule in rules if rule.family == family]
        if chosen:
            lines += [f"## {title} ({family})", "", "| code | name | severity | fix | |", "|---|---|---|---|---|"]
            for rule in chosen:
                link, summary = f"[{rule.code}](#{rule.code.lower()}-{rule.name})", rule.summary.replace("|", "\\|")
                lines.append(f"| {link} | {rule.name} | {rule.severity.value} | {rule.fix.value} | {summary} |")
            lines.append("")
    for rule in rules:
        lines += [f"### {rule.code} {rule.name}", "", f"{rule.severity.value}, fix: {FIXES[rule.fix]}", ""]
        lines += [rule.explanation, ""]
    return "\n".join(lines)


@speaks()
@click.command()
@click.option("--task", type=click.Choice(["instance", "panoptic", "semantic"]), help="Models for this task only.")
def models(task: Optional[str]) -> Outcome:
    """List the models that can be trained by name: seg2knet train --model NAME.

    Figures are the published ones, on COCO and ADE20K; "-" means that none is known here.
    """
    from seg2knet.trainer.config.models import MODELS

    chosen = [spec for spec in MODELS.values() if task is None or spec.task == task]
    rows = [("name", "task", "backbone", "schedule", "published")]
    for spec in chosen:
        feature = f"{spec.head} {spec.backbone}" if spec.head else spec.backbone
        first, *others = [f"{figure}, {figure.source}" for figure in spec.figures] or ["-"]
        rows.append((spec.name, spec.task, feature, spec.schedule, first))
        rows.extend(("", "", "", "", other) for other in others)
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths)]
        echo("  ".join([*cells, row[4]]).rstrip())
    return Outcome([spec.as_dict() for spec in chosen])
