"""Options of train: each said once, and everything that is made from them."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import seg2knet
from seg2knet.cli import cli
from seg2knet.cli.train import options_from
from seg2knet.cli.train import train as command
from seg2knet.errors import UsageError
from seg2knet.trainer.options import INFO, TrainOptions, default_text, flag, value_type

PAGE = Path(__file__).resolve().parents[2] / "docs" / "train.md"


def table() -> str:
    """The options as Markdown, a table for each group: what docs/train.md shows."""
    lines: list[str] = []
    group = None
    for name, info in INFO.items():
        if info.group != group:
            group = info.group
            lines += ["", f"### {group}", "", "| option | meaning | default |", "|---|---|---|"]
        names = f"`{flag(name)} {info.metavar}`" if info.metavar else f"`{flag(name)}`"
        if info.no is not None or (value_type(name) is bool and getattr(TrainOptions(), name) is not False):
            names += f", `{flag('no_' + name)}`"
        choices = f" One of `{'`, `'.join(info.choices)}`." if info.choices else ""
        lines.append(f"| {names} | {info.help}{choices} | {default_text(name)} |".replace("FILE|URL", "FILE/URL"))
    return "\n".join(lines[1:]) + "\n"


def test_every_field_is_an_option_with_help() -> None:
    assert [each.name for each in fields(TrainOptions)] == ["data", *INFO]
    shown = CliRunner().invoke(cli, ["train", "--help"]).output
    for name, info in INFO.items():
        assert flag(name) in shown
        assert f"{info.group}:" in shown
        assert info.help.endswith(".")


def test_the_table_of_the_docs_is_made_from_the_options() -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = page.partition("<!-- options -->\n")[2].partition("<!-- end of options -->")[0]
    assert found.strip() == table().strip(), "write into it what python tests/trainer/test_options.py prints"


def test_the_command_line_gives_back_what_arguments_write() -> None:
    asked = TrainOptions(
        data=Path("tests"), task="panoptic", epochs=3, lr=1e-3, amp=False, ema=True, validate=False, pretrained="none",
        work_dir=Path("a b"), cfg_options={"model.num_kernels": 9, "x.y": "z"}, logger="none",
        mirror={"left eye": "right eye"},
    )  # fmt: skip
    words = asked.arguments(asked.given())
    assert "--no-amp" in words
    assert "--no-validate" in words
    with command.make_context("train", ["tests", *words]) as context:
        assert options_from(context.params) == asked
    assert asked.command().startswith("seg2knet train tests --task panoptic --no-pretrained --epochs 3")


def test_defaults_of_the_command_line_are_those_of_the_record() -> None:
    with command.make_context("train", []) as context:
        assert options_from(context.params) == TrainOptions()


def test_no_is_a_value_of_the_option() -> None:
    with command.make_context("train", ["--no-pretrained"]) as context:
        assert options_from(context.params).pretrained == "none"
    both = command.make_context("train", ["--no-pretrained", "--pretrained", "coco"]).params
    with pytest.raises(UsageError, match="--pretrained coco and --no-pretrained"):
        options_from(both)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "cuda", "gpus": 0}, "--device cuda and --gpus 0"),
        ({"batch_size": 0}, "--batch-size must be at least 1"),
        ({"launcher": "mpi"}, "torchrun, slurm, none"),
        ({"head": "upper"}, "did you mean upernet"),
        ({"balance": 1.0}, "--balance"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TrainOptions(**options).check()


def test_the_function_has_the_options_as_its_signature() -> None:
    shown = inspect.signature(seg2knet.train).parameters
    assert set(INFO) < set(shown)
    assert shown["logger"].default == "tensorboard"
    with pytest.raises(TypeError, match="did you mean epochs"):
        seg2knet.train(epoch=3)


def test_the_function_trains_on_the_stack_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from seg2knet.trainer import stacks

    class Other:
        def train(self, options: TrainOptions, *, knet: Any, say: Any) -> Any:
            return options, knet

    monkeypatch.setattr(stacks, "get", lambda name: Other())
    asked, checkout = seg2knet.train("data", stack="classic", knet=str(tmp_path), epochs=2, img_size=640)
    assert checkout == tmp_path
    assert (asked.epochs, asked.img_size, asked.data) == (2, "640", Path("data"))


if __name__ == "__main__":
    print(table())
