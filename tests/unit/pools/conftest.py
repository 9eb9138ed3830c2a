from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from unit.pools.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A controller that leads, connected to its broker, without any pool."""
    made = World()
    made.connect()
    made.start()
    await made.settle()
    yield made
    await made.close()
