"""The real services of a session: a Kubernetes API without pods and a RabbitMQ node, both on loopback.

They are started by hack/control-plane and hack/rabbitmq in a folder of their own, so that nothing of another run is
in them. A service that does not start fails the run. MCP_TEST_KUBECONFIG or MCP_TEST_AMQP_URL with
MCP_TEST_MANAGEMENT_URL name services that run already, to save their start while working on a test.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Service:
    """A service that hack/ runs; `folder` is its state."""

    script: Path
    folder: Path

    def run(self, verb: str) -> str:
        """`start`, `stop`, `restart`, `wipe` or `env`."""
        command = [str(self.script), verb, str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode != 0:
            pytest.fail(f"{self.script.name} {verb}: {done.stderr[-2000:]}", pytrace=False)
        return done.stdout

    def environment(self) -> dict[str, str]:
        """What `env` prints."""
        lines = self.run("env").split()
        return dict(line.split("=", 1) for line in lines if "=" in line)


def _service(name: str, folder: Path) -> Iterator[Service]:
    service = Service(ROOT / "hack" / name, folder)
    service.run("start")
    yield service
    service.run("stop")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from _service("control-plane", tmp_path_factory.mktemp("control-plane"))


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A node that tests may restart and wipe; ports and URLs stay."""
    yield from _service("rabbitmq", tmp_path_factory.mktemp("rabbitmq"))


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> str:
    """The path of an administrator's kubeconfig."""
    given = os.environ.get("MCP_TEST_KUBECONFIG")
    return given or str(request.getfixturevalue("control_plane").environment()["KUBECONFIG"])


@pytest.fixture(scope="session")
def amqp_url(request: pytest.FixtureRequest) -> str:
    given = os.environ.get("MCP_TEST_AMQP_URL")
    return given or str(request.getfixturevalue("rabbitmq").environment()["MCP_AMQP_URL"])


@pytest.fixture(scope="session")
def management_url(request: pytest.FixtureRequest) -> str:
    given = os.environ.get("MCP_TEST_MANAGEMENT_URL")
    return given or str(request.getfixturevalue("rabbitmq").environment()["MCP_MANAGEMENT_URL"])
