"""Takes the number of workers down: asks, marks and counts as `leaving.py` says, or lets them all go on.

`scaler.py` calls it in each turn in which a pool has more workers than it should, and `keep` in the others. Only a
scale-down costs anything: one list of the pool's pods a look, one write for each pod that goes, one for the number.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from mastercontrol.engine.ports import BrokerError, BrokerForbidden, Gone, StoreError
from mastercontrol.pools import leaving
from mastercontrol.pools.crew import Member
from mastercontrol.pools.departures import Order
from mastercontrol.pools.deployment import selector
from mastercontrol.pools.leaving import Pod
from mastercontrol.pools.ports import PoolCluster, WorkerLine
from mastercontrol.pools.scaling import ScalingReason
from mastercontrol.pools.settings import PoolSettings
from mastercontrol.pools.starts import start_seconds
from mastercontrol.pools.state import PoolState
from mastercontrol_worker.presence import DRAIN_SECONDS, PRESENCE_SECONDS, Command, CommandMessage, Doing

logger = logging.getLogger(__name__)

ASKED_AGAIN_SECONDS: Final = DRAIN_SECONDS / 3
"""Between two requests to the same worker: two of them may be lost before its drain ends by itself."""

HOLDS_SECONDS: Final = DRAIN_SECONDS * 2 / 3
"""How long after the last request its answer counts: well before the drain may end by itself."""

MUTE_SECONDS: Final = 300.0
"""After so long it is tried again whether workers can be told something that they could not be told."""

IDLE_SECONDS: Final = 5.0
"""For so long what the broker says of its consumers is taken for new: it counts no more often."""

SILENT_SECONDS: Final = PRESENCE_SECONDS
"""For so long a ready pod says nothing until its worker is taken for one that never will."""

MARKED_AT_ONCE: Final = 16

WRITTEN = frozenset({ScalingReason.PAUSED, ScalingReason.FIXED, ScalingReason.BOUNDS})
"""The user's own numbers: for them also workers go of whom nobody knows whether they are idle."""


class Reducer:
    """One for all pools; what it knows of a pool is in its PoolState."""

    def __init__(
        self, cluster: PoolCluster, line: WorkerLine, settings: PoolSettings, monotonic: Callable[[], float]
    ) -> None:
        self._cluster, self._line = cluster, line
        self._settings, self._monotonic = settings, monotonic

    async def reduce(self, state: PoolState, wanted: int, why: ScalingReason) -> tuple[int, StoreError | None]:
        """Go one step towards `wanted` workers; the number that the Deployment may have now.

        And what went wrong with single pods: that holds up no other.

        :raises StoreError: pods could not be read.
        """
        now, known, rolls = self._monotonic(), state.departures, state.live.is_rolling
        if rolls and wanted > 0:
            # Old and new pods are of two ReplicaSets, among which Kubernetes divides a scale-down by its own rules.
            await self.keep(state)
            return state.live.replicas, None
        started = state.start_seconds
        pods = await self._pods(state)
        if why is ScalingReason.SHRINK and started is None and state.start_seconds is not None:
            state.target = None  # it did not know how long new pods would take: the next reading decides anew
            return state.live.replicas, None
        crew = {} if known.mute is not None else state.crew.reachable(now)
        settle = self._settings.mark_settle_seconds
        plan = leaving.plan(
            pods,
            crew,
            self._holding(state),
            wanted,
            await self._may_go(state, pods, crew, why),
            settled={name for name, at in known.marked.items() if now - at >= settle},
            may_go=now - known.unmarked_at >= settle,
        )
        known.busy = plan.busy
        await self._ask(state, crew, plan.drain, known.free(plan.resume, now - settle))
        fault = await self._mark(state, known.free(plan.unmark, now - settle), marked=False)
        fault = await self._mark(state, plan.mark, marked=True) or fault
        if rolls and plan.replicas > 0:
            return state.live.replicas, fault  # for the same reason: all go, or nobody yet
        if plan.replicas < state.live.replicas:
            known.went(plan.going, now)
        return min(plan.replicas, state.live.replicas), fault

    async def keep(self, state: PoolState) -> None:
        """There are not too many any more: whoever was asked to go goes on.

        :raises StoreError: a mark could not be taken away, or not be looked for.
        """
        known = state.departures
        known.busy = 0
        if known.going or (not known.tidied and state.live.replicas):
            await self._pods(state)  # some may be gone by now, or marked by a former operator
            known.tidied = True
        now = self._monotonic()
        crew, before = state.crew.reachable(now), now - self._settings.mark_settle_seconds
        drained = {name for name, member in crew.items() if member.doing is Doing.DRAINING}
        await self._ask(
            state, crew, (), known.free(sorted((drained | known.orders.keys()) - known.going.keys()), before)
        )
        fault = await self._mark(state, known.free(known.marked, before), marked=False)
        if fault is not None:
            raise fault

    async def _pods(self, state: PoolState) -> list[Pod]:
        raw = await self._cluster.list_pods(state.namespace, selector(state.name))
        pods = leaving.pods_of(raw)
        if state.pool is not None and state.pool.autoscaling.scale_down_stabilization_seconds is None:
            seen = start_seconds(raw)
            state.start_seconds = state.start_seconds if seen is None else seen
        state.crew.compare({str(pod["metadata"]["name"]) for pod in raw})
        return state.departures.compare(pods, state.live.replicas, self._monotonic())

    async def _may_go(
        self, state: PoolState, pods: Sequence[Pod], crew: Collection[str], why: ScalingReason
    ) -> Collection[str]:
        """Of the workers that say nothing of themselves, those that may go."""
        now, known = self._monotonic(), state.departures
        strangers = {pod.name for pod in pods if pod.name not in crew}
        known.silent = {
            name: known.silent.get(name, now) for name in strangers & {pod.name for pod in pods if pod.ready}
        }
        if not strangers or not state.crew.heard_all(now):
            return ()
        if why in WRITTEN and known.mute is None:
            # One that spoke before may be at work, and cut off from us; one that has just started is yet to speak.
            silent = {name for name, since in known.silent.items() if now - since >= SILENT_SECONDS}
            return silent - state.crew.spoken
        if known.idle is None or now - known.idle[0] >= IDLE_SECONDS:
            held = await self._line.held(*state.key) or {}
            known.idle_before = frozenset() if known.idle is None else known.idle[1]
            known.idle = now, frozenset(name for name, count in held.items() if count == 0)
        # Twice, as one that is new and speaks has spoken by then.
        return strangers & known.idle[1] & known.idle_before

    async def _ask(
        self, state: PoolState, crew: dict[str, Member], drain: Iterable[str], resume: Iterable[str]
    ) -> None:
        now, known = self._monotonic(), state.departures
        if known.mute is not None and now - known.mute_at < MUTE_SECONDS:
            return
        letters: list[tuple[str, CommandMessage]] = []
        for name in resume:
            ordered = known.orders.pop(name, None)  # whatever it says of that order now counts no more
            if ordered is not None or now - known.resumed.get(name, -MUTE_SECONDS) >= ASKED_AGAIN_SECONDS:
                known.resumed[name] = now
                letters.append((name, CommandMessage(Command.RESUME)))
        orders = {}
        for name in drain:
            order = known.orders.get(name)
            if order is None or now - order.at >= ASKED_AGAIN_SECONDS:
                holds = order is not None and now - order.at < HOLDS_SECONDS
                text = order.text if order is not None and holds else secrets.token_hex(8)
                orders[name] = Order(text, now)
                letters.append((name, CommandMessage(Command.DRAIN, text)))
        addressed = [(crew[name].address or "", command.encode()) for name, command in letters if name in crew]
        if not addressed:
            return
        try:
            await self._line.tell(addressed)
        except BrokerForbidden as error:
            known.mute, known.mute_at = str(error), now
            logger.warning("pool %s/%s: its workers may not be told anything: %s", *state.key, error)
        except BrokerError as error:
            logger.warning("pool %s/%s: its workers can't be told anything now: %s", *state.key, error)
        else:
            known.mute = None
            known.orders |= orders

    def _holding(self, state: PoolState) -> dict[str, str]:
        now = self._monotonic()
        return {name: order.text for name, order in state.departures.orders.items() if now - order.at < HOLDS_SECONDS}

    async def _mark(self, state: PoolState, names: Sequence[str], *, marked: bool) -> StoreError | None:
        """Mark pods, or take their marks away: all that can be; the first error of those that could not."""
        if not names:
            return None
        places = asyncio.Semaphore(MARKED_AT_ONCE)

        async def one(name: str) -> StoreError | None:
            async with places:
                return await self._mark_one(state, name, marked=marked)

        return next((error for error in await asyncio.gather(*map(one, names)) if error is not None), None)

    async def _mark_one(self, state: PoolState, name: str, *, marked: bool) -> StoreError | None:
        known = state.departures
        try:
            await self._cluster.annotate_pod(
                state.namespace, name, {leaving.DELETION_COST: leaving.MARK if marked else None}
            )
        except Gone:
            known.marked.pop(name, None)
        except StoreError as error:
            return error
        else:
            if marked:
                known.marked[name] = self._monotonic()
            else:
                known.marked.pop(name, None)
                known.unmarked_at = self._monotonic()
        return None
