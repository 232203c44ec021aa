"""The rules as text: one explained, all listed, the page of documentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seg2knet.validators.model import FAMILIES, Fix, Rule

FIXES = {
    Fix.SAFE: "safe (`--fix`)",
    Fix.UNSAFE: "unsafe (`--fix --unsafe-fixes`)",
    Fix.NONE: "none",
}


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
    """One rule, explained."""
    head = f"{rule.code} {rule.name} ({rule.severity.value}; fix: {FIXES[rule.fix]})"
    return f"{head}\n\n{rule.explanation}"


def table(rules: Sequence[Rule]) -> str:
    """One line a rule."""
    width = max((len(rule.name) for rule in rules), default=0)
    return "".join(
        f"{rule.code}  {rule.name:<{width}}  {rule.severity.value:<7}  {rule.fix.value:<6}  "
        f"{rule.summary.rstrip('.')}\n"
        for rule in rules
    )


def markdown(rules: Sequence[Rule]) -> str:
    """docs/rules.md."""
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
        if not chosen:
            continue
        lines += [f"## {title} ({family})", "", "| code | name | severity | fix | |", "|---|---|---|---|---|"]
        lines += [
            f"| [{rule.code}](#{rule.code.lower()}-{rule.name}) | {rule.name} | {rule.severity.value} | "
            f"{rule.fix.value} | {_cell(rule.summary)} |"
            for rule in chosen
        ]
        lines.append("")
    for rule in rules:
        lines += [f"### {rule.code} {rule.name}", "", f"{rule.severity.value}, fix: {FIXES[rule.fix]}", ""]
        lines += [rule.explanation, ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
