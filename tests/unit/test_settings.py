"""The settings: what can be written, what is said when it is wrong, and that the chart has the same ones."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from mastercontrol.settings import InvalidSetting, Settings, read_settings

ROOT = Path(__file__).parents[2]
SET_BY_THE_CHART = {
    "namespaces",
    "replicas",
    "pod_name",
    "pod_namespace",
    "lease_name",
    "epoch_configmap",
    "amqp_url",
    "management_url",
}


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda m: m[1].upper(), name)


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()


def test_each_setting_is_read_from_its_variable() -> None:
    read = read_settings({"MCP_SWEEP_SECONDS": "60", "MCP_CONCURRENT_TURNS": "8", "MCP_LOG_FORMAT": "json"})
    assert (read.sweep_seconds, read.concurrent_turns, read.log_format) == (60.0, 8, "json")


def test_how_long_steps_without_a_limit_may_be_held_reaches_the_pools() -> None:
    pools = read_settings({"MCP_UNLIMITED_STEP_SECONDS": "7200", "MCP_UNLIMITED_GRACE_SECONDS": "600"}).pools
    assert (pools.unlimited_step_seconds, pools.unlimited_grace_seconds) == (7200, 600)


def test_namespaces_are_a_list_and_an_empty_one_means_all() -> None:
    assert read_settings({"MCP_NAMESPACES": "a, b"}).watched == frozenset({"a", "b"})
    assert read_settings({"MCP_NAMESPACES": ""}).watched is None


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"MCP_HTTP_PORT": "eighty"}, "MCP_HTTP_PORT: write a whole number, not 'eighty'"),
        ({"MCP_SWEEP_SECONDS": "0"}, "MCP_SWEEP_SECONDS: write a number above 0"),
        ({"MCP_SWEEP_SECONDS": "nan"}, "MCP_SWEEP_SECONDS: write a number above 0"),
        ({"MCP_LEASE_SECONDS": "5"}, "MCP_RENEW_DEADLINE_SECONDS < MCP_LEASE_SECONDS"),
        ({"MCP_LOG_LEVEL": "loud"}, "MCP_LOG_LEVEL: write debug"),
        ({"MCP_LOG_FORMAT": "xml"}, "MCP_LOG_FORMAT: write text or json"),
    ],
)
def test_a_wrong_setting_says_what_to_write(environ: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidSetting, match=re.escape(said)):
        read_settings(environ)


def test_a_required_setting_that_is_missing_is_named() -> None:
    with pytest.raises(InvalidSetting, match="MCP_AMQP_URL"):
        read_settings({}, required=("amqp_url",))


@pytest.mark.parametrize("name", ["MCP_AMQP_URL", "MCP_MANAGEMENT_URL"])
@pytest.mark.parametrize(
    "url", ["rabbit:5672", "amqp//u:secret@rabbit", "ftp://u:secret@rabbit", "{}://u:secret/x@rabbit"]
)
def test_a_url_that_is_none_is_refused_without_the_password_that_is_in_it(name: str, url: str) -> None:
    scheme = {"MCP_AMQP_URL": "amqp", "MCP_MANAGEMENT_URL": "http"}[name]
    with pytest.raises(InvalidSetting, match=f"{name}: write ") as raised:
        read_settings({name: url.format(scheme)})
    assert "secret" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_every_setting_says_what_it_is_about() -> None:
    assert all(f.metadata["about"].endswith(".") for f in fields(Settings))


def test_the_chart_has_each_tunable_setting_with_the_same_default() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "mcp" / "values.yaml").read_text())["operator"]["settings"]
    tunable = {_camel(f.name): f.default for f in fields(Settings) if f.name not in SET_BY_THE_CHART}
    # In a cluster logs are read by machines, on a terminal by people.
    assert chart == {**tunable, "logFormat": "json"}
