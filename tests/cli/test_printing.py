"""Commands print through ``echo`` alone, which takes the power out of what comes from data."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import seg2knet.cli
from seg2knet.cli.terminal import echo, styled

MODULES = sorted(Path(seg2knet.cli.__file__).parent.glob("*.py"))
EVIL = "car\x1b[31m\x9b2J[/red]"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_command_prints_past_it(module: Path) -> None:
    found = [ast.unparse(node) for node in ast.walk(ast.parse(module.read_text("utf-8"))) if _prints(node)]
    assert found == (["click.echo"] if module.stem == "terminal" else [])


def _prints(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in ("print", "secho")
    return isinstance(node, ast.Attribute) and ast.unparse(node) in ("click.echo", "click.secho")


def test_what_echo_prints(capsys: pytest.CaptureFixture[str]) -> None:
    echo(f"\nclass {EVIL}\n::error::x", styled(EVIL, bold=True))
    echo("away", err=True, nl=False)
    printed = capsys.readouterr()
    assert printed.out == "\nclass car\\x1b[31m\\x9b2J[/red]\n\\x3a:error::xcar\\x1b[31m\\x9b2J[/red]\n"
    assert printed.err == "away"


def test_figures_by_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from seg2knet.cli import test, train

    facts: dict[str, Any] = {"figures": {"AP": 0.5}, "classes": [{"name": EVIL, "AP": 0.5, "objects": 2}]}
    test._print(SimpleNamespace(checkpoint=EVIL, data=EVIL, split="val", images=1, score_thr=None, **facts))
    files = {
        "best": tmp_path / EVIL.replace("/", ""),
        "last": None,
        "samples": None,
        "work_dir": tmp_path,
        "page": None,
    }
    train._show(SimpleNamespace(test={"AP": 0.4}, **files, **facts))
    printed = capsys.readouterr().out
    assert printed.count("car\\x1b[31m\\x9b2J[/red]") == 4
    assert not {"\x1b", "\x9b"} & set(printed)
    assert "\x1b" not in (tmp_path / "train.log").read_text("utf-8")
