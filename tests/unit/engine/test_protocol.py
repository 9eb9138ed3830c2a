"""The protocol of a turn survives each of the stories that it was made for."""

from __future__ import annotations

import pytest

from unit.engine.block_scenarios import BLOCK_SCENARIOS
from unit.engine.operation_scenarios import OPERATION_SCENARIOS
from unit.engine.scenarios import SCENARIOS, Scenario
from unit.engine.world import World


@pytest.mark.parametrize(
    "story", [*SCENARIOS, *BLOCK_SCENARIOS, *OPERATION_SCENARIOS], ids=lambda story: story.__name__
)
async def test_a_job_ends_well_though(story: Scenario, world: World) -> None:
    await story(world)
