"""Write constraints.txt: the versions installed in this environment, which are those the tests ran with.

    make test && .venv/bin/python tools/pin.py

Each pin says for which Python it can be installed, read from the package itself, so that one file serves them all; on
other Pythons pip is free to choose.
"""

from __future__ import annotations

import re
from importlib.metadata import distributions
from pathlib import Path

OLDEST = (3, 9)
HEADER = """\
# Versions that were tested together, on Python 3.11. Written by tools/pin.py.
# pip install 'seg2knet[train]' -c constraints.txt
"""
NOT_PINNED = {"seg2knet", "pip", "setuptools", "wheel"}


def marker(requires_python: str) -> str:
    """An environment marker for a lowest Python above ours: ``; python_version >= "3.11"``."""
    lowest = re.search(r">=?\s*3\.(\d+)", requires_python)
    if lowest is None or (3, int(lowest.group(1))) <= OLDEST:
        return ""
    return f'; python_version >= "3.{lowest.group(1)}"'


def main() -> None:
    lines = set()
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name.lower() not in NOT_PINNED:
            version = distribution.version.split("+")[0]  # torch's 2.13.0+cpu is 2.13.0 anywhere else
            lines.add(f"{name.lower()}=={version}{marker(distribution.metadata.get('Requires-Python') or '')}")
    Path(__file__).parents[1].joinpath("constraints.txt").write_text(HEADER + "\n".join(sorted(lines)) + "\n")


if __name__ == "__main__":
    main()
