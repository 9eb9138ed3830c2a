"""The examples' YAML: what a cluster would take, and what fits together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from mastercontrol.api.job import parse_job
from mastercontrol.api.pool import parse_pool
from mastercontrol.api.workflow import parse_workflow
from mastercontrol.pools.podtemplate import pod_template
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Definition
from mastercontrol_worker import Registry
from unit.examples.loading import EXAMPLES

NAMES = ["relay", "thumbnails"]


def objects(example: str, file: str) -> list[Any]:
    return list(yaml.safe_load_all((EXAMPLES / example / file).read_text()))


@pytest.mark.parametrize("example", NAMES)
def test_each_step_has_a_pool_that_can_do_it(
    example: str, registry: Registry, relay: ModuleType, thumbnails: ModuleType
) -> None:
    pools = {pool["metadata"]["name"]: pool["spec"]["template"] for pool in objects(example, "pools.yaml")}
    (workflow,) = objects(example, "workflow.yaml")
    served = {"relay_handlers": relay, "thumbnail_handlers": thumbnails}
    for state in workflow["spec"]["states"]:
        template = pools[state["pool"]]
        if "handlers" in template:
            entry = registry.get(state["name"])
            assert entry is not None, f"no handler for {state['name']}"
            assert entry.function.__module__ == served[template["handlers"]].__name__
        else:
            program = EXAMPLES / example / str(template["command"][-1]).removeprefix("/app/")
            assert program.is_file()


@pytest.mark.parametrize("example", NAMES)
def test_the_workflow_and_the_job_can_be_run(example: str) -> None:
    (raw,) = objects(example, "workflow.yaml")
    workflow = parse_workflow(raw)
    assert isinstance(compile_workflow(workflow.name, workflow.spec), Definition)
    (job,) = objects(example, "job.yaml")
    assert parse_job(job).spec.workflow == workflow.name


@pytest.mark.parametrize("example", NAMES)
def test_the_pods_of_each_pool_use_the_example_s_image(example: str) -> None:
    for raw in objects(example, "pools.yaml"):
        pod = pod_template(parse_pool(raw), "secret", {}, "amqp://broker")
        (container,) = pod["spec"]["containers"]
        assert container["image"] == f"mastercontrol-example-{example}:dev"
        assert container["args"][0] in {"--handlers", "--exec"}


def test_the_volume_that_the_thumbnail_pools_mount_is_the_one_that_setup_makes() -> None:
    (claim,) = objects("thumbnails", "setup.yaml")
    (viewer,) = objects("thumbnails", "viewer.yaml")
    assert claim["kind"] == "PersistentVolumeClaim"
    mounted = [pool["spec"]["template"]["volumes"] for pool in objects("thumbnails", "pools.yaml")]
    name = claim["metadata"]["name"]
    assert mounted == [[{"name": "out", "mountPath": "/data", "claimName": name}]] * 3
    assert viewer["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == name
    assert "ENV MCP_THUMBNAILS_DIR=/data" in (EXAMPLES / "thumbnails" / "Dockerfile").read_text()


def test_all_examples_end_well_in_one_process(tmp_path: Path) -> None:
    files = [str(EXAMPLES / example / f"{name}.yaml") for example in NAMES for name in ("workflow", "pools", "job")]
    run = "import sys; from mastercontrol.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", run, "dev", "--plain", "--timeout", "60", *files],
        env={**os.environ, "MCP_THUMBNAILS_DIR": str(tmp_path / "out")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "relay-1: Succeeded" in done.stdout
    manifest = json.loads((tmp_path / "out" / "thumbnails-1" / "manifest.json").read_text())
    assert [len(image["thumbnails"]) for image in manifest["images"]] == [3, 3, 3, 3]
