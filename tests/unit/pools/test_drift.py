"""Which differences between a manifest and a live object count."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from mastercontrol.api.pool import parse_pool
from mastercontrol.pools.deployment import deployment
from mastercontrol.pools.drift import difference, parse_quantity
from unit.pools.world import pool

MANIFEST = {
    "spec": {
        "paused": False,
        "args": ["a", "b"],
        "containers": [{"name": "worker", "image": "x:1", "env": [{"name": "A", "value": ""}]}],
        "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi", "gpu": 1}},
    }
}
LIVE = {
    "spec": {
        "paused": False,
        "args": ["a", "b"],
        "containers": [
            {"name": "proxy", "image": "y"},
            {"name": "worker", "image": "x:1", "env": [{"name": "B", "value": "c"}, {"name": "A"}], "tty": False},
        ],
        "resources": {"limits": {"cpu": "500m", "memory": "1Gi", "gpu": "1"}, "requests": {"cpu": "500m"}},
        "replicas": 3,
    },
    "status": {},
}


def test_defaults_additions_and_other_spellings_are_no_difference() -> None:
    assert difference(MANIFEST, LIVE) is None


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        (("spec", "paused"), None, "spec.paused"),
        (("spec", "paused"), 0, "spec.paused"),
        (("spec", "args"), ["a"], "spec.args"),
        (("spec", "args"), ["a", "c"], "spec.args[1]"),
        (("spec", "args"), ["a", "b", "c"], "spec.args"),
        (("spec", "containers", 1, "image"), "x:2", "spec.containers[worker].image"),
        (("spec", "containers"), [], "spec.containers[worker]"),
        (("spec", "containers"), None, "spec.containers[worker]"),
        (("spec", "containers", 1, "env", 1, "value"), "z", "spec.containers[worker].env[A].value"),
        (("spec", "resources", "limits", "cpu"), "600m", "spec.resources.limits.cpu"),
        (("spec", "resources", "limits", "gpu"), "2", "spec.resources.limits.gpu"),
        (("spec", "resources", "limits"), {}, "spec.resources.limits.cpu"),
        (("spec", "resources"), "none", "spec.resources"),
    ],
)
def test_a_difference_is_named(path: tuple[Any, ...], value: Any, found: str) -> None:
    live: Any = copy.deepcopy(LIVE)
    target = live
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    assert difference(MANIFEST, live) == found


def test_a_manifest_does_not_differ_from_itself() -> None:
    made = deployment(parse_pool(pool(template={"volumes": [{"mountPath": "/x", "secret": "y"}]})), "amqp://x")
    assert difference(made, copy.deepcopy(made)) is None


def test_a_text_is_a_quantity_only_where_quantities_stand() -> None:
    assert difference({"value": "0.5"}, {"value": "500m"}) == "value"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        ("1.5Gi", "1610612736"),
        ("2e3", "2000"),
        ("1E", "1000000000000000000"),
        ("5k", "5000"),
    ],
)
def test_quantities_are_read(text: str, number: str) -> None:
    assert parse_quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "much", "Gi"])
def test_what_is_no_quantity_is_none(text: str) -> None:
    assert parse_quantity(text) is None
