"""Fixtures for all tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from local_server import LocalServer

# Machines are shared and noisy: a slow example says nothing about the code.
settings.register_profile("seg2knet", deadline=None)
settings.load_profile("seg2knet")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real annotation files beside the checkout; tests that want it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared beside this checkout")
    return SHARED


@pytest.fixture(autouse=True)
def _no_default_scope() -> None:
    """Tests in one process do not inherit mmengine's default scope, mmdet's or mmseg's, from one another."""
    registry = sys.modules.get("mmengine.registry")
    if registry is not None:
        registry.DefaultScope._instance_dict.clear()


@pytest.fixture
def server() -> Iterator[LocalServer]:
    """A web server on 127.0.0.1 whose pages misbehave on demand."""
    running = LocalServer()
    yield running
    running.close()
