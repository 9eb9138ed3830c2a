"""What a person types: explain, get, scale, and apply of the CRDs themselves."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mastercontrol.api.status_json import parse_status, to_raw
from unit.api.full import FULL

Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]
Create = Callable[..., dict[str, Any]]
Patch = Callable[..., dict[str, Any]]
Refusal = Callable[..., str]

CRDS = Path(__file__).parents[3] / "crds"


HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "retry-or-skip.md"


def patches() -> list[list[str]]:
    """What follows the name of the Job in each `kubectl patch mcpjob` of the how-to."""
    lines = [line for line in HOW_TO.read_text().splitlines() if line.startswith("$ kubectl patch mcpjob ")]
    assert len(lines) >= 4, "the how-to shows each operation"
    return [shlex.split(line)[5:] for line in lines]


def write_status(kubectl: Kubectl, namespace: str, target: str, status: dict[str, Any]) -> None:
    merge = json.dumps({"status": status})
    kubectl("patch", "-n", namespace, target, "--subresource=status", "--type=merge", "-p", merge)


def columns(kubectl: Kubectl, namespace: str, target: str, *options: str) -> dict[str, str]:
    """Column to cell of the one object that `kubectl get` shows. Cells must not have two spaces in a row."""
    head, row = kubectl("get", "-n", namespace, target, *options).stdout.splitlines()
    starts = [i for i, c in enumerate(head) if c != " " and (i == 0 or head[i - 1] == " ")]
    ends = [*starts[1:], len(row) + 1]
    return {head[a:b].strip(): row[a:b].strip() for a, b in zip(starts, ends, strict=True)}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("mcpjobs.spec", "any JSON value"),
        ("mcpjobs.spec.ttlSecondsAfterFinished", "Seconds after the end of the run at which the Job is deleted"),
        ("mcpjobs.status.active", "One attempt at one step"),
        ("mcpworkflows.spec.states.retry", "how often it is tried again when it failed"),
        ("mcpworkerpools.spec.template.volumes", "exactly one of claimName, configMap, secret and emptyDir"),
        ("mcpschedules.spec.concurrencyPolicy", "it is held back until the earlier one has ended"),
    ],
)
def test_kubectl_explain_explains(path: str, text: str, kubectl: Kubectl, namespace: str) -> None:
    assert namespace
    assert text in " ".join(kubectl("explain", path).stdout.split())


def test_the_kinds_have_short_names_and_a_category(kubectl: Kubectl, namespace: str) -> None:
    for name in ("mcpj", "mcpwf", "mcpwp", "mcps", "mcp", "mcpjob", "mcpworkflow", "mcpworkerpool", "mcpschedule"):
        assert kubectl("get", "-n", namespace, name).returncode == 0


def test_jobs_without_a_group_are_still_those_of_kubernetes(kubectl: Kubectl, namespace: str, create: Create) -> None:
    create("Job", {"workflow": "order"}, "ours", keep=True)
    assert "ours" in kubectl("get", "-n", namespace, "mcpjobs", "-o", "name").stdout
    assert kubectl("get", "-n", namespace, "jobs", "-o", "name").stdout == ""


def test_a_job_shows_where_it_is_and_why(kubectl: Kubectl, namespace: str, create: Create) -> None:
    create("Job", {"workflow": "order"}, "shown", keep=True)
    status = {
        "state": "InProgress.charge",
        "phase": "Running",
        "sequence": 2,
        "active": [{"path": "charge", "seq": 2, "attempt": 3, "notBefore": "2026-01-01T00:00:00.123Z"}],
        "message": "waits for the next attempt",
    }
    write_status(kubectl, namespace, "mcpjob/shown", status)
    seen = columns(kubectl, namespace, "mcpjob/shown")
    assert list(seen) == ["NAME", "STATE", "PHASE", "ATTEMPT", "WHY", "AGE"]
    assert seen["STATE"] == "InProgress.charge"
    assert seen["PHASE"] == "Running"
    assert seen["ATTEMPT"] == "3"
    assert seen["WHY"] == "waits for the next attempt"
    wide = columns(kubectl, namespace, "mcpjob/shown", "-o", "wide")
    assert (wide["WORKFLOW"], wide["SEQUENCE"]) == ("order", "2")


def test_a_full_status_of_a_job_is_kept(kubectl: Kubectl, namespace: str, create: Create) -> None:
    create("Job", {"workflow": "order"}, "full", keep=True)
    # As the operator writes it: a merge patch would take what is null for something to be removed.
    change = [{"op": "add", "path": "/status", "value": to_raw(FULL)}]
    options = ("--subresource=status", "--type=json", "-p", json.dumps(change))
    kubectl("patch", "-n", namespace, "mcpjob/full", *options)
    kept = json.loads(kubectl("get", "-n", namespace, "mcpjob/full", "-o", "json").stdout)["status"]
    assert kept == to_raw(FULL)
    assert parse_status(kept) == FULL


def test_a_signal_is_sent_by_one_command_whether_there_are_others_or_not(
    kubectl: Kubectl, namespace: str, create: Create
) -> None:
    create("Job", {"workflow": "order"}, "signalled", keep=True)
    for payload in ({"by": "ann"}, None):
        change = [{"op": "add", "path": "/spec/signals/-", "value": {"name": "approved", "payload": payload}}]
        kubectl("patch", "-n", namespace, "mcpjob/signalled", "--type=json", "-p", json.dumps(change))
    kept = json.loads(kubectl("get", "-n", namespace, "mcpjob/signalled", "-o", "json").stdout)["spec"]["signals"]
    assert [s.get("payload") for s in kept] == [{"by": "ann"}, None]


@pytest.mark.parametrize("command", patches(), ids=lambda arguments: arguments[-1][:60])
def test_each_command_of_the_how_to_on_retries_is_taken(
    command: list[str], kubectl: Kubectl, namespace: str, create: Create
) -> None:
    name = create("Job", {"workflow": "order"}, keep=True)["metadata"]["name"]
    for _ in range(2):  # the first as the next
        kubectl("patch", "-n", namespace, f"mcpjob/{name}", *command)
    kept = json.loads(kubectl("get", "-n", namespace, f"mcpjob/{name}", "-o", "json").stdout)["spec"]["operations"]
    assert [entry["type"] for entry in kept] == [json.loads(command[-1])[0]["value"]["type"]] * 2


@pytest.mark.parametrize("output", ["text", 0, False, {}, [None]], ids=repr)
def test_the_output_of_a_job_is_any_json_value(output: Any, kubectl: Kubectl, namespace: str, create: Create) -> None:
    name = create("Job", {"workflow": "order"}, keep=True)["metadata"]["name"]
    write_status(kubectl, namespace, f"mcpjob/{name}", {"output": output})
    assert json.loads(kubectl("get", "-n", namespace, f"mcpjob/{name}", "-o", "json").stdout)["status"] == {
        "output": output
    }


def test_a_status_and_a_spec_are_written_apart(create: Create, patch: Patch, namespace: str, kubectl: Kubectl) -> None:
    job = create("Job", {"workflow": "order"}, "apart", keep=True)
    write_status(kubectl, namespace, "mcpjob/apart", {"sequence": 1})
    after = patch(job, {"suspend": True})
    assert after["status"] == {"sequence": 1}
    assert after["metadata"]["generation"] == 2


def test_a_pool_shows_its_workers_and_its_backlog(kubectl: Kubectl, namespace: str, create: Create) -> None:
    create("WorkerPool", {"template": {"image": "w"}}, "shown", keep=True)
    before = columns(kubectl, namespace, "mcpwp/shown")
    assert [before[c] for c in ("BUSY", "BACKLOG", "DEAD")] == [""] * 3, "what is not known is not zero"
    ready = {"type": "Ready", "status": "False", "reason": "NotReady", "message": "the image can't be pulled"}
    other = {"type": "ScalingActive", "status": "True", "reason": "FollowsBacklog", "message": "wanted 2"}
    counts = {"replicas": 2, "readyReplicas": 1, "backlog": 7, "busy": 2, "deadLetters": 1}
    status = {**counts, "conditions": [other, ready]}
    write_status(kubectl, namespace, "mcpwp/shown", status)
    seen = columns(kubectl, namespace, "mcpwp/shown")
    assert list(seen) == ["NAME", "READY", "BUSY", "BACKLOG", "DEAD", "MAX", "WHY", "AGE"]
    assert [seen[c] for c in ("READY", "BUSY", "BACKLOG", "DEAD", "MAX")] == ["1", "2", "7", "1", "10"]
    assert seen["WHY"] == "the image can't be pulled"


def test_a_workflow_shows_whether_it_can_be_run(kubectl: Kubectl, namespace: str, create: Create) -> None:
    create("Workflow", {"states": [{"name": "a", "pool": "p"}]}, "shown", keep=True)
    why = "spec.states[0].pool: there is no WorkerPool 'p'"
    ready = {"type": "Ready", "status": "False", "reason": "UnknownPool", "message": why}
    write_status(kubectl, namespace, "mcpwf/shown", {"revision": "shown-1", "conditions": [ready]})
    seen = columns(kubectl, namespace, "mcpwf/shown")
    assert [seen[c] for c in ("READY", "REVISION", "REASON")] == ["False", "shown-1", "UnknownPool"]
    assert seen["WHY"] == why


def test_a_schedule_shows_what_runs_and_when_the_next_run_is(kubectl: Kubectl, namespace: str, create: Create) -> None:
    template = {"spec": {"workflow": "order"}}
    create("Schedule", {"schedule": "@daily", "timeZone": "Etc/UTC", "jobTemplate": template}, "shown", keep=True)
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "the next run is at noon"}
    time = "2026-01-01T00:00:00.000Z"
    write_status(
        kubectl, namespace, "mcps/shown", {"active": ["shown-1"], "lastScheduleTime": time, "conditions": [ready]}
    )
    head, row = kubectl("get", "-n", namespace, "mcps/shown").stdout.splitlines()
    cells = dict(zip(re.split(r" {2,}", head.strip()), re.split(r" {2,}", row.strip()), strict=True))
    assert list(cells) == ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "ACTIVE", "LAST SCHEDULE", "WHY", "AGE"]
    assert [cells[c] for c in ("SCHEDULE", "TIMEZONE", "SUSPEND")] == ["@daily", "Etc/UTC", "false"]
    assert (cells["ACTIVE"], cells["WHY"]) == ('["shown-1"]', "the next run is at noon")


def test_a_pool_without_autoscaling_is_scaled_by_kubectl(kubectl: Kubectl, namespace: str, create: Create) -> None:
    create("WorkerPool", {"autoscaling": {"enabled": False}, "template": {"image": "w"}}, "manual", keep=True)
    kubectl("scale", "-n", namespace, "mcpwp/manual", "--replicas=4")
    assert kubectl("get", "-n", namespace, "mcpwp/manual", "-o", "jsonpath={.spec.replicas}").stdout == "4"
    write_status(kubectl, namespace, "mcpwp/manual", {"replicas": 3, "selector": "mastercontrol.dev/pool=manual"})
    path = f"/apis/mastercontrol.dev/v1alpha1/namespaces/{namespace}/mcpworkerpools/manual/scale"
    scale = json.loads(kubectl("get", "--raw", path).stdout)
    assert scale["spec"] == {"replicas": 4}
    assert scale["status"] == {"replicas": 3, "selector": "mastercontrol.dev/pool=manual"}


def test_scaling_a_pool_that_scales_itself_is_refused(kubectl: Kubectl, namespace: str, create: Create) -> None:
    create("WorkerPool", {"template": {"image": "w"}}, "auto", keep=True)
    done = kubectl("scale", "-n", namespace, "mcpwp/auto", "--replicas=4", check=False)
    assert done.returncode != 0
    assert "replicas has no effect while autoscaling is on. Write minReplicas and maxReplicas instead" in done.stderr


def test_autoscaling_is_turned_off_and_on_in_one_change_with_replicas(create: Create, patch: Patch) -> None:
    pool = create("WorkerPool", {"template": {"image": "w"}}, keep=True)
    pool = patch(pool, {"autoscaling": {"enabled": False}, "replicas": 6})
    assert pool["spec"]["replicas"] == 6
    pool = patch(pool, {"autoscaling": {"enabled": True}, "replicas": 5})
    assert patch(pool, {"replicas": None})["spec"]["replicas"] == 1


def test_applying_the_crds_again_changes_nothing(kubectl: Kubectl, namespace: str) -> None:
    assert namespace

    def versions() -> str:
        return kubectl("get", "-f", str(CRDS), "-o", "jsonpath={.items[*].metadata.resourceVersion}").stdout

    before = versions()
    kubectl("apply", "--server-side", "-f", str(CRDS))
    assert versions() == before
    assert kubectl("diff", "--server-side", "-f", str(CRDS), check=False).stdout == ""
