"""The pictures of the docs: what two policies do over time, and what the pool's fields change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoscaling.loads import Load
from autoscaling.svg import Axis, Panel, even, picture
from autoscaling.tally import Tally

HOURS = 3 * 3600.0
"""Longer runs are labelled in hours."""


def over_time(load: Load, tallies: Mapping[str, Tally]) -> str:
    """Pods, and steps that are not done, of each policy."""
    hours = load.duration > HOURS
    unit = 3600.0 if hours else 60.0
    x = even(load.duration, unit=unit)
    x = Axis(0.0, load.duration, [tick for tick in x.ticks if tick[0] <= load.duration])
    pods = {name: [(one.at, float(one.pods)) for one in tally.samples] for name, tally in tallies.items()}
    backlog = {name: [(one.at, float(one.backlog)) for one in tally.samples] for name, tally in tallies.items()}
    panels = [
        Panel(f"pods, over {'hours' if hours else 'minutes'}", x, even(_most(pods)), list(pods.items())),
        Panel("steps that wait or are at work", x, even(_most(backlog)), list(backlog.items())),
    ]
    return picture(f"{load.name}: {load.about}", panels)


def _most(curves: Mapping[str, Sequence[tuple[float, float]]]) -> float:
    return max(y for points in curves.values() for _, y in points)


def of_windows(curves: Mapping[str, Sequence[tuple[float, float]]], default: int) -> str:
    """By load, replica-hours and mean waiting time in parts of KEDA's, for one window after the other."""
    x = Axis(0.0, 1.6, [(i / 5, f"{i / 5:g}") for i in range(9)])
    waits = (0.1, 0.2, 0.5, 1, 2, 5, 10)
    y = Axis(0.05, 12, [(value, f"{value:g}") for value in waits], is_log=True)
    title = "mean wait (up) and replica-hours (right), as parts of KEDA's"
    panels = [
        Panel(title if i == 0 else "", x, y, part, height=230, good=(1.0, 1.0), marked=default)
        for i, part in enumerate(_halves(list(curves.items())))
    ]
    return picture("scaleDownStabilizationSeconds: 15, 30, 60 (thick), 120, 300 from left to right", panels)


def _halves(
    curves: list[tuple[str, Sequence[tuple[float, float]]]],
) -> list[list[tuple[str, Sequence[tuple[float, float]]]]]:
    half = (len(curves) + 1) // 2
    return [curves[:half], curves[half:]]
