"""`make bench-scaling`: the comparison, the variants and the soak, all from one seed.

python -m autoscaling compare   each load under the pool's own policy and under KEDA with an HPA
python -m autoscaling variants  other values of targetBacklog and scaleDownStabilizationSeconds, other pauses of pulses
python -m autoscaling soak      pools that nobody chose, until there were enough decisions
python -m autoscaling record    a load from a run's history, to standard output
python -m autoscaling all       the first three
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoscaling.compare import HEAD, KEDA_HTTP, OURS, POLICIES, Policy, keda_policy, pool_policy, row, run, table
from autoscaling.loads import all_loads, from_history, pulses
from autoscaling.pictures import of_windows, over_time
from autoscaling.soak import soak
from autoscaling.tally import Tally, together

WINDOWS = (15, 30, 60, 120, 300)
TARGETS = (2, 4)
PAUSES = (90, 150, 210, 300, 420)
STARTS = ((10, 20), (30, 90), (60, 180))


def main() -> int:
    """The exit status: 1 if anything in the soak was not as it should be, or did not come to rest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("all", "compare", "variants", "soak", "record"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="of each load of the comparison, with other dice")
    parser.add_argument("--decisions", type=int, default=1_000_000, help="of the soak")
    parser.add_argument("--pictures", type=Path, help="a folder to draw into")
    parser.add_argument("--history", type=Path, help="what to make a recorded load of")
    args = parser.parse_args()
    with _only_errors():  # the soak takes the broker away
        return _do(args)


@contextmanager
def _only_errors() -> Iterator[None]:
    """Of what the operator's code logs, nothing less, until it is left."""
    logger = logging.getLogger("mastercontrol")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _do(args: argparse.Namespace) -> int:
    if args.what == "record":
        sys.stdout.writelines(f"{arrival.line()}\n" for arrival in from_history(args.history))
    if args.what in {"all", "compare"}:
        compare(args.seed, args.rounds, args.pictures)
    if args.what in {"all", "variants"}:
        variants(args.seed, args.pictures)
        pauses(args.seed)
    return _soak(args.seed, args.decisions) if args.what in {"all", "soak"} else 0


def compare(seed: int, rounds: int, pictures: Path | None) -> None:
    """The table of all loads and policies, and where the pool's own is not the better one."""
    rows, worse = list(HEAD), []
    for name in _names(seed):
        found = {policy.name: _rounds(name, policy, seed, rounds) for policy in POLICIES}
        rows += [row(name, policy, tally) for policy, tally in found.items()]
        worse += _worse(name, found[OURS.name], found[KEDA_HTTP.name])
        if pictures is not None:
            load = next(load for load in all_loads(seed) if load.name == name)
            drawn = {policy.name: run(load, policy, seed) for policy in (OURS, KEDA_HTTP)}
            (pictures / f"autoscaling-{name}.svg").write_text(over_time(load, drawn), encoding="utf-8")
    print(f"\n{rounds} rounds of each load, seed {seed}; replica-hours and counts are of all of them\n")
    print(table(rows))
    print("\n".join(["", *worse]) if worse else "\nmean wait and replica-hours: at or below KEDA's on every load")


def _worse(load: str, ours: Tally, keda: Tally) -> list[str]:
    pairs = {
        "mean wait": (ours.mean_wait(), keda.mean_wait()),
        "median wait": (ours.wait(0.5), keda.wait(0.5)),
        "99th percentile of the wait": (ours.wait(0.99), keda.wait(0.99)),
        "replica-hours": (ours.replica_hours, keda.replica_hours),
    }
    return [f"{load}: {what} {a:.2f}, KEDA {b:.2f}" for what, (a, b) in pairs.items() if a > b]


def variants(seed: int, pictures: Path | None) -> None:
    """What the two fields of a pool change, beside KEDA with the same target."""
    rows = list(HEAD)
    curves: dict[str, list[tuple[float, float]]] = {}
    for name in _names(seed):
        keda = _rounds(name, KEDA_HTTP, seed, 1)
        rows.append(row(name, "KEDA http", keda))
        for seconds in WINDOWS:
            policy = pool_policy(f"window {seconds}", scaleDownStabilizationSeconds=seconds)
            tally = _rounds(name, policy, seed, 1)
            rows.append(row(name, policy.name, tally))
            point = tally.replica_hours / keda.replica_hours, tally.mean_wait() / keda.mean_wait()
            curves.setdefault(name, []).append(point)
        for target in TARGETS:
            both = pool_policy(f"target {target}", targetBacklog=target), _keda(target)
            rows += [row(name, policy.name, _rounds(name, policy, seed, 1)) for policy in both]
    print(f"\nvariants: one round of each load, seed {seed}\n")
    print(table(rows))
    if pictures is not None:
        text = of_windows(curves, WINDOWS.index(60))
        (pictures / "autoscaling-windows.svg").write_text(text, encoding="utf-8")


def pauses(seed: int) -> None:
    """Pulses that come faster and slower, on pods that start faster and slower."""
    rows = list(HEAD)
    for load in (pulses(seed, pause, start) for start in STARTS for pause in PAUSES):
        rows += [row(load.name, policy.name, run(load, policy, seed)) for policy in (OURS, KEDA_HTTP)]
    print(f"\npulses: two hours of 20 steps at once, seed {seed}\n")
    print(table(rows))


def _keda(target: int) -> Policy:
    return keda_policy(f"KEDA target {target}", target=float(target))


def _names(seed: int) -> list[str]:
    return [load.name for load in all_loads(seed)]


def _rounds(name: str, policy: Policy, seed: int, rounds: int) -> Tally:
    found = []
    for i in range(rounds):
        load = next(load for load in all_loads(seed + i) if load.name == name)
        found.append(run(load, policy, seed + i))
    return together(found)


def _soak(seed: int, decisions: int) -> int:
    began = time.perf_counter()
    found = soak(seed, decisions)
    print(f"\nsoak, seed {seed}, {time.perf_counter() - began:.0f} s\n\n{found}")
    return 0 if found.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
