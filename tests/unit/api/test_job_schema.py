"""What the operator writes into a Job's status is in its CRD: the API server drops all else without a word."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mastercontrol.api.packing import PACKED_FROM
from mastercontrol.api.status import JobStatus
from mastercontrol.api.status_json import parse_status, to_raw
from unit.api.full import FULL

CRD = Path(__file__).parents[3] / "crds" / "mcpjobs.yaml"


def status_schema() -> dict[str, Any]:
    crd = yaml.safe_load(CRD.read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return schema


def dropped(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """The paths of a value that its schema does not know."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            known = schema.get("properties", {}).get(name)
            if known is None:
                yield f"{path}.{name}"
            else:
                yield from dropped(inner, known, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from dropped(inner, schema["items"], f"{path}[]")


def test_the_crd_knows_all_that_a_status_can_say() -> None:
    assert list(dropped(to_raw(FULL), status_schema(), "status")) == []


def test_the_crd_knows_all_that_a_packed_status_can_say() -> None:
    packed = dataclasses.replace(FULL, resumable=tuple(f"each[{i}].fetch" for i in range(PACKED_FROM)))
    raw = to_raw(packed)
    assert list(dropped(raw, status_schema(), "status")) == []
    assert set(raw["packed"]) == set(status_schema()["properties"]["packed"]["properties"])


def test_each_list_of_a_status_is_packed_or_known_to_be_short() -> None:
    """A list that grows with the number of items costs the API server more with each of them."""
    bounded = {"signals_taken", "conditions"}  # by the CRD, and by the number of types
    lists = {field.name for field in parts(FULL) if isinstance(getattr(FULL, field.name), tuple)}
    many = {name: getattr(FULL, name) * PACKED_FROM for name in lists - bounded}
    raw = to_raw(dataclasses.replace(FULL, **many))
    assert lists - bounded == set(raw["packed"])
    assert not lists & set(raw) - {"conditions"}


def test_a_field_that_the_crd_does_not_know_is_found() -> None:
    raw = {**to_raw(FULL), "groups": [{"path": "each", "seq": 1, "size": 1, "sort": 1}], "mood": "fine"}
    assert list(dropped(raw, status_schema(), "status")) == ["status.groups[].sort", "status.mood"]


def parts(value: Any) -> list[dataclasses.Field[Any]]:
    """The fields that a value consists of."""
    return [field for field in dataclasses.fields(value) if field.init]


def values(value: Any) -> Iterator[Any]:
    """A value of ours and all in it."""
    if isinstance(value, tuple):
        for each in value:
            yield from values(each)
    elif dataclasses.is_dataclass(value):
        yield value
        for field in parts(value):
            yield from values(getattr(value, field.name))


@pytest.mark.parametrize("part", list(values(FULL)), ids=lambda part: type(part).__name__)
def test_the_status_of_these_tests_leaves_nothing_out(part: Any) -> None:
    for field in parts(part):
        is_path_of_the_job = part is FULL.scope and field.name == "path"
        default = () if field.default is dataclasses.MISSING else (field.default,)
        assert is_path_of_the_job or getattr(part, field.name) not in (*default, None, {}, ()), field.name


def test_a_full_status_is_read_back_without_loss() -> None:
    assert parse_status(to_raw(FULL)) == FULL
    assert parse_status({}) == JobStatus()
