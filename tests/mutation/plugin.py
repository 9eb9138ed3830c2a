"""A pytest plugin for the runs of mutants: what is drawn is the same in each of them.

Loaded by `-p mutation.plugin` in the staged copy only. A verdict must not hang on luck: hypothesis draws the same
examples in every run, and fewer than usual, as each surviving mutant costs all of them. What fails is not made small.
"""

from __future__ import annotations

import sys

from hypothesis import HealthCheck, Phase, settings

EXAMPLES = 30

PATIENCE_SECONDS = 3.0
"""What a broken engine never does is waited for as long, by many tests for many mutants. It mostly takes little."""


def pytest_sessionstart() -> None:
    """Runs after the conftests have chosen their profile, and before tests are imported."""
    settings.register_profile(
        "mutation",
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=tuple(HealthCheck),
    )
    settings.load_profile("mutation")


def pytest_collection_finish() -> None:
    """The world of the engine's tests waits less long, where tests have imported it."""
    world = sys.modules.get("unit.engine.world")
    if world is not None:
        vars(world)["PATIENCE"] = PATIENCE_SECONDS
