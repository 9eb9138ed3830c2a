"""What does the blows of a plan to a cluster, one after the other, and takes back what must not last.

A blow that finds nobody to hit for a while, or that needs the API server while that is away, is missed: that is noted,
and not made up for.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from chaos.node import Container, Node
from chaos.plan import Action, Kind, Target, chosen
from chaos.report import Blow
from e2e.harness import Cluster

AWAY: Final = (AssertionError, subprocess.TimeoutExpired)
"""What a call to the API server ends with while it is away."""

BROKER: Final = "mcp-rabbitmq-0"
CLAIM: Final = f"data-{BROKER}"

PATIENCE: Final = 60.0
"""Seconds for which the second half of a blow waits for the API server."""

LOOKS: Final = 10
"""How often a blow looks for somebody to hit, half a second apart: what has just died starts again."""

_CONTAINERS: Final = {
    Target.OPERATOR: "operator",
    Target.WORKER: "worker",
    Target.BROKER: "rabbitmq",
    Target.API: "kube-apiserver",
}


@dataclass
class Hands:
    """Hits what is in a cluster. `leader` says who leads, as far as is known."""

    cluster: Cluster
    leader: Callable[[], str]
    log: Callable[[str], None]
    node: Node
    blows: list[Blow] = field(default_factory=list)
    _paused: dict[Container, threading.Timer] = field(default_factory=dict)
    _killed: Counter[str] = field(default_factory=Counter)
    _backs_off: bool = True

    def follow(self, plan: Sequence[Action], seconds: float) -> None:
        """Do a plan, and return when its time is over."""
        self._backs_off = not self.node.starts_again_at_once()
        began = time.monotonic()
        for action in plan:
            self._wait(began + action.at)
            self._note(self._do(action))
        self._wait(began + seconds)

    def heal(self) -> None:
        """Let go on whatever stands still."""
        for victim, timer in list(self._paused.items()):
            timer.cancel()
            timer.join()
            self._resume(victim)

    def _pause(self, victim: Container, seconds: float) -> None:
        """Let a victim stand still. It goes on by itself: what does the blows may have to wait meanwhile."""
        self.node.stop(victim)
        if victim in self._paused:
            self._paused[victim].cancel()
        self._paused[victim] = threading.Timer(seconds, self._resume, (victim,))
        self._paused[victim].start()

    def _resume(self, victim: Container) -> None:
        self.node.resume(victim)
        self._paused.pop(victim, None)

    @staticmethod
    def _wait(until: float) -> None:
        time.sleep(max(0.0, until - time.monotonic()))

    def _note(self, blow: Blow) -> None:
        self.blows.append(blow)
        clock = time.strftime("%H:%M:%S", time.gmtime(blow.at))
        length = f" for {blow.seconds:g} s" if blow.seconds else ""
        self.log(f"{clock} {blow.kind} {blow.pod}{' (led)' if blow.led else ''}{length} {blow.missed}".rstrip())

    def _do(self, action: Action) -> Blow:
        target = action.kind.target
        victim = self._victim(action)
        blow = Blow(time.time(), action.kind)
        if victim is None:
            return Blow(blow.at, blow.kind, missed="missed: none is there")
        led = target is Target.OPERATOR and victim.pod == self.leader()
        missed = ""
        try:
            self._hit(action, victim)
        except AWAY as error:
            missed = f"missed: {str(error).strip().splitlines()[-1][-120:]}"
        return Blow(blow.at, action.kind, victim.pod, led, action.seconds, missed)

    def _victim(self, action: Action) -> Container | None:
        for looks in range(LOOKS):
            time.sleep(0.5 if looks else 0)
            if (victim := chosen(self._candidates(action.kind.target), action.pick)) is not None:
                return victim
        return None

    def _candidates(self, target: Target) -> list[Container]:
        """Who may be hit; an operator that leads three times as likely as one that stands by."""
        namespace = "kube-system" if target is Target.API else self.cluster.namespace
        found = self.node.running(_CONTAINERS[target], namespace)
        leading = [c for c in found if target is Target.OPERATOR and c.pod == self.leader()]
        return found + 2 * leading

    def _hit(self, action: Action, victim: Container) -> None:
        match action.kind:
            case Kind.OPERATOR_PAUSE | Kind.WORKER_PAUSE | Kind.BROKER_PAUSE | Kind.API_PAUSE:
                self._pause(victim, action.seconds)
            case Kind.API_KILL:
                self.node.kill(victim)
                self.node.forget_deaths()
            case Kind.OPERATOR_KILL | Kind.WORKER_KILL | Kind.BROKER_KILL:
                self._kill(victim)
            case Kind.OPERATOR_DELETE | Kind.WORKER_DELETE:
                self._delete(victim.pod, "--force", "--grace-period=0")
            case Kind.OPERATOR_RESTART | Kind.WORKER_RESTART | Kind.BROKER_RESTART:
                self._delete(victim.pod)
            case Kind.BROKER_WIPE:
                # The claim goes when no pod has it any more, so it is asked for first.
                self._kubectl("delete", "pvc", CLAIM, "--wait=false", "--ignore-not-found")
                self._insist(victim.pod)

    def _kill(self, victim: Container) -> None:
        self.node.kill(victim)
        self._killed[victim.pod] += 1
        if self._killed[victim.pod] > 1 and self._backs_off:
            # The kubelet waits longer and longer before it starts one again; a new pod starts at once.
            self._insist(victim.pod)

    def _insist(self, pod: str) -> None:
        """Delete a pod at once as the second half of a blow: wait for an API server that is away."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._delete(pod, "--force", "--grace-period=0")
            except AWAY:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def _delete(self, pod: str, *how: str) -> None:
        self._kubectl("delete", "pod", pod, "--wait=false", "--ignore-not-found", *how)

    def _kubectl(self, *arguments: str) -> None:
        self.cluster.kubectl(*arguments, "--request-timeout=5s", seconds=8)
