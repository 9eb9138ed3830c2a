"""Which workers go, and when: `leaving.plan`."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.crew import FRESH_SECONDS, Crew, Member
from mastercontrol.pools.leaving import DELETION_COST, MARK, Plan, Pod, plan, pods_of
from mastercontrol_worker.presence import Command, CommandMessage, Doing, PresenceMessage
from unit.pools.yard import QUEUE, Yard


def busy(held: int = 1, *, draining: bool = False) -> Member:
    return Member(Doing.DRAINING if draining else Doing.CONSUMING, held, "address", 0)


IDLE = busy(0)
DONE = Member(Doing.DRAINING, 0, "address", 0, obeys="now")


def planned(
    found: list[Pod], crew: dict[str, Member], wanted: int, idle: str = "", settled: Collection[str] = ()
) -> Plan:
    """With the order `now` given to all. `idle` are names of one letter."""
    return plan(found, crew, dict.fromkeys(crew, "now"), wanted, idle, settled)


def pods(*names: str, marked: str = "", unready: str = "") -> list[Pod]:
    return [Pod(name, name not in unready, name in marked) for name in names]


def test_nobody_is_asked_where_there_are_not_too_many() -> None:
    assert planned(pods("a", "b"), {"a": IDLE, "b": busy()}, 2) == Plan(2)


def test_idle_workers_are_asked_first_and_keep_their_pods_until_they_answered() -> None:
    found = planned(pods("a", "b", "c"), {"a": busy(), "b": IDLE, "c": busy()}, 2)
    assert found == Plan(3, drain=("b",), busy=1)


def test_who_answered_is_marked_and_goes_once_the_mark_is_settled() -> None:
    crew = {"a": busy(), "b": DONE}
    assert planned(pods("a", "b"), crew, 1) == Plan(2, drain=("b",), mark=("b",))
    assert planned(pods("a", "b", marked="b"), crew, 1) == Plan(2, drain=("b",))
    assert planned(pods("a", "b", marked="b"), crew, 1, settled={"b"}) == Plan(1, drain=("b",), going=("b",))


def test_one_that_is_still_busy_holds_up_no_other() -> None:
    crew = {"a": busy(draining=True), "b": DONE}
    found = planned(pods("a", "b", "c", marked="b"), crew | {"c": busy(2)}, 1, settled={"b"})
    assert found == Plan(2, drain=("b", "a"), busy=1, going=("b",))


def test_nobody_is_marked_where_all_go() -> None:
    assert planned(pods("a", "b"), {"a": DONE, "b": DONE}, 0) == Plan(0, drain=("a", "b"), going=("a", "b"))


def test_an_answer_to_another_order_counts_for_nothing() -> None:
    crew = {"a": busy(), "b": Member(Doing.DRAINING, 0, "address", 0, obeys="before")}
    assert planned(pods("a", "b"), crew, 1) == Plan(2, drain=("b",), busy=1)
    assert plan(pods("a", "b"), {"a": busy(), "b": DONE}, {}, 1, "", ()) == Plan(2, drain=("b",), busy=1)


def test_who_is_no_longer_to_go_goes_on_and_loses_the_mark_before_another_may_go() -> None:
    crew = {"a": busy(draining=True), "b": IDLE, "c": DONE}
    found = planned(pods("a", "b", "c", marked="ac"), crew, 2, settled={"a", "c"})
    assert found == Plan(3, drain=("c",), resume=("a",), unmark=("a",))


def test_pods_that_are_not_ready_go_first_and_are_marked_too() -> None:
    crew = {"a": IDLE, "b": IDLE}
    assert planned(pods("a", "b", "c", unready="c"), crew, 2) == Plan(3, mark=("c",))
    assert planned(pods("a", "b", "c", unready="c", marked="c"), crew, 2, settled={"c"}) == Plan(2, going=("c",))


def test_a_worker_that_says_nothing_goes_last_and_only_if_the_broker_knows_it_to_be_idle() -> None:
    crew = {"a": DONE}
    three = pods("a", "b", "c", marked="a")
    assert planned(three, crew, 1, settled={"a"}) == Plan(2, drain=("a",), busy=1, going=("a",))
    assert planned(three, crew, 1, idle="c", settled={"a"}) == Plan(2, drain=("a",), mark=("c",), going=("a",))
    assert planned(pods("b", "c"), {}, 0, idle="bc").replicas == 0


def test_a_pod_that_is_not_ready_and_speaks_is_at_work_all_the_same() -> None:
    crew = {"a": busy(), "b": IDLE}
    found = planned(pods("a", "b", unready="a"), crew, 1)
    assert found == Plan(2, drain=("b",), busy=1)


def test_a_worker_whose_process_ends_is_not_asked_and_goes_when_it_holds_nothing() -> None:
    ends = Member(Doing.ENDING, 1, "address", 0)
    assert planned(pods("a"), {"a": ends}, 0) == Plan(1, busy=1)
    assert planned(pods("a"), {"a": Member(Doing.ENDING, 0, "address", 0)}, 0) == Plan(0, going=("a",))


@pytest.mark.parametrize(
    "ended", [{"metadata": {"deletionTimestamp": "now"}}, {"status": {"phase": "Failed"}}], ids="ab"
)
def test_pods_that_end_are_no_replicas(ended: RawObject) -> None:
    meta = {"name": "a", "annotations": {DELETION_COST: MARK}, "creationTimestamp": "t"}
    raw: RawObject = {"metadata": meta, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert pods_of([raw]) == [Pod("a", ready=True, marked=True, created="t")]
    assert pods_of([{**raw, **ended, "metadata": meta | ended.get("metadata", {})}]) == []


def test_a_worker_that_fell_silent_is_known_no_more() -> None:
    crew = Crew()
    crew.listen(100)
    crew.hear(PresenceMessage(QUEUE, "a", Doing.CONSUMING, 1, 1), "address", 100)
    assert crew.fresh(100 + FRESH_SECONDS - 1) == {"a": Member(Doing.CONSUMING, 1, "address", 100)}
    assert not crew.heard_all(100 + FRESH_SECONDS - 1)
    assert crew.fresh(100 + FRESH_SECONDS) == {}
    assert crew.heard_all(100 + FRESH_SECONDS)


class Scaling:
    """`leaving.plan` at work in a yard where all takes its time."""

    def __init__(self, seed: int, count: int) -> None:
        self.yard, self.crew = Yard(seed), Crew()
        self.random = self.yard.random
        self.orders: dict[str, str] = {}
        self.settled: set[str] = set()
        self.unsettled = False
        for index in range(count):
            self.yard.add(f"w{index}", left=[5.0] if self.random.random() < 0.5 else [])

    def look(self, wanted: int, *, calm: bool) -> None:
        yard = self.yard
        if not calm and self.random.random() < 0.5:
            yard.hand_out(self.random.choice([0.5, 3.0, 20.0]))
        while yard.said and (calm or self.random.random() < 0.8):
            said = yard.said.popleft()
            self.crew.hear(said, said.worker, 0)
        self.obey(
            plan(
                pods_of(yard.pods()),
                self.crew.fresh(0),
                self.orders,
                wanted,
                "",
                self.settled,
                may_go=not self.unsettled,
            )
        )
        if calm or self.random.random() < 0.7:
            yard.carry()
        yard.work(1.0)
        if calm or self.random.random() < 0.5:
            # What the ReplicaSet has seen counts as settled, and not before.
            yard.sync()
            self.unsettled = False
            self.settled.update(name for name, worker in yard.workers.items() if worker.cost_seen == MARK)
        yard.reconcile()

    def obey(self, found: Plan) -> None:
        yard = self.yard
        for name in found.drain:
            if name not in self.orders:
                self.orders[name] = f"order-{self.random.random()}"
                yard.post(name, CommandMessage(Command.DRAIN, self.orders[name]))
        for name in found.resume:
            self.orders.pop(name, None)
            yard.post(name, CommandMessage(Command.RESUME))
        for name in found.unmark:
            yard.annotate(name, None)
            self.unsettled = True
            self.settled.discard(name)
        for name in found.mark:
            yard.annotate(name, MARK)
        yard.replicas = min(yard.replicas, found.replicas)


@settings(max_examples=500)
@given(
    st.integers(0, 2**32),
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 6), st.integers(1, 12)), min_size=1, max_size=12),
)
def test_no_busy_worker_is_ended_and_the_number_is_reached(
    seed: int, count: int, numbers: list[tuple[int, int]]
) -> None:
    """Whatever comes between: steps, answers, marks, a change of mind and the ReplicaSet, each in its own time."""
    scaling = Scaling(seed, count)
    for wanted, looks in numbers:
        for _ in range(looks):
            scaling.look(wanted, calm=False)
    last = numbers[-1][0]
    for _ in range(60):
        scaling.look(last, calm=True)
    assert scaling.yard.wronged == []
    assert min(count, *(wanted for wanted, _ in numbers)) <= len(scaling.yard.workers) <= min(count, last)
    assert not any(worker.draining for worker in scaling.yard.workers.values())
