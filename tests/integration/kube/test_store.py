"""The contract of the store, on a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from contracts.store import (
    Cluster,
    EpochStoreContract,
    JobStoreContract,
    PoolClusterContract,
    UnavailableContract,
    WorkflowStoreContract,
)
from integration.kube.harness import WriteConfig, cluster_of
from integration.kube.loopback import Mode, Proxy
from mastercontrol.kube.client import KubeClient, Limits


class TestJobs(JobStoreContract):
    pass


class TestEpochs(EpochStoreContract):
    pass


class TestPools(PoolClusterContract):
    pass


class TestWorkflows(WorkflowStoreContract):
    pass


class TestUnavailable(UnavailableContract):
    @pytest.fixture
    async def away(self, proxy: Proxy, write_config: WriteConfig) -> AsyncIterator[Cluster]:
        proxy.mode = Mode.CLOSED
        limits = Limits(attempts=2, first_pause_seconds=0.01)
        async with await KubeClient.connect(write_config(port=proxy.port), limits=limits) as client:
            yield cluster_of(client, "ns")
