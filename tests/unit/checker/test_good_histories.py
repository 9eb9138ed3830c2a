"""Histories in which nothing is wrong, each with another part of the language or another accident."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from unit.checker.histories import LATER, History, chain

Story = Callable[[], History]
States = list[dict[str, Any]]

RETRIED: States = [{"name": "one", "pool": "p", "catch": [{"errors": ["States.ALL"], "next": "mend"}], "end": True}]
RETRIED += [{"name": "mend", "type": "Pass"}]
FAN: States = [
    {"name": "fan", "type": "Parallel", "branches": [{"states": [{"name": "a", "pool": "p"}]}] * 2},
    {"name": "last", "pool": "p"},
]
EACH: States = [
    {
        "name": "each",
        "type": "Map",
        "items": [1, 2],
        "toleratedFailureCount": 1,
        "states": [
            {"name": "odd", "type": "Choice", "choices": [{"when": "item == 1", "next": "a"}], "default": "no"},
            {"name": "a", "pool": "p", "end": True},
            {"name": "no", "type": "Fail", "code": "No", "message": "no"},
        ],
    }
]
WAITS: States = [{"name": "pause", "type": "Wait", "seconds": 1}, {"name": "go", "type": "Signal"}]
CHILD: States = [{"name": "bill", "type": "SubJob", "workflow": "billing"}]


def a_chain() -> History:
    return chain()


def a_step_is_sent_and_executed_twice() -> History:
    found = chain(rest=False)
    found.send("u:2:1")
    found.execute("u:2:1")
    found.answer("u:2:1")
    found.rest()
    return found


def a_step_is_tried_again_and_its_error_is_caught() -> History:
    found = History(RETRIED)
    found.create()
    found.work("u:1:1", outcome="Failed")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 one Busy", active=["one 2 2 notBefore=2030-01-01T00:00:00Z"])
    found.work("u:2:2", outcome="Failed")
    found.commit(active=["one 2 2"], state="InProgress.one")  # it is marked as sent
    found.commit("3 mend Busy", "4 Done")
    found.rest()
    return found


def branches_move_in_one_write() -> History:
    found = History(FAN)
    found.create()
    found.work("u:2:1", "u:3:1")
    found.commit("1 fan Started", "2 fan[0].a Started", "3 fan[1].a Started", active=["fan[0].a 2 1", "fan[1].a 3 1"])
    found.commit("4 fan[1]", "5 fan[0]", "6 last", active=["last 6 1"])
    found.work("u:6:1")
    found.commit("7 Done")
    found.rest()
    return found


def an_item_fails_and_is_tolerated() -> History:
    found = History(EACH)
    found.create()
    lines = ["1 each Started", "2 each[0].odd Started", "3 each[1].odd Started", "4 each[0].a", "5 each[1].no"]
    found.work("u:4:1")
    found.commit(*lines, active=["each[0].a 4 1"])
    found.commit("6 each[0]", "7 Done")
    found.rest()
    return found


def a_time_and_a_signal_are_waited_for() -> History:
    found = History(WAITS)
    found.create()
    found.commit("1 pause Started", active=[f"pause 1 1 notBefore={LATER}"])
    found.commit("2 go", active=["go 2 1 deadline=2040-01-01T00:00:00Z"])
    found.add("signal", job="u", name="go")
    found.commit("3 Done")
    found.rest()
    return found


def a_signal_is_there_from_the_beginning() -> History:
    found = History([WAITS[1]])
    found.create(signals=["go"])
    found.commit("1 go Started", active=["go 1 1"])
    found.commit("2 Done")
    found.rest()
    return found


def nobody_knows_which_signals_a_job_was_created_with() -> History:
    found = a_signal_is_there_from_the_beginning()
    del found.events[1]["signals"]
    return found


def a_child_job_ends_well() -> History:
    found = History(CHILD)
    found.add("workflow", namespace="shop", name="billing", spec={"states": [{"name": "one", "pool": "p"}]})
    found.create()
    found.commit("1 bill Started", active=["bill 1 1 notBefore=2030-01-01T00:00:00Z"])
    found.add("create", job="c", namespace="shop", name="child", workflow="billing", parent="u:1:1")
    found.commit(active=["bill 1 1"], state="InProgress.bill")
    found.work("c:1:1")
    found.commit("1 one Started", active=["one 1 1"], job="c")
    found.events[-1]["revision"] = "billing-1"
    found.commit("2 Done", job="c")
    found.events[-1]["revision"] = "billing-1"
    found.commit("2 Done")
    found.rest()
    return found


def a_failed_job_is_undone_and_closed() -> History:
    states: States = [
        {"name": "book", "pool": "p", "compensate": {"states": [{"name": "cancel", "pool": "p"}]}},
        {"name": "pay", "pool": "p"},
    ]
    found = History(states, onExit={"states": [{"name": "tell", "pool": "p"}]})
    found.create()
    found.work("u:1:1")
    found.commit("1 book Started", active=["book 1 1"])
    found.commit("2 pay", active=["pay 2 1"])
    found.work("u:2:1", outcome="Failed")
    found.commit("3 compensate NoMoney", "4 compensate[0].cancel Started", active=["compensate[0].cancel 4 1"])
    found.work("u:4:1")
    found.commit("5 compensate[0]", "6 onExit", "7 onExit.tell Started", active=["onExit.tell 7 1"])
    found.work("u:7:1")
    found.commit("8 onExit", "9 Failed NoMoney")
    found.rest()
    return found


def a_failed_job_is_retried_and_a_state_skipped() -> History:
    found = History()
    found.create()
    found.work("u:1:1", outcome="Failed")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 Failed Broken")
    found.add("operate", job="u", type="Retry")
    found.commit("3 one Retried", active=["one 3 1 notBefore=2030-01-01T00:00:00Z"], operation=1)
    found.send("u:3:1")
    found.add("operate", job="u", type="Skip")
    found.commit("4 two Skipped", active=["two 4 1"], operation=2)
    found.work("u:4:1")
    found.commit("5 Done", operation=2)
    found.rest()
    return found


def a_branch_that_failed_is_skipped() -> History:
    found = History(FAN)
    found.create()
    found.work("u:2:1", outcome="Failed")
    found.work("u:3:1")
    found.commit("1 fan Started", "2 fan[0].a Started", "3 fan[1].a Started", active=["fan[0].a 2 1", "fan[1].a 3 1"])
    found.commit("4 fan[0].a Broken", "5 Failed Broken")
    found.add("operate", job="u", type="Skip")
    found.commit("6 fan Retried", "7 fan[1].a Retried", "8 fan[0] Skipped", active=["fan[1].a 7 1"], operation=1)
    found.work("u:7:1")
    found.commit("9 fan[1]", "10 last", active=["last 10 1"], operation=1)
    found.work("u:10:1")
    found.commit("11 Done", operation=1)
    found.rest()
    return found


def a_job_begins_anew() -> History:
    found = History()
    found.create()
    found.commit("1 one Started", active=["one 1 1"])
    found.send("u:1:1")
    found.commit("2 Failed Timeout")
    found.add("operate", job="u", type="Restart")
    found.commit("3 one Restarted", active=["one 3 1 notBefore="], operation=1)
    found.work("u:3:1")
    found.commit("4 two", active=["two 4 1"], operation=1)
    found.work("u:4:1")
    found.commit("5 Done", operation=1)
    found.rest()
    return found


def a_job_is_cancelled_before_it_began() -> History:
    found = History()
    found.create()
    found.send("u:1:1")  # its first write was refused, as the user had cancelled it
    found.add("cancel", job="u")
    found.commit("1 Cancelled Cancelled")
    found.rest("u:1:1")
    return found


def a_job_of_two_branches_is_cancelled_before_it_began() -> History:
    blocks = [{"states": [{"name": name, "pool": "p"}]} for name in ("left", "right")]
    found = History([{"name": "fan", "type": "Parallel", "branches": blocks}])
    found.create()
    found.send("u:2:1", "u:3:1")  # and the write that would have said so was refused
    found.add("cancel", job="u")
    found.commit("1 Cancelled Cancelled")
    found.rest("u:2:1", "u:3:1")
    return found


def a_job_is_deleted() -> History:
    found = History()
    found.create()
    found.send("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.add("delete", job="u")
    found.rest()
    return found


def jobs_wait_for_what_will_come() -> History:
    found = History()
    for uid in "abcd":
        found.create(uid)
    found.send("a:1:1")
    found.commit("1 one Started", active=["one 1 1"], job="a")
    found.commit(job="b", phase="Pending", waiting="UnknownPool")
    found.add("suspend", job="c")
    found.send("d:1:1")
    found.commit("1 one Started", active=["one 1 1"], job="d")
    found.commit("2 one Busy", active=[f"one 2 2 notBefore={LATER}"], job="d")
    found.rest("a:1:1", now="2031-01-01T00:00:00Z")
    return found


def what_was_sent_is_seen_after_what_came_of_it() -> History:
    found = chain()
    run = {"t": 0.0, "kind": "run", "source": "cluster", "ordered": False}
    seen = [e for e in found.events if e["kind"] in {"dispatch", "execute", "result"}]
    rest = found.events.pop()
    found.events = [run, *(e for e in found.events if e not in seen), *seen, rest]
    return found


def a_run_ends_before_its_jobs_do() -> History:
    found = History()
    found.create()
    found.add("rest", still=False)
    return found


def a_history_is_too_short_for_all_its_lines() -> History:
    found = History(FAN)
    found.create()
    found.work("u:2:1", "u:3:1")
    groups = [{"path": "fan", "seq": 1, "size": 2, "started": 2, "results": {}}]
    active = ["fan[0].a 2 1", "fan[1].a 3 1"]
    found.commit("3 fan[1].a Started", active=active, bounded=True, groups=groups)
    found.commit("6 last", active=["last 6 1"], bounded=True)
    found.work("u:6:1")
    found.commit("7 Done", bounded=True)
    found.rest()
    return found


STORIES: tuple[Story, ...] = (
    a_chain,
    a_step_is_sent_and_executed_twice,
    a_step_is_tried_again_and_its_error_is_caught,
    branches_move_in_one_write,
    an_item_fails_and_is_tolerated,
    a_time_and_a_signal_are_waited_for,
    a_signal_is_there_from_the_beginning,
    nobody_knows_which_signals_a_job_was_created_with,
    a_child_job_ends_well,
    a_failed_job_is_undone_and_closed,
    a_failed_job_is_retried_and_a_state_skipped,
    a_branch_that_failed_is_skipped,
    a_job_begins_anew,
    a_job_is_cancelled_before_it_began,
    a_job_of_two_branches_is_cancelled_before_it_began,
    a_job_is_deleted,
    jobs_wait_for_what_will_come,
    what_was_sent_is_seen_after_what_came_of_it,
    a_run_ends_before_its_jobs_do,
    a_history_is_too_short_for_all_its_lines,
)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_nothing_is_wrong_where(story: Story) -> None:
    assert [str(fault) for fault in story().verdict().faults] == []


def test_transitions_that_no_history_shows_are_counted() -> None:
    (job,) = a_history_is_too_short_for_all_its_lines().verdict().jobs.values()
    assert job.unseen == 4  # 1 and 2, then 4 and 5
