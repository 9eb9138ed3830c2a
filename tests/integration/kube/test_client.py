"""What the API server and the network do to the client, one by one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from contracts.store import Cluster, advance, begin, job
from integration.kube.harness import WriteConfig, cluster_of
from integration.kube.loopback import Mode, Proxy
from mastercontrol.engine.ports import RawObject, Refused, Rejected, StoreUnavailable
from mastercontrol.kube.client import KubeClient, Limits, PatchType
from mastercontrol.kube.jobs import KubeJobStore
from mastercontrol.kube.paths import CONFIG_MAPS, JOBS, Resource, Target

ROLES = Resource("rbac.authorization.k8s.io/v1", "Role", "roles")
BINDINGS = Resource("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
ACCOUNTS = Resource("v1", "ServiceAccount", "serviceaccounts")


@pytest.fixture
async def made(cluster: Cluster) -> RawObject:
    """A job of sequence 1."""
    made = await cluster.job()
    return await cluster.jobs.patch_status(cluster.namespace, "order-1", begin(made))


async def sequence(cluster: Cluster) -> int:
    found = await cluster.jobs.read(cluster.namespace, "order-1")
    assert found is not None
    return int(found["status"]["sequence"])


@pytest.mark.parametrize(
    ("mode", "written"),
    [
        (Mode.CUT_REQUEST, False),
        (Mode.HANG_REQUEST, False),
        (Mode.CUT_ANSWER, True),
        (Mode.HANG_ANSWER, True),
    ],
)
async def test_a_write_without_an_answer_is_unknown_and_is_not_sent_again(
    mode: Mode, *, written: bool, made: RawObject, cluster: Cluster, proxy: Proxy, proxied: KubeClient
) -> None:
    jobs = KubeJobStore(proxied)
    await jobs.read(cluster.namespace, "order-1")  # the connection is open
    proxy.mode, proxy.once = mode, True
    # Sent again it would arrive: Refused by the fence that it moved itself, or written although we give up.
    with pytest.raises(StoreUnavailable):
        await jobs.patch_status(cluster.namespace, "order-1", advance(made, 1))
    if written:
        await asyncio.wait_for(proxy.answered.wait(), 5)
    assert await sequence(cluster) == (2 if written else 1)
    assert await jobs.read(cluster.namespace, "order-1") is not None


async def test_a_read_is_repeated_when_its_connection_breaks(
    made: RawObject, cluster: Cluster, proxy: Proxy, proxied: KubeClient
) -> None:
    jobs = KubeJobStore(proxied)
    proxy.mode = Mode.HANG_ANSWER
    read = asyncio.create_task(jobs.read(cluster.namespace, "order-1"))
    await asyncio.wait_for(proxy.answered.wait(), 5)  # of the TLS handshake
    proxy.mode = Mode.PASS
    proxy.cut()
    assert await read == made


async def test_an_api_server_that_is_away_is_unavailable_for_reads_and_writes(
    made: RawObject, cluster: Cluster, proxy: Proxy, proxied: KubeClient
) -> None:
    jobs = KubeJobStore(proxied)
    proxy.mode = Mode.CLOSED
    with pytest.raises(StoreUnavailable):
        await jobs.read(cluster.namespace, "order-1")
    with pytest.raises(StoreUnavailable):
        await jobs.patch_status(cluster.namespace, "order-1", advance(made, 1))
    proxy.mode = Mode.PASS
    await jobs.patch_status(cluster.namespace, "order-1", advance(made, 1))
    assert await sequence(cluster) == 2


@pytest.fixture
async def limited(
    client: KubeClient, cluster: Cluster, write_config: WriteConfig
) -> Callable[[list[dict[str, Any]]], Any]:
    """A client with the token of a service account that may do what the rules say in the test's namespace."""

    async def connect(rules: list[dict[str, Any]]) -> KubeClient:
        ns = cluster.namespace
        metadata = {"namespace": ns, "name": "limited"}
        rbac = "rbac.authorization.k8s.io"
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
        role = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": rules}
        binding = {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "limited"},
            "subjects": [{"kind": "ServiceAccount", "name": "limited", "namespace": ns}],
        }
        for resource, manifest in ((ACCOUNTS, account), (ROLES, role), (BINDINGS, binding)):
            await client.create(Target(resource, ns), manifest)
        ask = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        answer = await client.create(Target(ACCOUNTS, ns, "limited", "token"), ask)
        return await KubeClient.connect(write_config(token=answer["status"]["token"]))

    return connect


async def test_a_write_that_is_not_allowed_is_rejected_and_a_read_that_is_not_allowed_is_no_absence(
    made: RawObject, cluster: Cluster, limited: Callable[[list[dict[str, Any]]], Any]
) -> None:
    async with await limited([{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]}]) as client:
        store = cluster_of(client, cluster.namespace)
        with pytest.raises(Rejected, match=r"403.*limited.*cannot patch"):
            await store.jobs.patch_status(cluster.namespace, "order-1", advance(made, 1))
        for call in (
            store.jobs.read(cluster.namespace, "order-1"),
            store.jobs.delete(cluster.namespace, "order-1", made["metadata"]["uid"]),
            store.pools.read_deployment(cluster.namespace, "a"),
            store.pools.list_pods(cluster.namespace, "a=b"),
            store.workflows.read_revision(cluster.namespace, "a"),
        ):
            with pytest.raises(StoreUnavailable, match="403"):
                await call
    assert await sequence(cluster) == 1


async def test_the_verbs_that_the_operator_needs_are_enough(
    cluster: Cluster, limited: Callable[[list[dict[str, Any]]], Any]
) -> None:
    """The least rules for one job's life and the epoch; the chart's are checked against the same calls."""
    rules = [
        {"apiGroups": ["mastercontrol.dev"], "resources": ["mcpjobs"], "verbs": ["get", "list", "delete"]},
        {"apiGroups": ["mastercontrol.dev"], "resources": ["mcpjobs/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"]},
    ]
    made = await cluster.job()
    async with await limited(rules) as client:
        store = cluster_of(client, cluster.namespace)
        await store.jobs.patch_status(cluster.namespace, "order-1", begin(made))
        assert len(await store.jobs.list_jobs(cluster.namespace)) == 1
        await store.jobs.delete(cluster.namespace, "order-1", made["metadata"]["uid"])
        assert await store.epochs.replace(None, "a")
        assert await store.epochs.replace("a", "b")
    assert await cluster.jobs.read(cluster.namespace, "order-1") is None


async def test_unknown_credentials_are_unavailable_not_rejected(
    made: RawObject, cluster: Cluster, write_config: WriteConfig
) -> None:
    """A token that is being renewed must not fail a job for good."""
    async with await KubeClient.connect(write_config(token="nobody")) as client:  # no secret
        with pytest.raises(StoreUnavailable, match="401"):
            await KubeJobStore(client).patch_status(cluster.namespace, "order-1", advance(made, 1))


async def test_a_kind_that_is_not_served_is_no_absence_of_its_objects(client: KubeClient, namespace: str) -> None:
    elsewhere = Resource("mastercontrol.dev/v9", "Job", "mcpjobs")
    with pytest.raises(StoreUnavailable, match="404"):
        await client.get(Target(elsewhere, namespace, "a"))


async def test_a_body_of_another_media_type_is_rejected(client: KubeClient, cluster: Cluster) -> None:
    made = await cluster.job()
    target = Target(JOBS, cluster.namespace, made["metadata"]["name"])
    with pytest.raises(Rejected, match="400"):
        await client.patch(target, {"spec": {}}, PatchType.JSON)


async def test_a_merge_patch_with_an_old_version_is_refused(client: KubeClient, namespace: str) -> None:
    metadata = {"namespace": namespace, "name": "a"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}
    made = await client.create(Target(CONFIG_MAPS, namespace), body)
    change = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"a": "2"}}
    target = Target(CONFIG_MAPS, namespace, "a")
    await client.patch(target, change, PatchType.MERGE)
    with pytest.raises(Refused):
        await client.patch(target, change | {"data": {"a": "3"}}, PatchType.MERGE)


async def test_more_requests_than_connections_wait_their_turn(api_server: str, cluster: Cluster) -> None:
    limits = Limits(connections=2)
    async with await KubeClient.connect(api_server, limits=limits) as client:
        store = cluster_of(client, cluster.namespace)
        manifests = [job(cluster.namespace, f"j{n:02}") for n in range(20)]
        await asyncio.gather(*(store.create(manifest) for manifest in manifests))
        found = await store.jobs.list_jobs(cluster.namespace)
    assert [json.dumps(item["metadata"]["name"]) for item in found] == [f'"j{n:02}"' for n in range(20)]
