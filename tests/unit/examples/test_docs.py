"""What the docs show can be done: links lead somewhere, YAML is what the CRDs take, the tutorial runs."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mastercontrol.api.names import GROUP
from mastercontrol.api.workflow import parse_spec
from mastercontrol.workflow.compile import compile_workflow
from mastercontrol.workflow.definition import Definition
from unit.examples.loading import EXAMPLES, ROOT
from unit.examples.markdown import Block, all_blocks, anchors, blocks, links, pages, tables

LANGUAGE = ROOT / "docs" / "reference" / "workflow-language.md"
TUTORIAL = ROOT / "docs" / "tutorial" / "first-workflow.md"
PROMISE = (
    "every transition is applied exactly once; every step is executed at least once; the dispatch id is the "
    "idempotency key."
)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}: {sorted(anchors(file))}"


def test_every_page_of_the_docs_is_in_their_index() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / target.partition("#")[0]).resolve() for target in links(index)}
    assert listed == {path for path in (ROOT / "docs").rglob("*.md") if path != index}


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each kind, as strict as the API server: what is not named is refused."""
    crds = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    return {
        crd["spec"]["names"]["kind"]: strict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]) for crd in crds
    }


def strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items() if key != "required" or not isinstance(value, list)}
    if "properties" in schema and "additionalProperties" not in schema:
        found["additionalProperties"] = False
    return found


def objects(block: Block) -> list[dict[str, Any]]:
    return [fragment(document) for document in yaml.safe_load_all(block.text) if document]


def fragment(document: Any) -> dict[str, Any]:
    """A list of states as the Workflow that has them, anything else as it is."""
    if not isinstance(document, list):
        return dict(document)
    meta = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Workflow", "metadata": {"name": "w"}}
    return {**meta, "spec": {"states": document}}


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_yaml_in_the_docs_is_what_the_cluster_takes(block: Block) -> None:
    for document in objects(block):
        if str(document.get("apiVersion", "")).startswith(GROUP):
            schema = schemas()[document["kind"]]
            jsonschema.validate(document, schema)


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_a_workflow_in_the_docs_has_no_faults(block: Block) -> None:
    for document in objects(block):
        if document.get("kind") == "Workflow":
            compiled = compile_workflow("w", parse_spec(document["spec"]))
            assert isinstance(compiled, Definition), str(compiled)


def test_the_reference_of_the_language_has_an_example_of_each_type() -> None:
    documents = [document for block in blocks(LANGUAGE, "yaml") for document in objects(block)]
    shown = {state.get("type", "Task") for document in documents for state in document["spec"]["states"]}
    crd = schemas()["Workflow"]["properties"]["spec"]["properties"]["states"]["items"]["properties"]["type"]
    assert shown == set(crd["enum"]) == set(tables(LANGUAGE, "States"))


def test_the_check_of_workflows_finds_a_next_that_is_not_there() -> None:
    document = fragment([{"name": "a", "pool": "p", "next": "b"}])
    assert "there is no state 'b'" in str(compile_workflow("w", parse_spec(document["spec"])))


def test_yaml_of_the_examples_is_what_the_cluster_takes() -> None:
    files = sorted(EXAMPLES.glob("*/*.yaml"))
    assert files
    for path in files:
        for document in yaml.safe_load_all(path.read_text()):
            if document["apiVersion"].startswith(GROUP):
                jsonschema.validate(document, schemas()[document["kind"]])


def test_the_check_of_yaml_finds_a_misspelt_field() -> None:
    job = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Job", "spec": {"workflow": "x", "suspended": True}}
    with pytest.raises(jsonschema.ValidationError, match="suspended"):
        jsonschema.validate(job, schemas()["Job"])


def test_values_in_the_docs_are_what_the_chart_takes() -> None:
    shown = [block for block in all_blocks("yaml") if block.text.startswith("# values.yaml")]
    assert shown
    schema = strict(yaml.safe_load((ROOT / "charts" / "mcp" / "values.schema.json").read_text()))
    for block in shown:
        for document in objects(block):
            jsonschema.validate(document, schema)


@pytest.mark.parametrize("block", all_blocks("python"), ids=str)
def test_python_in_the_docs_can_be_parsed(block: Block) -> None:
    ast.parse(block.text, filename=str(block))


@pytest.mark.parametrize("block", all_blocks("sh"), ids=str)
def test_shell_in_the_docs_can_be_parsed(block: Block) -> None:
    done = subprocess.run(["sh", "-n"], input=block.text, capture_output=True, text=True, check=False, timeout=10)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", all_blocks("console"), ids=str)
def test_files_that_commands_name_are_there(block: Block) -> None:
    for word in re.findall(r"(?<![\w/.])(?:\./)?(?:charts|examples|hack|crds)/[\w./*-]+", block.text):
        assert list(ROOT.glob(word.removeprefix("./"))), f"{block}: {word}"
    for target in re.findall(r"^\$ make ([a-z0-9]+)$", block.text, re.MULTILINE):
        assert target in make_targets(), f"{block}: make {target}"


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_targets_that_contributing_lists_are_those_of_the_makefile() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"`make ([a-z0-9]+)`", text)) | {"setup", "help", "clean"} == make_targets()


@pytest.mark.parametrize("page", ["README.md", "docs/explanation/protocol.md"])
def test_the_promise_is_said_exactly(page: str) -> None:
    assert PROMISE in re.sub(r"\s+", " ", (ROOT / page).read_text())


def test_the_quick_start_is_marked_for_the_test_that_types_it() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.count("<!-- quick-start -->") == text.count("<!-- /quick-start -->") == 1
    marked = text.split("<!-- quick-start -->")[1].split("<!-- /quick-start -->")[0]
    commands = [line for line in marked.splitlines() if line.startswith("$ ")]
    assert commands[0].startswith("$ helm install mcp ./charts/mcp")
    assert "$ kubectl get mcpjobs -w" in commands


def dev(folder: Path) -> subprocess.CompletedProcess[str]:
    run = "import sys; from mastercontrol.cli import main; sys.exit(main())"
    files = [str(path) for path in sorted(folder.glob("*.yaml"))]
    command = [sys.executable, "-c", run, "dev", "--plain", "--timeout", "60", *files]
    return subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False, timeout=90)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """What somebody has who typed the tutorial."""
    (handlers,) = blocks(TUTORIAL, "python")
    (tmp_path / "order_handlers.py").write_text(handlers.text)
    for name, block in zip(("workflow", "pools", "job"), blocks(TUTORIAL, "yaml"), strict=True):
        (tmp_path / f"{name}.yaml").write_text(block.text)
    return tmp_path


def test_the_tutorial_ends_as_it_says(orders: Path) -> None:
    done = dev(orders)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = next(block.text for block in blocks(TUTORIAL, "text"))
    assert without_times(done.stdout) == without_times(shown)


def test_the_tutorial_s_failure_is_as_it_says(orders: Path) -> None:
    job = orders / "job.yaml"
    job.write_text(job.read_text().replace("amount: 12", "amount: 100"))
    done = dev(orders)
    assert done.returncode == 1
    assert done.stdout.endswith(blocks(TUTORIAL, "text")[1].text)


def without_times(text: str) -> list[str]:
    """The lines of `mastercontrol dev`, without what is different each time."""
    text = re.sub(r"^ *\d+\.\d\ds|\d{4}-\d\d-\d\dT[\d:.]+Z|[\w-]+(?=:1:1\")", "", text, flags=re.MULTILINE)
    return [line.rstrip() for line in text.splitlines()]
