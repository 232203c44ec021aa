"""Configs are read as they are, and those of earlier versions by the new names of their modules."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("mmdet")

import torch

import seg2knet
from seg2knet.errors import UsageError
from seg2knet.trainer.config.files import RENAMED, parse_config, read_config, require_plain
from seg2knet.trainer.openmmlab import packages
from seg2knet.trainer.options import TrainOptions
from seg2knet.trainer.run.reruns import given

OLD = """
custom_imports = dict(
    imports=['seg2knet.trainer.datasets', 'seg2knet.trainer.sampling', 'seg2knet.trainer.metrics',
             'seg2knet.trainer.semantic', 'seg2knet.knet.detector'],
    allow_failed_imports=False)
task = 'instance'
"""
NEW = ["openmmlab.datasets", "openmmlab.sampling", "openmmlab.metrics", "openmmlab.semantic"]


def test_moved_modules_are_found(tmp_path: Path) -> None:
    packages.load()
    (tmp_path / "config.py").write_text(OLD)
    for config in (read_config(tmp_path / "config.py"), parse_config(OLD)):
        assert config.task == "instance"
        expected = [f"seg2knet.trainer.{name}" for name in NEW]
        assert config.custom_imports["imports"] == [*expected, "seg2knet.knet.detector"]


@pytest.mark.parametrize("name", RENAMED)
def test_the_table_of_moved_modules_is_true(name: str) -> None:
    packages.load()
    importlib.import_module(RENAMED[name])
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)


def test_modules_are_not_imported_where_a_config_is_only_looked_at(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("custom_imports = dict(imports='no.such.module')\n")
    assert read_config(tmp_path / "config.py", register=False).custom_imports["imports"] == ["no.such.module"]


def test_broken_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("model = dict(\n")
    with pytest.raises(UsageError, match="cannot be read"):
        read_config(tmp_path / "config.py")


def test_a_checkpoint_from_before_the_move_still_predicts(trained: Any, coco_root: Path, tmp_path: Path) -> None:
    content = torch.load(trained.best, weights_only=True)
    for old, new in RENAMED.items():
        content["meta"]["cfg"] = content["meta"]["cfg"].replace(f"'{new}'", f"'{old}'")
    assert "'seg2knet.trainer.datasets'" in content["meta"]["cfg"]
    torch.save(content, tmp_path / "old.pth")
    image = next((coco_root / "val2017").rglob("*.jpg"))
    assert len(seg2knet.predict(tmp_path / "old.pth", image)) == 1


HOSTILE = {
    "a call": "import os\nos.system('touch owned')\ntask = 'instance'",
    "a call in a value": "task = __import__('os').system('touch owned')",
    "a type": "model = dict(type='os.system', command='touch owned')",
    "a type in a name": "kind = 'os.system'\nmodel = dict(type=kind, command='touch owned')",
    "a type in parts": "model = {'type': 'os' + '.system', 'command': 'touch owned'}",
    "an import": "custom_imports = dict(imports=['antigravity'], allow_failed_imports=False)",
    "an import in a name": "evil = ['antigravity']\ncustom_imports = dict(imports=evil)",
    "another file": "_base_ = ['evil.py']",
    "a type put in": "model = dict(type='A')\nmodel['type'] = 'os.system'",
    "a part that is worked out": "model = [1]\nmodel[len([])] = 2",
    "unpacking": "a = dict(**{'type': 'os.system'})",
    "a comprehension": "a = [exec('1') for _ in (1,)]",
    "an attribute": "a = ().__class__",
    "a function": "def f():\n    pass",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_config_that_is_code_is_refused_before_it_runs(name: str, tmp_path: Path) -> None:
    file = tmp_path / "config.py"
    file.write_text(HOSTILE[name])
    options = TrainOptions(config=file)
    with pytest.raises(UsageError, match="not plain data") as caught:
        given(options)
    assert "--trust-config" in str(caught.value)
    with pytest.raises(UsageError, match="not plain data"):
        parse_config(HOSTILE[name])
    assert not Path("owned").exists()


def test_a_config_that_is_code_runs_where_it_is_trusted(tmp_path: Path) -> None:
    file = tmp_path / "config.py"
    file.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\ntask = 'instance'")
    with pytest.raises(UsageError, match="not a config of seg2knet train"):
        given(TrainOptions(config=file, trust_config=True))
    assert (tmp_path / "ran").exists()


def test_values_may_be_changed() -> None:
    text = "lr = 1e-4 * 2\noptim = dict(type='AdamW', lr=-lr, betas=(0.9, 0.99))\noptim['lr'] = 2"
    require_plain(text, "config.py", "")
