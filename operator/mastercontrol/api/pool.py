"""WorkerPool: a queue and the Deployment that consumes it, as frozen values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mastercontrol.api import values


@dataclass(frozen=True, slots=True)
class AutoscalingSpec:
    """When the number of replicas follows the queue. `target_backlog` is in messages per replica."""

    enabled: bool = True
    target_backlog: int = 1
    scale_down_stabilization_seconds: int = 60


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
_AUTOSCALING_FIELDS = frozenset({"enabled", "targetBacklog", "scaleDownStabilizationSeconds"})


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
        scale_down_stabilization_seconds=values.whole(
            data, "scaleDownStabilizationSeconds", path, 0, 3600, default.scale_down_stabilization_seconds
        ),
    )


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
