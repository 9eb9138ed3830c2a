"""The reference pages name exactly what the code has."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from enum import StrEnum

import pytest
import yaml
from prometheus_client import REGISTRY

import mastercontrol
from mastercontrol.api.names import ConditionType, Phase, Reason, ResultReason
from mastercontrol.broker import topology
from mastercontrol.settings import Settings
from mastercontrol.workflow import errors
from mastercontrol.workflow.definition import COMPENSATE, ON_EXIT
from mastercontrol.workflow.machine import BEGIN, FINAL, IN_PROGRESS
from mastercontrol_worker import contract
from unit.examples.loading import ROOT
from unit.examples.markdown import tables

REFERENCE = ROOT / "docs" / "reference"
STATUS = REFERENCE / "job-status.md"
METRICS = REFERENCE / "metrics.md"
SETTINGS = REFERENCE / "settings.md"
TOPOLOGY = REFERENCE / "messages-and-topology.md"


def test_every_setting_is_listed_with_its_default() -> None:
    listed = tables(SETTINGS, "Who and where") | tables(SETTINGS, "What can be tuned")
    wanted = {f"MCP_{field.name.upper()}": field.default for field in dataclasses.fields(Settings)}
    assert set(listed) == set(wanted)
    for name, default in wanted.items():
        shown = listed[name][0].strip("`")
        if isinstance(default, str):
            assert shown in {default, "must be set"}, name
        elif default is None:
            assert shown == "", name
        else:
            assert float(shown) == default, name


def test_every_tunable_setting_is_a_value_of_the_chart() -> None:
    values = yaml.safe_load((ROOT / "charts" / "mcp" / "values.yaml").read_text())
    listed = {name.removeprefix("MCP_").lower() for name in tables(SETTINGS, "What can be tuned")}
    assert listed == {re.sub(r"([A-Z])", r"_\1", name).lower() for name in values["operator"]["settings"]}


def documented_metrics() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Type and labels by name."""
    found = {}
    for heading in ("Jobs", "Steps and results", "Pools", "RabbitMQ", "API server"):
        for name, cells in tables(METRICS, heading).items():
            if name.startswith("mcp_"):
                found[name] = (cells[0], tuple(re.findall(r"`([^`]+)`", cells[1])))
    return found


def registered_metrics() -> dict[str, tuple[str, tuple[str, ...]]]:
    for module in pkgutil.walk_packages(mastercontrol.__path__, "mastercontrol."):
        importlib.import_module(module.name)
    found = {}
    for collector in set(REGISTRY._collector_to_names):
        kind, name = getattr(collector, "_type", ""), getattr(collector, "_name", "")
        if name.startswith("mcp_"):
            found[f"{name}_total" if kind == "counter" else name] = (kind, tuple(collector._labelnames))  # type: ignore[attr-defined]
    return found


def test_the_metrics_listed_are_those_that_there_are() -> None:
    assert documented_metrics() == registered_metrics()


def test_alarms_name_metrics_that_there_are() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        for name in re.findall(r"\bmcp_[a-z_]+", page.read_text()):
            assert name in registered_metrics(), f"{page.name}: {name}"


@pytest.mark.parametrize(
    ("heading", "words"),
    [("Phases", Phase), ("Reasons", Reason), ("Conditions", None)],
)
def test_the_words_of_a_status_are_those_of_the_code(heading: str, words: type[StrEnum] | None) -> None:
    if words is not None:
        assert set(tables(STATUS, heading)) == {word.value for word in words}
        return
    section = STATUS.read_text().split("## Conditions")[1].split("\n## ")[0]
    assert set(re.findall(r"\| `(\w+)` \|", section)) == {kind.value for kind in ConditionType}


def test_the_states_listed_are_those_of_the_machine() -> None:
    assert set(tables(STATUS, "States")) == {
        BEGIN,
        "InProgress.<name>",
        *(f"{IN_PROGRESS}.{name}" for name in (COMPENSATE, ON_EXIT)),
        *FINAL,
    }


def test_every_error_code_of_the_contract_is_listed() -> None:
    codes = {
        contract.STEP_FAILED,
        contract.STEP_UNKNOWN,
        contract.STEP_TIMEOUT,
        contract.RESULT_TOO_LARGE,
        contract.RESULT_NOT_JSON,
        contract.EXIT_CODE,
        contract.DELIVERY_LIMIT,
        contract.HEARTBEAT_TIMEOUT,
    }
    listed = set(tables(STATUS, "Error codes"))
    assert codes <= listed
    assert listed - codes == {
        "DeadLettered",
        errors.QUERY,
        errors.TOLERATED,
        errors.TRANSITIONS,
        Reason.STATUS_TOO_LARGE,
        Reason.DEADLINE_EXCEEDED,
        Reason.CANCELLED,
        Reason.CONCURRENCY_LIMIT,
        Reason.REPLACED,
        Reason.UNKNOWN_WORKFLOW,
        Reason.INVALID_WORKFLOW,
        Reason.SUB_JOB_FAILED,
        Reason.SUB_JOB_DELETED,
        Reason.SUB_JOB_CONFLICT,
        Reason.SUB_JOB_REJECTED,
        Reason.SUB_JOB_TOO_DEEP,
    }


def test_what_becomes_of_results_is_listed() -> None:
    listed = {name for name in tables(METRICS, "Steps and results") if not name.startswith("mcp_")}
    assert listed == {reason.value for reason in ResultReason}


def test_queues_and_exchanges_listed_are_those_declared() -> None:
    declared = [*topology.base((4, 0)), *topology.for_pool("<namespace>", "<pool>"), topology.epoch_declaration("<id>")]
    queues = {item.name for item in declared if isinstance(item, topology.Queue)}
    assert set(tables(TOPOLOGY, "Queues")) == queues | {topology.heartbeats_queue("<id>")}
    exchanges = {item.name for item in declared if isinstance(item, topology.Exchange)}
    assert set(tables(TOPOLOGY, "Exchanges")) == exchanges
