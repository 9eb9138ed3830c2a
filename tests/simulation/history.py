"""All that happens in one run: written down as events, and checked where it happens.

`History` is what the truth knows, the store and the broker's data, not what any process believes. What must hold at
every moment is checked at once; `verdict` says what must hold when all is at rest.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mastercontrol.api.names import ANNOTATION_DISPATCH, ENDED, KIND_JOB, KIND_WORKFLOW, Phase, Reason
from mastercontrol.api.status import JobStatus
from mastercontrol.api.status_json import parse_status, to_raw
from mastercontrol.engine.ports import JsonPatch, RawObject
from mastercontrol.memory.queues import Message
from mastercontrol_worker.contract import StepMessage, dispatch_id, parse_dispatch_id
from simulation.events import Kind
from simulation.workload import end_of

if TYPE_CHECKING:
    from simulation.broker import Disk
    from simulation.world import World

BY_TIME: Final = "States.HeartbeatTimeout"
"""Why a step fails that its worker was last heard of, and not answered."""


@dataclass
class Tracked:
    """One Job, as the store has it. `touched`: somebody asked for an end that its Workflow does not have."""

    uid: str
    name: str
    workflow: str
    raw: RawObject
    parent: str | None = None
    alive: bool = True
    touched: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)


class History:
    """One run's."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.jobs: dict[str, Tracked] = {}
        self.contents: dict[str, tuple[str, int, str]] = {}
        self.executions: Counter[str] = Counter()
        self.results: dict[str, set[str]] = {}
        self.resends = 0
        self.commits = 0

    def _say(self, kind: Kind, actor: str, job: str | None = None, **fields: Any) -> None:
        self.world.log(kind, actor, job, **fields)

    # -- the store

    def created(self, actor: str, raw: RawObject) -> None:
        meta = raw["metadata"]
        if raw["kind"] == KIND_WORKFLOW:
            self._say(Kind.WORKFLOW, actor, namespace=meta["namespace"], name=meta["name"], spec=raw["spec"])
        if raw["kind"] != KIND_JOB:
            return
        parent = (meta.get("annotations") or {}).get(ANNOTATION_DISPATCH)
        job = Tracked(meta["uid"], meta["name"], raw["spec"]["workflow"], raw, parent)
        self.jobs[job.uid] = job
        names = {"namespace": meta["namespace"], "name": job.name, "workflow": job.workflow}
        self._say(Kind.CREATE, actor, job.uid, **names, input=raw["spec"].get("input"), parent=parent)

    def deleted(self, actor: str, raw: RawObject) -> None:
        job = self.jobs[raw["metadata"]["uid"]]
        job.alive = False
        self._say(Kind.DELETE, actor, job.uid)

    def refused(self, actor: str, before: RawObject, patch: JsonPatch) -> None:
        base = next((op["value"] for op in patch if op["path"] == "/status/sequence"), 0)
        self._say(Kind.REFUSED, actor, before["metadata"]["uid"], base=base)

    def committed(self, actor: str, before: RawObject, after: RawObject) -> None:
        if before == after:
            return
        job = self.jobs[after["metadata"]["uid"]]
        job.raw = after
        self.commits += 1
        old = parse_status(before["status"]) if "status" in before else JobStatus()
        new = parse_status(after["status"])
        self._say(Kind.COMMIT, actor, job.uid, **_commit_fields(job.uid, old, new))
        self._check_commit(job, old, new)

    # -- the broker

    def dispatched(self, actor: str, pool: str, message: StepMessage, epoch: str | None) -> None:
        uid, _, _ = parse_dispatch_id(message.id)
        self._say(
            Kind.DISPATCH, actor, uid, id=message.id, pool=pool, step=message.step, attempt=message.attempt, epoch=epoch
        )
        content = (message.step, message.attempt, json.dumps(message.input, sort_keys=True))
        known = self.contents.setdefault(message.id, content)
        if known != content:
            self.world.violation(f"dispatch id {message.id} is used for two steps: {known} and {content}")

    def confirmed(self, actor: str, id_: str) -> None:
        self._say(Kind.CONFIRM, actor, _uid(id_), id=id_)

    def delivered(self, actor: str, id_: str | None, *, redelivered: bool) -> None:
        self._say(Kind.DELIVER, actor, _uid(id_), id=id_, redelivered=redelivered)

    def executed(self, actor: str, message: StepMessage) -> None:
        self.executions[message.id] += 1
        self._say(Kind.EXECUTE, actor, message.job.uid, id=message.id, step=message.step, attempt=message.attempt)

    def answered(self, actor: str, id_: str, body: bytes, epoch: str | None) -> None:
        said = json.loads(body)
        error = said.get("error") or {}
        self.results.setdefault(id_, set()).add(said["outcome"])
        self._say(
            Kind.RESULT,
            actor,
            _uid(id_),
            id=id_,
            outcome=said["outcome"],
            code=error.get("code"),
            output=said.get("output"),
            epoch=epoch,
        )

    def dead_lettered(self, message: Message, reason: str) -> None:
        code = "DeliveryLimitExceeded" if reason == "delivery_limit" else "DeadLettered"
        id_ = message.message_id or ""
        self.jobs[_uid(id_) or ""].touched.add(code)
        self.results.setdefault(id_, set()).add("Failed")
        self._say(Kind.RESULT, "broker", _uid(id_), id=id_, outcome="Failed", code=code)

    def taken(self, actor: str, id_: str | None) -> None:
        self._say(Kind.TAKE, actor, _uid(id_), id=id_)

    def acked(self, actor: str, id_: str | None, what: str) -> None:
        self._say(Kind.ACK, actor, _uid(id_), id=id_, what=what)

    def rejected(self, actor: str, id_: str | None, what: str, body: bytes) -> None:
        self._say(Kind.REJECT, actor, _uid(id_), id=id_, what=what)
        self.world.violation(f"{actor} refused a {what} for good: {id_} {body[:200]!r}")

    def lost(self, id_: str | None, what: str) -> None:
        self._say(Kind.LOST, "broker", _uid(id_), id=id_, what=what)

    def lost_all(self, disk: Disk) -> None:
        self._say(Kind.WIPE, "broker")
        for what, queue in [*(("step", q) for q in disk.pools.values()), ("result", disk.results)]:
            for message in queue._ready.messages():
                self.lost(message.message_id, what)

    def resent(self, actor: str, id_: str) -> None:
        self.resends += 1
        self._say(Kind.RESEND, actor, _uid(id_), id=id_)
        if not self.world.may_need_sweep:
            self.world.violation(f"the sweep had to send {id_} again, and no queue was lost")

    # -- what must hold at every write

    def _check_commit(self, job: Tracked, old: JobStatus, new: JobStatus) -> None:
        wrong = self.world.violation
        who = f"job {job.name} at {old.sequence}"
        if new.sequence < old.sequence:
            wrong(f"{who}: the sequence went back to {new.sequence}")
        if [line.seq for line in new.history] != list(range(1, new.sequence + 1)):
            wrong(f"{who}: the history has a gap: {[line.seq for line in new.history]}")
        if new.history[: len(old.history)] != old.history:
            wrong(f"{who}: a transition was written a second time")
        revived = new.operations_taken > old.operations_taken
        if old.ended and not revived and (new.sequence, new.phase, new.active) != (old.sequence, old.phase, old.active):
            wrong(f"{who}: it had ended as {old.phase} and goes on as {new.phase}")
        before, after = _ids(job.uid, old), _ids(job.uid, new)
        sent = [dispatch_id(job.uid, a.seq, a.attempt) for a in new.active if a.dispatched_at is not None]
        if len(set(sent)) != len(sent):
            wrong(f"{who}: two entries have the same id")
        back = after & job.left
        if back:
            wrong(f"{who}: {sorted(back)} were done and are due again")
        if new.ended and new.active:
            wrong(f"{who}: it ended and waits for {[a.path for a in new.active]}")
        if new.sequence and not new.ended and not new.active:
            wrong(f"{who}: it waits for nothing and has not ended")
        job.left |= before - after
        job.ids |= {dispatch_id(job.uid, a.seq, a.attempt) for a in new.active}
        self._check_results(job, old, new, before - after)

    def _check_results(self, job: Tracked, old: JobStatus, new: JobStatus, gone: set[str]) -> None:
        """What is said to be the work of a worker was answered by one."""
        if new.sequence != old.sequence + 1 or len(gone) != 1:
            return  # several at once: which line is whose is not said
        id_ = next(iter(gone)).partition(" ")[0]
        line = new.history[-1]
        if not (line.worker or "").startswith("worker-") or line.reason == BY_TIME:
            return
        said = "Succeeded" if line.reason == Reason.STEP_SUCCEEDED else "Failed"
        if said not in self.results.get(id_, ()):
            self.world.violation(f"job {job.name} at {old.sequence}: {id_} is said to have {said}, and nobody said so")

    # -- what must hold at the end

    def open_jobs(self) -> list[Tracked]:
        """Those that are there and have not ended."""
        return [job for job in self.jobs.values() if job.alive and not _has_ended(job.raw)]

    def verdict(self) -> None:
        """All is at rest: is it as it should be?"""
        for job in self.jobs.values():
            if job.alive:
                self._check_end(job)
        for id_ in self.contents:
            owner = self.jobs[_uid(id_) or ""]
            # The first step is sent before it is written, and then the job may be ended by somebody.
            if owner.alive and id_ not in owner.ids and not owner.touched and owner.parent is None:
                self.world.violation(f"dispatch {id_} was sent, and job {owner.name} never had it")

    def _check_end(self, job: Tracked) -> None:
        status = job.raw.get("status") or {}
        if not _has_ended(job.raw):
            active = [
                (a["path"], dispatch_id(job.uid, a["seq"], a.get("attempt", 1))) for a in status.get("active", ())
            ]
            text = f"job {job.name} never ended: {status.get('state')} {status.get('message', '')} {active}"
            self.world.violation(text)
            return
        for id_ in (left.partition(" ")[0] for left in job.left):
            done = "Succeeded" in self.results.get(id_, ())
            if done and not self.executions[id_]:
                self.world.violation(f"{id_} of job {job.name} was answered and never executed")
        ends = self.world.workload.workflows[job.workflow].ends
        end = end_of(status)
        if end[0] == Phase.CANCELLED and (job.touched & {"cancel"} or job.parent):
            return
        if ends is None or job.touched:
            self.world.unchecked += 1
        elif end not in ends:
            self.world.violation(f"job {job.name} ended as {end}, which is none of {sorted(ends)}")


def _has_ended(raw: RawObject) -> bool:
    """Whether a Job has, and nothing that was asked of it since is still to be looked at."""
    status = raw.get("status") or {}
    return status.get("phase") in ENDED and len(raw["spec"].get("operations", ())) == status.get("operationsTaken", 0)


def _uid(id_: str | None) -> str | None:
    return None if id_ is None else id_.partition(":")[0]


def _ids(uid: str, status: JobStatus) -> set[str]:
    """The entries of a status: each is there for a while and never again.

    That it is marked as sent may be taken back by a late write of another operator: then it is sent once more.
    """
    return {f"{dispatch_id(uid, a.seq, a.attempt)} {a.path}" for a in status.active}


def _commit_fields(uid: str, old: JobStatus, new: JobStatus) -> dict[str, Any]:
    raw = to_raw(new)
    active = [
        {**a, "attempt": a["attempt"], "id": dispatch_id(uid, a["seq"], a["attempt"])} for a in raw.get("active", ())
    ]
    lines = [
        {
            k: v
            for k, v in (
                ("seq", h.seq),
                ("state", h.state),
                ("reason", h.reason),
                ("attempt", h.attempt),
                ("worker", h.worker),
            )
            if v is not None
        }
        for h in new.history
        if h.seq > old.sequence
    ]
    fields: dict[str, Any] = {
        "before": old.sequence,
        "seq": new.sequence,
        "state": new.state,
        "phase": new.phase.value,
        "ended": new.ended,
        "revision": new.revision,
        "epoch": new.broker_epoch,
        "active": active,
        "history": lines,
    }
    if new.operations_taken:
        fields["operation"] = new.operations_taken
    if new.ended:
        fields["output"] = new.output
        fields["error"] = new.error.code if new.error else None
    return fields
