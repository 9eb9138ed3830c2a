"""The jobs of a run: every example is among them, and each knows what must come of it."""

from __future__ import annotations

from collections import Counter

from chaos.load import CHAIN, EXAMPLES, STEPS, cycle, documents, due, jobs, setup, sorts


def test_every_workflow_of_the_examples_flows_and_chains_beside_them() -> None:
    workflows = {
        o["metadata"]["name"] for f in EXAMPLES.glob("*/*.yaml") for o in documents(f) if o["kind"] == "Workflow"
    }
    assert workflows == {sort.workflow for sort in sorts()} - {CHAIN}
    assert len(workflows) >= 10


def test_all_that_the_jobs_need_is_set_up_and_no_job() -> None:
    found = setup()
    assert {o["kind"] for o in found} == {"PersistentVolumeClaim", "WorkerPool", "Workflow"}
    pools = {o["metadata"]["name"] for o in found if o["kind"] == "WorkerPool"}
    assert {"relay-first", "thumbnails-fetch", "patterns-shop", CHAIN} <= pools


def test_a_job_expects_its_own_name_in_its_output() -> None:
    order = next(job for job in jobs(sorts(), 100, "r") if job.workflow == "order")
    assert order.output["receipt"] == f"{order.name}-38"
    assert order.manifest()["metadata"]["name"] == order.name


def test_names_are_unique_and_the_same_each_time() -> None:
    names = [job.name for job in jobs(sorts(), 200, "r")]
    assert len(set(names)) == 200
    assert names == [job.name for job in jobs(sorts(), 200, "r")]


def test_chains_are_for_volume_and_spread_evenly() -> None:
    around = [sort.workflow for sort in cycle(sorts())]
    counts = Counter(around)
    assert counts[CHAIN] == 8
    assert {counts[name] for name in set(counts) - {CHAIN, "relay"}} == {1}
    assert all(CHAIN in around[i : i + 6] for i in range(len(around) - 6))


def test_the_chain_has_five_steps() -> None:
    workflow = next(o for o in setup() if o["kind"] == "Workflow" and o["metadata"]["name"] == CHAIN)
    assert [state["name"] for state in workflow["spec"]["states"]] == list(STEPS)


def test_jobs_come_at_a_steady_rate_and_what_was_held_up_is_made_up_for() -> None:
    assert due(0, 60, 0, 60) == 1
    assert due(1, 60, 0.5, 60) == 0
    assert due(1, 60, 10, 60) == 10
    assert due(60, 60, 100, 60) == 0
    assert due(58, 60, 100, 60) == 2
