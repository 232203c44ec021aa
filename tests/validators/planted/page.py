"""docs/planted.md, made of the table of defects: ``python tests/validators/planted/page.py > docs/planted.md``."""

from __future__ import annotations

import sys
from pathlib import Path

HEAD = """# Planted defects

<!-- Made by: python tests/validators/planted/page.py > docs/planted.md -->

{count} defects, each planted alone into a clean data set. A test checks that each is found and named by its rule, that
only the kind of fix given here touches the data, that the set then looks as it should, that nothing is left or new, and
that a second fix changes nothing. *safe* is `--fix`, *unsafe* `--fix --unsafe-fixes`; findings that follow from the
defect are listed beside it.

"""
TITLES = {"coco": "COCO", "panoptic": "COCO panoptic", "ade": "ADE"}


def page() -> str:
    from sets import CASES

    lines = [HEAD.format(count=sum(len(cases) for cases in CASES.values()))]
    for layout, cases in CASES.items():
        lines.append(
            f"## {TITLES[layout]} ({len(cases)})\n\n| defect | rule | fix | also found | left after the fix |\n"
        )
        lines.append("|---|---|---|---|---|\n")
        for case in cases:
            name = case.name.replace("|", "\\|")
            lines.append(f"| {name} | {case.code} | {case.fix or 'none'} | {case.also} | {case.left} |\n")
        lines.append("\n")
    return "".join(lines).rstrip("\n") + "\n"


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1])]
    sys.stdout.write(page())
