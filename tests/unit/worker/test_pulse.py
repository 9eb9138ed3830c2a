"""The heartbeats of one run: how many are sent of how many a handler reports, and when it counts as silent."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mastercontrol_worker.heartbeat import Beat, HeartbeatMessage
from mastercontrol_worker.pulse import Pulse
from mastercontrol_worker.testing import step_message


class Timer:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """An event loop's time, which goes on when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.closed = False
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._timers: list[tuple[float, int, Timer, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer:
        timer = Timer()
        with self._lock:
            heapq.heappush(self._timers, (when, next(self._order), timer, callback))
        return timer

    def call_soon_threadsafe(self, callback: Callable[[], None], /) -> object:
        if self.closed:
            raise RuntimeError("Event loop is closed")
        return self.call_at(self.now, callback)

    def until(self, when: float) -> None:
        """Run what is due up to a time, given from the beginning."""
        while self._timers and self._timers[0][0] <= 100 + when:
            at, _, timer, callback = heapq.heappop(self._timers)
            self.now = max(self.now, at)
            if not timer.cancelled:
                callback()
        self.now = 100 + when

    @property
    def waiting(self) -> int:
        return len(self._timers)


class Bench:
    """A pulse of a step with heartbeatSeconds 30, so that one message goes out in ten seconds."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sent: list[tuple[float, Beat, Any]] = []
        self.away = False
        self.silences: list[float] = []
        message = step_message("charge", heartbeat_seconds=30)
        self.pulse = Pulse(message, "w-1", 30, self._send, self._silent, self.clock)

    def _send(self, heartbeat: HeartbeatMessage) -> bool:
        assert heartbeat.worker == "w-1"
        if not self.away:
            self.sent.append((self.clock.now - 100, heartbeat.beat, heartbeat.progress))
        return not self.away

    def _silent(self) -> None:
        self.silences.append(self.clock.now - 100)

    def at(self, when: float, progress: Any = None) -> None:
        self.clock.until(when)
        self.pulse.beat(progress)
        self.clock.until(when)


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.pulse.begin()
    return made


BEGUN = (0, Beat.BEGUN, None)


def test_a_step_that_begins_says_so_by_itself(bench: Bench) -> None:
    assert bench.sent == [BEGUN]


def test_of_many_reports_the_newest_is_sent_three_times_in_a_period(bench: Bench) -> None:
    for tenth in range(1, 295):
        bench.at(tenth / 10, {"page": tenth})
    assert bench.sent == [BEGUN, (10, Beat.ALIVE, {"page": 99}), (20, Beat.ALIVE, {"page": 199})]


def test_the_last_report_is_sent_though_nothing_follows_it(bench: Bench) -> None:
    bench.at(1, "almost done")
    bench.clock.until(9.9)
    assert bench.sent == [BEGUN]
    bench.clock.until(10)
    assert bench.sent == [BEGUN, (10, Beat.ALIVE, "almost done")]


def test_a_report_after_a_while_is_sent_at_once(bench: Bench) -> None:
    bench.at(25, 40)
    assert bench.sent == [BEGUN, (25, Beat.ALIVE, 40)]


def test_nothing_is_sent_while_nothing_is_reported(bench: Bench) -> None:
    bench.clock.until(29)
    assert bench.sent == [BEGUN]


def test_a_report_without_progress_keeps_what_was_said_last(bench: Bench) -> None:
    bench.at(11, {"page": 7})
    bench.at(25)
    assert bench.sent[-1] == (25, Beat.ALIVE, {"page": 7})


def test_a_progress_that_the_handler_changes_afterwards_is_sent_as_it_was_reported(bench: Bench) -> None:
    progress = {"page": 1}
    bench.at(1, progress)
    progress["page"] = 2
    bench.clock.until(10)
    assert bench.sent[-1] == (10, Beat.ALIVE, {"page": 1})


def test_a_progress_that_can_not_be_sent_is_an_error_and_no_report(bench: Bench) -> None:
    with pytest.raises(ValueError, match="limit is 1024"):
        bench.at(11, "x" * 2000)
    assert bench.sent == [BEGUN]


def test_while_the_broker_is_away_the_handler_does_not_notice_and_the_newest_is_sent_when_it_is_back(
    bench: Bench,
) -> None:
    bench.away = True
    for second in range(1, 25):
        bench.at(second, second)
    assert bench.sent == [BEGUN]
    bench.away = False
    bench.clock.until(25)
    assert bench.sent == [BEGUN, (25, Beat.ALIVE, 24)]
    bench.clock.until(35)
    assert len(bench.sent) == 2, "once it is sent it is not sent again"


def test_the_beginning_is_said_later_where_it_could_not_be_said_at_once() -> None:
    bench = Bench()
    bench.away = True
    bench.pulse.begin()
    bench.at(2, "half")
    bench.away = False
    bench.clock.until(4)
    assert [(beat, progress) for _, beat, progress in bench.sent] == [(Beat.BEGUN, "half")]


def test_a_handler_that_reports_nothing_for_longer_than_the_period_is_silent(bench: Bench) -> None:
    bench.at(20)
    bench.clock.until(49.9)
    assert bench.silences == []
    bench.clock.until(200)
    assert bench.silences == [50], "which is said once"


def test_the_broker_s_absence_is_no_silence_of_the_handler(bench: Bench) -> None:
    bench.away = True
    for second in range(1, 100):
        bench.at(second)
    assert bench.silences == []


def test_once_answered_nothing_more_is_sent_and_nobody_listens(bench: Bench) -> None:
    bench.at(1, "almost")
    bench.pulse.close()
    bench.at(15, "too late")
    bench.clock.until(100)
    assert (bench.sent, bench.silences) == ([BEGUN], [])


def test_a_step_that_is_given_back_says_so_once_and_at_once(bench: Bench) -> None:
    bench.at(1, "half")
    bench.pulse.give_back()
    bench.pulse.give_back()
    bench.pulse.close()
    bench.clock.until(100)
    assert (bench.sent, bench.silences) == ([BEGUN, (1, Beat.GIVEN_BACK, None)], [])


def test_what_nobody_heard_begin_need_not_be_given_back() -> None:
    bench = Bench()
    bench.away = True
    bench.pulse.begin()
    bench.away = False
    bench.pulse.give_back()
    assert bench.sent == []


def test_a_handler_that_outlives_its_worker_s_loop_may_go_on_reporting(bench: Bench) -> None:
    bench.clock.closed = True
    bench.pulse.beat(1)
    bench.pulse.beat(2)
    assert bench.sent == [BEGUN]


def test_threads_report_at_the_same_time_and_wake_the_loop_once(bench: Bench) -> None:
    def report(first: int) -> None:
        for number in range(first, first + 500):
            bench.pulse.beat({"n": number})

    bench.clock.until(11)
    before = bench.clock.waiting
    threads = [threading.Thread(target=report, args=(n * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert bench.clock.waiting == before + 1
    bench.clock.until(11)
    assert len(bench.sent) == 2
    assert bench.sent[-1][2]["n"] % 1000 == 499, "the newest of one of them"
