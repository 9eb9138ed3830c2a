"""Leader election by a Lease (coordination.k8s.io/v1), so that one of several replicas does the work.

Used by the process's start-up: `acquire`, then work until `lost`, then `release`. It promises that

- at most one elector is leader at a time, as far as clocks run at the same speed: a leader stops being one
  `renew_deadline_seconds` after the start of its last confirmed renewal, by its own monotonic clock and without a
  task having to run, while others wait `lease_seconds` after they *saw* the Lease change, by theirs. No clock is
  compared with a time that another machine wrote;
- a process that was stopped for longer (a zombie) sees `is_leader` false the moment it runs again. What it has in
  flight by then is stopped by the fence in each commit, not by this;
- after `release` the next one leads as soon as it looks, at most `retry_seconds` later; after a crash within
  lease_seconds + retry_seconds.

Why not the elector that `kubernetes.aio` ships: it takes the leader's lease for valid without a limit. A connection
error ends its loop with the work still running, a request that hangs holds it for up to five minutes, it may lead for
renew_deadline + 2 * retry_period (11 s here) on a lease of 10 s, it measures by the wall clock, and it has no release.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mastercontrol.engine.ports import Gone, RawObject, Refused, StoreError
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.paths import LEASES, Target

_log = logging.getLogger(__name__)


def new_identity() -> str:
    """An identity for this process: never that of an earlier process of the same pod."""
    return f"{os.environ.get('HOSTNAME') or socket.gethostname()}_{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True)
class _Observed:
    """The Lease as last seen. `since` is our clock when this version of it was first seen."""

    version: str
    holder: str
    seconds: float
    transitions: int
    since: float


class Elector:
    """One candidate. `identity` must be that of this process alone (see `new_identity`); times are in seconds."""

    def __init__(
        self,
        client: KubeClient,
        identity: str,
        namespace: str,
        name: str,
        lease_seconds: float = 10,
        renew_deadline_seconds: float = 7,
        retry_seconds: float = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not retry_seconds < renew_deadline_seconds < lease_seconds:
            raise ValueError("these must hold: retry_seconds < renew_deadline_seconds < lease_seconds")
        self.identity = identity
        self._client = client
        self._target = Target(LEASES, namespace, name)
        self._lease_seconds = lease_seconds
        self._deadline_seconds = renew_deadline_seconds
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._observed: _Observed | None = None
        self._leads_until: float | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()

    @property
    def is_leader(self) -> bool:
        """Whether this process may act as the leader right now."""
        return self._leads_until is not None and self._clock() < self._leads_until

    async def acquire(self) -> None:
        """Return when this process is the leader. May be called again after `lost`."""
        while not await self._take():  # noqa: ASYNC110  # what is waited for is the Lease, not an event
            await asyncio.sleep(self._until_next_look())
        self._lost = asyncio.Event()
        self._keeper = asyncio.create_task(self._keep(), name="lease")
        _log.info("%s leads now", self.identity)

    async def lost(self) -> None:
        """Return when this process is the leader no more. Only after `acquire`."""
        await self._lost.wait()

    async def release(self) -> None:
        """Stop leading and let the next one in at once. Best effort: without it the lease runs out."""
        led = self.is_leader
        self._leads_until = None
        self._lost.set()
        if (keeper := self._keeper) is not None:
            self._keeper = None
            keeper.cancel()
            await asyncio.wait([keeper])
            if not keeper.cancelled() and (error := keeper.exception()) is not None:
                raise error
        if led:
            await self._attempt(self._give_up, self._deadline_seconds / 3)

    async def _keep(self) -> None:
        """Renew until it cannot be done in time, or somebody else holds the Lease."""
        try:
            pause = self._retry_seconds
            while (left := self._left()) > 0:
                await asyncio.sleep(min(pause, left))
                # Not once the time is over: what was lost for a moment is lost.
                if (left := self._left()) > 0:
                    renewed = await self._take(left)
                    pause = self._retry_seconds if renewed else self._retry_seconds / 4
        finally:
            self._leads_until = None
            self._lost.set()
        _log.warning("%s leads no more: its lease could not be renewed in time, or was taken", self.identity)

    def _left(self) -> float:
        """Seconds that this process may lead without another renewal."""
        return 0.0 if self._leads_until is None else self._leads_until - self._clock()

    async def _take(self, limit: float = math.inf) -> bool:
        """Take or renew the Lease, once; whether that was confirmed.

        It gets a third of the deadline at most, so that one hanging request leaves time for others.
        """
        started = self._clock()
        if not await self._attempt(self._write, min(self._deadline_seconds / 3, limit)):
            return False
        self._leads_until = started + self._deadline_seconds
        return True

    async def _attempt(self, act: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await act()
        except TimeoutError:
            _log.warning("The Lease %s: no answer in time", self._target.name)
        except StoreError as error:
            _log.warning("The Lease %s: %s", self._target.name, error)
        return False

    async def _write(self) -> bool:
        """Read the Lease, unless what we know of it is our own last write, and write ourselves into it."""
        if not self.is_leader:
            await self._look()
        try:
            if self._observed is None:
                return await self._create()
            if self._held_by_another(self._observed):
                return False
            return await self._update(self._observed)
        except (Refused, Gone):
            # Somebody else was faster, or an earlier write of ours landed after all: the Lease says which.
            await self._look()
            if self._observed is None or self._observed.holder != self.identity:
                self._leads_until = None
            return False

    def _held_by_another(self, lease: _Observed) -> bool:
        free = lease.holder in {"", self.identity}
        return not free and self._clock() < lease.since + lease.seconds

    def _until_next_look(self) -> float:
        """Seconds: the usual ones, or fewer when the lease that is in the way ends before."""
        if self._observed is None or not self._observed.holder:
            return self._retry_seconds
        left = self._observed.since + self._observed.seconds - self._clock()
        return min(self._retry_seconds, left) if left > 0 else self._retry_seconds

    async def _look(self) -> None:
        try:
            self._observe(await self._client.get(self._target))
        except Gone:
            self._observed = None

    def _observe(self, lease: RawObject) -> None:
        version = lease["metadata"]["resourceVersion"]
        if self._observed is not None and self._observed.version == version:
            return
        spec = lease.get("spec") or {}
        self._observed = _Observed(
            version=version,
            holder=spec.get("holderIdentity") or "",
            seconds=float(spec.get("leaseDurationSeconds") or self._lease_seconds),
            transitions=spec.get("leaseTransitions") or 0,
            since=self._clock(),
        )

    async def _create(self) -> bool:
        metadata = {"namespace": self._target.namespace, "name": self._target.name}
        body = {"apiVersion": LEASES.group_version, "kind": LEASES.kind, "metadata": metadata, "spec": self._taken(0)}
        self._observe(await self._client.create(Target(LEASES, self._target.namespace), body))
        return True

    async def _update(self, lease: _Observed) -> bool:
        ours = lease.holder == self.identity
        await self._patch(lease, {"renewTime": _now()} if ours else self._taken(lease.transitions + 1))
        return True

    async def _give_up(self) -> bool:
        lease = self._observed
        if lease is None:
            return True
        try:
            await self._vacate(lease)
        except Refused:
            # A renewal that was under way landed: give up that one, if it was ours.
            await self._look()
            if self._observed is not None and self._observed.holder == self.identity:
                await self._vacate(self._observed)
        return True

    async def _vacate(self, lease: _Observed) -> None:
        # A duration of one second, as client-go writes it, for candidates that wait for its end regardless.
        await self._patch(lease, {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()})

    async def _patch(self, lease: _Observed, spec: dict[str, Any]) -> None:
        body = {"metadata": {"resourceVersion": lease.version}, "spec": spec}
        self._observe(await self._client.patch(self._target, body, PatchType.MERGE))

    def _taken(self, transitions: int) -> dict[str, Any]:
        now = _now()
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._lease_seconds),
            "leaseTransitions": transitions,
            "acquireTime": now,
            "renewTime": now,
        }


def _now() -> str:
    """For people who read the Lease; no elector of ours decides by it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
