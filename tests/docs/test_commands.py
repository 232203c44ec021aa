"""Every seg2knet command in README and docs parses: its sub-command and each of its options exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from seg2knet.cli import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_CODE = re.compile(r"^(?:```[^\n]*\n(?P<fenced>.*?)^```|(?P<indented>(?:(?:    |\t)[^\n]*\n)+))", re.M | re.S)
PLACEHOLDERS = ("...", "…", "FORMAT", "triangles")
"""What stands for any format in the docs; triangles is that of the example on how to add one."""
_INLINE = re.compile(r"`(seg2knet [a-z][^`\n]*)`")


def commands(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    for block in _CODE.finditer(text):
        code = (block["fenced"] or block["indented"]).replace("\\\n", " ")
        for line in code.splitlines():
            typed = re.sub(r"^\s*\$ ", "", line).strip()
            if re.match(r"seg2knet [a-z]", typed):
                yield typed
    yield from _INLINE.findall(text)


def words(typed: str) -> list[str]:
    """Of the command alone: no comment, no pipe, no placeholder dots."""
    lexer = shlex.shlex(typed, posix=True, punctuation_chars="|;&>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    found = []
    for word in lexer:
        if re.fullmatch(r"[|;&>]+", word):
            break
        found.append(word)
    return found[1:]


def test_there_are_commands() -> None:
    assert len(list(commands(PAGES[0]))) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_parses(page: Path) -> None:
    for typed in commands(page):
        command: click.Command = cli
        context = click.Context(cli, info_name="seg2knet")
        arguments = words(typed)
        while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
            inner = command.get_command(context, "auto" if arguments[0] in PLACEHOLDERS else arguments[0])
            assert inner is not None, f"{typed}: no command {arguments[0]!r}"
            command, arguments = inner, arguments[1:]
            context = click.Context(command, parent=context, info_name=command.name)
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        for word in arguments:
            option = re.match(r"--?[a-z][a-z0-9-]*", word)
            if option:
                assert option[0] in known | {"-h", "--help"}, f"{typed}: no option {option[0]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_has_marks_of_a_merge(page: Path) -> None:
    assert not re.search(r"^(<<<<<<<|>>>>>>>|=======$)", page.read_text(encoding="utf-8"), re.M)
