"""Histories in which one promise is broken: the rule about it finds that, and no other rule does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from checker.faults import Rule
from unit.checker.histories import LATER, History, chain
from unit.checker.test_good_histories import CHILD, EACH, FAN, RETRIED, WAITS

Story = Callable[[], History]


def _begun(states: object = None, **spec: object) -> History:
    """A job whose first step is out."""
    found = History(states, **spec) if isinstance(states, list) else History()
    found.create()
    found.send("u:1:1")
    return found


def a_transition_is_left_out() -> History:
    found = _begun()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 two", active=["two 2 1"])
    found.work("u:2:1")
    found.commit("4 Done")
    found.rest()
    return found


def an_old_status_is_written_over_a_newer_one() -> History:
    """As an operator would whose writes have no fence."""
    found = _begun()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 Failed Broken")
    found.commit(seq=1, state="Failed")
    found.rest()
    return found


def a_write_finds_another_sequence_than_was_written() -> History:
    found = _begun()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 two", active=["two 2 1"])
    found.work("u:2:1")
    found.commit("3 Done", before=1)
    found.rest()
    return found


def a_state_is_jumped_over() -> History:
    found = _begun()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 Done")
    found.rest()
    return found


def a_job_begins_in_the_middle() -> History:
    found = _begun()
    found.work("u:1:1")
    found.commit("1 two Started", active=["two 1 1"])
    found.commit("2 Done")
    found.rest()
    return found


def an_error_leads_where_no_rule_says() -> History:
    found = _begun()
    found.work("u:1:1", outcome="Failed")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 two Busy", active=["two 2 1"])
    found.work("u:2:1")
    found.commit("3 Done")
    found.rest()
    return found


def a_parallel_is_left_before_its_last_branch() -> History:
    found = _begun(FAN)
    found.commit("1 fan Started", "2 fan[0].a Started", "3 fan[1].a Started", active=["fan[0].a 2 1", "fan[1].a 3 1"])
    found.work("u:2:1", "u:3:1")
    found.commit("4 fan[1]", "5 last", active=["last 5 1"])
    found.work("u:5:1")
    found.commit("6 Done")
    found.rest()
    return found


def a_branch_is_begun_twice() -> History:
    found = _begun(FAN)
    found.commit("1 fan Started", "2 fan[0].a Started", "3 fan[1].a Started", active=["fan[0].a 2 1", "fan[1].a 3 1"])
    found.commit("4 fan[1].a Started", active=["fan[0].a 2 1", "fan[1].a 4 1"])
    found.work("u:2:1", "u:4:1")
    found.commit("5 fan[1]", "6 fan[0]", "7 last", active=["last 7 1"])
    found.work("u:7:1")
    found.commit("8 Done")
    found.rest()
    return found


def an_item_that_no_item_leads_to() -> History:
    found = _begun(EACH)
    found.commit("1 each Started", "2 each[0].a Started", active=["each[0].a 2 1"])
    found.work("u:2:1")
    found.commit("3 each[0]", "4 Done")
    found.rest()
    return found


def what_was_left_is_come_back_to() -> History:
    found = _begun()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 two", active=["two 2 1", "one 1 1"])
    found.work("u:2:1")
    found.commit("3 Done")
    found.rest()
    return found


def a_transition_is_written_twice() -> History:
    found = _begun()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 one Busy", "2 one Busy", active=["one 2 3"])
    found.work("u:2:3")
    found.commit("3 two", active=["two 3 1"])
    found.work("u:3:1")
    found.commit("4 Done")
    found.rest()
    return found


def a_transition_is_written_again_over_itself() -> History:
    """It looks the same, but for the time in its line."""
    found = _begun()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"], last={"seq": 1, "time": "2030-01-01T00:00:00Z"})
    found.commit("2 two", active=["two 2 1"], last={"seq": 2, "time": "2030-01-01T00:00:01Z"})
    found.commit(active=["two 2 1"], state="InProgress.two", last={"seq": 2, "time": "2030-01-01T00:00:02Z"})
    found.rest("u:2:1")
    return found


def a_state_changes_without_a_transition() -> History:
    found = _begun()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit(state="InProgress.two", active=["two 1 1"])
    found.add("suspend", job="u")
    found.rest()
    return found


def a_signal_is_taken_twice() -> History:
    found = _begun([WAITS[1], {"name": "again", "type": "Signal", "signal": "go"}])
    found.add("signal", job="u", name="go")
    found.commit("1 go Started", active=["go 1 1"])
    found.commit("2 again", active=["again 2 1"])
    found.commit("3 Done")
    found.rest()
    return found


def an_operation_that_was_refused_is_due_again() -> History:
    """A late write of an operator that did not know of it: it is based on the same sequence."""
    found = _begun()
    found.add("operate", job="u", type="Retry")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit(active=["one 1 1"], state="InProgress.one", operation=1)
    found.commit(active=["one 1 1"], state="InProgress.one")
    found.commit(active=["one 1 1"], state="InProgress.one", operation=1)
    found.rest("u:1:1")
    return found


def an_operation_is_done_twice() -> History:
    found = _begun()
    found.add("operate", job="u", type="Retry")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 Failed Broken")
    found.commit("3 one Retried", active=["one 3 1"], operation=1)
    found.commit("4 Failed Broken", operation=1)
    found.commit("5 one Retried", active=["one 5 1"], operation=2)
    found.rest("u:5:1")
    return found


def a_step_is_never_executed() -> History:
    found = _begun()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 two", active=["two 2 1"])
    found.send("u:2:1")
    found.commit("3 Done")
    found.rest()
    return found


def a_result_is_applied_again_while_the_next_step_is_at_work() -> History:
    """The step two is executed, but after the job had moved on: its transition had another cause."""
    found = _begun()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 two", active=["two 2 1"])
    found.send("u:2:1")
    found.execute("u:2:1")
    found.commit("3 Done")
    found.answer("u:2:1")
    found.rest()
    return found


def a_failed_step_counts_as_done() -> History:
    found = _begun()
    found.work("u:1:1", outcome="Failed")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 two", active=["two 2 1"])
    found.work("u:2:1")
    found.commit("3 Done")
    found.rest()
    return found


def a_child_job_counts_as_done_that_has_failed() -> History:
    found = History(CHILD)
    found.create()
    found.commit("1 bill Started", active=["bill 1 1"])
    found.create("c", parent="u:1:1")
    found.commit("1 Failed Broken", job="c")
    found.commit("2 Done")
    found.rest()
    return found


def a_step_is_sent_before_it_is_due() -> History:
    found = _begun()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.work("u:2:1")  # before the write that makes it due
    found.commit("2 two", active=["two 2 1"])
    found.commit("3 Done")
    found.rest()
    return found


def a_step_is_sent_that_no_job_asked_for() -> History:
    found = chain(rest=False)
    found.send("u:2:7")
    found.rest()
    return found


def a_job_moves_after_its_end() -> History:
    found = _begun()
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 Failed Broken")
    found.commit("3 Cancelled Cancelled")
    found.rest()
    return found


def a_job_is_written_after_it_was_deleted() -> History:
    found = _begun()
    found.work("u:1:1")
    found.commit("1 one Started", active=["one 1 1"])
    found.add("delete", job="u")
    found.commit("2 two", active=["two 2 1"])
    found.rest()
    return found


def a_message_is_lost() -> History:
    found = _begun()
    found.commit("1 one Started", active=["one 1 1"])
    found.rest()
    return found


def a_step_is_due_and_never_sent() -> History:
    found = _begun(RETRIED)
    found.work("u:1:1", outcome="Failed")
    found.commit("1 one Started", active=["one 1 1"])
    found.commit("2 one Busy", active=["one 2 2 notBefore=2030-01-01T00:00:00Z"])
    found.rest(now="2031-01-01T00:00:00Z")
    return found


def a_branch_is_forgotten() -> History:
    found = _begun(FAN)
    found.commit("1 fan Started", "2 fan[0].a Started", "3 fan[1].a Started", active=["fan[0].a 2 1"])
    found.rest("u:2:1", "u:3:1")
    return found


def a_signal_is_not_taken() -> History:
    found = _begun(WAITS)
    found.commit("1 pause Started", active=[f"pause 1 1 notBefore={LATER}"])
    found.commit("2 go", active=["go 2 1"])
    found.add("signal", job="u", name="go")
    found.rest()
    return found


def an_operation_is_never_dealt_with() -> History:
    found = chain(rest=False)
    found.add("operate", job="u", type="Retry")
    found.rest()
    return found


def a_parent_waits_for_a_child_that_is_gone() -> History:
    found = History(CHILD)
    found.create()
    found.commit("1 bill Started", active=["bill 1 1"])
    found.create("c", parent="u:1:1")
    found.add("delete", job="c")
    found.rest()
    return found


def all_blocks_are_over_and_nobody_joins_them() -> History:
    found = _begun(FAN)
    found.commit("1 fan Started", "2 fan[0].a Started", "3 fan[1].a Started", active=["fan[0].a 2 1", "fan[1].a 3 1"])
    found.work("u:2:1", "u:3:1")
    found.commit("4 fan[1]", "5 fan[0]")
    found.events[-1]["state"] = "InProgress.fan"
    found.rest()
    return found


def a_job_never_begins() -> History:
    found = History()
    found.create()
    found.rest()
    return found


def a_run_is_cut_off() -> History:
    return chain(rest=False)


BROKEN: tuple[tuple[Rule, Story], ...] = (
    (Rule.SEQUENCE, a_transition_is_left_out),
    (Rule.SEQUENCE, an_old_status_is_written_over_a_newer_one),
    (Rule.SEQUENCE, a_write_finds_another_sequence_than_was_written),
    (Rule.EDGE, a_state_is_jumped_over),
    (Rule.EDGE, a_job_begins_in_the_middle),
    (Rule.EDGE, an_error_leads_where_no_rule_says),
    (Rule.EDGE, a_parallel_is_left_before_its_last_branch),
    (Rule.EDGE, a_branch_is_begun_twice),
    (Rule.EDGE, an_item_that_no_item_leads_to),
    (Rule.ONCE, what_was_left_is_come_back_to),
    (Rule.ONCE, a_transition_is_written_twice),
    (Rule.ONCE, a_transition_is_written_again_over_itself),
    (Rule.ONCE, a_state_changes_without_a_transition),
    (Rule.ONCE, a_signal_is_taken_twice),
    (Rule.ONCE, an_operation_that_was_refused_is_due_again),
    (Rule.ONCE, an_operation_is_done_twice),
    (Rule.EXECUTED, a_step_is_never_executed),
    (Rule.EXECUTED, a_result_is_applied_again_while_the_next_step_is_at_work),
    (Rule.EXECUTED, a_failed_step_counts_as_done),
    (Rule.EXECUTED, a_child_job_counts_as_done_that_has_failed),
    (Rule.ASKED, a_step_is_sent_before_it_is_due),
    (Rule.ASKED, a_step_is_sent_that_no_job_asked_for),
    (Rule.END, a_job_moves_after_its_end),
    (Rule.END, a_job_is_written_after_it_was_deleted),
    (Rule.LIVE, a_message_is_lost),
    (Rule.LIVE, a_step_is_due_and_never_sent),
    (Rule.LIVE, a_branch_is_forgotten),
    (Rule.LIVE, a_signal_is_not_taken),
    (Rule.LIVE, an_operation_is_never_dealt_with),
    (Rule.LIVE, a_parent_waits_for_a_child_that_is_gone),
    (Rule.LIVE, all_blocks_are_over_and_nobody_joins_them),
    (Rule.LIVE, a_job_never_begins),
    (Rule.LIVE, a_run_is_cut_off),
)


@pytest.mark.parametrize(("rule", "story"), BROKEN, ids=lambda part: getattr(part, "__name__", str(part)))
def test_only_its_rule_finds_that(rule: Rule, story: Story) -> None:
    assert story().rules() == {rule.value}


def test_each_rule_is_needed() -> None:
    assert {rule for rule, _ in BROKEN} == set(Rule)
