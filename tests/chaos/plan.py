"""What is to die, and when: a plan made of a seed alone. Pure.

The same seed, length and gap give the same plan on every machine. Which pod is hit depends on which pods there are:
the plan has a number between 0 and 1 for that, and `chosen` makes a pod of it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

T = TypeVar("T")


class Target(StrEnum):
    """What may be hit."""

    OPERATOR = "operator"
    WORKER = "worker"
    BROKER = "broker"
    API = "api"


class Kind(StrEnum):
    """What may happen: a target, and what becomes of it."""

    OPERATOR_KILL = "operator-kill"  # SIGKILL of its process; the kubelet starts it again in its pod
    OPERATOR_DELETE = "operator-delete"  # its pod is deleted without any grace
    OPERATOR_RESTART = "operator-restart"  # its pod is deleted, and it ends in order
    OPERATOR_PAUSE = "operator-pause"  # SIGSTOP for longer than the Lease; then it goes on and does not know
    WORKER_KILL = "worker-kill"
    WORKER_DELETE = "worker-delete"
    WORKER_RESTART = "worker-restart"
    WORKER_PAUSE = "worker-pause"
    BROKER_KILL = "broker-kill"
    BROKER_RESTART = "broker-restart"
    BROKER_PAUSE = "broker-pause"
    BROKER_WIPE = "broker-wipe"  # its pod and its volume are deleted: all messages and queues are lost
    API_KILL = "api-kill"
    API_PAUSE = "api-pause"

    @property
    def target(self) -> Target:
        """Who is hit."""
        return Target(self.value.partition("-")[0])


@dataclass(frozen=True)
class Rule:
    """How often a kind is chosen, beside the others, and how long a pause lasts (least and most seconds)."""

    weight: int
    pause: tuple[float, float] | None = None


RULES: Final[Mapping[Kind, Rule]] = {
    Kind.OPERATOR_KILL: Rule(30),
    Kind.OPERATOR_DELETE: Rule(10),
    Kind.OPERATOR_RESTART: Rule(5),
    Kind.OPERATOR_PAUSE: Rule(8, (12, 20)),  # the Lease is of 10 s
    Kind.WORKER_KILL: Rule(25),
    Kind.WORKER_DELETE: Rule(10),
    Kind.WORKER_RESTART: Rule(5),
    Kind.WORKER_PAUSE: Rule(8, (5, 20)),
    Kind.BROKER_KILL: Rule(2),
    Kind.BROKER_RESTART: Rule(2),
    Kind.BROKER_PAUSE: Rule(3, (3, 12)),
    Kind.BROKER_WIPE: Rule(1),
    Kind.API_KILL: Rule(1),
    Kind.API_PAUSE: Rule(3, (3, 7)),  # after 10 s Kubernetes' own controllers give up, and are started later each time
}

KILLS: Final[Mapping[Kind, Rule]] = {
    **{kind: Rule(10, rule.pause) for kind, rule in RULES.items()},
    Kind.OPERATOR_KILL: Rule(2000),
    Kind.WORKER_KILL: Rule(1000),
    Kind.BROKER_RESTART: Rule(70),
    Kind.BROKER_WIPE: Rule(8),
}
"""For long runs that are to have many deaths: hardly anything but SIGKILL, as little dies while things stand still."""


class Mix(StrEnum):
    """How often each kind comes."""

    ALL = "all"
    KILLS = "kills"

    @property
    def rules(self) -> Mapping[Kind, Rule]:
        """The rule of each kind."""
        return KILLS if self is Mix.KILLS else RULES


SPARE: Final[Mapping[Target, float]] = {Target.BROKER: 20, Target.API: 60}
"""Seconds without another blow to a target after it was hit (and has gone on): it would hardly ever be there otherwise.
Operators and workers are not spared: while one stands still the others may die."""


@dataclass(frozen=True, order=True)
class Action:
    """One blow: at `at` seconds, to the pod that `pick` (from 0 to below 1) chooses; a pause lasts `seconds`."""

    at: float
    kind: Kind
    pick: float
    seconds: float = 0

    def __str__(self) -> str:
        length = f" for {self.seconds:g} s" if self.seconds else ""
        return f"{self.at:7.1f} s  {self.kind}{length} (pick {self.pick:.3f})"


def make(seed: int, seconds: float, gap: float, mix: Mix = Mix.ALL) -> list[Action]:
    """The plan of a run that lasts `seconds`, with `gap` seconds from one blow to the next, on average.

    Each kind comes once, in an order of the seed's, before any comes twice, so that a short run has as many as it can.
    """
    dice = random.Random(seed)
    rules = mix.rules
    due = _shuffled(list(Kind), dice)
    free = dict.fromkeys(Target, -math.inf)
    plan: list[Action] = []
    at = 0.0
    while (at := round(at + gap * (0.5 + dice.random()), 1)) < seconds:
        allowed = [kind for kind in Kind if at >= free[kind.target]]
        first = next((kind for kind in due if kind in allowed), None)
        kind = first or _weighted(allowed, rules, dice)
        if first is not None:
            due.remove(first)
        pause = rules[kind].pause
        length = 0.0 if pause is None else round(pause[0] + (pause[1] - pause[0]) * dice.random(), 1)
        if kind.target in SPARE:
            free[kind.target] = at + length + SPARE[kind.target]
        plan.append(Action(at, kind, round(dice.random(), 6), length))
    return plan


def chosen(candidates: Sequence[T], pick: float) -> T | None:
    """The candidate that a pick means; None where there is none."""
    return candidates[int(pick * len(candidates))] if candidates else None


# Only `Random.random` is promised to give the same numbers in every version of Python.
def _shuffled(kinds: Sequence[Kind], dice: random.Random) -> list[Kind]:
    by_lot = [(dice.random(), kind) for kind in kinds]
    return [kind for _, kind in sorted(by_lot)]


def _weighted(kinds: Sequence[Kind], rules: Mapping[Kind, Rule], dice: random.Random) -> Kind:
    left = dice.random() * sum(rules[kind].weight for kind in kinds)
    for kind in kinds:
        left -= rules[kind].weight
        if left < 0:
            return kind
    return kinds[-1]
