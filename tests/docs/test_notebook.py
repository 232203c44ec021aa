"""The notebook runs from its first cell to its last."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
ROOT = Path(__file__).resolve().parents[2]


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "docs" / "api.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    texts = [
        output.get("data", output).get("text/plain", output.get("text", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]
    assert any("('leaf', 'kite')" in text or "('kite', 'leaf')" in text for text in texts)
    assert "epochs" in texts[-1]  # what epoch was meant to be
    assert (tmp_path / "coco" / "annotations" / "instances_train2017.json").is_file()
