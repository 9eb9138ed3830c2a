"""`mastercontrol-worker`: reads the settings, loads the handlers and runs the worker until a signal ends it.

Exit codes: 0 drained after SIGTERM or SIGINT; 1 stuck, or (`--healthy`) no answer; 2 the configuration or the handlers
are wrong, which is said on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import shutil
import signal
import socket
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

from mastercontrol_worker import health, logs
from mastercontrol_worker.config import VARIABLES, ConfigError, Settings, read_settings
from mastercontrol_worker.execute import Executor
from mastercontrol_worker.steps import registry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mastercontrol_worker.execute import Runner
    from mastercontrol_worker.link import Link

logger = logging.getLogger(__name__)

WRONG_CONFIGURATION = 2
HANDLERS_FOLDER = "/app"
"""Where images keep their handlers; on sys.path after the current folder."""


def run_command(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    split = given.index("--") if "--" in given else len(given)
    options, program = _parser().parse_args(given[:split]), tuple(given[split + 1 :])
    if options.healthy:
        return 0 if health.ask(os.environ.get("MCP_WORKER_NAME") or socket.gethostname()) else 1
    try:
        _check_program(given_exec=options.exec, program=program, handlers=options.handlers)
        handlers = tuple(word.strip() for text in options.handlers for word in text.split(",") if word.strip())
        # Until the worker runs there is nothing to finish; as process 1 it would not even hear the signal.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        settings = read_settings(os.environ, handlers, program)
        logs.set_up(settings.log_level, settings.log_format)
        runner, link = _with_failpoint(_runner(settings), os.environ)
    except ConfigError as error:
        sys.stderr.write(f"mastercontrol-worker: {error}\n")
        return WRONG_CONFIGURATION
    except HandlersError:
        return WRONG_CONFIGURATION
    return asyncio.run(_run(settings, runner, link))


def main() -> NoReturn:
    """The console script. It leaves at once: threads of handlers that were given up must not hold up the end."""
    code = 1
    try:
        code = run_command()
    except SystemExit as end:  # argparse
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  nothing is above to show it
        traceback.print_exc()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class HandlersError(Exception):
    """A module of handlers could not be imported; its trace has been shown."""


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {v.name}: {v.meaning} ({_default(v.default)})" for v in VARIABLES]
    parser = argparse.ArgumentParser(
        prog="mastercontrol-worker",
        usage="%(prog)s --handlers MODULE | --exec -- PROGRAM [ARGUMENT ...] | --healthy",
        description="Do the steps of one pool: with Python functions or with any program.",
        epilog="environment:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--handlers", action="append", default=[], metavar="MODULE", help="modules with @step functions"
    )
    parser.add_argument("--exec", action="store_true", help="run the program after -- for each step")
    parser.add_argument("--healthy", action="store_true", help="exit 0 if this host's worker is alive (for probes)")
    return parser


def _default(text: str | None) -> str:
    if text is None:
        return "must be set"
    return f"default {text}" if text else "not set"


def _check_program(*, given_exec: bool, program: Sequence[str], handlers: Sequence[str]) -> None:
    if given_exec and not program:
        raise ConfigError("--exec needs a program: --exec -- PROGRAM [ARGUMENT ...]")
    if given_exec and handlers:
        raise ConfigError("--handlers and --exec exclude each other")
    if program and not given_exec:
        raise ConfigError(f"what is {program[0]!r} for? A program is run by --exec -- PROGRAM [ARGUMENT ...]")
    if program and shutil.which(program[0]) is None:
        raise ConfigError(f"there is no program {program[0]!r} that could be run")


def _runner(settings: Settings) -> Runner:
    if settings.program:
        from mastercontrol_worker.exec_mode import ExecRunner  # noqa: PLC0415  one of the two is needed

        return ExecRunner(settings.program)
    from mastercontrol_worker.python_mode import PythonRunner  # noqa: PLC0415

    load_handlers(settings.handlers)
    return PythonRunner(registry)


def load_handlers(modules: Sequence[str]) -> None:
    """Import modules of handlers; the current folder and HANDLERS_FOLDER are on sys.path for them.

    :raises HandlersError: one could not be imported; its trace is on stderr.
    :raises ConfigError: they registered no step.
    """
    for folder in (HANDLERS_FOLDER, os.getcwd()):  # noqa: PTH109  a text is wanted
        if folder not in sys.path:
            sys.path.insert(0, folder)
    for module in modules:
        try:
            importlib.import_module(module)
        except BaseException as error:
            traceback.print_exc()
            sys.stderr.write(f"mastercontrol-worker: the handlers module {module!r} cannot be imported\n")
            raise HandlersError from error
    if not registry.names:
        raise ConfigError(f'no @step("name") in {", ".join(modules)}')


def _with_failpoint(runner: Runner, environ: Mapping[str, str]) -> tuple[Runner, type[Link]]:
    """What runs steps and what makes connections: as they are, or with the failpoint that a test asks for.

    :raises ConfigError: there is no such failpoint.
    """
    from mastercontrol_worker.link import Link  # noqa: PLC0415  a probe needs no pika

    if "MCP_FAILPOINT" not in environ:
        return runner, Link
    from mastercontrol_worker import failpoints  # noqa: PLC0415  for tests only

    try:
        failpoint = failpoints.read_failpoint(environ[failpoints.VARIABLE], failpoints.WORKER, failpoints.OF_THE_WORKER)
    except failpoints.InvalidFailpoint as error:
        raise ConfigError(str(error)) from None
    return failpoints.FailingRunner(runner, failpoint), failpoints.failing_link(failpoint)


async def _run(settings: Settings, runner: Runner, make_link: type[Link]) -> int:
    from mastercontrol_worker.amqp import AmqpSettings, AmqpTransport  # noqa: PLC0415  a probe needs no pika
    from mastercontrol_worker.attendance import Attendance  # noqa: PLC0415
    from mastercontrol_worker.link import LinkSettings  # noqa: PLC0415
    from mastercontrol_worker.recent import RecentResults  # noqa: PLC0415
    from mastercontrol_worker.worker import Worker  # noqa: PLC0415

    link = LinkSettings(
        settings.amqp_url,
        settings.queue,
        settings.concurrency,
        settings.name,
        settings.heartbeat_seconds,
        settings.confirm_seconds,
    )
    transport = AmqpTransport(AmqpSettings(link, settings.reconnect_max_seconds), make_link)
    worker = Worker(
        transport,
        Executor(runner, settings.name),
        RecentResults(settings.recent_results, settings.recent_bytes),
        concurrency=settings.concurrency,
        grace_seconds=settings.grace_seconds,
        stuck_seconds=settings.stuck_seconds,
    )
    attendance = Attendance(
        transport,
        settings.queue,
        settings.name,
        settings.concurrency,
        held=lambda: worker.held,
        ends=lambda: worker.ends,
    )
    worker.on_settled = attendance.settled
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.drain)
    server = await health.serve(settings.name)
    served = f"steps {', '.join(registry.names)}" if not settings.program else f"program {settings.program[0]}"
    logger.info("worker %s: %s, concurrency %d", settings.name, served, settings.concurrency)
    attending = loop.create_task(attendance.run())
    attending.add_done_callback(_report_fault)
    try:
        return await worker.run()
    finally:
        attending.cancel()
        if server is not None:
            server.close()
        logger.info("worker %s ends", settings.name)


def _report_fault(task: asyncio.Task[None]) -> None:
    """The worker does its steps without it; but nobody would know why it can't be told to stop taking them."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.critical("this worker no longer says that it is there", exc_info=error)
