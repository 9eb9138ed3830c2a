from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from mastercontrol_worker import Context, JobRef, Registry
from unit.examples.loading import PATTERNS, RELAY, THUMBNAILS, load


@pytest.fixture(scope="session")
def registry() -> Registry:
    """What the examples' modules registered."""
    return Registry()


@pytest.fixture(scope="session")
def relay(registry: Registry) -> ModuleType:
    return load(RELAY / "relay_handlers.py", registry)


@pytest.fixture(scope="session")
def thumbnails(registry: Registry) -> ModuleType:
    return load(THUMBNAILS / "thumbnail_handlers.py", registry)


@pytest.fixture(scope="session")
def patterns(registry: Registry) -> ModuleType:
    return load(PATTERNS / "pattern_handlers.py", registry)


@pytest.fixture
def context() -> Context:
    return Context(JobRef("default", "album", "6f1c"), "fetch", 1, "6f1c:1:1")


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the thumbnails' steps write to."""
    monkeypatch.setenv("MCP_THUMBNAILS_DIR", str(tmp_path / "out"))
    monkeypatch.delenv("MCP_THUMBNAILS_SOURCE", raising=False)
    return tmp_path / "out"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    monkeypatch.setenv("MCP_THUMBNAILS_SOURCE", str(folder))
    return folder
