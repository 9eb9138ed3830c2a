"""What the engine and the pools may rely on, whatever the store is: a real API server or `memory`.

A test module subclasses these and provides the fixture `cluster`. A test that holds for one and not for the other is
a fault of the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from mastercontrol.api import names
from mastercontrol.engine.ports import (
    EpochStore,
    Gone,
    JobStore,
    JsonPatch,
    RawObject,
    Refused,
    Rejected,
    StoreUnavailable,
)
from mastercontrol.pools.ports import PoolCluster


class Jobs(JobStore, Protocol):
    """A JobStore with its list, and the patch of a spec."""

    async def list_jobs(self, namespace: str | None) -> list[RawObject]: ...
    async def patch(self, namespace: str, name: str, patch: JsonPatch) -> RawObject: ...


class Pools(PoolCluster, Protocol):
    """A PoolCluster with its list, and the patch of annotations."""

    async def list_pools(self, namespace: str | None) -> list[RawObject]: ...
    async def read_pool(self, namespace: str, name: str) -> RawObject | None: ...
    async def patch_pool(self, namespace: str, name: str, patch: JsonPatch) -> RawObject: ...


class Workflows(Protocol):
    """Workflows and their revisions."""

    async def list_workflows(self, namespace: str | None) -> list[RawObject]: ...
    async def patch_workflow_status(self, namespace: str, name: str, status: dict[str, Any]) -> None: ...
    async def create_revision(self, manifest: RawObject) -> None: ...
    async def read_revision(self, namespace: str, name: str) -> RawObject | None: ...


@dataclass(frozen=True)
class Cluster:
    """One store, seen through its adapters. `namespace` is empty when a test begins, `other` too."""

    namespace: str
    other: str
    jobs: Jobs
    epochs: EpochStore
    pools: Pools
    workflows: Workflows
    create: Callable[[RawObject], Awaitable[RawObject]]
    """Creates any object, as a user or another controller would."""
    edit: Callable[[RawObject, dict[str, Any]], Awaitable[RawObject]]
    """Merges a change into an object outside of its status."""

    async def job(self, name: str = "order-1", **more: Any) -> RawObject:
        return await self.create(job(self.namespace, name, **more))


def job(namespace: str, name: str, **more: Any) -> RawObject:
    metadata = {"namespace": namespace, "name": name, "labels": {"team": "shop"}}
    spec = {"workflow": "order", "input": {"sku": "A1"}, **more}
    return {"apiVersion": names.API_VERSION, "kind": "Job", "metadata": metadata, "spec": spec}


def deployment(namespace: str, name: str, image: str = "a:1", **labels: str) -> RawObject:
    pod_labels = {names.LABEL_POOL: name}
    container = {"name": "worker", "image": image}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": namespace, "name": name, "labels": labels},
        "spec": {
            "selector": {"matchLabels": pod_labels},
            "template": {"metadata": {"labels": pod_labels}, "spec": {"containers": [container]}},
        },
    }


def budget(namespace: str, name: str, **bound: Any) -> RawObject:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"selector": {"matchLabels": {names.LABEL_POOL: name}}, **bound},
    }


def pool(namespace: str, name: str) -> RawObject:
    spec = {"template": {"image": "a:1"}}
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": names.API_VERSION, "kind": "WorkerPool", "metadata": metadata, "spec": spec}


def workflow(namespace: str, name: str) -> RawObject:
    spec = {"states": [{"name": "reserve", "pool": "inventory"}]}
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": names.API_VERSION, "kind": "Workflow", "metadata": metadata, "spec": spec}


def begin(job: RawObject, **status: Any) -> list[dict[str, Any]]:
    """The first status: fenced by the resourceVersion, as there is no sequence yet."""
    version = job["metadata"]["resourceVersion"]
    return [
        {"op": "test", "path": "/metadata/uid", "value": job["metadata"]["uid"]},
        {"op": "test", "path": "/metadata/resourceVersion", "value": version},
        {"op": "add", "path": "/status", "value": {"sequence": 1, **status}},
    ]


def advance(job: RawObject, sequence: int, **status: Any) -> list[dict[str, Any]]:
    """A transition: fenced by uid and sequence."""
    return [
        {"op": "test", "path": "/metadata/uid", "value": job["metadata"]["uid"]},
        {"op": "test", "path": "/status/sequence", "value": sequence},
        {"op": "replace", "path": "/status", "value": {"sequence": sequence + 1, **status}},
    ]


class JobStoreContract:
    """The fence, and everything around it."""

    async def test_a_job_that_was_never_made_reads_as_none(self, cluster: Cluster) -> None:
        assert await cluster.jobs.read(cluster.namespace, "nobody") is None

    async def test_a_new_job_has_an_identity_a_version_and_no_status(self, cluster: Cluster) -> None:
        await cluster.job()
        found = await cluster.jobs.read(cluster.namespace, "order-1")
        assert found is not None
        assert (found["apiVersion"], found["kind"]) == (names.API_VERSION, "Job")
        assert found["spec"]["input"] == {"sku": "A1"}
        assert "status" not in found
        assert found["metadata"]["uid"]
        assert int(found["metadata"]["resourceVersion"]) > 0
        assert found["metadata"]["generation"] == 1
        assert found["metadata"]["creationTimestamp"].endswith("Z")

    async def test_a_job_is_created_once_under_its_name(self, cluster: Cluster) -> None:
        made = await cluster.jobs.create(job(cluster.namespace, "child-1"))
        with pytest.raises(Refused):
            await cluster.jobs.create(job(cluster.namespace, "child-1", input={"sku": "B2"}))
        assert await cluster.jobs.read(cluster.namespace, "child-1") == made

    async def test_a_created_job_keeps_its_owner_its_labels_and_its_annotations(self, cluster: Cluster) -> None:
        parent = await cluster.job()
        child = job(cluster.namespace, "child-1")
        owner = {
            "apiVersion": names.API_VERSION,
            "kind": "Job",
            "name": "order-1",
            "uid": parent["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        child["metadata"] |= {"ownerReferences": [owner], "annotations": {names.ANNOTATION_DISPATCH: "u:1:1"}}
        await cluster.jobs.create(child)
        found = await cluster.jobs.read(cluster.namespace, "child-1")
        assert found is not None
        assert found["metadata"]["ownerReferences"] == [owner]
        assert found["metadata"]["annotations"] == {names.ANNOTATION_DISPATCH: "u:1:1"}
        assert found["metadata"]["labels"] == {"team": "shop"}

    async def test_a_job_that_the_store_will_never_take_is_rejected(self, cluster: Cluster) -> None:
        with pytest.raises(Rejected):
            await cluster.jobs.create(job(cluster.namespace, "large", input="x" * 2_000_000))

    async def test_an_operation_is_added_to_a_job_as_it_was_read_and_to_no_later_one(self, cluster: Cluster) -> None:
        made = await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(await cluster.job(operations=[])))
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": made["metadata"]["uid"]},
            {"op": "test", "path": "/metadata/resourceVersion", "value": made["metadata"]["resourceVersion"]},
            {"op": "add", "path": "/spec/operations", "value": [{"type": "Retry", "reason": "it works again"}]},
        ]
        after = await cluster.jobs.patch(cluster.namespace, "order-1", patch)
        assert after["spec"]["operations"] == [{"type": "Retry", "reason": "it works again"}]
        assert after["metadata"]["generation"] == made["metadata"]["generation"] + 1
        assert after["status"] == {"sequence": 1}
        with pytest.raises(Refused):
            await cluster.jobs.patch(cluster.namespace, "order-1", patch)
        with pytest.raises(Gone):
            await cluster.jobs.patch(cluster.namespace, "nobody", patch)

    async def test_a_patch_of_a_job_leaves_its_status_alone(self, cluster: Cluster) -> None:
        await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(await cluster.job()))
        await cluster.jobs.patch(
            cluster.namespace, "order-1", [{"op": "add", "path": "/status", "value": {"sequence": 9}}]
        )
        found = await cluster.jobs.read(cluster.namespace, "order-1")
        assert found is not None
        assert found["status"] == {"sequence": 1}

    async def test_a_status_that_comes_with_a_new_job_is_dropped(self, cluster: Cluster) -> None:
        forged = job(cluster.namespace, "forged") | {"status": {"sequence": 7, "phase": "Succeeded"}}
        assert "status" not in await cluster.create(forged)

    async def test_the_first_status_is_written_when_nobody_changed_the_job(self, cluster: Cluster) -> None:
        made = await cluster.job()
        after = await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made, phase="Running"))
        assert after["status"] == {"sequence": 1, "phase": "Running"}
        assert int(after["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
        assert await cluster.jobs.read(cluster.namespace, "order-1") == after

    async def test_the_first_status_is_refused_when_the_job_was_changed_since(self, cluster: Cluster) -> None:
        made = await cluster.job()
        await cluster.edit(made, {"spec": {"suspend": True}})
        with pytest.raises(Refused):
            await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made))
        found = await cluster.jobs.read(cluster.namespace, "order-1")
        assert found is not None
        assert "status" not in found

    async def test_a_transition_of_the_current_sequence_is_written(self, cluster: Cluster) -> None:
        made = await cluster.job()
        await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made))
        after = await cluster.jobs.patch_status(cluster.namespace, "order-1", advance(made, 1, state="Done"))
        assert after["status"] == {"sequence": 2, "state": "Done"}

    async def test_a_transition_of_another_sequence_is_refused_and_writes_nothing(self, cluster: Cluster) -> None:
        made = await cluster.job()
        before = await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made))
        for sequence in (0, 2):
            with pytest.raises(Refused):
                await cluster.jobs.patch_status(cluster.namespace, "order-1", advance(made, sequence, state="Done"))
        assert await cluster.jobs.read(cluster.namespace, "order-1") == before

    async def test_a_transition_before_there_is_a_status_is_refused(self, cluster: Cluster) -> None:
        made = await cluster.job()
        with pytest.raises(Refused):
            await cluster.jobs.patch_status(cluster.namespace, "order-1", advance(made, 1))

    async def test_a_transition_of_the_job_that_had_the_name_before_is_refused(self, cluster: Cluster) -> None:
        old = await cluster.job()
        await cluster.jobs.delete(cluster.namespace, "order-1", old["metadata"]["uid"])
        new = await cluster.job()
        await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(new))
        with pytest.raises(Refused):
            await cluster.jobs.patch_status(cluster.namespace, "order-1", advance(old, 1))

    async def test_of_many_who_try_the_same_transition_exactly_one_succeeds(self, cluster: Cluster) -> None:
        made = await cluster.job()
        await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made))

        async def attempt(number: int) -> bool:
            patch = advance(made, 1, message=str(number))
            try:
                await cluster.jobs.patch_status(cluster.namespace, "order-1", patch)
            except Refused:
                return False
            return True

        assert sum(await asyncio.gather(*(attempt(number) for number in range(10)))) == 1

    async def test_a_patch_of_a_deleted_job_says_gone(self, cluster: Cluster) -> None:
        made = await cluster.job()
        await cluster.jobs.delete(cluster.namespace, "order-1", made["metadata"]["uid"])
        with pytest.raises(Gone):
            await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made))

    @pytest.mark.parametrize(
        "operation",
        [
            {"op": "remove", "path": "/status/message"},
            {"op": "add", "path": "/status/outputs/reserve", "value": 1},
            {"op": "replace", "path": "/status/active/0/attempt", "value": 2},
            {"op": "test", "path": "/status/error/code", "value": "Timeout"},
        ],
    )
    async def test_an_operation_on_a_path_that_is_not_there_is_refused(
        self, cluster: Cluster, operation: dict[str, Any]
    ) -> None:
        made = await cluster.job()
        before = await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made, phase="Running"))
        with pytest.raises(Refused):
            await cluster.jobs.patch_status(
                cluster.namespace,
                "order-1",
                [{"op": "add", "path": "/status/phase", "value": "Succeeded"}, operation],
            )
        assert await cluster.jobs.read(cluster.namespace, "order-1") == before

    async def test_replace_adds_a_member_and_null_equals_absent_as_the_api_server_has_it(
        self, cluster: Cluster
    ) -> None:
        made = await cluster.job()
        await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made))
        patch: list[dict[str, Any]] = [
            {"op": "test", "path": "/status/message", "value": None},
            {"op": "replace", "path": "/status/message", "value": "waits"},
        ]
        after = await cluster.jobs.patch_status(cluster.namespace, "order-1", patch)
        assert after["status"] == {"sequence": 1, "message": "waits"}

    @pytest.mark.parametrize("status", [{"sequence": -1}, {"sequence": "two"}, {"sequence": 1, "phase": "Asleep"}, "x"])
    async def test_a_status_that_the_schema_forbids_is_rejected(self, cluster: Cluster, status: Any) -> None:
        made = await cluster.job()
        before = await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made))
        with pytest.raises(Rejected):
            await cluster.jobs.patch_status(
                cluster.namespace, "order-1", [{"op": "replace", "path": "/status", "value": status}]
            )
        assert await cluster.jobs.read(cluster.namespace, "order-1") == before

    @pytest.mark.parametrize("patch", [["no operation"], [{"op": "add", "path": "/status", "value": float("nan")}]])
    async def test_what_is_no_patch_is_rejected(self, cluster: Cluster, patch: Any) -> None:
        await cluster.job()
        with pytest.raises(Rejected):
            await cluster.jobs.patch_status(cluster.namespace, "order-1", patch)

    async def test_what_is_beyond_the_stores_limit_is_rejected(self, cluster: Cluster) -> None:
        made = await cluster.job(input="x" * 900_000)
        for size in (900_000, 2_000_000, 4_000_000):
            with pytest.raises(Rejected):
                await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made, message="x" * size))
        assert await cluster.jobs.read(cluster.namespace, "order-1") == made

    async def test_a_status_patch_changes_the_status_only(self, cluster: Cluster) -> None:
        made = await cluster.job()
        patch = [
            *begin(made),
            {"op": "replace", "path": "/spec/workflow", "value": "other"},
            {"op": "add", "path": "/metadata/labels/team", "value": "theft"},
        ]
        after = await cluster.jobs.patch_status(cluster.namespace, "order-1", patch)
        assert after["spec"] == made["spec"]
        assert after["metadata"]["labels"] == {"team": "shop"}
        assert after["metadata"]["generation"] == 1
        assert after["status"] == {"sequence": 1}

    async def test_a_change_of_the_spec_counts_a_generation_and_keeps_the_status(self, cluster: Cluster) -> None:
        made = await cluster.job()
        await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made))
        after = await cluster.edit(made, {"spec": {"suspend": True}, "status": {"sequence": 9}})
        assert after["metadata"]["generation"] == 2
        assert after["status"] == {"sequence": 1}

    async def test_a_change_of_labels_counts_no_generation(self, cluster: Cluster) -> None:
        made = await cluster.job()
        after = await cluster.edit(made, {"metadata": {"labels": {"team": "other"}}})
        assert after["metadata"]["generation"] == 1
        assert after["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]

    async def test_a_patch_that_changes_nothing_writes_nothing(self, cluster: Cluster) -> None:
        made = await cluster.job()
        before = await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made))
        patch = [{"op": "replace", "path": "/status", "value": {"sequence": 1}}]
        assert await cluster.jobs.patch_status(cluster.namespace, "order-1", patch) == before

    async def test_null_in_an_output_stays_null(self, cluster: Cluster) -> None:
        made = await cluster.job()
        outputs = {"reserve": {"left": None, "list": [None, 1.5, "é"]}}
        after = await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made, outputs=outputs))
        assert after["status"]["outputs"] == outputs

    async def test_what_the_caller_does_to_its_objects_does_not_reach_the_store(self, cluster: Cluster) -> None:
        made = await cluster.job()
        patch = begin(made, outputs={"reserve": {"n": 1}})
        after = await cluster.jobs.patch_status(cluster.namespace, "order-1", patch)
        patch[-1]["value"]["outputs"]["reserve"]["n"] = 2
        after["status"]["outputs"]["reserve"]["n"] = 3
        found = await cluster.jobs.read(cluster.namespace, "order-1")
        assert found is not None
        assert found["status"]["outputs"] == {"reserve": {"n": 1}}

    async def test_deleting_what_is_absent_is_a_success(self, cluster: Cluster) -> None:
        await cluster.jobs.delete(cluster.namespace, "nobody", "3b1f6a3c-0000-4000-8000-000000000000")

    async def test_deleting_by_the_uid_of_another_leaves_the_job(self, cluster: Cluster) -> None:
        made = await cluster.job()
        await cluster.jobs.delete(cluster.namespace, "order-1", "3b1f6a3c-0000-4000-8000-000000000000")
        assert await cluster.jobs.read(cluster.namespace, "order-1") == made

    async def test_a_deleted_job_is_gone_and_its_name_is_free_for_another(self, cluster: Cluster) -> None:
        made = await cluster.job()
        await cluster.jobs.delete(cluster.namespace, "order-1", made["metadata"]["uid"])
        assert await cluster.jobs.read(cluster.namespace, "order-1") is None
        again = await cluster.job()
        assert again["metadata"]["uid"] != made["metadata"]["uid"]

    async def test_a_name_that_is_taken_is_refused(self, cluster: Cluster) -> None:
        await cluster.job()
        with pytest.raises(Refused):
            await cluster.job()

    async def test_lists_hold_the_jobs_of_one_namespace_or_of_all(self, cluster: Cluster) -> None:
        for name in ("b", "a"):
            await cluster.job(name)
        await cluster.create(job(cluster.other, "c"))
        here = await cluster.jobs.list_jobs(cluster.namespace)
        assert [found["metadata"]["name"] for found in here] == ["a", "b"]
        assert here[0] == await cluster.jobs.read(cluster.namespace, "a")
        everywhere = await cluster.jobs.list_jobs(None)
        found = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in everywhere}
        assert found >= {(cluster.namespace, "a"), (cluster.namespace, "b"), (cluster.other, "c")}


class EpochStoreContract:
    """Compare and set."""

    async def test_there_is_no_epoch_at_first(self, cluster: Cluster) -> None:
        assert await cluster.epochs.load() is None

    async def test_the_first_epoch_is_kept(self, cluster: Cluster) -> None:
        assert await cluster.epochs.replace(None, "1f3a")
        assert await cluster.epochs.load() == "1f3a"

    async def test_an_epoch_is_replaced_only_by_who_knows_the_current_one(self, cluster: Cluster) -> None:
        assert await cluster.epochs.replace(None, "1f3a")
        assert not await cluster.epochs.replace(None, "2222")
        assert not await cluster.epochs.replace("0000", "2222")
        assert await cluster.epochs.load() == "1f3a"
        assert await cluster.epochs.replace("1f3a", "2222")
        assert await cluster.epochs.load() == "2222"

    @pytest.mark.parametrize("old", [None, "1f3a"])
    async def test_of_many_who_begin_an_epoch_one_succeeds(self, cluster: Cluster, old: str | None) -> None:
        if old is not None:
            await cluster.epochs.replace(None, old)
        tried = [f"new{number}" for number in range(8)]
        won = await asyncio.gather(*(cluster.epochs.replace(old, new) for new in tried))
        assert sum(won) == 1
        assert await cluster.epochs.load() == tried[won.index(True)]


class PoolClusterContract:
    """Server-side apply, scale and status of pools."""

    async def test_a_deployment_that_is_not_there_reads_as_none(self, cluster: Cluster) -> None:
        assert await cluster.pools.read_deployment(cluster.namespace, "inventory") is None

    async def test_applying_makes_the_object(self, cluster: Cluster) -> None:
        applied = await cluster.pools.apply(deployment(cluster.namespace, "inventory"))
        assert await cluster.pools.read_deployment(cluster.namespace, "inventory") == applied
        assert applied["spec"]["template"]["spec"]["containers"][0]["image"] == "a:1"

    async def test_applying_again_writes_nothing(self, cluster: Cluster) -> None:
        first = await cluster.pools.apply(deployment(cluster.namespace, "inventory"))
        assert await cluster.pools.apply(deployment(cluster.namespace, "inventory")) == first

    async def test_applying_puts_drift_right_and_leaves_what_is_not_ours(self, cluster: Cluster) -> None:
        made = await cluster.pools.apply(deployment(cluster.namespace, "inventory", tier="a"))
        await cluster.edit(made, {"metadata": {"labels": {"tier": "b", "theirs": "kept"}}})
        after = await cluster.pools.apply(deployment(cluster.namespace, "inventory", tier="a"))
        assert after["metadata"]["labels"] == {"tier": "a", "theirs": "kept"}

    async def test_a_field_that_is_no_longer_applied_goes(self, cluster: Cluster) -> None:
        await cluster.pools.apply(deployment(cluster.namespace, "inventory", tier="a", old="x"))
        after = await cluster.pools.apply(deployment(cluster.namespace, "inventory", tier="a"))
        assert after["metadata"]["labels"] == {"tier": "a"}

    async def test_a_scaled_deployment_keeps_its_replicas_when_it_is_applied_without(self, cluster: Cluster) -> None:
        await cluster.pools.apply(deployment(cluster.namespace, "inventory"))
        await cluster.pools.scale(cluster.namespace, "inventory", 4)
        after = await cluster.pools.apply(deployment(cluster.namespace, "inventory", image="a:2"))
        assert after["spec"]["replicas"] == 4

    async def test_scaling_to_zero_is_no_absent_number(self, cluster: Cluster) -> None:
        await cluster.pools.apply(deployment(cluster.namespace, "inventory"))
        await cluster.pools.scale(cluster.namespace, "inventory", 0)
        found = await cluster.pools.read_deployment(cluster.namespace, "inventory")
        assert found is not None
        assert found["spec"]["replicas"] == 0

    async def test_a_budget_that_is_not_there_reads_as_none_and_is_deleted_without_a_word(
        self, cluster: Cluster
    ) -> None:
        assert await cluster.pools.read_budget(cluster.namespace, "inventory") is None
        await cluster.pools.delete_budget(cluster.namespace, "inventory", "u-1")

    async def test_a_budget_is_applied_changed_and_deleted(self, cluster: Cluster) -> None:
        made = await cluster.pools.apply(budget(cluster.namespace, "inventory", maxUnavailable=1))
        assert await cluster.pools.read_budget(cluster.namespace, "inventory") == made
        changed = await cluster.pools.apply(budget(cluster.namespace, "inventory", minAvailable="50%"))
        assert "maxUnavailable" not in changed["spec"]
        assert changed["spec"]["minAvailable"] == "50%"
        await cluster.pools.delete_budget(cluster.namespace, "inventory", made["metadata"]["uid"])
        assert await cluster.pools.read_budget(cluster.namespace, "inventory") is None

    async def test_a_budget_of_another_uid_is_not_deleted(self, cluster: Cluster) -> None:
        await cluster.pools.apply(budget(cluster.namespace, "inventory", maxUnavailable=1))
        await cluster.pools.delete_budget(cluster.namespace, "inventory", "00000000-0000-0000-0000-000000000000")
        assert await cluster.pools.read_budget(cluster.namespace, "inventory") is not None

    async def test_what_is_not_there_cannot_be_scaled_or_reported_on(self, cluster: Cluster) -> None:
        with pytest.raises(Gone):
            await cluster.pools.scale(cluster.namespace, "nobody", 1)
        with pytest.raises(Gone):
            await cluster.pools.patch_pool_status(cluster.namespace, "nobody", {"replicas": 1})

    async def test_a_secret_is_applied_too_and_an_unknown_kind_is_rejected(self, cluster: Cluster) -> None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": cluster.namespace, "name": "broker"},
            "data": {"url": "eA=="},
        }
        assert (await cluster.pools.apply(secret))["data"] == {"url": "eA=="}
        with pytest.raises(Rejected):
            await cluster.pools.apply(secret | {"kind": "CronJob", "apiVersion": "batch/v1"})

    async def test_an_annotation_is_taken_away_only_while_it_says_what_was_read(self, cluster: Cluster) -> None:
        made = await cluster.create(pool(cluster.namespace, "inventory"))
        made = await cluster.edit(made, {"metadata": {"annotations": {names.ANNOTATION_REDRIVE: "all"}}})
        path = "/metadata/annotations/mastercontrol.dev~1redrive"
        with pytest.raises(Refused):
            await cluster.pools.patch_pool(
                cluster.namespace,
                "inventory",
                [{"op": "test", "path": path, "value": "another"}, {"op": "remove", "path": path}],
            )
        assert await cluster.pools.read_pool(cluster.namespace, "inventory") == made
        taken = [{"op": "test", "path": path, "value": "all"}, {"op": "remove", "path": path}]
        after = await cluster.pools.patch_pool(cluster.namespace, "inventory", taken)
        assert names.ANNOTATION_REDRIVE not in (after["metadata"].get("annotations") or {})
        assert after["spec"] == made["spec"]
        with pytest.raises(Refused):
            await cluster.pools.patch_pool(cluster.namespace, "inventory", taken)
        with pytest.raises(Gone):
            await cluster.pools.patch_pool(cluster.namespace, "nobody", taken)
        assert await cluster.pools.read_pool(cluster.namespace, "nobody") is None

    async def test_the_status_of_a_pool_is_merged(self, cluster: Cluster) -> None:
        await cluster.create(pool(cluster.namespace, "inventory"))
        await cluster.pools.patch_pool_status(cluster.namespace, "inventory", {"replicas": 2, "backlog": 5})
        await cluster.pools.patch_pool_status(cluster.namespace, "inventory", {"backlog": None})
        (found,) = await cluster.pools.list_pools(cluster.namespace)
        assert found["status"] == {"replicas": 2}
        assert found["metadata"]["generation"] == 1

    async def test_pods_are_found_by_their_labels(self, cluster: Cluster) -> None:
        for name, pool_name in (("a", "inventory"), ("b", "payments")):
            labels = {names.LABEL_POOL: pool_name, "x": "y"}
            metadata = {"namespace": cluster.namespace, "name": name, "labels": labels}
            spec = {
                "containers": [{"name": "worker", "image": "a:1"}],
                "automountServiceAccountToken": False,
                "nodeName": "nowhere",
            }
            await cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        found = await cluster.pools.list_pods(cluster.namespace, f"{names.LABEL_POOL}=inventory,x=y")
        assert [(pod["kind"], pod["metadata"]["name"]) for pod in found] == [("Pod", "a")]


class WorkflowStoreContract:
    """Workflows and their revisions."""

    async def test_the_status_of_a_workflow_is_merged(self, cluster: Cluster) -> None:
        await cluster.create(workflow(cluster.namespace, "order"))
        await cluster.workflows.patch_workflow_status(cluster.namespace, "order", {"observedGeneration": 1})
        (found,) = await cluster.workflows.list_workflows(cluster.namespace)
        assert found["status"]["observedGeneration"] == 1
        with pytest.raises(Gone):
            await cluster.workflows.patch_workflow_status(cluster.namespace, "nobody", {})

    async def test_a_revision_is_made_once_and_never_changed(self, cluster: Cluster) -> None:
        assert await cluster.workflows.read_revision(cluster.namespace, "order-6b9f") is None
        metadata = {"namespace": cluster.namespace, "name": "order-6b9f"}
        revision = {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "metadata": metadata,
            "revision": 1,
            "data": {"states": [{"name": "reserve", "pool": "inventory"}]},
        }
        await cluster.workflows.create_revision(revision)
        await cluster.workflows.create_revision(revision | {"data": {"states": []}})
        found = await cluster.workflows.read_revision(cluster.namespace, "order-6b9f")
        assert found is not None
        assert found["data"] == revision["data"]


class UnavailableContract:
    """A store that does not answer. The fixture `away` is a cluster whose API server is not there."""

    async def test_no_answer_is_never_taken_for_absence(self, away: Cluster) -> None:
        calls: list[Awaitable[object]] = [
            away.jobs.read("ns", "a"),
            away.jobs.patch_status("ns", "a", []),
            away.jobs.delete("ns", "a", "uid"),
            away.jobs.list_jobs("ns"),
            away.epochs.load(),
            away.epochs.replace(None, "a"),
            away.pools.read_deployment("ns", "a"),
            away.pools.list_pods("ns", "a=b"),
            away.workflows.read_revision("ns", "a"),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable):
                await call
