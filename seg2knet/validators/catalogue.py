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
