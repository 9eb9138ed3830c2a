"""A real API server with the CRDs of this tree, and two ways to it: kubectl as a person types it, and the raw API."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

ROOT = Path(__file__).parents[3]
GROUP = "mastercontrol.dev"
PLURALS = {"Job": "mcpjobs", "Workflow": "mcpworkflows", "WorkerPool": "mcpworkerpools", "Schedule": "mcpschedules"}

Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def kubectl(kubeconfig: str) -> Kubectl:
    """Run kubectl. It fails the test when it fails, unless `check=False`."""

    def run(*arguments: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "--kubeconfig", kubeconfig, *arguments]
        done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False, timeout=60)
        if check and done.returncode != 0:
            pytest.fail(f"{' '.join(command)}: {done.stderr}")
        return done

    return run


@pytest.fixture(scope="session")
def crds(kubectl: Kubectl) -> None:
    """The CRDs of this tree, served."""
    names = [f"crd/{plural}.{GROUP}" for plural in PLURALS.values()]
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)


@pytest.fixture(scope="session")
def namespace(kubectl: Kubectl, crds: None) -> str:  # noqa: ARG001 - the kinds must be there
    """A namespace of this run."""
    name = f"crds-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    return name


@pytest.fixture(scope="session")
def objects(kubeconfig: str) -> Iterator[Any]:
    """The raw API of custom resources."""
    with config.new_client_from_config(kubeconfig) as connection:  # type: ignore[no-untyped-call] # it has no types
        yield client.CustomObjectsApi(connection)


@pytest.fixture(scope="session")
def create(objects: Any, namespace: str) -> Callable[..., dict[str, Any]]:
    """Create an object; the object as the API server keeps it. `keep=False` only asks what would become of it."""

    def run(kind: str, spec: dict[str, Any], name: str = "", *, keep: bool = False) -> dict[str, Any]:
        body = {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": kind,
            "metadata": {"name": name or f"x{uuid.uuid4().hex[:8]}"},
            "spec": spec,
        }
        options: dict[str, str] = {} if keep else {"dry_run": "All"}
        made: dict[str, Any] = objects.create_namespaced_custom_object(
            GROUP, "v1alpha1", namespace, PLURALS[kind], body, field_validation="Strict", **options
        )
        return made

    return run


@pytest.fixture(scope="session")
def patch(objects: Any, namespace: str) -> Callable[..., dict[str, Any]]:
    """Change an object's spec by a merge patch; the object as the API server keeps it."""

    def run(made: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
        plural, name = PLURALS[made["kind"]], made["metadata"]["name"]
        changed: dict[str, Any] = objects.patch_namespaced_custom_object(
            GROUP, "v1alpha1", namespace, plural, name, {"spec": spec}, _content_type="application/merge-patch+json"
        )
        return changed

    return run


@pytest.fixture(scope="session")
def refusal() -> Callable[..., str]:
    """Call something that the API server must refuse as invalid; what it says."""

    def run(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
        with pytest.raises(client.ApiException) as caught:
            call(*arguments, **options)
        assert caught.value.status in {400, 422}, caught.value
        return str(json.loads(str(caught.value.body))["message"])

    return run
