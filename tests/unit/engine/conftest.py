"""The world of the engine's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable

import pytest

from mastercontrol.engine import engine as engine_module
from unit.engine.mutants import Catch, Mutation
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


@pytest.fixture
def catch(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Catch:
    """Breaks the engine, and fails unless a story notices."""

    async def catch(mutation: Mutation, story: Awaitable[object]) -> None:
        mutation(monkeypatch)
        with pytest.raises(AssertionError):
            await story
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert errors == [], "the mutation itself is at fault, so it proves nothing"

    return catch
