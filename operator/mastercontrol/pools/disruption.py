"""The PodDisruptionBudget of a pool: how many of its workers a drain of nodes may end at a time.

`controller.py` calls `BudgetKeeper.keep` in each turn. The budget has the pool as its controller, so it goes with it.
It is not watched: it is read when the pool is new to this process or was edited, and once in `resync_seconds` where the
pool has one. One that is not the pool's is neither changed nor deleted.
"""

from __future__ import annotations

import logging
from enum import Enum, auto

from mastercontrol.api import names
from mastercontrol.api.names import Reason
from mastercontrol.api.pool import WorkerPool
from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.backoff import Problem
from mastercontrol.pools.deployment import belongs, child_name, metadata
from mastercontrol.pools.drift import difference
from mastercontrol.pools.ports import PoolCluster
from mastercontrol.pools.provision import NotYetError
from mastercontrol.pools.state import PoolState

logger = logging.getLogger(__name__)

_BOUNDS = ("maxUnavailable", "minAvailable")


class Act(Enum):
    """What is to be done about a budget."""

    NOTHING = auto()
    APPLY = auto()
    REPLACE = auto()  # somebody added what an apply leaves: the other bound, or what selects fewer pods
    DELETE = auto()
    WAIT = auto()  # it is being deleted
    CONFLICT = auto()  # it is somebody else's


def budget(pool: WorkerPool) -> RawObject | None:
    """The PodDisruptionBudget `mcp-worker-<pool>`; None where the pool has none.

    A pod that is not ready yet has at most a step of the last second, so it may always be evicted.
    """
    option = pool.disruption_budget
    if option is None:
        return None
    bounds = zip(_BOUNDS, (option.max_unavailable, option.min_available), strict=True)
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(pool),
        "spec": {
            "selector": {"matchLabels": {names.LABEL_POOL: pool.name}},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            **{name: value for name, value in bounds if value is not None},
        },
    }


def decide(pool: WorkerPool, wanted: RawObject | None, live: RawObject | None) -> Act:
    """What is to be done so that `live` becomes what is `wanted`."""
    if live is None:
        return Act.NOTHING if wanted is None else Act.APPLY
    if wanted is None:
        return Act.DELETE if _is_owned(live, pool) else Act.NOTHING
    if not belongs(live, pool):
        return Act.CONFLICT
    if live["metadata"].get("deletionTimestamp") is not None:
        return Act.WAIT
    spec = live.get("spec", {})
    other = any(spec.get(name) is not None and name not in wanted["spec"] for name in _BOUNDS)
    if (other or spec.get("selector") != wanted["spec"]["selector"]) and _is_owned(live, pool):
        return Act.REPLACE
    return Act.NOTHING if difference(wanted, live) is None else Act.APPLY


class BudgetKeeper:
    """One for all pools; what it knows of a pool is in its PoolState."""

    def __init__(self, cluster: PoolCluster) -> None:
        self._cluster = cluster

    async def keep(self, state: PoolState, pool: WorkerPool) -> None:
        """Make sure of the pool's budget, or that it has none.

        :raises StoreError, NotYetError: it is to be tried again, if need be later.
        """
        version = (pool.uid, pool.generation)
        if state.budget_for == version:
            return
        name, wanted = child_name(pool.name), budget(pool)
        live = await self._cluster.read_budget(pool.namespace, name)
        act = decide(pool, wanted, live)
        if act is not Act.NOTHING:
            logger.info("pool %s/%s: its PodDisruptionBudget: %s", pool.namespace, pool.name, act.name.lower())
        match act:
            case Act.CONFLICT:
                text = f"there is another PodDisruptionBudget {name}; delete or rename it, or take disruptionBudget out"
                raise NotYetError(Problem(Reason.APPLY_FAILED, text))
            case Act.WAIT:
                text = "the PodDisruptionBudget is being deleted; it is made again after that"
                raise NotYetError(Problem(Reason.APPLY_FAILED, text))
            case Act.DELETE | Act.REPLACE:
                assert live is not None, "there is something to delete"  # noqa: S101 - `decide` says so
                await self._cluster.delete_budget(pool.namespace, name, str(live["metadata"]["uid"]))
            case Act.APPLY | Act.NOTHING:
                pass
        if wanted is not None and act in {Act.APPLY, Act.REPLACE}:
            await self._cluster.apply(wanted)
        state.budget_for = version

    @staticmethod
    def doubt(state: PoolState, pool: WorkerPool | None) -> None:
        """Somebody may have changed it: look again in the next turn. Without one there is nothing to mend."""
        if pool is not None and pool.disruption_budget is not None:
            state.budget_for = None


def _is_owned(live: RawObject, pool: WorkerPool) -> bool:
    owners = live.get("metadata", {}).get("ownerReferences") or ()
    return any(owner.get("uid") == pool.uid for owner in owners)
