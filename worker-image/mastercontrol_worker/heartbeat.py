"""The third message of the contract: a worker that does a long step says that it lives, and how far it is.

Shared by the operator and the worker, like `contract`. A heartbeat is worth something only while it is new: it is sent
without a confirm, to whichever operator is connected, and is kept by nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mastercontrol_worker import contract
from mastercontrol_worker.contract import JSON, MAX_DEPTH, JobRef, MalformedMessage, StepMessage, UnfitOutput

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PROGRESS_BYTES = 1024
"""The largest progress, in bytes of compact JSON."""


class Beat(StrEnum):
    """What a heartbeat says."""

    BEGUN = "Begun"  # a worker begins the step
    ALIVE = "Alive"  # it goes on
    GIVEN_BACK = "GivenBack"  # it is not done there any more and waits in its queue again


@dataclass(frozen=True, slots=True)
class HeartbeatMessage:
    """What a worker says while it does a step. `progress` None: nothing is known of it."""

    id: str
    job: JobRef
    step: str
    attempt: int
    beat: Beat
    worker: str = ""
    progress: JSON = None

    @classmethod
    def of(cls, step: StepMessage, beat: Beat, worker: str = "", progress: JSON = None) -> HeartbeatMessage:
        """A heartbeat of a step, under the same ids."""
        return cls(step.id, step.job, step.step, step.attempt, beat, worker, progress)

    def encode(self) -> bytes:
        """The body of the AMQP message.

        :raises ValueError: the progress is none that `encode_progress` takes.
        """
        job = {"namespace": self.job.namespace, "name": self.job.name, "uid": self.job.uid}
        body: dict[str, JSON] = {"version": contract.VERSION, "job": job, "step": self.step, "attempt": self.attempt}
        body |= {"worker": self.worker, "heartbeat": self.beat.value}
        if self.progress is not None:
            encode_progress(self.progress)
            body["progress"] = self.progress
        return contract.dump(body)

    @classmethod
    def decode(cls, message_id: str | None, body: bytes) -> HeartbeatMessage:
        """Read a heartbeat. One with a progress that is too large is a heartbeat without one: its worker lives.

        :raises MalformedMessage: it is not one of this contract's.
        """
        if len(body) > contract.MAX_RESULT_BYTES:
            raise MalformedMessage(f"a heartbeat of {len(body)} bytes, the limit is {contract.MAX_RESULT_BYTES}")
        data = contract.load(body)
        job, step, attempt = contract.identity(message_id, data)
        worker = data.get("worker", "")
        if not isinstance(worker, str):
            raise MalformedMessage("'worker' is not a text")
        said = data.get("heartbeat")
        if said not in list(Beat):
            raise MalformedMessage(f"'heartbeat' is {str(said)[:40]!r}, none of {', '.join(Beat)}")
        return cls(message_id or "", job, step, attempt, Beat(said), worker, _bounded(data))


def encode_progress(progress: JSON) -> bytes:
    """A progress as compact JSON.

    :raises ValueError: it is no JSON value, nested too deeply, or larger than MAX_PROGRESS_BYTES; the text says which.
    """
    try:
        encoded = contract.dump(progress)
        if len(encoded) > MAX_PROGRESS_BYTES:
            raise ValueError(f"the progress has {len(encoded)} bytes of JSON, the limit is {MAX_PROGRESS_BYTES}")
        if contract.too_deep(progress):
            raise ValueError(f"the progress is nested deeper than {MAX_DEPTH} levels")
        contract.parse_json(encoded)
    except UnfitOutput as unfit:
        raise ValueError(f"the progress is no JSON value: {unfit.reason}") from None
    return encoded


def _bounded(data: Mapping[str, Any]) -> JSON:
    progress = data.get("progress")
    try:
        encode_progress(progress)
    except ValueError:
        return None
    return progress
