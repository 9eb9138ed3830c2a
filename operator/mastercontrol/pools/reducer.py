"""Takes the number of workers down: asks, marks and counts as `leaving.py` says, or lets them all go on.

`scaler.py` calls it in each turn in which a pool has more workers than it should, and `keep` in the others. Only a
scale-down costs anything: one list of the pool's pods a look, one write for each pod that goes, one for the number.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Sequence

from mastercontrol.api.pool import WorkerPool
from mastercontrol.engine.ports import BrokerError, Gone
from mastercontrol.pools import leaving
from mastercontrol.pools.crew import Member
from mastercontrol.pools.deployment import selector
from mastercontrol.pools.leaving import Pod
from mastercontrol.pools.ports import PoolCluster, WorkerLine
from mastercontrol.pools.scaling import ScalingReason
from mastercontrol.pools.settings import PoolSettings
from mastercontrol.pools.state import Order, PoolState
from mastercontrol_worker.presence import DRAIN_SECONDS, Command, CommandMessage

logger = logging.getLogger(__name__)

ASKED_AGAIN_SECONDS = DRAIN_SECONDS / 3
"""Between two requests to the same worker: two of them may be lost before its drain ends by itself."""

HOLDS_SECONDS = DRAIN_SECONDS * 2 / 3
"""How long after the last request its answer counts: well before the drain may end by itself."""

WRITTEN = frozenset({ScalingReason.PAUSED, ScalingReason.FIXED, ScalingReason.BOUNDS, ScalingReason.QUOTA})
"""Numbers that people wrote: they hold whatever is known of the queue."""


class Reducer:
    """One for all pools; what it knows of a pool is in its PoolState."""

    def __init__(
        self, cluster: PoolCluster, line: WorkerLine, settings: PoolSettings, monotonic: Callable[[], float]
    ) -> None:
        self._cluster, self._line = cluster, line
        self._settings, self._monotonic = settings, monotonic

    async def reduce(self, state: PoolState, pool: WorkerPool, wanted: int, why: ScalingReason) -> int:
        """Go one step towards `wanted` workers; the number that the Deployment may have now.

        :raises StoreError: pods could not be read or marked.
        """
        now = self._monotonic()
        if state.live.is_rolling and wanted > 0:
            # Old and new pods are of two ReplicaSets, among which Kubernetes divides a scale-down by its own rules.
            await self.keep(state)
            return state.live.replicas
        pods = leaving.pods_of(await self._cluster.list_pods(pool.namespace, selector(pool.name)))
        crew = state.crew.fresh(now)
        _compare(state, pods, now)
        if state.going:
            return state.live.replicas  # the ReplicaSet may not have acted: what it chooses by must stand still
        settle = self._settings.mark_settle_seconds
        plan = leaving.plan(
            pods,
            crew,
            self._holding(state),
            wanted,
            await self._idle(state, pods, crew),
            settled={name for name, at in state.marked.items() if now - at >= settle},
            may_go=now - state.unmarked_at >= settle,
            all_may_go=why in WRITTEN,
        )
        state.leaving = plan.busy
        await self._ask(state, crew, plan.drain, plan.resume)
        await self._mark(state, plan.unmark, marked=False)
        await self._mark(state, plan.mark, marked=True)
        for name in plan.going:  # they are not to be asked, told or marked anything more
            state.marked.pop(name, None)
            order = state.orders.pop(name, None)
            state.going[name] = now + settle if order is None else order.at + HOLDS_SECONDS
            state.lowered_at = now
        return min(plan.replicas, state.live.replicas)

    async def _idle(self, state: PoolState, pods: Sequence[Pod], crew: Collection[str]) -> set[str]:
        """Of the workers that say nothing of themselves, those that hold nothing, as far as that is known."""
        strangers = {pod.name for pod in pods if pod.ready and pod.name not in crew}
        if not strangers or not state.crew.heard_all(self._monotonic()):
            return set()
        held = await self._line.held(*state.key) or {}
        return {name for name in strangers if held.get(name) == 0}

    async def keep(self, state: PoolState) -> None:
        """There are not too many any more: whoever was asked to go goes on.

        :raises StoreError: a mark could not be taken away.
        """
        state.leaving = 0
        now = self._monotonic()
        acts = now - state.lowered_at < self._settings.mark_settle_seconds
        told = tuple(name for name in state.orders if not acts or name not in state.marked)
        if told:
            await self._ask(state, state.crew.fresh(now), (), told)
        if acts:
            return  # the ReplicaSet may still take any that is marked; the next turn is in a second
        state.going = {}
        await self._mark(state, tuple(state.marked), marked=False)

    async def _ask(
        self, state: PoolState, crew: dict[str, Member], drain: Iterable[str], resume: Iterable[str]
    ) -> None:
        now = self._monotonic()
        for name in resume:
            state.orders.pop(name, None)  # whatever it says of that order now counts no more
        letters = [(name, CommandMessage(Command.RESUME)) for name in resume]
        for name in drain:
            order = state.orders.get(name)
            if order is None or now - order.at >= ASKED_AGAIN_SECONDS:
                holds = order is not None and now - order.at < HOLDS_SECONDS
                text = order.text if order is not None and holds else secrets.token_hex(8)
                state.orders[name] = Order(text, now)
                letters.append((name, CommandMessage(Command.DRAIN, text)))
        known = [(crew[name].address, command) for name, command in letters if name in crew]
        try:
            await self._line.tell([(address, command.encode()) for address, command in known if address])
        except BrokerError as error:
            logger.warning("pool %s/%s: its workers can't be told anything: %s", *state.key, error)

    def _holding(self, state: PoolState) -> dict[str, str]:
        now = self._monotonic()
        return {name: order.text for name, order in state.orders.items() if now - order.at < HOLDS_SECONDS}

    async def _mark(self, state: PoolState, names: Iterable[str], *, marked: bool) -> None:
        for name in names:
            annotations = {leaving.DELETION_COST: leaving.MARK if marked else None}
            try:
                await self._cluster.annotate_pod(state.namespace, name, annotations)
            except Gone:
                state.marked.pop(name, None)
                continue
            if marked:
                state.marked[name] = self._monotonic()
            else:
                state.marked.pop(name, None)
                state.unmarked_at = self._monotonic()


def _compare(state: PoolState, pods: Sequence[Pod], now: float) -> None:
    """Forget what was about pods that are gone; learn of marks that another operator made."""
    names = {pod.name for pod in pods}
    state.orders = {name: order for name, order in state.orders.items() if name in names}
    state.marked = {name: at for name, at in state.marked.items() if name in names}
    state.going = {name: until for name, until in state.going.items() if name in names and now < until}
    for pod in pods:
        if pod.marked:
            state.marked.setdefault(pod.name, now)
