"""The world of the engine's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mastercontrol.engine import engine as engine_module
from unit.engine.world import World


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """An engine on fakes; what fails is tried again within milliseconds."""
    monkeypatch.setattr(engine_module, "FIRST_RETRY_SECONDS", 0.002)
    monkeypatch.setattr(engine_module, "LAST_RETRY_SECONDS", 0.02)
    made = World()
    yield made
    await made.close()
    assert not made.broker.journal or all(task.done() for engine in made.engines for task in engine._tasks)
