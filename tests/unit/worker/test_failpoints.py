"""Failpoints, and that there are none where nobody asked for one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mastercontrol_worker.failpoints import (
    OF_THE_WORKER,
    WORKER,
    Action,
    FailingChannel,
    FailingRunner,
    Failpoint,
    InvalidFailpoint,
    read_failpoint,
)

URL = {"MCP_AMQP_URL": "amqp://u:secret@127.0.0.1:1/", "MCP_QUEUE": "mcp.pool.a.b"}


class Wire:
    """A channel of pika, its connection and its transport in one. `log` is what happened, in order."""

    def __init__(self, point: str, at: int = 1) -> None:
        self.log: list[str] = []
        self.unsent = 0
        self.on_word: Any = None
        self.on_message: Any = None
        failpoint = Failpoint(f"it.{point}", Action.KILL, at, lambda _: self.log.append("died"))
        self.failing = FailingChannel(self, failpoint, "it")

    @property
    def connection(self) -> Wire:
        return self

    _transport = connection

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def _on_socket_writable(self) -> None:
        self.unsent = 0
        self.log.append("sent")

    def basic_publish(self, _exchange: str, key: str, _body: bytes, _properties: Any, **_how: Any) -> None:
        self.unsent += 1
        self.log.append(f"publish {key}")

    def basic_ack(self, tag: int) -> None:
        self.unsent += 1
        self.log.append(f"ack {tag}")

    def confirm_delivery(self, on_word: Any, _callback: Any) -> None:
        self.on_word = on_word

    def basic_consume(self, _queue: str, on_message: Any, **_how: Any) -> None:
        self.on_message = on_message

    def is_open(self) -> str:
        return "as it is"


@pytest.mark.parametrize(
    ("point", "happened"),
    [
        ("publish.before", ["died", "publish k", "sent"]),
        ("publish.after", ["publish k", "sent", "died"]),
        ("ack.after", ["publish k", "sent"]),
    ],
)
def test_a_process_dies_before_anything_of_a_message_is_sent_or_when_all_is(point: str, happened: list[str]) -> None:
    wire = Wire(point)
    wire.failing.basic_publish("e", "k", b"", None, mandatory=True)
    assert wire.log == happened


@pytest.mark.parametrize(
    ("point", "happened"), [("ack.before", ["died", "ack 7", "sent"]), ("ack.after", ["ack 7", "sent", "died"])]
)
def test_a_process_dies_before_or_after_an_acknowledgement_is_sent(point: str, happened: list[str]) -> None:
    wire = Wire(point)
    wire.failing.basic_consume("q", lambda channel, tag: channel.basic_ack(tag))
    wire.on_message(None, 7)
    assert wire.log == happened


@pytest.mark.parametrize(("point", "happened"), [("before", ["died", "told"]), ("after", ["told", "died"])])
def test_a_process_dies_before_or_after_it_is_told_of_a_confirm(point: str, happened: list[str]) -> None:
    wire = Wire(f"confirm.{point}")
    wire.failing.confirm_delivery(lambda _frame: wire.log.append("told"), lambda _frame: None)
    wire.failing.basic_publish("e", "k", b"", None, mandatory=True)
    wire.log.clear()
    wire.on_word(_word(1))
    assert wire.log == happened


@pytest.mark.parametrize("multiple", [False, True], ids=["one", "several"])
def test_the_confirm_of_what_nobody_waits_for_is_no_point(*, multiple: bool) -> None:
    wire = Wire("confirm.before")
    wire.failing.confirm_delivery(lambda _frame: wire.log.append("told"), lambda _frame: None)
    for mandatory in (False, True):
        wire.failing.basic_publish("e", "k", b"", None, mandatory=mandatory)
    wire.log.clear()
    wire.on_word(_word(1, multiple=multiple))
    assert wire.log == ["told"]
    wire.on_word(_word(2, multiple=multiple))
    assert wire.log == ["told", "died", "told"]


def _word(tag: int, *, multiple: bool = False) -> Any:
    """The broker's Basic.Ack."""
    return SimpleNamespace(method=SimpleNamespace(delivery_tag=tag, multiple=multiple))


def test_heartbeats_and_all_else_go_through() -> None:
    wire = Wire("publish.before")
    wire.failing.basic_publish("e", "k", b"", None, mandatory=False)
    assert wire.log == ["publish k"]
    assert wire.failing.is_open() == "as it is"


def test_a_message_that_the_kernel_does_not_take_holds_up_nothing() -> None:
    wire = Wire("publish.after")
    wire._on_socket_writable = lambda: wire.log.append("full")  # type: ignore[method-assign]
    wire.failing.basic_publish("e", "k", b"", None, mandatory=True)
    assert wire.log == ["publish k", "full", "died"]


def test_a_point_acts_once_at_the_pass_that_was_named() -> None:
    acts: list[Action] = []
    failpoint = Failpoint("it.ack.before", Action.STOP, 2, acts.append)
    for point in ("it.ack.before", "it.ack.after", "it.ack.after", "it.ack.before", "it.ack.before"):
        failpoint.reach(point)
    assert acts == [Action.STOP]


def test_a_handler_stands_between_the_points_of_its_execution() -> None:
    log: list[str] = []

    class Runner:
        def start(self, _message: Any, _context: Any, seal: Any) -> Any:
            log.append("handler")
            seal("outcome")

        def close(self) -> None:
            log.append("closed")

    for when in ("before", "after"):
        failpoint = Failpoint(f"worker.execute.{when}", Action.KILL, 1, lambda _: log.append("died"))
        runner: Any = FailingRunner(Runner(), failpoint)
        runner.start(None, None, lambda outcome: log.append(f"sealed {outcome}"))
        runner.close()
    assert log == ["died", "handler", "sealed outcome", "closed", "handler", "sealed outcome", "died", "closed"]


@pytest.mark.parametrize(
    ("text", "point", "action", "at"),
    [
        ("worker.ack.before=kill", "worker.ack.before", Action.KILL, 1),
        ("worker.execute.after=stop@12", "worker.execute.after", Action.STOP, 12),
    ],
)
def test_the_variable_names_point_action_and_pass(text: str, point: str, action: Action, at: int) -> None:
    read = read_failpoint(text, WORKER, OF_THE_WORKER)
    assert (read.point, read.action, read.at) == (point, action, at)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "MCP_FAILPOINT: '' is none of worker.execute.before, worker.execute.after, worker.publish.before"),
        ("operator.ack.before=kill", "'operator.ack.before' is none of"),
        ("worker.ack=kill", "'worker.ack' is none of"),
        ("worker.ack.before", "write worker.ack.before=kill, worker.ack.before=stop"),
        ("worker.ack.before=die", "write worker.ack.before=kill"),
        ("worker.ack.before=kill@0", "for the third pass"),
        ("worker.ack.before=kill@x", "for the third pass"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, said: str) -> None:
    with pytest.raises(InvalidFailpoint, match="MCP_FAILPOINT: ") as raised:
        read_failpoint(text, WORKER, OF_THE_WORKER)
    assert said in str(raised.value)


def worker(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    (folder / "handlers.py").write_text("import mastercontrol_worker as worker\nworker.step('a')(lambda data: data)\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MCP_")}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=clean | URL | environ, cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )


def test_a_worker_refuses_a_point_that_it_has_not(tmp_path: Path) -> None:
    arguments = ("-m", "mastercontrol_worker", "--handlers", "handlers")
    ended = worker(tmp_path, *arguments, MCP_FAILPOINT="operator.patch.before=kill")
    assert ended.returncode == 2
    assert ended.stderr.startswith("mastercontrol-worker: MCP_FAILPOINT: 'operator.patch.before' is none of")


LOADED = """
import asyncio, sys
from mastercontrol_worker import cli
def run(going):
    going.close()
    print("mastercontrol_worker.failpoints" in sys.modules)
    return 0
asyncio.run = run
sys.exit(cli.run_command(["--handlers", "handlers"]))
"""


@pytest.mark.parametrize(("environ", "loaded"), [({}, "False"), ({"MCP_FAILPOINT": "worker.ack.before=kill"}, "True")])
def test_nothing_of_it_is_loaded_without_the_variable(tmp_path: Path, environ: dict[str, str], loaded: str) -> None:
    ended = worker(tmp_path, "-c", LOADED, **environ)
    assert (ended.returncode, ended.stdout.strip()) == (0, loaded), ended.stderr


HARM = """
import threading
from mastercontrol_worker.failpoints import Action, Failpoint
threading.Thread(target=threading.Event().wait, daemon=True).start()
Failpoint("it", Action.{}, 1).reach("it")
print("went on", flush=True)
"""


def test_a_process_kills_itself_in_the_very_place() -> None:
    done = subprocess.run([sys.executable, "-c", HARM.format("KILL")], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")


def test_a_process_that_stopped_itself_goes_on_where_it_was() -> None:
    with subprocess.Popen([sys.executable, "-c", HARM.format("STOP")], stdout=subprocess.PIPE) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert os.WSTOPSIG(status) == signal.SIGSTOP
        process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        assert process.stdout.read() == b"went on\n"
        assert process.wait(10) == 0
