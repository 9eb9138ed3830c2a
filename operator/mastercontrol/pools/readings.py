"""Readings of a pool's queue: the depth, or why it is not known. `scaler.py` asks, when a reading is due.

What is not known lowers nothing. It is counted for each pool, and the pool's condition `ScalingActive` says why.
"""

from __future__ import annotations

import logging

from mastercontrol.api.pool import WorkerPool
from mastercontrol.engine.ports import Broker, BrokerError, Depth, DepthUnknown
from mastercontrol.pools import metrics
from mastercontrol.pools.state import PoolState

logger = logging.getLogger(__name__)


async def read(broker: Broker, state: PoolState, pool: WorkerPool) -> Depth | None:
    """The depth of the pool's queue; None when it can't be known, and then `state.unread` says why."""
    try:
        if broker.epoch is None:
            raise DepthUnknown("disconnected", "there is no connection to the broker")
        depth = await broker.depth(pool.namespace, pool.name)
    except BrokerError as error:
        why = error if isinstance(error, DepthUnknown) else DepthUnknown("unreachable", str(error))
        metrics.READINGS_FAILED.labels(pool.namespace, pool.name, why.reason).inc()
        # The text of the first failure of a sort stands: it may differ each time, and each would be a write.
        if state.unread is None or state.unread.reason != why.reason:
            logger.warning("pool %s/%s: its queue can't be read (%s): %s", *state.key, why.reason, why)
            state.unread = why
        return None
    if state.unread is not None:
        logger.info("pool %s/%s: its queue can be read again", *state.key)
        state.unread = None
    return depth
