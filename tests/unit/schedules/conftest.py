from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from unit.schedules.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An operator that leads, without any Schedule."""
    made = World()
    await made.start()
    yield made
    await made.close()
