"""Values: wrong ones are refused in words that help, and each is described."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from mastercontrol.settings import Settings

CHART = Path(__file__).parents[3] / "charts" / "mcp"

WRONG = {
    "scope=everywhere": "at '/scope': value must be one of 'namespace', 'cluster'",
    "rabbitmq.replicas=2": "at '/rabbitmq/replicas': value must be one of 1, 3",
    "rabbitmq.auth.password=short": "at '/rabbitmq/auth/password': 'short' does not match pattern",
    "rabbitmq.auth.password=with/a:slash@in-it": "at '/rabbitmq/auth/password'",
    "rabbitmq.persistence.size=8GB": "at '/rabbitmq/persistence/size'",
    "rabbitmq.memoryHighWatermark=600Mi": "at '/rabbitmq/memoryHighWatermark'",
    "operator.replica=2": "at '/operator': additional properties 'replica' not allowed",
    "operator.replicas=0": "at '/operator/replicas': minimum: got 0, want 1",
    "operator.settings.leaseSecond=5": "at '/operator/settings': additional properties 'leaseSecond' not allowed",
    "operator.settings.logLevel=loud": "at '/operator/settings/logLevel': value must be one of 'debug', 'info'",
    "operator.settings.renewDeadlineSeconds=10": "write retrySeconds less than renewDeadlineSeconds, and that less",
    "operator.resources.limits.memory=lots": "at '/operator/resources/limits/memory'",
    "rabbitmq.enabled=false": "rabbitmq.enabled is false: write rabbitmq.external.existingSecret, the name of a Secret",
    "rabbitmq.external.existingSecret=broker": "rabbitmq.external.existingSecret is set: write rabbitmq.enabled=false",
    "networkPolicies.enabled=true": "additional properties 'networkPolicies' not allowed",
}


@pytest.mark.parametrize("value", WRONG)
def test_a_wrong_value_is_refused(value: str, refusal: Callable[..., str]) -> None:
    assert WRONG[value] in refusal(value)


def properties(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}{name}", inner
        yield from properties(inner, f"{path}{name}.")


def leaves(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, inner in values.items():
        yield f"{path}{name}"
        if isinstance(inner, dict):
            yield from leaves(inner, f"{path}{name}.")


def test_every_value_is_described_and_has_a_default() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    defaults = set(leaves(values))
    for path, inner in properties(schema):
        if ".tolerations" in path or path == "global":
            continue
        assert inner["description"].endswith("."), path
        assert path in defaults, path
        assert inner.get("type") != "object" or "additionalProperties" in inner, path


def test_every_setting_is_an_environment_variable_with_its_value(helm: Callable[..., Any]) -> None:
    given = {"maxWorkers": 7, "sweepSeconds": 86400, "retrySeconds": 0.5, "logFormat": "text"}
    options = (
        "--set-json",
        f"operator.settings={json.dumps(given)}",
        "--show-only",
        "templates/operator/deployment.yaml",
    )
    deployment = yaml.safe_load(helm("template", "demo", str(CHART), *options).stdout)
    env = {e["name"]: e.get("value") for e in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert env["MCP_SWEEP_SECONDS"] == "86400"
    assert env["MCP_MAX_WORKERS"] == "7"
    assert env["MCP_RETRY_SECONDS"] == "0.5"
    assert env["MCP_LOG_FORMAT"] == "text"
    assert env["MCP_HTTP_PORT"] == "8080"
    settings = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["operator"]["settings"]
    for name in (name for name, default in settings.items() if default is not None):
        assert "MCP_" + re.sub("([A-Z])", r"_\1", name).upper() in env


def test_every_setting_that_people_may_tune_is_a_value_with_the_same_default() -> None:
    settings = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["operator"]["settings"]
    by_chart = {
        "namespaces",
        "pod_name",
        "pod_namespace",
        "lease_name",
        "epoch_configmap",
        "amqp_url",
        "management_url",
        "replicas",
    }
    known = {field.name: field.default for field in fields(Settings) if field.name not in by_chart}
    assert {re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in settings.items()} == {
        **known,
        "log_format": "json",  # a cluster's logs are read by programs, a terminal's by people
    }
