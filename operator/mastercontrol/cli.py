"""The command `mastercontrol`.

Exit status: 0 done, 1 it ran and did not end well, 2 it was called wrongly. What is wrong is one line on standard
error.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mastercontrol import __version__, logs
from mastercontrol.settings import InvalidSetting, read_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    args = _parser().parse_args(argv)
    try:
        status = args.command(args)
    except KeyboardInterrupt:
        return 130
    return int(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mastercontrol", description="Jobs as durable state machines on Kubernetes.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the operator in a cluster; settings come from MCP_* variables")
    run.set_defaults(command=_run)

    check = commands.add_parser("check", help="check that the API server and the broker can be used, and exit")
    check.set_defaults(command=_check)

    dev = commands.add_parser("dev", help="run Workflow, WorkerPool and Job files in this process")
    dev.add_argument("files", nargs="+", type=Path, metavar="FILE", help="YAML files")
    dev.add_argument(
        "--handlers",
        action="append",
        default=[],
        metavar="MODULE",
        help="Python module of handlers, for pools whose own cannot be imported here; may be repeated",
    )
    dev.add_argument("--timeout", type=float, default=None, metavar="SECONDS", help="give up after so long")
    dev.add_argument("--plain", action="store_true", help="lines instead of a table, on a terminal too")
    dev.add_argument("--verbose", action="store_true", help="show the logs of the engine and the workers")
    dev.set_defaults(command=_dev)

    lint = commands.add_parser("lint", help="check Workflow, WorkerPool, Job and Schedule files, without a cluster")
    lint.add_argument("files", nargs="+", type=Path, metavar="FILE", help="YAML files; they may refer to each other")
    lint.set_defaults(command=_lint)

    diagram = commands.add_parser("diagram", help="draw a Workflow, or a Job with the path that it took")
    diagram.add_argument(
        "target", metavar="FILE|workflow/NAME|job/NAME", help="a YAML file, or an object of the cluster"
    )
    diagram.add_argument("-n", "--namespace", default="default", help="where in the cluster; default: %(default)s")
    diagram.add_argument("--name", help="which object of the file, where it holds several")
    diagram.add_argument("--format", choices=("mermaid", "svg"), help="default: svg for -o FILE.svg, else mermaid")
    diagram.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to a file instead of to the terminal")
    diagram.set_defaults(command=_diagram)
    _add_dlq(commands.add_parser("dlq", help="list, redrive or discard the dead letters of pools"))
    return parser


def _add_dlq(dlq: argparse.ArgumentParser) -> None:
    verbs = dlq.add_subparsers(required=True, metavar="VERB")
    show = verbs.add_parser("list", help="show the newest dead letters of each pool")
    show.add_argument("pool", nargs="?", metavar="POOL", help="of this pool alone")
    show.set_defaults(command=_dlq_list)
    redrive = verbs.add_parser("redrive", help="retry the jobs of dead letters where they failed")
    redrive.set_defaults(command=_dlq_ask, verb="REDRIVE")
    discard = verbs.add_parser("discard", help="remove dead letters; their jobs stay as they are")
    discard.set_defaults(command=_dlq_ask, verb="DISCARD")
    for verb in (redrive, discard):
        verb.add_argument("pool", metavar="POOL")
        verb.add_argument("ids", nargs="*", metavar="ID", help="dispatch id, as `list` shows it")
        verb.add_argument("--all", action="store_true", help="all that the pool has, also those that are not shown")
        verb.add_argument(
            "--timeout", type=float, default=90.0, metavar="SECONDS", help="wait so long; default: %(default)g"
        )
    for verb in (show, redrive, discard):
        verb.add_argument("-n", "--namespace", default="default", help="where in the cluster; default: %(default)s")


def _run(_: argparse.Namespace) -> int:
    import uvloop  # noqa: PLC0415  # as below

    from mastercontrol.run import Process  # noqa: PLC0415  # `dev` shall not wait for what only the cluster needs

    try:
        settings = read_settings(required=("amqp_url", "management_url"))
    except InvalidSetting as error:
        return _wrong(str(error))
    logs.configure(settings.log_level, settings.log_format)
    process = Process(settings)
    if "MCP_FAILPOINT" in os.environ:
        from mastercontrol import failpoints  # noqa: PLC0415  # for tests only

        try:
            process = Process(settings, failpoints.make_leader(os.environ[failpoints.VARIABLE]))
        except failpoints.InvalidFailpoint as error:
            return _wrong(str(error))
    # Half of the operator's time goes to its event loop, and this one takes less of it.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        status = runner.run(process.run())
    if process.again:
        # In the place of this one, with nothing of it in memory: a container that ends would be started with back-off.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # our own command line
    return status


def _check(_: argparse.Namespace) -> int:
    from mastercontrol.check import check  # noqa: PLC0415  # as above

    try:
        settings = read_settings(required=("management_url",))
    except InvalidSetting as error:
        return _wrong(str(error))
    logs.configure("warning", settings.log_format)
    return asyncio.run(check(settings))


def _dev(args: argparse.Namespace) -> int:
    from mastercontrol.dev import files, session  # noqa: PLC0415  # `run` shall not need rich

    logs.configure("info" if args.verbose else "error", "text")
    try:
        loaded = files.load(args.files)
        return asyncio.run(session.run(loaded, args.handlers, seconds=args.timeout, plain=args.plain))
    except (files.InvalidFile, session.NoHandlers) as error:
        return _wrong(str(error))


def _lint(args: argparse.Namespace) -> int:
    from mastercontrol.dev.lint import lint  # noqa: PLC0415  # as above

    report = lint(args.files)
    for found in report.found:
        print(found)  # noqa: T201  # this is what it is run for
    for text in report.unreadable:
        _wrong(text)
    return report.status


def _diagram(args: argparse.Namespace) -> int:
    from mastercontrol.diagram import command  # noqa: PLC0415  # as above

    logs.configure("error", "text")
    try:
        subject = command.find(args.target, args.name, args.namespace)
        command.write(command.draw(subject, args.format, args.output), args.output)
    except command.CannotDraw as error:
        _wrong(str(error))
        return error.status
    for note in subject.notes:
        print(f"mastercontrol: {note}", file=sys.stderr)  # noqa: T201  # not in what is piped on
    return 0


def _dlq_list(args: argparse.Namespace) -> int:
    from mastercontrol.dlq import command  # noqa: PLC0415  # as above

    logs.configure("error", "text")
    try:
        found = command.show(args.pool, args.namespace)
    except command.CannotAnswer as error:
        _wrong(str(error))
        return error.status
    return _print(found.table, found.notes)


def _dlq_ask(args: argparse.Namespace) -> int:
    from mastercontrol.dlq import command  # noqa: PLC0415  # as above

    if bool(args.ids) == args.all:
        return _wrong("write the ids of dead letters, or --all")
    if any("," in one or one.strip() in {"", "all"} for one in args.ids):
        return _wrong("write dispatch ids as `mastercontrol dlq list` shows them, with spaces between, or --all")
    logs.configure("error", "text")
    try:
        said, all_done = command.ask(command.Verb[args.verb], args.pool, args.namespace, args.ids, args.timeout)
    except command.CannotAnswer as error:
        _wrong(str(error))
        return error.status
    _print(said.table, said.notes)
    return 0 if all_done else 1


def _print(text: str, notes: Sequence[str]) -> int:
    """What was asked for to standard output, what is to be said beside it to standard error."""
    if text:
        print(text)  # noqa: T201  # this is what it is run for
    for note in notes:
        print(f"mastercontrol: {note}", file=sys.stderr)  # noqa: T201  # not in what is piped on
    return 0


def _wrong(text: str) -> int:
    print(f"mastercontrol: {text}", file=sys.stderr)  # noqa: T201  # this is where a user looks
    return 2


if __name__ == "__main__":
    sys.exit(main())
