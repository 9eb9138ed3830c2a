"""The recorder of one namespace: starts and stops who watches, and writes what they saw as a history."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from checker.check import Verdict, check
from recording.events import Event
from recording.messages import Messages
from recording.objects import Follower, job_events, workflow_events
from recording.server import Client, Raw, server_of

EXECUTED: Final = re.compile(r"EXECUTED (([^\s:]+):\d+:\d+) ")
"""What the tests' own handlers print when they begin a step. Two threads may print into one line."""

ORDER: Final = {"gap": 0, "workflow": 1, "commit": 2, "dispatch": 3, "execute": 3, "result": 3, "rest": 4}
"""In which order a history has its kinds; within one they stand as they came. Others are of Jobs, as commits are."""

START_SECONDS: Final = 60


class Recorder:
    """Watches a namespace from `start` to `stop`. Without URLs of a broker only the Jobs are seen.

    Jobs that are there when it starts are not looked at: how they came to be as they are is not known.
    """

    def __init__(self, kubeconfig: str, namespace: str, amqp_url: str = "", management_url: str = "") -> None:
        self.events: list[Event] = []
        self._kubeconfig, self._namespace = kubeconfig, namespace
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._messages = Messages(amqp_url, management_url, namespace, self._say) if amqp_url else None
        self._ending = threading.Event()
        self._listed = threading.Event()
        self._fault: BaseException | None = None
        self._followers: list[Follower] = []
        self._old = set[str]()
        self._thread = threading.Thread(target=self._run, name="recorder-objects", daemon=True)

    def start(self) -> None:
        """Return when everything is watched.

        :raises TimeoutError: it is not, in time.
        """
        self._thread.start()
        if self._messages is not None:
            self._messages.start()
        watched = self._listed.wait(START_SECONDS)
        if self._messages is not None:
            watched = self._messages.ready.wait(START_SECONDS) and watched
        if self._fault is not None:
            raise self._fault
        if not watched:
            why = [follower.why for follower in self._followers]
            why += [self._messages.why] if self._messages is not None else []
            raise TimeoutError(f"the recorder could not begin to watch: {'; '.join(filter(None, why)) or 'no answer'}")

    def stop(self) -> None:
        """Take what happened until now, and end.

        :raises Exception: whatever kept the recorder from seeing it.
        """
        if self._messages is not None:
            self._messages.stop()
        self._ending.set()
        self._thread.join(60)
        if self._fault is not None:
            raise self._fault
        if self._thread.is_alive():
            raise TimeoutError("the recorder does not end")
        self._say({"kind": "rest", "still": False})  # the test is over, and the operator still at work

    def history(self, worker_logs: Iterable[str] | None = None) -> list[Event]:
        """All that was seen. Executions are read from the logs of workers; None: there are none that are complete."""
        sees = ["commit", *(["dispatch", "result"] if self._messages is not None else [])]
        executed = [] if worker_logs is None else list(executions(worker_logs))
        sees += [] if worker_logs is None else ["execute"]
        head = {"t": 0.0, "kind": "run", "source": "cluster", "ordered": False, "sees": sees}
        # Each comes on a way of its own, and one of them may be behind another: a Workflow comes before its Jobs, and
        # a Job before its messages.
        seen = sorted([*self.events, *executed], key=lambda event: ORDER.get(event["kind"], ORDER["commit"]))
        return [head, *seen]

    def _say(self, event: Event) -> None:
        with self._lock:
            self.events.append({"t": round(time.monotonic() - self._began, 3), **event})

    # -- the thread that follows objects

    def _run(self) -> None:
        try:
            asyncio.run(self._follow())
        except BaseException as fault:  # noqa: BLE001  # raised by stop, on the thread of the test
            self._fault = fault
            self._listed.set()

    async def _follow(self) -> None:
        client = Client(server_of(self._kubeconfig))
        try:
            followers = self._followers = [
                Follower(client, "mcpworkflows", self._namespace, self._workflow_changed),
                Follower(client, "mcpjobs", self._namespace, self._job_changed),
            ]
            tasks = [asyncio.create_task(follower.follow()) for follower in followers]
            while not self._ending.is_set():
                for task in tasks:
                    if task.done():
                        task.result()
                if all(follower.gaps >= 0 for follower in followers):
                    self._listed.set()
                await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for follower in followers:
                await follower.catch_up()
        finally:
            await client.close()

    def _job_changed(self, before: Raw | None, after: Raw | None) -> None:
        uid = str((after or before or {})["metadata"]["uid"])
        if not self._listed.is_set():
            self._old.add(uid)
        if uid in self._old:
            return
        for event in job_events(before, after):
            self._say(event)

    def _workflow_changed(self, before: Raw | None, after: Raw | None) -> None:
        for event in workflow_events(before, after):
            self._say(event)


def executions(logs: Iterable[str]) -> Iterable[Event]:
    """What the logs of workers say that they began."""
    for log in logs:
        for id_, uid in EXECUTED.findall(log):
            yield {"kind": "execute", "job": uid, "id": id_}


def judge(history: Sequence[Event], path: Path) -> Verdict:
    """Write a history and have it judged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(event) + "\n" for event in history), encoding="utf-8")
    return check(_read_back(path))


def _read_back(path: Path) -> Iterable[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
