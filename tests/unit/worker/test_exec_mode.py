"""Any program as a handler. The programs here are small Python and shell scripts, really run."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mastercontrol_worker.context import Context
from mastercontrol_worker.contract import (
    EXIT_CODE,
    MAX_RESULT_BYTES,
    RESULT_NOT_JSON,
    RESULT_TOO_LARGE,
    STEP_FAILED,
    STEP_TIMEOUT,
    Failed,
    JobRef,
    ResultMessage,
    Succeeded,
)
from mastercontrol_worker.exec_mode import ExecRunner, _ProgramStep
from mastercontrol_worker.execute import Executor, GivenBack
from mastercontrol_worker.testing import step_message
from processes import gone


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def python(script: str) -> Executor:
    return Executor(ExecRunner([sys.executable, "-c", script]), "w-1")


def shell(script: str) -> Executor:
    return Executor(ExecRunner(["/bin/sh", "-c", script]), "w-1")


async def outcome(executor: Executor, value: Any = None, deadline: str | None = None) -> Any:
    result = await executor.run(step_message("s", value, deadline=deadline))
    assert isinstance(result, ResultMessage)
    return result.outcome


async def failure(executor: Executor, value: Any = None, deadline: str | None = None) -> tuple[str, str, bool]:
    failed = await outcome(executor, value, deadline)
    assert isinstance(failed, Failed), failed
    return failed.error.code, failed.error.message, failed.error.retryable


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "not so within 10 s"
        time.sleep(0.01)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_the_input_comes_on_stdin_and_the_output_is_read_from_stdout() -> None:
    program = python("import json,sys; v=json.load(sys.stdin); print(json.dumps({'twice': v['n']*2}, indent=2))")
    assert await outcome(program, {"n": 21}) == Succeeded({"twice": 42})


async def test_nothing_on_stdout_is_null() -> None:
    assert await outcome(shell("cat >/dev/null; echo")) == Succeeded(None)


async def test_a_program_need_not_read_its_input() -> None:
    assert await outcome(shell("exec echo 1"), "x" * 300_000) == Succeeded(1)


async def test_a_program_that_closes_stdin_and_works_on_is_waited_for() -> None:
    program = python("import os,time; os.close(0); time.sleep(.2); print(2)")
    assert await outcome(program, "x" * 300_000) == Succeeded(2)


async def test_a_program_that_closes_its_outputs_and_works_on_is_waited_for() -> None:
    program = python("import os,time; os.write(1,b'3'); os.close(1); os.close(2); time.sleep(.2); os._exit(7)")
    assert (await failure(program))[0] == EXIT_CODE


async def test_large_streams_in_all_directions_do_not_lock_up(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    script = (
        "import sys\n"
        "sys.stderr.write('e'*99+'\\n'); sys.stderr.write(('e'*99+'\\n')*20000); sys.stderr.flush()\n"
        "sys.stdout.write('\"'+'o'*60000+'\"'); sys.stdout.flush()\n"
        "n=len(sys.stdin.read()); sys.stderr.write(str(n)+'\\n'); sys.exit(0 if n > 5000000 else 1)"
    )
    assert await outcome(python(script), "i" * 5_000_000) == Succeeded("o" * 60000)


async def test_an_exit_code_fails_the_step_with_the_end_of_stderr() -> None:
    program = shell("head -c 100000 /dev/zero | tr '\\0' a >&2; echo >&2; echo 'no such sku' >&2; exit 3")
    code, message, retryable = await failure(program)
    assert (code, retryable) == (EXIT_CODE, True)
    assert message.startswith("exit code 3: ")
    assert message.endswith("no such sku")
    assert len(message) < 2100


async def test_a_silent_failure_says_so() -> None:
    assert (await failure(shell("exit 1")))[1] == "exit code 1, nothing on stderr"


async def test_exit_code_65_is_not_retryable() -> None:
    assert (await failure(shell("exit 65")))[::2] == (EXIT_CODE, False)


async def test_a_program_that_died_of_a_signal_says_which() -> None:
    code, message, retryable = await failure(shell("kill -SEGV $$"))
    assert (code, retryable) == (EXIT_CODE, True)
    assert message.startswith("killed by SIGSEGV")


@pytest.mark.parametrize("text", ["hello", "1 2", "NaN", '{"a":', "\\377"])
async def test_an_output_that_is_no_json_fails_for_good_and_is_shown(text: str) -> None:
    code, message, retryable = await failure(shell(f"printf '{text}'"))
    assert (code, retryable) == (RESULT_NOT_JSON, False)
    assert "stdout" in message


async def test_too_much_output_ends_the_program() -> None:
    began = time.monotonic()
    assert (await failure(shell("yes")))[::2] == (RESULT_TOO_LARGE, False)
    assert time.monotonic() - began < 5


async def test_an_output_that_fits_stdout_but_no_result_is_too_large() -> None:
    program = python(f"print('\"' + 'x' * {MAX_RESULT_BYTES - 10} + '\"')")
    assert (await failure(program))[::2] == (RESULT_TOO_LARGE, False)


async def test_a_program_that_cannot_be_started_fails_its_step() -> None:
    code, message, retryable = await failure(Executor(ExecRunner(["/nowhere/program"])))
    assert (code, retryable) == (STEP_FAILED, True)
    assert message.startswith("FileNotFoundError")


async def test_the_environment_tells_the_step_but_not_the_password() -> None:
    environ = {"MCP_AMQP_URL": "amqp://u:secret@b", "MCP_DEADLINE": "stale", "KEPT": "1"}
    script = "import json,os; print(json.dumps({k:v for k,v in os.environ.items() if k[:4] in ('MCP_','KEPT')}))"
    executor = Executor(ExecRunner([sys.executable, "-c", script], environ))
    expected = {
        "KEPT": "1",
        "MCP_JOB_NAMESPACE": "default",
        "MCP_JOB_NAME": "job-1",
        "MCP_JOB_UID": "6f1c",
        "MCP_STEP": "s",
        "MCP_ATTEMPT": "1",
        "MCP_IDEMPOTENCY_KEY": "6f1c:1:1",
    }
    assert await outcome(executor) == Succeeded(expected)
    deadline = soon(60)
    assert await outcome(executor, deadline=deadline) == Succeeded(expected | {"MCP_DEADLINE": deadline})


async def test_stderr_goes_to_the_log_line_by_line_with_the_step(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await outcome(shell("echo one >&2; printf 'two' >&2; head -c 9000 /dev/zero | tr '\\0' z >&2"))
    records = [record for record in caplog.records if record.getMessage().startswith("stderr: ")]
    texts = [record.getMessage()[8:] for record in records]
    assert texts[0] == "one"
    assert "".join(texts[1:]) == "two" + "z" * 9000
    assert max(map(len, texts)) <= 8192
    assert {record.__dict__["step"] for record in records} == {"s"}


async def test_at_the_deadline_the_whole_process_group_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 60 & echo $! >>{pids}; echo $$ >>{pids}; wait"
    execution = shell(script).start(step_message("s", deadline=soon(0.7)))
    result = await execution.result
    assert result is not None
    assert isinstance(result.outcome, Failed)
    assert result.outcome.error.code == STEP_TIMEOUT
    await execution.ended
    started = [int(line) for line in pids.read_text().split()]
    assert len(started) == 2
    wait_until(lambda: all(map(gone, started)))


async def test_an_abandoned_program_is_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    executor = shell(f"echo $$ >{pid}.new; mv {pid}.new {pid}; exec sleep 60")
    execution = executor.start(step_message("s"))
    wait_until(pid.exists)
    executor.abandon()
    assert await execution.result is None
    wait_until(lambda: gone(int(pid.read_text())))


def test_a_program_abandoned_before_it_began_does_not_run(tmp_path: Path) -> None:
    step = _ProgramStep(["touch", str(tmp_path / "ran")], {}, None, Context(JobRef("a", "b", "u"), "s", 1, "u:1:1"))
    step.kill()
    assert isinstance(step.run(), GivenBack)
    assert not (tmp_path / "ran").exists()


async def test_what_a_program_leaves_running_does_not_hold_up_its_step(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    assert await outcome(shell(f"sleep 60 & echo $! >{pid}; echo 5")) == Succeeded(5)
    assert time.monotonic() - began < 10
    wait_until(lambda: gone(int(pid.read_text())))


async def test_a_process_that_escapes_the_group_does_not_hold_up_the_step(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"setsid sh -c 'echo $$ >{pid}; exec sleep 60' & while [ ! -s {pid} ]; do sleep 0.01; done; echo 6"
    assert await outcome(shell(script)) == Succeeded(6)
    os.kill(int(pid.read_text()), signal.SIGKILL)


async def test_no_file_descriptors_are_left_open() -> None:
    await outcome(shell("echo 1"))
    before = open_files()
    for _ in range(5):
        await outcome(shell("echo 1"))
        await failure(Executor(ExecRunner(["/nowhere/program"])))
    assert open_files() == before


async def test_a_value_with_any_characters_goes_through_unharmed() -> None:
    value = {"é\u2028": ["\x00", "\U0001f600", json.dumps("x"), 1e300, 10**30, -0.5, None]}
    assert await outcome(shell("cat"), value) == Succeeded(value)
