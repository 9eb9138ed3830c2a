"""spec.operations, Retry: a failed job goes on from where it failed."""

from __future__ import annotations

from mastercontrol.api.job import Signal
from mastercontrol.api.names import ConditionType, Phase, Reason
from mastercontrol.api.operation import Operation, OperationType
from mastercontrol.engine import moves
from mastercontrol.engine.facts import Limits, Missing
from mastercontrol.engine.places import Held
from unit.engine.builders import NOW, Run, catching, each, parallel, retrying, seconds, state, step
from unit.engine.operating import RESTART, RETRY, ask, chained, failed, sent_now

# -- what a failed job keeps


def test_a_failed_job_says_which_states_a_retry_would_enter() -> None:
    run = chained()
    assert run.status.resumable == ("charge",)
    assert run.status.active == (), "nothing of it is under way"
    assert run.status.scope.outputs == {"reserve": {"stock": 1}}


def test_a_job_that_ended_otherwise_keeps_nothing() -> None:
    run = Run.of(step("a"), step("b")).change(cancel=True)
    run.turn()
    assert (run.status.resumable, run.status.scope.is_bare) == ((), True)
    run = Run.of(step("a"), step("b"))
    run.done("a", 1)
    run.done("b", 2)
    assert (run.status.resumable, run.status.scope.is_bare) == ((), True)


def test_a_branch_that_failed_leaves_the_job_in_all_that_was_under_way_the_failed_one_first() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")], [step("c")]))
    run.done("fan[0].a", "A")
    run.broken("fan[2].c")
    assert failed(run) == "Broken"
    assert run.status.resumable == ("fan[2].c", "fan[1].b")
    (group,) = run.status.groups
    assert group.results == {0: "A"}


def test_what_a_failed_job_keeps_is_dropped_where_it_would_be_too_large() -> None:
    run = Run.of(step("a"), step("b"))
    run.done("a", "x" * 3000)
    run.limits = Limits(status_bytes=moves.status_bytes(run.status) + 100)
    run.broken("b")
    assert failed(run) == "Broken", "it has its own error still"
    assert run.status.resumable == ()
    ask(run, RETRY)
    assert run.status.state == "Failed"
    assert "it is not kept where the job stood, as that was undone or too large; write Restart" in run.notes[-1].message
    ask(run, RESTART)
    assert run.paths == ["a"]


# -- Retry of each kind of state


def test_a_retry_enters_the_state_that_failed_with_the_input_that_it_had() -> None:
    run = ask(chained(), RETRY)
    assert run.status.state == "InProgress.charge"
    assert run.at("charge").dispatched_at is None, "what a user makes due is written before it is sent"
    assert sent_now(run) == ["charge 4:1"]
    assert run.message("charge").input == {"stock": 1}
    run.done("charge", "paid")
    run.done("ship", "sent")
    assert run.ending == ("Done", "sent")


def test_a_retried_job_looks_as_one_that_never_ended() -> None:
    run = chained().later(60)
    assert run.condition(ConditionType.FAILED) == (True, "Broken")
    ask(run, RETRY)
    status = run.status
    assert (status.phase, status.completion_time, status.error, status.resumable) == (Phase.RUNNING, None, None, ())
    assert run.condition(ConditionType.FAILED) is None
    assert status.start_time == NOW + seconds(60)
    assert run.condition(ConditionType.OPERATED) == (True, "Retried")


def test_a_retry_stands_in_the_history_with_its_reason() -> None:
    run = ask(chained(), RETRY)
    line = run.status.history[-1]
    assert (line.seq, line.state, line.reason, line.message) == (4, "InProgress.charge", "Retried", "ann: mended")
    assert [h.seq for h in run.status.history] == [1, 2, 3, 4]


def test_each_state_that_a_retry_enters_has_a_line_of_its_own_with_the_reason() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")]))
    run.broken("fan[1].b")
    ask(run, RETRY)
    assert [(line.state, line.reason, line.message) for line in run.status.history[-3:]] == [
        ("InProgress.fan", "Retried", "ann: mended"),
        ("InProgress.fan[1].b", "Retried", "ann: mended"),
        ("InProgress.fan[0].a", "Retried", "ann: mended"),
    ]


def test_an_operation_without_a_reason_is_said_to_be_done() -> None:
    run = ask(chained(), Operation(OperationType.RETRY))
    operated = next(c for c in run.status.conditions if c.type is ConditionType.OPERATED)
    assert operated.message == "spec.operations[0], Retry: done"


def test_a_retry_gives_a_parallel_with_one_rule_all_its_attempts_anew() -> None:
    run = Run.of(parallel("fan", [step("a")], retry=retrying(1, 0)))
    run.broken("fan[0].a")
    run.wake()
    run.wake()
    run.broken("fan[0].a")
    assert failed(run) == "Broken"
    ask(run, RETRY).turn()
    run.broken("fan[0].a")
    assert run.paths == ["fan"]


def test_a_retry_gives_all_attempts_of_a_parallel_anew() -> None:
    one, other = retrying(1, 0, errors=["One"]), retrying(1, 0, errors=["Other"])
    run = Run.of(parallel("fan", [step("a")], retry={"rules": [one, other]}))
    run.broken("fan[0].a", "One")
    run.wake()
    run.wake()
    run.broken("fan[0].a", "One")
    assert failed(run) == "One"
    ask(run, RETRY).turn()
    for code in ("One", "Other"):
        run.broken("fan[0].a", code)
        assert run.paths == ["fan"], "it is tried again"
        run.wake()
        run.wake()
    run.broken("fan[0].a", "One")
    assert failed(run) == "One"


def test_a_retry_gives_all_attempts_anew() -> None:
    run = Run.of(step("a", retry=retrying(1)))
    run.broken("a")
    run.wake()
    run.broken("a")
    assert failed(run) == "Broken"
    ask(run, RETRY).turn()
    assert run.at("a").attempt == 1
    run.broken("a")
    assert run.at("a").attempt == 2
    run.wake()
    run.done("a", 1)
    assert run.ending == ("Done", 1)


def test_a_job_can_be_retried_again_and_again() -> None:
    run = chained()
    for _ in range(3):
        ask(run, RETRY).turn()
        run.broken("charge")
        assert failed(run) == "Broken"
    assert run.status.operations_taken == 3
    ids = [m.id for m in run.sent]
    assert len(ids) == len(set(ids)), "no dispatch id is used twice"


def test_finished_branches_keep_their_results_and_the_others_are_entered_again() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b"), step("b2")], [step("c")]), step("after"))
    run.done("fan[0].a", "A")
    run.done("fan[1].b", "B")
    run.broken("fan[2].c")
    ask(run, RETRY)
    assert run.status.state == "InProgress.fan"
    assert [(h.seq, h.state, h.reason) for h in run.status.history][-3:] == [
        (9, "InProgress.fan", "Retried"),
        (10, "InProgress.fan[2].c", "Retried"),
        (11, "InProgress.fan[1].b2", "Retried"),
    ]
    assert sent_now(run) == ["c 10:1", "b2 11:1"]
    run.done("fan[2].c", "C")
    run.done("fan[1].b2", "B2")
    assert run.message("after").input == ["A", "B2", "C"]


def test_the_items_of_a_map_that_were_done_are_not_done_again() -> None:
    run = Run.of(each("m", [1, 2, 3, 4, 5], step("a"), maxConcurrency=2))
    run.done("m[0].a", "one")
    run.done("m[1].a", "two")
    run.broken("m[2].a")
    assert run.status.resumable == ("m[2].a", "m[3].a")
    before = len(run.sent)
    ask(run, RETRY).turn()
    assert [m.input for m in run.sent[before:]] == [3, 4]
    for i in (2, 3, 4):
        run.done(f"m[{i}].a", i)
    assert run.ending == ("Done", ["one", "two", 2, 3, 4])


def test_a_nested_failure_goes_on_inside_of_all_that_it_is_in() -> None:
    inner = each("in", "${[1, 2]}", step("a"), step("b"))
    run = Run.of(parallel("fan", [inner, step("z")], [step("y")]))
    run.done("fan[0].in[0].a", "A0")
    run.done("fan[0].in[1].a", "A1")
    run.done("fan[0].in[1].b", "B1")
    run.broken("fan[0].in[0].b")
    assert run.status.error is not None
    assert run.status.error.state == "fan"
    assert run.status.resumable == ("fan[0].in[0].b", "fan[1].y")
    ask(run, RETRY).turn()
    assert run.message("fan[0].in[0].b").input == "A0"
    run.done("fan[0].in[0].b", "B0")
    assert run.paths == ["fan[1].y", "fan[0].z"]
    assert run.message("fan[0].z").input == ["B0", "B1"]
    run.done("fan[0].z", "Z")
    run.done("fan[1].y", "Y")
    assert run.ending == ("Done", ["Z", "Y"])


def test_a_wait_and_a_signal_that_were_under_way_begin_anew() -> None:
    wait, ask_ann = state("Wait", "w", seconds=60), state("Signal", "s", signal="go", timeoutSeconds=60)
    run = Run.of(parallel("fan", [wait], [ask_ann], [step("a")]))
    run.later(30)
    run.broken("fan[2].a")
    ask(run.later(30), RETRY)
    assert run.at("fan[0].w").not_before == run.now + seconds(60)
    assert run.at("fan[1].s").deadline == run.now + seconds(60)
    run.turn()
    run.done("fan[2].a", "A")
    run.change(signals=(Signal("go", 1),)).turn()
    run.later(60).turn()
    assert run.ending == ("Done", [{"sku": "A1"}, 1, "A"])


def test_a_signal_that_did_not_come_in_time_is_waited_for_again() -> None:
    run = Run.of(state("Signal", "s", signal="go", timeoutSeconds=60), step("after"))
    run.wake()
    assert failed(run) == "Timeout"
    ask(run, RETRY)
    assert run.paths == ["s"]
    assert run.condition(ConditionType.WAITING) == (True, "Signal")
    run.change(signals=(Signal("go", 1),)).turn()
    assert run.paths == ["after"]


def test_what_was_in_its_back_off_is_entered_at_once_and_with_all_its_attempts() -> None:
    again = step("b", retry=retrying(3, 60))
    whole = parallel("in", [step("c")], retry=retrying(3, 60))
    run = Run.of(parallel("fan", [step("a")], [again], [whole]))
    run.broken("fan[1].b")
    run.broken("fan[2].in[0].c")
    run.broken("fan[0].a")
    assert run.status.resumable == ("fan[0].a", "fan[1].b", "fan[2].in")
    ask(run, RETRY).turn()
    assert {(a.path, a.attempt) for a in run.status.active} == {("fan[0].a", 1), ("fan[1].b", 1), ("fan[2].in[0].c", 1)}
    assert all(a.dispatched_at is not None for a in run.status.active)


def test_what_was_on_its_way_in_the_decision_that_failed_the_job_goes_on() -> None:
    """Nothing of the second branch was active when the first one failed: it was still to be begun."""
    run = Run.of(parallel("fan", [state("Wait", "w", seconds="${input.nope}")], [state("Pass", "p"), step("b")]))
    assert failed(run) == "States.QueryEvaluationError"
    assert run.status.resumable == ("fan[0].w",)
    assert run.steps == []
    ask(run, Operation(OperationType.SKIP, "fan[0].w"))
    run.turn()
    run.done("fan[1].b", "B")
    assert run.ending == ("Done", [{"sku": "A1"}, "B"])


def test_a_state_that_passes_its_input_on_is_entered_again_where_the_job_was_to_go_on() -> None:
    bad = [state("Pass", "p"), state("Wait", "w", seconds="${input.nope}")]
    run = Run.of(parallel("fan", bad, [state("Pass", "q"), state("Pass", "r"), step("b")]))
    assert run.status.resumable == ("fan[0].w", "fan[1].r")
    ask(run, Operation(OperationType.SKIP, "fan[0].w")).turn()
    run.done("fan[1].b", "B")
    assert run.ending == ("Done", [{"sku": "A1"}, "B"])


def test_items_that_were_not_begun_yet_begin_after_the_retry() -> None:
    states = [state("Wait", "w", seconds="${item}")]
    run = Run.of(each("m", ["soon", 0, 0], *states, maxConcurrency=1))
    assert failed(run) == "States.QueryEvaluationError"
    assert run.status.resumable == ("m[0].w",)
    ask(run, Operation(OperationType.SKIP, "m[0].w", has_output=True, output="skipped"))
    run.turn()
    run.turn()
    run.turn()
    assert run.ending == ("Done", ["skipped", 0, 0])


def test_a_state_that_failed_by_its_own_data_fails_again() -> None:
    run = Run.of(step("a"), step("b", input="${input.nope}"))
    run.done("a", {})
    assert run.status.resumable == ("b",)
    ask(run, RETRY)
    assert failed(run) == "States.QueryEvaluationError"
    assert run.status.resumable == ("b",)
    assert [h.seq for h in run.status.history] == [1, 2, 3, 4, 5]


def test_a_map_whose_own_output_could_not_be_made_keeps_its_items() -> None:
    run = Run.of(each("m", [1, 2], step("a"), output="${result.nope}"))
    run.done("m[0].a", 1)
    run.done("m[1].a", 2)
    assert failed(run) == "States.QueryEvaluationError"
    assert run.status.resumable == ("m",)
    before = len(run.sent)
    ask(run, RETRY)
    assert failed(run) == "States.QueryEvaluationError"
    assert len(run.sent) == before, "no item is done again"


def test_tolerated_items_stay_as_they_are() -> None:
    run = Run.of(each("m", [1, 2, 3], step("a"), toleratedFailureCount=1))
    run.broken("m[0].a")
    run.broken("m[1].a")
    assert failed(run) == "States.ExceedToleratedFailureThreshold"
    assert run.status.resumable == ("m[1].a", "m[2].a")
    ask(run, RETRY).turn()
    run.done("m[1].a", "two")
    run.done("m[2].a", "three")
    how, output = run.ending
    assert how == "Done"
    assert (output[0]["error"]["code"], output[1:]) == ("Broken", ["two", "three"])


def test_an_error_that_is_handled_leaves_nothing_of_it_behind() -> None:
    fan = parallel("fan", [step("a")], [each("in", "${[1, 2]}", step("b"))], catch=catching("mend"), end=True)
    run = Run.of(fan, step("mend"))
    run.broken("fan[1].in[0].b")
    assert run.paths == ["mend"]
    assert (run.status.groups, run.status.scopes) == ((), ())
    run.broken("mend")
    assert run.status.resumable == ("mend",)


def test_a_job_that_ran_out_of_time_goes_on_with_a_time_of_its_own() -> None:
    run = Run.of(parallel("fan", [step("a")], [step("b")]), active_deadline_seconds=60)
    run.done("fan[0].a", "A")
    run.wake()
    assert failed(run) == "DeadlineExceeded"
    assert run.status.resumable == ("fan[1].b",)
    ask(run.later(1000), RETRY)
    assert run.status.state == "InProgress.fan"
    run.turn()
    assert run.last.wake_at == run.now + seconds(60)
    run.done("fan[1].b", "B")
    assert run.ending == ("Done", ["A", "B"])


def test_a_job_that_grew_too_large_goes_on_from_the_last_status_that_was_not() -> None:
    run = Run.of(step("a"), step("b"))
    run.limits = Limits(status_bytes=4096)
    run.done("a", "x" * 9000)
    assert failed(run) == "StatusTooLarge"
    ask(run, RETRY).turn()
    run.done("a", "small")
    run.done("b", "done")
    assert run.ending == ("Done", "done")


def test_a_job_that_made_too_many_transitions_counts_anew() -> None:
    loop = [step("a"), state("Choice", "again", choices=[{"when": "input == 'again'", "next": "a"}], default="z")]
    run = Run.of(*loop, step("z"), max_transitions=5)
    while not run.status.ended:
        run.done("a", "again")
    assert failed(run) == "MaxTransitionsExceeded"
    ask(run, RETRY).turn()
    rounds = 0
    while run.paths:
        run.done(run.paths[0], "again")
        rounds += 1
    assert rounds > 1
    assert failed(run) == "MaxTransitionsExceeded", "the loop is bounded all the same"


def test_a_job_whose_revision_was_gone_goes_on_when_it_is_there_again() -> None:
    run = Run.of(step("a"), step("b"))
    definition = run.definition
    run.definition = Missing(Reason.UNKNOWN_WORKFLOW, "the ControllerRevision 'order-1' is gone")
    run.turn(run.result("a", 1))
    assert failed(run) == "UnknownWorkflow"
    ask(run, RETRY)
    assert run.status.state == "Failed"
    assert "the ControllerRevision 'order-1' is gone; ask again when it is there" in run.notes[-1].message
    run.definition = definition
    ask(run, RETRY)
    assert run.paths == ["a"]


def test_a_retry_is_refused_while_other_jobs_have_all_places() -> None:
    run = Run.of(step("a"))
    run.broken("a")
    run.place = Held("waits for a place: held by order-2 (limit 1)")
    ask(run, RETRY)
    assert run.status.state == "Failed"
    assert "it waits for a place: held by order-2 (limit 1); ask again" in run.notes[-1].message


def test_a_retry_waits_a_moment_while_nobody_knows_who_has_a_place() -> None:
    run = Run.of(step("a"))
    run.broken("a")
    run.place = Held(None)
    run.change(operations=(Operation(OperationType.RETRY),)).turn()
    assert run.status.operations_taken == 0
    assert run.last.wake_at == run.now + seconds(1)
    run.place = None
    run.wake()
    assert run.paths == ["a"]
