"""``--json`` and ``--quiet``, which every command has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from seg2knet.cli import COMMANDS, cli


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group) and name != "setup":
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_both_once(name: str) -> None:
    for path, command in commands(cli):
        if path[0] == name:
            options = [option for param in command.params for option in param.opts]
            assert options.count("--quiet") == 1, path
            assert options.count("--json") == (0 if name == "setup" else 1), path


@pytest.mark.parametrize("name", ["rules", "models"])
def test_quiet_prints_nothing(name: str) -> None:
    loud, quiet = CliRunner().invoke(cli, [name]), CliRunner().invoke(cli, [name, "--quiet"])
    assert (loud.exit_code, quiet.exit_code) == (0, 0)
    assert loud.output
    assert quiet.output == ""


def test_json_stands_alone_even_with_quiet(tmp_path: Path) -> None:
    for more in ([], ["--quiet"]):
        told = json.loads(CliRunner().invoke(cli, ["rule", "CI001", "--json", *more]).output)
        assert told["code"] == "CI001"
    file = tmp_path / "rules.json"
    result = CliRunner().invoke(cli, ["rules", "--select", "CI001", "--json", str(file)])
    assert "CI001" in result.output
    assert [rule["code"] for rule in json.loads(file.read_text())] == ["CI001"]


def test_quiet_leaves_errors() -> None:
    result = CliRunner().invoke(cli, ["rule", "XX999", "--quiet"])
    assert "there is no such rule" in str(result.exception)
