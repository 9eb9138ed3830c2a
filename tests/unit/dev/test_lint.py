"""`mastercontrol lint`: every fault of a file, each with the line to go to, and nothing else."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from mastercontrol.cli import main
from unit.examples.loading import EXAMPLES

Write = Callable[..., Path]
Lint = Callable[..., tuple[int, list[str]]]

HEAD = "apiVersion: mastercontrol.dev/v1alpha1\n"
POOL = HEAD + "kind: WorkerPool\nmetadata: {name: p}\nspec: {template: {image: x}}\n"
FLOW = HEAD + "kind: Workflow\nmetadata: {name: flow}\nspec: {states: [{name: a, pool: p}]}\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A file of objects; a text that does not begin with its head gets that of a Workflow, four lines."""

    def run(*texts: str, name: str = "all.yaml") -> Path:
        full = [textwrap.dedent(text) for text in texts]
        states = [
            t if t.startswith(("apiVersion", "#")) else f"{HEAD}kind: Workflow\nmetadata: {{name: w}}\n{t}"
            for t in full
        ]
        path = tmp_path / name
        path.write_text("---\n".join(states))
        return path

    return run


@pytest.fixture
def lint(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Lint:
    """The exit status and the lines of the command, with the files as they were named."""

    def run(*paths: Path) -> tuple[int, list[str]]:
        monkeypatch.chdir(tmp_path)
        status = main(
            ["lint", *(str(p.relative_to(tmp_path)) if p.is_relative_to(tmp_path) else str(p) for p in paths)]
        )
        captured = capsys.readouterr()
        return status, [*captured.out.splitlines(), *captured.err.splitlines()]

    return run


def test_files_without_faults_say_nothing(write: Write, lint: Lint) -> None:
    job = HEAD + "kind: Job\nmetadata: {generateName: order-}\nspec: {workflow: flow}\n"
    assert lint(write(FLOW, POOL, job)) == (0, [])


@pytest.mark.parametrize("folder", ["relay", "thumbnails", "patterns"])
def test_the_examples_have_no_faults(folder: str, lint: Lint) -> None:
    status, lines = lint(*sorted((EXAMPLES / folder).glob("*.yaml")))
    assert status == 0
    assert [line for line in lines if "no object of mastercontrol.dev" not in line] == []


def test_each_fault_has_the_line_of_its_field(write: Write, lint: Lint) -> None:
    path = write("""\
        spec:
          states:
          - name: a
            pool: p
            next: nowhere
          - name: fan
            type: Parallel
            branches:
            - states:
              - {name: x, pool: p}
              - name: y
                pool: Pool
                input:
                  fine: 1
                  deep: [1, {"odd key": "${input.}"}]
            assign: {n: "${1 + }"}
        """)
    status, lines = lint(path, write(POOL, name="pool.yaml"))
    assert status == 1
    assert [line.partition(", column")[0].partition(": there")[0].partition(": '")[0] for line in lines] == [
        "all.yaml:8: spec.states[0].next",
        "all.yaml:15: spec.states[1].branches[0].states[1].pool",
        'all.yaml:18: spec.states[1].branches[0].states[1].input.deep[1]["odd key"]',
        "all.yaml:19: spec.states[1].assign.n",
    ]


def test_a_fault_in_a_text_says_at_which_character(write: Write, lint: Lint) -> None:
    path = write('spec: {states: [{name: a, pool: p, input: "an ${oops}"}]}\n')
    _, (line,) = lint(path, write(POOL, name="pool.yaml"))
    assert line.startswith("all.yaml:4: spec.states[0].input, column 6: there is no variable 'oops'; write one of")


def test_a_wrong_limit_has_the_line_of_its_field(write: Write, lint: Lint) -> None:
    text = """\
        spec:
          concurrency:
            limit: 1
            key: ${steps.a.output}
          states: [{name: a, pool: p}]
        """
    (line,) = lint(write(text, POOL))[1]
    assert line.startswith("all.yaml:7: spec.concurrency.key, column 3: there is no variable 'steps'")
    job = HEAD + "kind: Job\nmetadata: {name: j}\nspec: {workflow: flow, priority: 11}\n"
    assert lint(write(FLOW, POOL, job))[1] == ["all.yaml:14: spec.priority: write a whole number from 0 to 9, not 11"]


def test_what_is_missing_has_the_line_of_what_it_is_missing_in(write: Write, lint: Lint) -> None:
    path = write("""\
        spec:
          states:
          - name: a
            pool: p
          - name: which
            type: Choice
            choices:
            - when: "true"
            default: a
        """)
    status, lines = lint(path, write(POOL, name="pool.yaml"))
    assert (status, lines) == (1, ["all.yaml:11: spec.states[1].choices[0].next: write a text, it is required"])


def test_faults_of_shape_and_of_meaning_are_all_said_in_one_go(write: Write, lint: Lint) -> None:
    path = write("""\
        spec:
          states:
          - {name: a, pool: p, timeout: 3, timeoutSeconds: soon}
          - {name: b, pool: p, input: "${oops}"}
          - {name: c, type: Chioce}
          - text
          - {name: d, pool: q, retry: {limit: -1, jitter: some}, catch: [{errors: [A]}]}
        """)
    status, lines = lint(path, write(POOL, name="pool.yaml"))
    assert status == 1
    assert [line.split(": ")[:3] for line in lines if "warning" in line] == [
        ["all.yaml:10", "warning", "spec.states[4].pool"],
    ]
    assert [line.split(": ")[:2] for line in lines if "warning" not in line] == [
        ["all.yaml:6", "spec.states[0].timeout"],
        ["all.yaml:6", "spec.states[0].timeoutSeconds"],
        ["all.yaml:7", "spec.states[1].input, column 3"],
        ["all.yaml:8", "spec.states[2].type"],
        ["all.yaml:9", "spec.states[3]"],
        ["all.yaml:10", "spec.states[4].catch[0].next"],
        ["all.yaml:10", "spec.states[4].retry.jitter"],
        ["all.yaml:10", "spec.states[4].retry.limit"],
    ]


def test_a_state_that_is_never_reached_is_said_beside_other_faults(write: Write, lint: Lint) -> None:
    path = write("""\
        spec:
          states:
          - {name: a, pool: p, next: c}
          - {name: b, pool: p}
          - {name: c, pool: Pool}
        """)
    _, lines = lint(path, write(POOL, name="pool.yaml"))
    assert [line.partition("; ")[0] for line in lines] == [
        "all.yaml:7: spec.states[1]: 'b' is never reached from 'a'",
        "all.yaml:8: spec.states[2].pool: 'Pool' is no name of a WorkerPool",
    ]


def test_what_yaml_has_and_json_has_not_is_a_fault(write: Write, lint: Lint) -> None:
    path = write("spec: {states: [{name: a, type: Pass, input: {1: x, b: .nan, c: !!set {d}}, assign: {2: 3}}]}\n")
    status, lines = lint(path)
    assert status == 1
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spec: {}\n", "4: spec.states: write a list of 1 to 200 states"),
        ("spec: [a]\n", "4: .spec: write a mapping, not a list"),
        (
            "spec: {states: [{name: a, pool: p}], maxTransition: 1}\n",
            "4: spec.maxTransition: there is no such field; kn",
        ),
        (
            "spec:\n  states:\n  - {name: a, pool: p, next: a}\n",
            "6: spec.states[0]: from 'a' there is no way to an en",
        ),
        (HEAD + "kind: Workflow\nspec: {states: [{name: a, pool: p}]}\n", "1: metadata.name: write a text, it is requ"),
        (
            HEAD + "kind: Job\nmetadata: {name: j}\nspec:\n  workflow: w\n  inputs: 1\n",
            "6: spec.inputs: there is no such",
        ),
        (
            HEAD + "kind: Job\nmetadata: {name: j}\nspec: {signals: [{name: 1}], workflow: w}\n",
            "4: spec.signals[0].name",
        ),
        (
            HEAD + "kind: WorkerPool\nmetadata: {name: p}\nspec:\n  maxReplicas: -1\n",
            "5: spec.maxReplicas: write a whole",
        ),
        (
            HEAD
            + "kind: Schedule\nmetadata: {name: s}\nspec:\n  schedule: 1 2 3\n  jobTemplate: {spec: {workflow: w}}\n",
            "5: spec.schedule: '1 2 3' is not understood",
        ),
        (
            HEAD + "metadata: {name: x}\nkind: Worker\n",
            "3: kind: there is no 'Worker' in mastercontrol.dev/v1alpha1; write",
        ),
        (
            "apiVersion: mastercontrol.dev/v1\nkind: Job\n",
            "2: kind: there is no 'Job' in mastercontrol.dev/v1; write one",
        ),
    ],
    ids=lambda value: None if value.startswith(("api", "spec")) else value[:40],
)
def test_an_object_that_the_cluster_would_refuse_is_a_fault(text: str, said: str, write: Write, lint: Lint) -> None:
    status, lines = lint(write(text))
    assert status == 1
    assert lines[0].startswith(f"all.yaml:{said}")


def test_a_sub_job_of_a_workflow_in_none_of_the_files_is_a_warning(write: Write, lint: Lint) -> None:
    flow = (
        "spec:\n  states:\n  - {name: a, type: SubJob, workflow: flow}\n  - {name: b, type: SubJob, workflow: other}\n"
    )
    assert lint(write(POOL, FLOW, flow)) == (
        0,
        ["all.yaml:17: warning: spec.states[1].workflow: there is no Workflow 'other' in these files"],
    )


def test_what_is_in_none_of_the_files_is_a_warning(write: Write, lint: Lint) -> None:
    inner = "{name: b, type: Map, items: [1], states: [{name: c, pool: q}]}"
    flow = f"spec:\n  states:\n  - {{name: a, pool: p}}\n  - {inner}\n"
    job = HEAD + "kind: Job\nmetadata: {name: j}\nspec:\n  workflow: other\n"
    run = (
        HEAD
        + "kind: Schedule\nmetadata: {name: s}\nspec:\n  schedule: '@daily'\n  jobTemplate: {spec: {workflow: w}}\n"
    )
    status, lines = lint(write(POOL, flow, job, run))
    assert status == 0
    assert lines == [
        "all.yaml:12: warning: spec.states[1].states[0].pool: there is no WorkerPool 'q' in these files",
        "all.yaml:18: warning: spec.workflow: there is no Workflow 'other' in these files",
    ]


def test_files_may_refer_to_each_other(write: Write, lint: Lint) -> None:
    assert lint(write(FLOW), write(POOL, name="pool.yaml")) == (0, [])


def test_an_object_that_stands_twice_is_a_fault(write: Write, lint: Lint) -> None:
    other = FLOW.replace("{name: flow}", "{name: flow, namespace: other}")
    status, lines = lint(write(POOL, FLOW, other), write(FLOW, name="more.yaml"))
    assert status == 1
    said = "metadata.name: the Workflow 'flow' is at all.yaml:8 already; write another name"
    assert lines == [f"more.yaml:3: {said}"]


def test_a_file_that_cannot_be_read_gives_status_2_and_the_others_are_checked(write: Write, lint: Lint) -> None:
    wrong = write(FLOW.replace("pool: p", "poll: p"))
    broken = write("# no\nstates: [", name="broken.yaml")
    status, lines = lint(wrong, broken, broken.with_name("none.yaml"))
    assert status == 2
    assert lines[0].startswith("all.yaml:4: spec.states[0].poll: there is no such field")
    assert lines[1] == "all.yaml:4: spec.states[0].pool: write a text, it is required"
    assert lines[2].startswith("mastercontrol: broken.yaml: ")
    assert lines[-1] == "mastercontrol: none.yaml: No such file or directory"


def test_a_file_with_nothing_to_check_is_said(write: Write, lint: Lint) -> None:
    path = write("# a comment\n")
    assert lint(path) == (0, ["all.yaml:1: warning: there is no object of mastercontrol.dev in this file"])


def test_a_time_needs_no_quotes_as_for_kubectl(write: Write, lint: Lint) -> None:
    path = write(
        "spec: {states: [{name: a, type: Wait, until: 2030-01-31T12:00:00Z}, "
        "{name: b, type: Pass, input: 2030-01-31}]}\n"
    )
    assert lint(path) == (0, [])


def test_heartbeats_that_come_too_late_to_be_noticed_are_found_in_their_line(write: Write, lint: Lint) -> None:
    text = """\
    spec:
      states:
      - name: all
        type: Map
        items: [1]
        states:
        - name: load
          pool: p
          timeoutSeconds: 60
          heartbeatSeconds: 60
      - {name: next, type: Pass, heartbeatSeconds: 5}
    """
    status, lines = lint(write(text, POOL))
    assert status == 1
    assert any("heartbeatSeconds" in line for line in lines)
    status, lines = lint(write(text.replace(", heartbeatSeconds: 5", ""), POOL))
    assert status == 1
    (line,) = lines
    assert line.startswith("all.yaml:13: spec.states[0].states[0].heartbeatSeconds: write less than timeoutSeconds")
