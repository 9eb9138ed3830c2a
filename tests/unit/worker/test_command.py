"""Settings, the command line, the log, the probe and the waits."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from mastercontrol_worker import health, logs
from mastercontrol_worker.backoff import Backoff
from mastercontrol_worker.config import VARIABLES, ConfigError, read_settings
from mastercontrol_worker.context import StepLogger

GOOD = {"MCP_AMQP_URL": "amqp://u:secret@b/", "MCP_QUEUE": "mcp.pool.a.b", "MCP_HANDLERS": "handlers, more"}


def run(
    *arguments: str, environ: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mastercontrol_worker", *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MCP_")}
    return subprocess.run(
        command, env=clean | (environ or {}), cwd=cwd, capture_output=True, text=True, timeout=30, check=False
    )


def test_each_setting_has_a_default_but_url_and_queue() -> None:
    settings = read_settings(GOOD)
    assert (settings.concurrency, settings.grace_seconds, settings.handlers) == (1, 30.0, ("handlers", "more"))
    assert settings.name
    assert [v.name for v in VARIABLES if v.default is None] == ["MCP_AMQP_URL", "MCP_QUEUE"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("MCP_AMQP_URL", "", "MCP_AMQP_URL is not set"),
        ("MCP_AMQP_URL", "http://u:secret@b", "MCP_AMQP_URL: it is not a URL"),
        ("MCP_AMQP_URL", "amqp://u:secret@b:port/", "MCP_AMQP_URL: it is not a URL"),
        ("MCP_AMQP_URL", "amqp://u:secret@b/?retry_delay=x", "MCP_AMQP_URL: it is not a URL"),
        ("MCP_QUEUE", " ", "MCP_QUEUE is not set"),
        ("MCP_HANDLERS", " , ", "nothing to run"),
        ("MCP_CONCURRENCY", "0", "MCP_CONCURRENCY: '0' is not a whole number from 1"),
        ("MCP_CONCURRENCY", "two", "MCP_CONCURRENCY: 'two'"),
        ("MCP_GRACE_SECONDS", "-1", "MCP_GRACE_SECONDS: '-1' is not a number of seconds"),
        ("MCP_GRACE_SECONDS", "nan", "MCP_GRACE_SECONDS"),
        ("MCP_GRACE_SECONDS", "inf", "MCP_GRACE_SECONDS"),
        ("MCP_LOG_LEVEL", "loud", "MCP_LOG_LEVEL: 'loud' is not one of debug"),
        ("MCP_LOG_FORMAT", "xml", "MCP_LOG_FORMAT"),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r".+") as raised:
        read_settings(GOOD | {name: text})
    assert str(raised.value).startswith(said)
    ended = run(environ=GOOD | {name: text})
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"mastercontrol-worker: {said}")
    assert ended.stderr.count("\n") == 1
    assert "secret" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--exec"], "--exec needs a program"),
        (["--exec", "--"], "--exec needs a program"),
        (["--exec", "--handlers", "x", "--", "cat"], "exclude each other"),
        (["--", "cat"], "what is 'cat' for?"),
        (["--exec", "--", "/nowhere/program"], "there is no program '/nowhere/program'"),
    ],
)
def test_a_wrong_command_line_is_said_and_exit_code_2(arguments: list[str], said: str) -> None:
    ended = run(*arguments, environ=GOOD)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_handlers_that_cannot_be_imported_show_their_trace_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nowhere_to_be_found\n")
    ended = run("--handlers", "broken", cwd=tmp_path, environ=GOOD)
    assert ended.returncode == 2
    assert "No module named 'nowhere_to_be_found'" in ended.stderr
    assert 'broken.py", line 1' in ended.stderr
    assert "'broken' cannot be imported" in ended.stderr


def test_handlers_without_a_step_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    ended = run("--handlers", "empty", cwd=tmp_path, environ=GOOD)
    assert ended.returncode == 2
    assert 'no @step("name") in empty' in ended.stderr


def test_help_tells_every_setting() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    for variable in VARIABLES:
        assert variable.name in ended.stdout


def test_the_operator_s_import_of_the_contract_needs_no_pika() -> None:
    script = "import sys, mastercontrol_worker.contract; sys.exit('pika' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


async def test_a_worker_that_lives_is_found_healthy_and_no_other() -> None:
    name = f"w-{uuid.uuid4()}"
    loop = asyncio.get_running_loop()
    assert not await loop.run_in_executor(None, health.ask, name)
    server = await health.serve(name)
    assert server is not None
    async with server:
        assert await loop.run_in_executor(None, health.ask, name)
        probe = await asyncio.to_thread(run, "--healthy", environ={"MCP_WORKER_NAME": name})
        assert probe.returncode == 0
    assert (await asyncio.to_thread(run, "--healthy", environ={"MCP_WORKER_NAME": name})).returncode == 1


async def test_a_second_worker_of_one_name_still_works(caplog: pytest.LogCaptureFixture) -> None:
    name = f"w-{uuid.uuid4()}"
    server = await health.serve(name)
    assert server is not None
    async with server:
        assert await health.serve(name) is None
    assert name in caplog.text


def record(**extra: Any) -> logging.LogRecord:
    log_record = logging.LogRecord("mastercontrol.step", logging.INFO, "f.py", 1, "paid %s", ("5 é",), None)
    log_record.__dict__.update(extra)
    return log_record


def test_a_json_log_line_is_one_object_with_the_step() -> None:
    line = logs.JsonFormatter().format(record(job="default/job-1", step="pay", attempt=2))
    assert "\n" not in line
    data = json.loads(line)
    assert (data["message"], data["level"], data["job"], data["attempt"]) == ("paid 5 é", "info", "default/job-1", 2)


def test_a_text_log_line_names_the_step() -> None:
    line = logs.TextFormatter().format(record(job="default/job-1", step="pay", attempt=2))
    assert line.endswith("INFO mastercontrol.step [job=default/job-1 step=pay attempt=2] paid 5 é")


def test_a_trace_is_part_of_the_log_line() -> None:
    empty: dict[str, int] = {}
    with pytest.raises(KeyError) as raised:
        empty["x"]
    broken = record(exc_info=(raised.type, raised.value, raised.tb))
    assert "KeyError" in json.loads(logs.JsonFormatter().format(broken))["message"]
    assert "Traceback" in logs.TextFormatter().format(broken)


def test_a_step_logger_s_fields_win_over_the_caller_s() -> None:
    logger = StepLogger(logging.getLogger("x"), {"job": "a/b"})
    assert logger.process("m", {"extra": {"job": "forged", "k": 1}}) == ("m", {"extra": {"job": "a/b", "k": 1}})


def test_waits_double_up_to_their_limit_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(1, 5, jitter=lambda: 1.0)
    assert [backoff.next() for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.next() == 1


def test_jitter_takes_up_to_half_of_a_wait() -> None:
    assert Backoff(4, 8, jitter=lambda: 0.0).next() == 2
    assert all(2 <= Backoff(4, 8).next() <= 4 for _ in range(100))
