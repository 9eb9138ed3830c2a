"""A Job: its spec is checked, its status is stored and read back without loss."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastercontrol.api.job import parse_job, parse_spec
from mastercontrol.api.names import ConditionType, Phase
from mastercontrol.api.status import ActiveStep, Condition, Group, HistoryEntry, JobError, JobStatus, Scope
from mastercontrol.api.status_json import parse_status, to_raw
from mastercontrol.api.values import InvalidObject

NOW = dt.datetime(2030, 1, 1, 12, 0, 0, 250_000, tzinfo=dt.UTC)

times = st.integers(0, 10**12).map(lambda ms: dt.datetime(1990, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=ms))
names = st.text(min_size=1, max_size=10)
json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
counts = st.integers(0, 10**6)
entries = st.builds(
    ActiveStep,
    path=names,
    seq=counts,
    attempt=st.integers(1, 100),
    not_before=st.none() | times,
    dispatched_at=st.none() | times,
    deadline=st.none() | times,
    cause=st.none() | counts,
    tried=st.lists(counts, max_size=3).map(tuple),
)
objects = st.dictionaries(names, json_values, max_size=2)
scopes = st.builds(Scope, after=st.none() | names, outputs=objects, variables=objects, error=st.none() | objects)
groups = st.builds(
    Group,
    path=names,
    seq=counts,
    size=counts,
    started=counts,
    failed=counts,
    attempt=st.integers(1, 100),
    tried=st.lists(counts, max_size=3).map(tuple),
    results=st.dictionaries(counts, json_values, max_size=3),
)
conditions = st.builds(
    Condition, st.sampled_from(ConditionType), st.booleans(), st.text(max_size=9), st.text(max_size=9), times
)
lines = st.builds(
    HistoryEntry, counts, times, names, names, st.none() | st.integers(1, 9), st.none() | names, st.none() | names
)
statuses = st.builds(
    JobStatus,
    state=names,
    phase=st.sampled_from(Phase),
    revision=st.none() | names,
    sequence=counts,
    broker_epoch=st.none() | names,
    active=st.lists(entries, max_size=2).map(tuple),
    scope=scopes,
    scopes=st.lists(st.builds(replace, scopes, path=names), max_size=2).map(tuple),
    groups=st.lists(groups, max_size=2).map(tuple),
    signals_taken=st.lists(counts, max_size=3).map(tuple),
    conditions=st.lists(conditions, max_size=3).map(tuple),
    history=st.lists(lines, max_size=3).map(tuple),
    start_time=st.none() | times,
    completion_time=st.none() | times,
    observed_generation=st.none() | counts,
    output=json_values,
    error=st.none() | st.builds(JobError, names, st.text(max_size=9), st.none() | names),
    message=st.none() | st.text(max_size=9),
    operations_taken=counts,
    resumable=st.lists(names, max_size=2).map(tuple),
    counted_from=counts,
)


@given(statuses)
def test_a_status_is_stored_and_read_back_without_loss(status: JobStatus) -> None:
    assert parse_status(json.loads(json.dumps(to_raw(status)))) == status


def many(status: JobStatus) -> JobStatus:
    """The same with many more entries."""
    return replace(
        status, active=status.active * 15, scopes=status.scopes * 15, history=status.history * 3, resumable=("a",) * 24
    )


@given(statuses)
def test_a_status_with_many_entries_is_packed_and_read_back_without_loss(status: JobStatus) -> None:
    long = many(status)
    raw = json.loads(json.dumps(to_raw(long)))
    assert parse_status(raw) == long
    assert not {"active", "scopes", "groups", "history", "resumable", "compensations"} & set(raw)
    assert all(isinstance(text, str) for text in raw["packed"].values())


@given(statuses, statuses)
def test_what_is_stored_as_it_was_written_is_taken_from_there_and_nothing_else(
    one: JobStatus, other: JobStatus
) -> None:
    written, stored = many(one), many(other)
    assert parse_status(json.loads(json.dumps(to_raw(stored))), written) == stored
    same = parse_status(json.loads(json.dumps(to_raw(written))), written)
    assert same == written
    assert same.active is written.active


def test_entries_that_were_sent_together_are_stored_in_a_few_bytes_each() -> None:
    sent = [ActiveStep(f"each[{i}].work", i, 1, None, NOW, NOW, worker="w") for i in range(1000)]
    odd = ActiveStep("each[7].work", 7, 2, NOW)
    text = to_raw(JobStatus(active=(*sent[:7], odd, *sent[8:])))["packed"]["active"]
    assert len(text) < 40 * 1000
    assert parse_status({"packed": {"active": text}}).active == (*sent[:7], odd, *sent[8:])


def test_an_entry_that_changed_is_stored_as_it_is_now() -> None:
    sent = [ActiveStep(f"each[{i}].work", i) for i in range(30)]
    first = JobStatus(active=tuple(sent))
    to_raw(first)
    second = replace(first, active=(replace(sent[0], attempt=2), *sent[1:]))
    assert parse_status(to_raw(second)).active[0].attempt == 2
    third = replace(second, active=tuple(replace(a, dispatched_at=NOW) for a in second.active))
    assert parse_status(to_raw(third)) == third


@given(statuses)
def test_a_stored_status_has_no_nulls_of_ours(status: JobStatus) -> None:
    raw = to_raw(status)
    assert None not in raw.values()
    assert all(None not in entry.values() for entry in raw.get("active", ()))
    assert all(None not in line.values() for line in raw.get("history", ()))


def test_a_job_is_read_with_its_defaults() -> None:
    job = parse_job({"metadata": {"name": "j", "uid": "u", "resourceVersion": "7"}, "spec": {"workflow": "order"}})
    assert (job.namespace, job.name, job.uid, job.resource_version, job.generation) == ("default", "j", "u", "7", 1)
    assert job.status is None
    assert not job.deleting
    spec = job.spec
    assert (spec.input, spec.suspend, spec.cancel) == (None, False, False)
    assert (spec.active_deadline_seconds, spec.ttl_seconds_after_finished) == (None, None)


@pytest.mark.parametrize("status", [{}, None])
def test_an_empty_status_is_none(status: object) -> None:
    assert parse_job({"metadata": {"name": "j"}, "spec": {"workflow": "w"}, "status": status}).status is None


def test_a_job_with_a_deletion_timestamp_is_being_deleted() -> None:
    meta = {"name": "j", "deletionTimestamp": "2030-01-01T00:00:00Z"}
    assert parse_job({"metadata": meta, "spec": {"workflow": "w"}}).deleting


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "spec.workflow"),
        ({"workflow": ""}, "spec.workflow"),
        ({"workflow": "w", "suspend": "yes"}, "spec.suspend"),
        ({"workflow": "w", "cancel": 1}, "spec.cancel"),
        ({"workflow": "w", "activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds"),
        ({"workflow": "w", "ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished"),
        ({"workflow": "w", "imput": 1}, "spec.imput"),
        ({"workflow": "w", "operations": {"type": "Retry"}}, "spec.operations: write a list"),
        ({"workflow": "w", "operations": ["Retry"]}, "spec.operations: write a list"),
        ({"workflow": "w", "operations": [{}]}, r"spec.operations\[0\].type"),
        ({"workflow": "w", "operations": [{"type": "retry"}]}, "write one of Retry, Restart, Skip, not 'retry'"),
        ({"workflow": "w", "operations": [{"type": "Retry"}, {"type": "Skip"}]}, r"spec.operations\[1\].state"),
        ({"workflow": "w", "operations": [{"type": "Retry", "state": "a"}]}, r"spec.operations\[0\].state: leave it"),
        ({"workflow": "w", "operations": [{"type": "Retry", "output": None}]}, r"\.output: leave it out"),
        ({"workflow": "w", "operations": [{"type": "Retry", "reason": ""}]}, r"spec.operations\[0\].reason"),
        ({"workflow": "w", "operations": [{"type": "Retry", "why": "x"}]}, r"spec.operations\[0\].why"),
        ({"workflow": "w", "priority": 10}, "spec.priority"),
        ({"workflow": "w", "priority": "high"}, "spec.priority"),
    ],
)
def test_a_wrong_spec_is_refused_by_the_name_of_its_field(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidObject, match=field):
        parse_spec(spec)


def test_an_operation_tells_an_output_of_null_from_none() -> None:
    skips = [{"type": "Skip", "state": "a"}, {"type": "Skip", "state": "a", "output": None, "reason": "Ann: known"}]
    one, other = parse_spec({"workflow": "w", "operations": skips}).operations
    assert (one.has_output, one.reason, str(one)) == (False, None, "Skip a")
    assert (other.has_output, other.output, other.reason) == (True, None, "Ann: known")


def test_a_job_knows_which_operations_are_still_to_be_dealt_with() -> None:
    spec = {"workflow": "w", "operations": [{"type": "Retry"}, {"type": "Restart"}]}
    raw = {"metadata": {"name": "j"}, "spec": spec}
    assert [str(o) for o in parse_job(raw).asked] == ["Retry", "Restart"]
    assert [str(o) for o in parse_job({**raw, "status": {"operationsTaken": 1}}).asked] == ["Restart"]
    assert parse_job({**raw, "status": {"operationsTaken": 2}}).asked == ()


def test_a_priority_is_0_unless_it_is_written_and_the_time_of_creation_is_read() -> None:
    meta = {"name": "j", "creationTimestamp": "2030-01-01T12:00:00Z"}
    job = parse_job({"metadata": meta, "spec": {"workflow": "w"}})
    assert (job.spec.priority, job.created) == (0, dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC))
    assert parse_spec({"workflow": "w", "priority": 9}).priority == 9


def test_a_condition_takes_the_place_of_the_one_of_its_type_and_keeps_its_time_unless_it_changed() -> None:
    later = NOW + dt.timedelta(seconds=5)
    status = JobStatus().with_condition(Condition(ConditionType.WAITING, True, "A", "a", NOW))  # noqa: FBT003
    same = status.with_condition(Condition(ConditionType.WAITING, True, "B", "b", later))  # noqa: FBT003
    changed = status.with_condition(Condition(ConditionType.WAITING, False, "B", "b", later))  # noqa: FBT003
    assert [(c.reason, c.last_transition) for c in same.conditions] == [("B", NOW)]
    assert [(c.reason, c.last_transition) for c in changed.conditions] == [("B", later)]
    assert status.without_condition(ConditionType.WAITING).conditions == ()


@pytest.mark.parametrize(
    ("phase", "ended"),
    [
        (Phase.PENDING, False),
        (Phase.RUNNING, False),
        (Phase.SUSPENDED, False),
        (Phase.SUCCEEDED, True),
        (Phase.FAILED, True),
        (Phase.CANCELLED, True),
    ],
)
def test_a_job_has_ended_in_three_of_the_phases(phase: Phase, *, ended: bool) -> None:
    assert JobStatus(phase=phase).ended is ended
