from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from unit.deadletters.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A pool without dead letters, and a controller that leads."""
    made = World()
    await made.start()
    yield made
    await made.close()
