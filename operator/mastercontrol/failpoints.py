"""Failpoints of the operator: places between two messages where it can be made to die or to stop, for tests only.

`cli` loads this module where `MCP_FAILPOINT` is set, and nothing else does; see `mastercontrol_worker.failpoints` for
its form, and for the points `publish`, `confirm` and `ack`. The operator has one more:

| point | before | after |
| --- | --- | --- |
| `patch` | a Job's status is about to be written | the API server's answer is there, and nothing was made of it |
"""

from __future__ import annotations

from collections.abc import Callable

from mastercontrol.broker.session import Channel, Session
from mastercontrol.engine.ports import JsonPatch, RawObject
from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.jobs import KubeJobStore
from mastercontrol.leader import Leader
from mastercontrol.run import MakeLeader
from mastercontrol.settings import Settings
from mastercontrol_worker.failpoints import (
    OF_THE_WIRE,
    VARIABLE,
    FailingChannel,
    Failpoint,
    InvalidFailpoint,
    read_failpoint,
)

__all__ = ["KINDS", "OPERATOR", "VARIABLE", "FailingJobStore", "InvalidFailpoint", "failing_session", "make_leader"]

OPERATOR = "operator"
KINDS = ("patch", *OF_THE_WIRE)


def make_leader(text: str) -> MakeLeader:
    """Make leaders with the failpoint that the variable's value names. All of a process share its passes.

    :raises InvalidFailpoint: it cannot be read.
    """
    failpoint = read_failpoint(text, OPERATOR, KINDS)

    def make(settings: Settings, client: KubeClient, leads: Callable[[], bool]) -> Leader:
        jobs = FailingJobStore(client, failpoint)
        return Leader(settings, client, leads, jobs=jobs, session=failing_session(failpoint))

    return make


class FailingJobStore(KubeJobStore):
    """Jobs at the API server, with the points of `patch`."""

    def __init__(self, client: KubeClient, failpoint: Failpoint) -> None:
        super().__init__(client)
        self._failpoint = failpoint

    async def patch_status(self, namespace: str, name: str, patch: JsonPatch) -> RawObject:
        """See `JobStore.patch_status`."""
        self._failpoint.reach(f"{OPERATOR}.patch.before")
        raw = await super().patch_status(namespace, name, patch)
        self._failpoint.reach(f"{OPERATOR}.patch.after")
        return raw


def failing_session(failpoint: Failpoint) -> type[Session]:
    """Sessions whose channels have the points of the wire."""

    class FailingSession(Session):
        async def channel(self) -> Channel:
            channel = await super().channel()
            channel.raw = FailingChannel(channel.raw, failpoint, OPERATOR)
            return channel

    return FailingSession
