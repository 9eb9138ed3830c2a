"""A real API server with the CRDs of this tree, two empty namespaces a test, and a proxy that breaks connections.

The API server is the one of MCP_TEST_KUBECONFIG, or of the fixture `kubeconfig` (session scope, the path of a file).
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

pytest.register_assert_rewrite("contracts.store")

# ruff: noqa: E402  # the line above must come before what imports it
from contracts.store import Cluster
from integration.kube.harness import WriteConfig, cluster_of
from integration.kube.loopback import Proxy
from mastercontrol.engine.ports import StoreError
from mastercontrol.kube.client import KubeClient, Limits, PatchType
from mastercontrol.kube.paths import JOBS, POOLS, WORKFLOWS, Resource, Target

ROOT = Path(__file__).parents[3]
CRDS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions")
NAMESPACES = Resource("v1", "Namespace", "namespaces")


@pytest.fixture(scope="session")
def api_server(request: pytest.FixtureRequest) -> str:
    """The path of an administrator's kubeconfig."""
    given = os.environ.get("MCP_TEST_KUBECONFIG")
    return given or str(request.getfixturevalue("kubeconfig"))


@pytest.fixture(scope="session")
def crds(api_server: str) -> None:
    """The CRDs of this tree, served."""
    asyncio.run(_install(api_server))


async def _install(api_server: str) -> None:
    async with await KubeClient.connect(api_server) as client:
        for path in sorted((ROOT / "crds").glob("*.yaml")):
            crd = yaml.safe_load(path.read_text())
            target = Target(CRDS, None, crd["metadata"]["name"])
            await client.patch(target, crd, PatchType.APPLY, {"fieldManager": "tests", "force": "true"})
        async with asyncio.timeout(30):
            for resource in (JOBS, WORKFLOWS, POOLS):
                while True:
                    try:
                        await client.get(Target(resource, None))
                        break
                    except StoreError:  # not served yet
                        await asyncio.sleep(0.1)


@pytest.fixture
async def client(api_server: str) -> AsyncIterator[KubeClient]:
    """An administrator."""
    async with await KubeClient.connect(api_server) as client:
        yield client


@pytest.fixture
async def namespace(client: KubeClient) -> str:
    return await _namespace(client)


async def _namespace(client: KubeClient) -> str:
    name = f"kube-{uuid.uuid4().hex[:10]}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await client.create(Target(NAMESPACES, None), manifest)
    # A Pod needs its ServiceAccount, which the controller manager makes where there is one.
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": name, "name": "default"}}
    target = Target(Resource("v1", "ServiceAccount", "serviceaccounts"), name, "default")
    await client.patch(target, account, PatchType.APPLY, {"fieldManager": "tests", "force": "true"})
    return name


@pytest.fixture
async def cluster(crds: None, client: KubeClient, namespace: str) -> Cluster:  # noqa: ARG001  # the kinds must be there
    return cluster_of(client, namespace, await _namespace(client))


@pytest.fixture
def write_config(api_server: str, tmp_path: Path) -> WriteConfig:
    """Write a kubeconfig like the administrator's, through another port or with another token."""

    def write(port: int | None = None, token: str | None = None) -> str:
        config = yaml.safe_load(Path(api_server).read_text())
        if port is not None:
            config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        if token is not None:
            config["users"][0]["user"] = {"token": token}
        path = tmp_path / f"kubeconfig-{uuid.uuid4().hex[:6]}"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    return write


@pytest.fixture(scope="session")
def api_port(api_server: str) -> int:
    server = yaml.safe_load(Path(api_server).read_text())["clusters"][0]["cluster"]["server"]
    return int(server.rsplit(":", 1)[1])


@pytest.fixture
async def proxy(api_port: int) -> AsyncIterator[Proxy]:
    """The way to the API server that a test may break."""
    async with Proxy(api_port).serve() as proxy:
        yield proxy


@pytest.fixture
async def proxied(proxy: Proxy, write_config: WriteConfig) -> AsyncIterator[KubeClient]:
    """A client behind the proxy: one connection, little patience."""
    limits = Limits(connections=1, request_seconds=1.0, attempts=3, first_pause_seconds=0.05)
    async with await KubeClient.connect(write_config(port=proxy.port), limits=limits) as client:
        yield client
