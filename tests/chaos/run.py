"""A run: set up, let jobs flow, strike, heal, wait for rest, judge. Long ones are several of these in a row."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from chaos import plan, report, verdict
from chaos.hands import AWAY, Hands
from chaos.load import CHAINS, jobs, setup, sorts
from chaos.node import Node
from chaos.observe import Leaders, Redeliveries, Submission
from checker.check import Verdict
from checker.report import table as checked
from e2e.harness import Cluster, Object, Timeout, wait_for
from recording.recorder import Recorder, judge

VALUES: Final = ("operator.replicas=2", f"operator.settings.historyLimit={verdict.KEPT}")
"""What a run needs of the chart: a stand-by that takes over, and histories as long as a status may have them."""

_WORKERS: Final = "mcp-worker-chaos"
_PODS: Final = ("mcp-operator", "mcp-rabbitmq", "mcp-worker")


@dataclass(frozen=True)
class Options:
    """How much, for how long (seconds), from which seed, and how many seconds from one blow to the next on average."""

    jobs: int
    seconds: float
    seed: int
    gap: float = 8
    mix: plan.Mix = plan.Mix.ALL
    chains: int = CHAINS  # of the chains of five steps, for each job of an example
    parts: int = 1
    """In so many runs, one after the other, with `jobs` and `seconds` for all of them and a seed for each. An operator
    lists all jobs when it starts: what has ended is deleted in between."""

    def split(self) -> list[Options]:
        """The options of each part."""
        each = replace(self, jobs=math.ceil(self.jobs / self.parts), seconds=self.seconds / self.parts, parts=1)
        return [replace(each, seed=self.seed + n) for n in range(self.parts)]

    rest_seconds: float = 600  # how long it may take after the last blow until all jobs have ended


@dataclass(frozen=True)
class Outcome:
    """What came of a run: a table, and all that is wrong."""

    lines: list[str]
    faults: list[str]


def chaos(cluster: Cluster, options: Options, folder: Path, log: Callable[[str], None] = print) -> Outcome:
    """Run it on a cluster whose release has VALUES. What helps to understand a fault is put into `folder`."""
    parts = options.split()
    judged = []
    for n, part in enumerate(parts, 1):
        judged.append(_part(cluster, part, folder / f"part-{n}" if len(parts) > 1 else folder, log))
        if n < len(parts):
            cluster.kubectl("delete", "mcpjobs", "--all", "--wait=false", seconds=300)
    figures, verdicts, faults = zip(*judged, strict=True)
    names = [f"part {n}" if len(parts) > 1 else "history" for n in range(1, len(parts) + 1)]
    seen = dict(zip(names, verdicts, strict=True))
    outcome = Outcome([*report.table(figures), "", *checked(seen)], [fault for found in faults for fault in found])
    (folder / "report.txt").write_text("\n".join([*outcome.lines, "", *outcome.faults, ""]))
    return outcome


def _part(
    cluster: Cluster, options: Options, folder: Path, log: Callable[[str], None]
) -> tuple[report.Figures, Verdict, list[str]]:
    folder.mkdir(parents=True, exist_ok=True)
    blows = plan.make(options.seed, options.seconds, options.gap, options.mix)
    (folder / "plan.txt").write_text("".join(f"{action}\n" for action in blows))
    log(f"seed {options.seed}: {options.jobs} jobs and {len(blows)} blows in {options.seconds:.0f} s")
    run = _Run(cluster, options, log)
    run.begin()
    try:
        run.strike(blows)
        figures, seen, faults = run.judge(folder)
    finally:
        run.save(folder)
    ended = sum(figures.phases.values())
    log(f"seed {options.seed}: {ended} jobs, {len(figures.transitions)} transitions, {len(faults)} faults")
    for fault in faults:
        log(f"FAULT {fault}")
    return figures, seen, faults


class _Run:
    def __init__(self, cluster: Cluster, options: Options, log: Callable[[str], None]) -> None:
        self._cluster, self._options, self._log = cluster, options, log
        self._node = Node(cluster.node)
        self._leaders = Leaders(cluster)
        self._redeliveries = Redeliveries(cluster)
        self._recording_since = time.time()
        self._recorder = Recorder(cluster.kubeconfig, cluster.namespace)
        self._hands = Hands(cluster, self._leaders.holder, log, self._node)
        # Two runs of one seed in one cluster have jobs of their own.
        self._wanted = list(jobs(sorts(options.chains), options.jobs, f"{options.seed}-{secrets.token_hex(2)}"))
        self._rest_seconds = 0.0
        self._epoch = ""

    def begin(self) -> None:
        """Apply what the jobs need, and wait until they can use it."""
        needed = setup()
        self._cluster.apply(*needed)
        names = [f"mcpworkflow/{o['metadata']['name']}" for o in needed if o["kind"] == "Workflow"]
        self._cluster.kubectl("wait", *names, "--for=condition=Ready", "--timeout=120s", seconds=130)
        self._node.keep_logs(self._cluster.namespace, self._options.seconds + self._options.rest_seconds + 600)
        self._epoch = self._epoch_now()
        self._recorder.start()

    def strike(self, blows: list[plan.Action]) -> None:
        """Let jobs flow and do the plan; then wait until everything is at rest, or for as long as that may take."""
        submission = Submission(self._cluster, self._wanted, self._options.seconds)
        with self._leaders, self._redeliveries, submission:
            try:
                self._hands.follow(blows, self._options.seconds)
            finally:
                self._hands.heal()
            self._log("no more blows; waiting for rest")
            healed = time.monotonic()
            try:
                wait_for("end of all jobs", self._options.rest_seconds, lambda: submission.over and self._ended(), 2)
            except Timeout as late:
                self._log(str(late))
            self._rest_seconds = time.monotonic() - healed
        self._cluster.rollout("deployment", "mcp-operator")
        self._cluster.rollout("statefulset", "mcp-rabbitmq")
        self._node.forget_logs()

    def judge(self, folder: Path) -> tuple[report.Figures, Verdict, list[str]]:
        """The figures, the checker's verdict on every write, and the faults of that and of what stands at the end."""
        self._recorder.stop()
        found = {job["metadata"]["name"]: job for job in self._cluster.objects("mcpjobs")}
        executed = verdict.executions(self._node.kept_logs(_WORKERS))
        faults = verdict.faults(self._wanted, found, executed)
        epoch = self._epoch_now()
        wiped = any(blow.kind is plan.Kind.BROKER_WIPE and not blow.missed for blow in self._hands.blows)
        if wiped and epoch == self._epoch:
            faults.append(f"the broker was wiped, and its epoch still is {epoch}")
        ours = {found[name]["metadata"]["uid"] for name in self._ours(found)}
        history = verdict.of_jobs(self._recorder.history(), ours)
        seen = judge(history, folder / "history.jsonl")
        faults += [str(fault) for fault in seen.faults]
        figures = self._figures(found, executed, report.transitions(history, self._recording_since))
        return figures, seen, faults

    def save(self, folder: Path) -> None:
        """Keep what was done, the Jobs, and the logs of all pods, those that are gone included."""
        (folder / "blows.jsonl").write_text("".join(f"{json.dumps(asdict(blow))}\n" for blow in self._hands.blows))
        try:
            (folder / "jobs.json").write_text(self._cluster.kubectl("get", "mcpjobs", "-o", "json"))
            for pods in _PODS:
                (folder / f"{pods}.log").write_text(self._node.kept_logs(pods))
        except AWAY as error:
            self._log(f"what is in {folder} is not complete: {error}")

    def _ended(self) -> bool:
        """Whether all wanted jobs have ended; not, where nobody can tell."""
        columns = "custom-columns=NAME:.metadata.name,PHASE:.status.phase"
        try:
            text = self._cluster.kubectl("get", "mcpjobs", "--no-headers", "-o", columns, seconds=60)
        except AWAY:
            return False
        phases = dict(line.split() for line in text.splitlines())
        return all(phases.get(job.name) in verdict.ENDED for job in self._wanted)

    def _epoch_now(self) -> str:
        (epoch,) = [o["data"]["epoch"] for o in self._cluster.objects("configmaps") if "epoch" in o.get("data", {})]
        return str(epoch)

    def _ours(self, found: dict[str, Object]) -> list[str]:
        """The names of the wanted jobs that are there, and of those that they made."""
        return list(verdict.family((w.name for w in self._wanted if w.name in found), verdict.by_parent(found)))

    def _figures(
        self, found: dict[str, Object], executed: Counter[str], transitions: list[report.Transition]
    ) -> report.Figures:
        children, ours = verdict.by_parent(found), self._ours(found)
        statuses = {name: verdict.status(found[name]) for name in ours}
        uids = {found[name]["metadata"]["uid"] for name in ours}
        return report.Figures(
            seed=self._options.seed,
            seconds=self._options.seconds,
            rest_seconds=self._rest_seconds,
            phases=Counter(str(status.get("phase", "without a status")) for status in statuses.values()),
            out_of_time=sum(verdict.is_out_of_time(name, found, children) for name in ours),
            transitions=transitions,
            leaders=self._leaders.taken,
            redelivered=round(report.growth(self._redeliveries.seen)),
            executed={id_: n for id_, n in executed.items() if id_.partition(":")[0] in uids},
            epochs=len({status["brokerEpoch"] for status in statuses.values() if status.get("brokerEpoch")}),
            blows=self._hands.blows,
        )
