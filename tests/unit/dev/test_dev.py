"""`mastercontrol dev`: the same engine and worker in one process, seen from outside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Files = Callable[..., Path]
Dev = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_chain_ends_with_the_last_output_and_status_zero(files: Files, dev: Dev) -> None:
    done = dev(files("double", data={"n": 21}))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout[done.stdout.index("{") :]) == {"n": 42}


def test_each_state_is_a_line_as_the_job_moves(files: Files, dev: Dev) -> None:
    lines = dev(files("double", "flaky", data={"n": 1})).stdout.splitlines()
    states = [line.split()[2] for line in lines if line.split()[1:2] == ["job"]]
    seen = list(dict.fromkeys(states))
    assert seen == ["Begin", "InProgress.double", "InProgress.flaky", "Done"]


def test_a_job_that_fails_gives_status_one_and_says_why(files: Files, dev: Dev) -> None:
    done = dev(files("refuse", data={}))
    assert done.returncode == 1
    assert "job: Failed" in done.stdout
    assert "refuse: OutOfStock: no more stock" in done.stdout


def test_a_step_is_tried_again_as_in_a_cluster(files: Files, dev: Dev) -> None:
    done = dev(files("flaky", data={}))
    assert done.returncode == 0
    assert '"attempts": 3' in done.stdout


def test_a_program_does_a_step_in_exec_mode(files: Files, dev: Dev) -> None:
    template = {"image": "none", "command": ["sh", "-c", 'cat >/dev/null; echo \'{"by": "sh"}\'']}
    done = dev(files("anything", data={}, template=template))
    assert done.returncode == 0, done.stderr
    assert '"by": "sh"' in done.stdout


def test_a_step_past_its_timeout_fails_the_job(files: Files, dev: Dev) -> None:
    done = dev(files("slow", data={}, timeoutSeconds=1, retry={"limit": 0}))
    assert done.returncode == 1
    assert "Timeout" in done.stdout


def test_what_takes_too_long_is_given_up_with_status_one(files: Files, dev: Dev) -> None:
    done = dev(files("slow", data={}), "--timeout", "1")
    assert done.returncode == 1
    assert "not all jobs ended within 1.0 s" in done.stderr


def test_a_file_that_is_not_there_is_named(dev: Dev) -> None:
    done = dev("nothing.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nothing.yaml: No such file" in done.stderr


def test_a_wrong_object_is_named_with_file_and_line(files: Files, dev: Dev) -> None:
    path = files("double", data={})
    text = path.read_text().replace('"workflow": "flow"', '"workflow": "flow", "inputs": {}')
    path.write_text(text)
    done = dev(path)
    assert done.returncode == 2
    assert "all.yaml:5: spec.inputs: there is no such field; known are" in done.stderr


def test_a_workflow_with_faults_is_not_run_and_all_of_them_are_named(files: Files, dev: Dev) -> None:
    path = files("double", data={})
    states = '"states": [{"name": "one", "type": "Wait", "seconds": -1, "next": "x"}, '
    path.write_text(path.read_text().replace('"states": [', states))
    done = dev(path)
    assert done.returncode == 2
    assert "spec.states[0].seconds: write a whole number" in done.stderr
    assert "spec.states[0].next: there is no state 'x'" in done.stderr


def test_a_job_of_an_unknown_workflow_waits_and_says_so(files: Files, dev: Dev) -> None:
    path = files("double", data={})
    path.write_text(path.read_text().replace('"workflow": "flow"', '"workflow": "folw"'))
    done = dev(path, "--timeout", "1")
    assert done.returncode == 1
    assert "there is no Workflow 'folw'" in done.stdout


def test_files_without_a_job_are_refused(files: Files, dev: Dev) -> None:
    path = files("double", data={})
    path.write_text(path.read_text().split("\n---\n")[0])
    done = dev(path)
    assert done.returncode == 2
    assert "no Job" in done.stderr


def test_a_pool_whose_image_brings_its_own_worker_needs_handlers(files: Files, dev: Dev) -> None:
    path = files("double", data={"n": 1}, template={"image": "somebody/worker:1"})
    refused = dev(path)
    assert refused.returncode == 2
    assert "--handlers MODULE" in refused.stderr
    assert dev(path, "--handlers", "some_handlers").returncode == 0


def test_handlers_that_cannot_be_imported_are_named(files: Files, dev: Dev) -> None:
    done = dev(files("double", data={}, template={"image": "none", "handlers": "elsewhere"}))
    assert done.returncode == 2
    assert "'elsewhere'" in done.stderr


def test_other_kinds_in_the_files_are_passed_over(files: Files, dev: Dev) -> None:
    path = files("double", data={"n": 1})
    path.write_text(path.read_text() + "\n---\n" + json.dumps({"apiVersion": "v1", "kind": "ConfigMap"}))
    done = dev(path)
    assert done.returncode == 0
    assert "ConfigMap is not needed here" in done.stdout


def with_child(path: Path, **more: object) -> Path:
    """The same, with a Job of a Workflow whose only state is a SubJob of `flow`."""
    state = {"name": "sub", "type": "SubJob", "workflow": "flow", **more}
    parent = {"kind": "Workflow", "metadata": {"name": "outer"}, "spec": {"states": [state]}}
    objects = path.read_text().replace('"workflow": "flow"', '"workflow": "outer"')
    path.write_text(f"{objects}\n---\n{json.dumps({'apiVersion': 'mastercontrol.dev/v1alpha1', **parent})}")
    return path


def test_a_job_that_a_job_made_is_shown_and_its_output_comes_up(files: Files, dev: Dev) -> None:
    done = dev(with_child(files("double", data={"n": 21})))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout[done.stdout.index("{") :]) == {"n": 42}
    shown = [line for line in done.stdout.splitlines() if " job-sub-" in line and "InProgress.double" in line]
    assert shown, done.stdout


def test_a_job_that_a_job_made_is_waited_for(files: Files, dev: Dev) -> None:
    done = dev(with_child(files("slow", data={}), timeoutSeconds=1))
    assert done.returncode == 1
    last = [line for line in done.stdout.splitlines() if " job-sub-" in line][-1]
    assert "Cancelled" in last
    assert "that it belongs to has ended" in last


def test_the_version_is_printed(dev: Dev) -> None:
    assert "usage: mastercontrol dev" in dev("--help").stdout


def test_a_limit_holds_here_too(files: Files, dev: Dev) -> None:
    path = files("double", data={"n": 1, "who": "acme"})
    flow = '"kind": "Workflow", "metadata": {"name": "flow"}, "spec": {'
    text = path.read_text()
    assert flow in text
    limit = '"concurrency": {"limit": 1, "key": "${job.input.who}"}, '
    job = text.rpartition("\n---\n")[2]
    others = [job.replace('"name": "job"', f'"name": "job-{i}"') for i in range(3)]
    path.write_text("\n---\n".join([text.replace(flow, flow + limit), *others]))
    done = dev(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'waits for a place: key "acme" is held by job (limit 1)' in done.stdout
    ends = [f"job{n}: Succeeded" in done.stdout for n in ("", "-0", "-1", "-2")]
    assert ends == [True] * 4


def test_one_too_many_is_rejected_here_too(files: Files, dev: Dev) -> None:
    path = files("slow", data={})
    flow = '"kind": "Workflow", "metadata": {"name": "flow"}, "spec": {'
    text = path.read_text()
    job = text.rpartition("\n---\n")[2].replace('"name": "job"', '"name": "second"')
    limited = text.replace(flow, flow + '"concurrency": {"limit": 1, "policy": "Reject"}, ')
    path.write_text(f"{limited}\n---\n{job}")
    done = dev(path, "--timeout", "2")
    assert done.returncode == 1
    assert "second: Failed" in done.stdout
    assert "ConcurrencyLimit: there is no place: held by job (limit 1)" in done.stdout
