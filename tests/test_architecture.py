"""The import graph: no circle, no arrow upward, no private module of another folder, folders small enough to know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import seg2knet

grimp = pytest.importorskip("grimp")

PACKAGE = Path(seg2knet.__file__).parent
MOST_FILES = 15
LAYERS = (
    {"cli"},
    {"converters", "trainer"},
    {"validators"},
    {"doctor", "knet"},
    {"download"},
    {"dataset"},
    {"engines"},
    {"errors"},
)
"""From the top down; a package imports from the layers below it, never from above or from beside it."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("seg2knet", exclude_type_checking_imports=True, cache_dir=None)


def test_no_import_circle(graph: grimp.ImportGraph) -> None:
    circles = [sorted(group) for group in _strongly_connected(graph) if len(group) > 1]
    assert not circles


def test_no_arrow_upward(graph: grimp.ImportGraph) -> None:
    level = {name: depth for depth, names in enumerate(LAYERS) for name in names}
    upward = []
    for module in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            source, target = _package(module), _package(imported)
            if source != target and source in level and target in level and level[target] <= level[source]:
                upward.append(f"{module} -> {imported}")
    assert not upward


def test_nothing_outside_imports_the_classic_stack(graph: grimp.ImportGraph) -> None:
    classic = "seg2knet.trainer.classic"
    outside = [
        f"{importer} -> {module}"
        for module in graph.modules
        if module.startswith(classic)
        for importer in graph.find_modules_that_directly_import(module)
        if not importer.startswith(classic)
    ]
    assert not outside


def test_private_modules_stay_in_their_folder(graph: grimp.ImportGraph) -> None:
    strangers = [
        f"{importer} -> {module}"
        for module in graph.modules
        if module.rpartition(".")[2].startswith("_") and module not in ("seg2knet._version", "seg2knet.__main__")
        for importer in graph.find_modules_that_directly_import(module)
        if importer.rpartition(".")[0] != module.rpartition(".")[0]
    ]
    assert not strangers


def test_folders_are_small() -> None:
    crowded = {}
    for folder in [PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir())]:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        if len(files) > MOST_FILES:
            crowded[str(folder.relative_to(PACKAGE))] = len(files)
    assert not crowded


def _package(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _strongly_connected(graph: grimp.ImportGraph) -> Iterator[set[str]]:
    """Tarjan's algorithm, over modules."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[set[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for imported in graph.find_modules_directly_imported_by(module):
            if imported not in index:
                visit(imported)
                low[module] = min(low[module], low[imported])
            elif imported in stack:
                low[module] = min(low[module], index[imported])
        if low[module] == index[module]:
            group: set[str] = set()
            while module not in group:
                group.add(stack.pop())
            groups.append(group)

    for module in graph.modules:
        if module not in index:
            visit(module)
    yield from groups
