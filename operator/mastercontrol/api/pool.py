"""WorkerPool: a queue and the Deployment that consumes it, as frozen values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mastercontrol.api import values


class Unit(StrEnum):
    """What `value` of a policy counts."""

    PODS = "Pods"
    PERCENT = "Percent"


class SelectPolicy(StrEnum):
    """Which of several policies counts."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"  # none: the pool does not grow


@dataclass(frozen=True, slots=True)
class ScaleUpPolicy:
    """So many more workers, in pods or percent, in so many seconds."""

    unit: Unit
    value: int
    period_seconds: int


@dataclass(frozen=True, slots=True)
class ScaleUp:
    """How fast a pool may grow. Without policies as fast as it likes."""

    policies: tuple[ScaleUpPolicy, ...] = ()
    select: SelectPolicy = SelectPolicy.MAX


@dataclass(frozen=True, slots=True)
class AutoscalingSpec:
    """When the number of replicas follows the queue. `target_backlog` is in messages per replica.

    `weight` is the pool's part of what a namespace may have, beside those of the other pools. Without
    `scale_down_stabilization_seconds` the window is the operator's choice.
    """

    enabled: bool = True
    target_backlog: int = 1
    scale_down_stabilization_seconds: int | None = None
    scale_up: ScaleUp = ScaleUp()
    weight: int = 1


@dataclass(frozen=True, slots=True)
class DisruptionBudget:
    """How many workers a drain may end at a time: exactly one of them, a number or a percentage (`25%`)."""

    max_unavailable: int | str | None = None
    min_available: int | str | None = None


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """A WorkerPool object. `template` stays as written: `pools/deployment.py` reads it."""

    namespace: str
    name: str
    uid: str
    generation: int
    min_replicas: int
    max_replicas: int
    replicas: int | None
    autoscaling: AutoscalingSpec
    delivery_limit: int
    template: Mapping[str, Any]
    deleting: bool = False
    disruption_budget: DisruptionBudget | None = None

    @property
    def concurrency(self) -> int:
        """Steps that one worker does at a time."""
        return int(self.template.get("concurrency") or 1)

    @property
    def grace_period_seconds(self) -> int:
        """How long a worker that is told to stop may finish what it has."""
        return int(self.template.get("gracePeriodSeconds") or 30)


_SPEC_FIELDS = frozenset(
    {"replicas", "minReplicas", "maxReplicas", "autoscaling", "deliveryLimit", "disruptionBudget", "template"}
)
_AUTOSCALING_FIELDS = frozenset({"enabled", "targetBacklog", "scaleDownStabilizationSeconds", "scaleUp", "weight"})
_POLICY_FIELDS = frozenset({"type", "value", "periodSeconds"})


def parse_pool(raw: Mapping[str, Any]) -> WorkerPool:
    """Read a WorkerPool.

    :raises InvalidObject: with the first fault.
    """
    meta = values.mapping(raw, "metadata", "")
    spec = values.mapping(raw, "spec", "")
    values.known(spec, _SPEC_FIELDS, "spec")
    template = values.mapping(spec, "template", "spec")
    values.whole(template, "concurrency", "spec.template", 1, 256, 1)
    values.whole(template, "gracePeriodSeconds", "spec.template", 1, 86400, 30)
    if template.get("handlers") is not None and template.get("command") is not None:
        raise values.InvalidObject("spec.template: write handlers or command, not both")
    pool = WorkerPool(
        namespace=str(meta.get("namespace", "default")),
        name=values.text(meta, "name", "metadata"),
        uid=str(meta.get("uid", "")),
        generation=int(meta.get("generation", 1)),
        min_replicas=values.whole(spec, "minReplicas", "spec", 0, 10_000, 0),
        max_replicas=values.whole(spec, "maxReplicas", "spec", 0, 10_000, 10),
        replicas=values.optional_whole(spec, "replicas", "spec", 0, 10_000),
        autoscaling=_autoscaling(values.mapping(spec, "autoscaling", "spec")),
        delivery_limit=values.whole(spec, "deliveryLimit", "spec", 1, 1000, 20),
        template=template,
        deleting=meta.get("deletionTimestamp") is not None,
        disruption_budget=_disruption_budget(spec),
    )
    if pool.min_replicas > pool.max_replicas:
        raise values.InvalidObject("spec.minReplicas: write a number that is not above maxReplicas")
    return pool


def _autoscaling(data: Mapping[str, Any]) -> AutoscalingSpec:
    path = "spec.autoscaling"
    values.known(data, _AUTOSCALING_FIELDS, path)
    default = AutoscalingSpec()
    return AutoscalingSpec(
        enabled=values.flag(data, "enabled", path, default=default.enabled),
        target_backlog=values.whole(data, "targetBacklog", path, 1, 1_000_000, default.target_backlog),
        scale_down_stabilization_seconds=values.optional_whole(data, "scaleDownStabilizationSeconds", path, 0, 3600),
        scale_up=_scale_up(values.mapping(data, "scaleUp", path), f"{path}.scaleUp"),
        weight=values.whole(data, "weight", path, 1, 1000, default.weight),
    )


def _scale_up(data: Mapping[str, Any], path: str) -> ScaleUp:
    values.known(data, frozenset({"policies", "selectPolicy"}), path)
    policies = []
    for index, policy in enumerate(data.get("policies") or ()):
        where = f"{path}.policies[{index}]"
        values.known(policy, _POLICY_FIELDS, where)
        policies.append(
            ScaleUpPolicy(
                values.choice(policy, "type", where, Unit),
                values.required_whole(policy, "value", where, 1, 100_000),
                values.required_whole(policy, "periodSeconds", where, 1, 1800),
            )
        )
    return ScaleUp(tuple(policies), values.choice(data, "selectPolicy", path, SelectPolicy, SelectPolicy.MAX))


_PERCENTAGE = re.compile(r"(100|[0-9]{1,2})%")


def _disruption_budget(spec: Mapping[str, Any]) -> DisruptionBudget | None:
    if spec.get("disruptionBudget") is None:
        return None
    path = "spec.disruptionBudget"
    data = values.mapping(spec, "disruptionBudget", "spec")
    values.known(data, frozenset({"maxUnavailable", "minAvailable"}), path)
    most, least = (_pods(data, name, path) for name in ("maxUnavailable", "minAvailable"))
    if (most is None) == (least is None):
        raise values.InvalidObject(f"{path}: write either maxUnavailable or minAvailable")
    return DisruptionBudget(most, least)


def _pods(data: Mapping[str, Any], name: str, path: str) -> int | str | None:
    value = data.get(name)
    if isinstance(value, str):
        if not _PERCENTAGE.fullmatch(value):
            raise values.InvalidObject(f"{path}.{name}: write a whole number from 0, or a percentage as in 25%")
        return value
    return values.optional_whole(data, name, path, 0, 10_000)
