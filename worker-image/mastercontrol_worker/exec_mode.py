"""Any program as a handler: the step's input as JSON on stdin, its output as JSON on stdout.

Owned by an Executor; each step starts the program anew. Rules, as docs/how-to/write-a-worker.md tells them:
- exit code 0: stdout is the output, one JSON value (nothing at all is null); at most MAX_RESULT_BYTES of text;
- any other: the step failed with code EXIT_CODE and the end of stderr as its message, and is retried, except
- exit code NOT_RETRYABLE: another attempt cannot help;
- stderr goes to the worker's log, line by line;
- MCP_* environment variables tell what a Python handler reads from its Context;
- of a step with heartbeatSeconds, each line written to the file descriptor that HEARTBEAT_FD names is a heartbeat.
At the deadline, when it is silent for too long, and when the worker gives the step back, the program's process group
is killed with SIGKILL.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import TYPE_CHECKING

from mastercontrol_worker.contract import (
    EXIT_CODE,
    MAX_RESULT_BYTES,
    RESULT_NOT_JSON,
    RESULT_TOO_LARGE,
    Failed,
    StepError,
    Succeeded,
    parse_json,
)
from mastercontrol_worker.execute import GivenBack
from mastercontrol_worker.heartbeat_lines import HeartbeatLines
from mastercontrol_worker.program import Ended, Program
from mastercontrol_worker.runs import ThreadRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mastercontrol_worker.context import Context, StepLogger
    from mastercontrol_worker.contract import JSON, ResultMessage, StepMessage
    from mastercontrol_worker.execute import Outcome, Run

NOT_RETRYABLE = 65
"""The exit code that says that another attempt cannot help (EX_DATAERR of sysexits.h: the input is wrong)."""

TAIL_BYTES = 2048
"""How much of the end of stderr becomes the error's message."""

MAX_LINE_BYTES = 8192
"""A longer line of stderr is logged in pieces."""

SNIPPET_BYTES = 200
HEARTBEAT_FD = "MCP_HEARTBEAT_FD"
"""The variable with the number of the file descriptor that takes heartbeats."""

HEARTBEAT_VARIABLES = frozenset({HEARTBEAT_FD, "MCP_STEP_HEARTBEAT_SECONDS"})
SECRETS = frozenset({"MCP_AMQP_URL"})
"""Variables of the worker that a program does not get."""


class ExecRunner:
    """Runs one program for every step, whatever the step's name.

    :param argv: the program and its arguments.
    :param environ: the environment that the program inherits; the worker's own by default.
    """

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        self._argv = tuple(argv)
        self._environ = environ

    def start(self, message: StepMessage, context: Context, seal: Callable[[Outcome], ResultMessage | None]) -> Run:
        """Start the program on a thread that feeds and reads it."""
        environ = os.environ if self._environ is None else self._environ
        step = _ProgramStep(self._argv, environment(message, environ), message.input, context)
        return ThreadRun(context, step.run, seal, step.kill)

    def close(self) -> None:
        """Nothing is held between runs."""


def environment(message: StepMessage, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of the program of a step."""
    about = {
        "MCP_JOB_NAMESPACE": message.job.namespace,
        "MCP_JOB_NAME": message.job.name,
        "MCP_JOB_UID": message.job.uid,
        "MCP_STEP": message.step,
        "MCP_ATTEMPT": str(message.attempt),
        "MCP_IDEMPOTENCY_KEY": message.id,
    }
    if message.deadline is not None:
        about["MCP_DEADLINE"] = message.deadline
    if message.heartbeat_seconds is not None:
        about["MCP_STEP_HEARTBEAT_SECONDS"] = str(message.heartbeat_seconds)
    not_its_own = SECRETS | HEARTBEAT_VARIABLES | {"MCP_DEADLINE"}
    kept = {name: value for name, value in inherited.items() if name not in not_its_own}
    return kept | about


class _ProgramStep:
    """One step's run: `run` on its thread, `kill` from the event loop at any time."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], value: JSON, context: Context) -> None:
        self._argv, self._env = argv, env
        self._input = value
        self._stderr = Stderr(context.logger)
        beats = HeartbeatLines(context.heartbeat)
        self._extra = None if context.heartbeat_seconds is None else (HEARTBEAT_FD, beats.write)
        self._lock = threading.Lock()
        self._program: Program | None = None
        self._killed = False

    def run(self) -> Outcome:
        stdin = json.dumps(self._input, ensure_ascii=False).encode()
        with self._lock:
            if self._killed:
                return GivenBack()
            self._program = Program(self._argv, self._env, self._stderr.write, self._extra)
        try:
            ended = self._program.communicate(stdin, MAX_RESULT_BYTES)
        finally:
            self._stderr.flush()
        return outcome(ended, self._stderr.tail)

    def kill(self) -> None:
        with self._lock:
            self._killed = True
            if self._program is not None:
                self._program.kill()


def outcome(ended: Ended, stderr_tail: str) -> Outcome:
    """What the end of a program means for its step."""
    if ended.overflow:
        return _failed(RESULT_TOO_LARGE, f"more than {MAX_RESULT_BYTES} bytes on stdout", retryable=False)
    if ended.returncode != 0:
        said = f": {stderr_tail}" if stderr_tail else ", nothing on stderr"
        return _failed(EXIT_CODE, _how(ended.returncode) + said, retryable=ended.returncode != NOT_RETRYABLE)
    text = ended.stdout.strip()
    try:
        return Succeeded(parse_json(text) if text else None)
    except ValueError as error:
        snippet = text[:SNIPPET_BYTES].decode(errors="replace")
        return _failed(RESULT_NOT_JSON, f"stdout is not one JSON value ({error}): {snippet}", retryable=False)


def _failed(code: str, message: str, *, retryable: bool) -> Failed:
    return Failed(StepError(code, message, retryable))


def _how(returncode: int) -> str:
    if returncode > 0:
        return f"exit code {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"


class Stderr:
    """Sends what a program says on stderr to the log, line by line, and keeps its end."""

    def __init__(self, step_logger: StepLogger) -> None:
        self._logger = step_logger
        self._line = b""
        self._tail = b""

    def write(self, chunk: bytes) -> None:
        """Take some bytes."""
        self._tail = (self._tail + chunk)[-TAIL_BYTES:]
        *lines, self._line = (self._line + chunk).split(b"\n")
        for line in lines:
            self._log(line)
        if len(self._line) > MAX_LINE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Log a last line that has no end."""
        self._log(self._line)
        self._line = b""

    @property
    def tail(self) -> str:
        """The end of it, at most TAIL_BYTES."""
        return self._tail.decode(errors="replace").strip()

    def _log(self, line: bytes) -> None:
        for start in range(0, len(line), MAX_LINE_BYTES):
            piece = line[start : start + MAX_LINE_BYTES].decode(errors="replace").rstrip()
            if piece:
                self._logger.info("stderr: %s", piece)
