"""docs/rules.md is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from seg2knet.cli.catalogues import markdown
from seg2knet.validators.engine import choose
from seg2knet.validators.model import all_rules

PAGE = Path(__file__).resolve().parents[3] / "docs" / "rules.md"


def test_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(choose([])), (
        "make it anew: seg2knet rules --format markdown > docs/rules.md"
    )


def test_every_rule_of_the_contract_is_there() -> None:
    counts = {"CI": 50, "IM": 15, "CP": 19, "AD": 17, "SP": 7, "KN": 13, "ML": 7}
    wanted = [f"{family}{number:03}" for family, count in counts.items() for number in range(1, count + 1)]
    assert list(all_rules()) == wanted


def test_names_severities_and_fixes_are_those_of_the_contract(shared: Path) -> None:
    text = (shared / "rules.md").read_text(encoding="utf-8")
    letters = {"E": "error", "W": "warning", "I": "info", "S": "safe", "U": "unsafe", "-": "none"}
    found = {}
    for family, part in re.findall(r"^## [^\n]*\(([A-Z]{2})\)\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL):
        for number, name, severity, fix in re.findall(
            r"(\d{3}) ([a-z0-9-]+)(?:, counted by reason)?\s+(?:\([^)]*\)\s+)?([EWI]) ([SU-])", part
        ):
            found[family + number] = (name, letters[severity], letters[fix])
    found["SP003"] = ("class-missing-from-train", "warning", "none")  # the smallest sets have such classes, and train
    ours = {code: (rule.name, rule.severity.value, rule.fix.value) for code, rule in all_rules().items()}
    assert found == {code: ours[code] for code in found}
    assert all(len(rule.explanation.splitlines()) > 2 for rule in all_rules().values())
