"""One run of a program: bytes in on stdin, bounded bytes out of stdout, and nothing of it left afterwards.

Where it is asked for, the program gets one pipe more, for what it says while it works.

`exec_mode` calls it on a thread of its own; only `kill` may be called from another one.

The program leads a process group of its own. When it ends, or is killed, the whole group is killed: a step leaves no
processes behind (one that opened a session of its own escapes this).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CHUNK_BYTES = 64 * 1024
POLL_SECONDS = 0.1
"""How soon the end of a program is noticed while a process that it left behind holds its pipes open."""

LINGER_SECONDS = 1.0
"""How long its pipes are read on after its end, and how long killed processes of its group are waited for."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `returncode` is -N after signal N; `overflow`: it was killed for writing too much."""

    returncode: int
    stdout: bytes
    overflow: bool


class Program:
    """A program, started at once.

    :param on_stderr: called with each chunk of stderr as it comes.
    :param extra: a variable to set to the number of one more file descriptor that it may write to, and what to call
        with each chunk of that.
    :raises OSError: it could not be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        on_stderr: Callable[[bytes], None],
        extra: tuple[str, Callable[[bytes], None]] | None = None,
    ) -> None:
        self._on_stderr = on_stderr
        self._extra: tuple[IO[bytes], Callable[[bytes], None]] | None = None
        self._lock = threading.Lock()
        self._reaped = False
        if extra is None:
            self._process = _start(argv, env)
            return
        reads, writes = os.pipe()
        try:
            self._process = _start(argv, {**env, extra[0]: str(writes)}, writes)
        except BaseException:
            os.close(reads)
            raise
        finally:
            os.close(writes)
        self._extra = (os.fdopen(reads, "rb", buffering=0), extra[1])

    def kill(self) -> None:
        """Kill the whole process group, if it is still there."""
        # Until the leader is reaped its id, and with it the group's, is not given to another process.
        with self._lock:
            if not self._reaped:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def communicate(self, stdin: bytes, limit: int) -> Ended:
        """Feed it, read it, wait for its end. A program that writes more than `limit` bytes to stdout is killed."""
        pump = _Pump(self, self._process, self._on_stderr, limit, self._extra)
        try:
            pump.run(stdin)
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        finally:
            self._reap()
        return Ended(self._process.returncode, bytes(pump.stdout), pump.overflow)

    def has_ended(self) -> bool:
        """Has the program itself ended? It is not reaped by asking."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def _reap(self) -> None:
        self.kill()
        with self._lock:
            self._process.wait()
            self._reaped = True
        extra = None if self._extra is None else self._extra[0]
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr, extra):
            if pipe is not None:
                pipe.close()
        _reap_orphans(self._process.pid)


def _start(argv: Sequence[str], env: Mapping[str, str], *inherited: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  to run the user's program is what this is for
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        start_new_session=True,
        bufsize=0,
        pass_fds=inherited,
    )


class _Pump:
    """Moves bytes until all pipes are closed, or a little longer than the program lives."""

    def __init__(
        self,
        program: Program,
        process: subprocess.Popen[bytes],
        on_stderr: Callable[[bytes], None],
        limit: int,
        extra: tuple[IO[bytes], Callable[[bytes], None]] | None = None,
    ) -> None:
        self._extra = extra
        self._program, self._process, self._on_stderr, self._limit = program, process, on_stderr, limit
        self._selector = selectors.DefaultSelector()
        self._rest = memoryview(b"")
        self.stdout = bytearray()
        self.overflow = False

    def run(self, stdin: bytes) -> None:
        self._rest = memoryview(stdin)
        self._watch(self._process.stdin, selectors.EVENT_WRITE, self._feed)
        self._watch(self._process.stdout, selectors.EVENT_READ, self._take_stdout)
        self._watch(self._process.stderr, selectors.EVENT_READ, self._take_stderr)
        if self._extra is not None:
            self._watch(self._extra[0], selectors.EVENT_READ, self._take_extra)
        give_up: float | None = None
        with self._selector:
            while self._selector.get_map() and (give_up is None or time.monotonic() < give_up):
                for key, _ in self._selector.select(POLL_SECONDS):
                    self._step(key)
                if give_up is None and self._program.has_ended():
                    self._program.kill()  # what it left behind would hold the pipes open
                    give_up = time.monotonic() + LINGER_SECONDS

    def _watch(self, pipe: IO[bytes] | None, event: int, move: Callable[[int], bool]) -> None:
        assert pipe is not None  # noqa: S101  Popen was told to make all three
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, event, (pipe, move))

    def _step(self, key: selectors.SelectorKey) -> None:
        pipe, move = key.data
        if not move(key.fd):
            self._selector.unregister(pipe)
            pipe.close()

    def _feed(self, fd: int) -> bool:
        """Write some of stdin; False when no more is to be written."""
        try:
            self._rest = self._rest[os.write(fd, self._rest[:CHUNK_BYTES]) :]
        except BrokenPipeError:
            return False  # a program need not read its input
        return bool(self._rest)

    def _take_stdout(self, fd: int) -> bool:
        chunk = os.read(fd, CHUNK_BYTES)
        self.stdout += chunk
        if len(self.stdout) > self._limit:
            self.overflow = True
            self._program.kill()
            return False
        return bool(chunk)

    def _take_stderr(self, fd: int) -> bool:
        chunk = os.read(fd, CHUNK_BYTES)
        if chunk:
            self._on_stderr(chunk)
        return bool(chunk)

    def _take_extra(self, fd: int) -> bool:
        chunk = os.read(fd, CHUNK_BYTES)
        if chunk and self._extra is not None:
            self._extra[1](chunk)
        return bool(chunk)


def _reap_orphans(group: int) -> None:
    """Reap the killed rest of a group, which become our children where we are process 1 (a container's entry point)."""
    give_up = time.monotonic() + LINGER_SECONDS
    with contextlib.suppress(ChildProcessError):  # there are none (left)
        while time.monotonic() < give_up:
            if os.waitpid(-group, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
