"""A model of KEDA 2 with the HorizontalPodAutoscaler that it makes, both with their defaults, at a site.

Each default is from the documentation or the source of those projects:

- KEDA polls each 30 s and scales from 0 to 1, if the value is above `activationValue` (0), and from any number to 0,
  once it was not for `cooldownPeriod`, 300 s (keda.sh, "ScaledObject specification"; KEDA's scale_scaledobjects.go).
- Between 1 and the maximum the HPA scales: it looks each 15 s, at the value of now. It wants the value divided by the
  target, rounded up, unless the value per pod is within 10 % of the target (kubernetes' replica_calculator.go,
  GetExternalPerPodMetricReplicas).
- Up by 4 pods or by as many as there are, whichever is more, each 15 s; down to the largest of what it wanted in the
  last 300 s (kubernetes' pkg/apis/autoscaling/v2/defaults.go).
- The value is the length of the queue: with the trigger's `protocol: http` messages that are ready or unacknowledged,
  with `amqp` those that are ready (keda.sh, "RabbitMQ Queue", `excludeUnacknowledged`; kedacore/keda issues 638, 2572).
- No pod is chosen: the ReplicaSet's own order holds.

An HPA that has no `behavior` at all, as KEDA makes it, goes up to the larger of 4 and twice as many: that is a little
slower than what is modelled here.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from autoscaling.site import Site
from mastercontrol_worker.presence import PresenceMessage


@dataclass(frozen=True, slots=True)
class KedaSettings:
    """Seconds, unless said otherwise. `target` is the trigger's `value`, in messages per pod."""

    target: float = 1.0
    most: int = 100
    counts_unacknowledged: bool = True
    polling_interval: float = 30.0
    cooldown: float = 300.0
    sync_period: float = 15.0
    tolerance: float = 0.1
    down_window: float = 300.0
    up_pods: int = 4
    up_factor: int = 2


def wanted(settings: KedaSettings, value: int, pods: int) -> int:
    """What the HPA's metric asks for. Pure."""
    if pods and abs(value / (settings.target * pods) - 1) <= settings.tolerance:
        return pods
    return math.ceil(value / settings.target)


def bounded(settings: KedaSettings, proposed: int, replicas: int, window: int) -> int:
    """What the HPA sets, if `window` is the most that it wanted lately. Pure."""
    stable = min(max(replicas, proposed), window) if window < replicas else max(replicas, proposed)
    limit = max(replicas + settings.up_pods, replicas * settings.up_factor)
    return max(1, min(stable, limit, settings.most))


class Keda:
    """For one pool."""

    def __init__(self, site: Site, settings: KedaSettings) -> None:
        self._site, self._settings = site, settings
        self._active_at = -math.inf
        self._proposals: deque[tuple[float, int]] = deque()
        site.listener = self
        # Neither begins with the load.
        site.timeline.after(site.random.uniform(0, settings.polling_interval), self._poll)
        site.timeline.after(site.random.uniform(0, settings.sync_period), self._sync)

    def _value(self) -> int:
        depth = self._site.queue.depth()
        return depth.backlog if self._settings.counts_unacknowledged else depth.ready

    def _poll(self) -> None:
        self._site.timeline.after(self._settings.polling_interval, self._poll)
        self._site.tally.decisions += 1
        now = self._site.timeline.now
        if self._value() > 0:
            self._active_at = now
            if self._site.replicas == 0:
                self._site.scale(1)
        elif self._site.replicas > 0 and now - self._active_at > self._settings.cooldown:
            self._site.scale(0)

    def _sync(self) -> None:
        self._site.timeline.after(self._settings.sync_period, self._sync)
        if self._site.replicas == 0:
            return  # an HPA of nothing is disabled
        self._site.tally.decisions += 1
        now = self._site.timeline.now
        proposed = max(1, min(wanted(self._settings, self._value(), len(self._site.workers)), self._settings.most))
        self._proposals.append((now, proposed))
        while self._proposals[0][0] <= now - self._settings.down_window:
            self._proposals.popleft()
        window = max(replicas for _, replicas in self._proposals)
        self._site.scale(bounded(self._settings, proposed, self._site.replicas, window))

    # It hears nothing.

    def published(self) -> None:
        """It looks when it looks."""

    def answered(self) -> None:
        """It does not know."""

    def heard(self, message: PresenceMessage) -> None:
        """It does not listen."""

    def counted(self) -> None:
        """It looks when it looks."""
