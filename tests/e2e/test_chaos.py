"""Promise 2 under chaos: all dies at random while jobs of every example flow. `make chaos` does it for longer."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from chaos.run import VALUES, Options, chaos
from e2e.harness import Cluster

SEED = secrets.randbelow(1_000_000)
"""Another each time, so that each run tries another order. To replay one of them: `make chaos` with what is printed."""


def test_nothing_is_lost_and_nothing_done_twice_whatever_is_killed(
    cluster: Cluster, helm: Callable[..., None], tmp_path: Path
) -> None:
    helm(*VALUES)
    options = Options(jobs=100, seconds=150, seed=SEED, gap=8, rest_seconds=120)
    outcome = chaos(cluster, options, tmp_path)
    print("\n".join(outcome.lines))
    assert not outcome.faults, f"SEED={SEED}; logs in {tmp_path}:\n" + "\n".join(outcome.faults)
