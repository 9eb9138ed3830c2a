"""The CRDs as files: what the API server does not insist on, but a reader of `kubectl explain` does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

FILES = sorted((Path(__file__).parents[3] / "crds").glob("*.yaml"))


def load(file: Path) -> dict[str, Any]:
    crd: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return crd


def schemas(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A schema and all schemas in it, each with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from schemas(inner, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from schemas(schema[name], f"{path}[]")


def all_schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in FILES:
        for version in load(file)["spec"]["versions"]:
            yield from schemas(version["schema"]["openAPIV3Schema"], file.stem)


def test_there_are_four_kinds() -> None:
    assert [file.stem for file in FILES] == ["mcpjobs", "mcpschedules", "mcpworkerpools", "mcpworkflows"]


def test_every_field_has_a_description_of_whole_sentences() -> None:
    for path, schema in all_schemas():
        if path.count(".") == 1 and path.endswith(".metadata"):
            continue  # the API server allows none here and has its own
        assert schema.get("description", "").endswith("."), path


def test_every_number_that_people_write_is_bounded() -> None:
    for path, schema in all_schemas():
        # A toleration may have any number: negative ones mean something there.
        if ".spec" in path and schema.get("type") in {"integer", "number"} and "tolerations" not in path:
            assert {"minimum", "maximum"} <= set(schema), path


def test_every_rule_says_what_to_write_instead() -> None:
    for path, schema in all_schemas():
        for rule in schema.get("x-kubernetes-validations", []):
            for said in filter(None, (rule["message"], rule.get("messageExpression"))):
                assert any(word in said for word in ("rite ", "horten ", "reate ")), f"{path}: {said}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_kind_is_named_as_the_reference_says(file: Path) -> None:
    crd = load(file)
    assert crd["spec"]["names"]["categories"] == ["mcp"]
    assert crd["metadata"]["name"] == f"{crd['spec']['names']['plural']}.mastercontrol.dev"
    assert crd["spec"]["scope"] == "Namespaced"
    for version in crd["spec"]["versions"]:
        assert version["subresources"]["status"] == {}
        assert version["additionalPrinterColumns"][-1]["name"] == "Age"


def test_a_condition_looks_the_same_in_every_kind() -> None:
    conditions = [schema for path, schema in all_schemas() if path.endswith(".status.conditions[]")]
    assert len(conditions) == len(FILES)
    assert all(condition == conditions[0] for condition in conditions)


def test_a_schedule_s_template_takes_what_a_job_takes() -> None:
    """All but what is for a Job that is there already, and but the rules on changes."""
    by_kind = {file.stem: load(file)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for file in FILES}
    template = by_kind["mcpschedules"]["properties"]["spec"]["properties"]["jobTemplate"]["properties"]["spec"]
    job = by_kind["mcpjobs"]["properties"]["spec"]
    assert template["required"] == job["required"]
    assert set(template["properties"]) == set(job["properties"]) - {"cancel", "signals", "operations"}
    for name, schema in template["properties"].items():
        assert plain(schema) == plain(job["properties"][name]), name


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without its texts and its rules."""
    return {key: value for key, value in schema.items() if key not in {"description", "x-kubernetes-validations"}}
