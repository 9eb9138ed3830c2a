"""The pods of a WorkerPool: `spec.template` to a PodTemplateSpec. Pure.

`deployment.py` calls it. The pods pass the `restricted` pod security standard, hold no API token unless a
ServiceAccount is named, and can reach one queue: the environment variables that say which are the operator's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mastercontrol.api import names, values
from mastercontrol.api.pool import WorkerPool
from mastercontrol_worker import contract

TEMPLATE_FIELDS: Final = frozenset(
    {
        "annotations",
        "command",
        "concurrency",
        "env",
        "envFrom",
        "gracePeriodSeconds",
        "handlers",
        "image",
        "imagePullPolicy",
        "imagePullSecrets",
        "labels",
        "nodeSelector",
        "resources",
        "runAsUser",
        "serviceAccountName",
        "tolerations",
        "volumes",
    }
)
"""The fields of spec.template that are read: those of the CRD."""

CONTAINER: Final = "worker"
AMQP_URL_KEY: Final = "amqp-url"
DEFAULT_USER: Final = 10001
"""The user id of the worker image. A number, so that the kubelet can tell that it is not root."""

STOP_MARGIN_SECONDS: Final = 10
"""What a pod has beyond the worker's own grace: to give back its messages and close its connection."""

RESERVED_ENV: Final = frozenset(
    {"MCP_AMQP_URL", "MCP_QUEUE", "MCP_CONCURRENCY", "MCP_GRACE_SECONDS", "MCP_WORKER_NAME"}
)
"""Variables that say who the worker is and what it consumes: a template can't set them."""

_TMP = "mcp-tmp"

_ASK: Final = {"exec": {"command": ["mastercontrol-worker", "--healthy"]}, "timeoutSeconds": 10}

_PROBES: Final = {
    "startupProbe": {**_ASK, "periodSeconds": 1, "failureThreshold": 3600},
    "livenessProbe": {**_ASK, "periodSeconds": 30, "failureThreshold": 3},
}
"""A worker answers when it has loaded its handlers, until its event loop stands still: not while a handler is slow, and
wherever the broker is. Before the first answer the pod is not ready, so a roll-out to a template whose workers can't
start ends no old one, and nothing restarts a worker that takes up to an hour to load what it needs."""


def pod_template(
    pool: WorkerPool, secret_name: str, labels: Mapping[str, str], amqp_url: str, grace_seconds: int | None = None
) -> dict[str, Any]:
    """The PodTemplateSpec; `labels` are the operator's own and win over those of the template.

    :raises InvalidObject: a field of spec.template that can't be taken, and what to write instead.
    """
    template = pool.template
    values.known(template, TEMPLATE_FIELDS, "spec.template")
    annotations = dict(values.mapping(template, "annotations", "spec.template"))
    annotations[names.ANNOTATION_CREDENTIALS] = credentials_digest(pool.uid, amqp_url)
    return {
        "metadata": {
            "labels": {**values.mapping(template, "labels", "spec.template"), **labels},
            "annotations": annotations,
        },
        "spec": _pod_spec(pool, secret_name, pool.grace_period_seconds if grace_seconds is None else grace_seconds),
    }


def credentials_digest(uid: str, amqp_url: str) -> str:
    """A digest by which the pods are replaced when their AMQP URL changes.

    32 bits are enough to see a change, and too few to tell a password from the billions that share its digest.
    """
    return hashlib.sha256(f"{uid}\n{amqp_url}".encode()).hexdigest()[:8]


def _pod_spec(pool: WorkerPool, secret_name: str, grace_seconds: int) -> dict[str, Any]:
    template = pool.template
    account = values.optional_text(template, "serviceAccountName", "spec.template")
    volumes, mounts = _volumes(_items(template, "volumes"))
    spec: dict[str, Any] = {
        "containers": [_container(pool, secret_name, mounts, grace_seconds)],
        "securityContext": _pod_security(template),
        "terminationGracePeriodSeconds": grace_seconds + STOP_MARGIN_SECONDS,
        "automountServiceAccountToken": account is not None,
        "enableServiceLinks": False,
        # Without it the worker is process 1, to which the kernel hands no signal that it has no handler for: a worker
        # that is told to go before it listens would never know, and take steps until its grace period is over.
        "shareProcessNamespace": True,
    }
    if account is not None:
        spec["serviceAccountName"] = account
    if volumes:
        spec["volumes"] = volumes
    if secrets := template.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [{"name": name} for name in secrets]
    return spec | {name: template[name] for name in ("nodeSelector", "tolerations") if template.get(name)}


def _container(pool: WorkerPool, secret_name: str, mounts: list[dict[str, Any]], grace_seconds: int) -> dict[str, Any]:
    template = pool.template
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": values.text(template, "image", "spec.template"),
        "env": _environment(pool, secret_name, grace_seconds),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    if mounts:
        container["volumeMounts"] = mounts
    container |= {name: template[name] for name in ("imagePullPolicy", "envFrom", "resources") if template.get(name)}
    return container | _entrypoint(template)


def _entrypoint(template: Mapping[str, Any]) -> dict[str, Any]:
    """What the worker image's entrypoint is told. An image that is a worker by itself is left as it is."""
    if handlers := template.get("handlers"):
        args = ["--handlers", str(handlers)]
    elif command := template.get("command"):
        args = ["--exec", "--", *(str(word) for word in command)]
    else:
        return {}
    return {"args": args, **_PROBES}


def _environment(pool: WorkerPool, secret_name: str, grace_seconds: int) -> list[dict[str, Any]]:
    own: list[dict[str, Any]] = [
        {"name": "MCP_AMQP_URL", "valueFrom": {"secretKeyRef": {"name": secret_name, "key": AMQP_URL_KEY}}},
        {"name": "MCP_QUEUE", "value": contract.pool_queue(pool.namespace, pool.name)},
        {"name": "MCP_CONCURRENCY", "value": str(pool.concurrency)},
        {"name": "MCP_GRACE_SECONDS", "value": str(grace_seconds)},
        {"name": "MCP_WORKER_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    if handlers := pool.template.get("handlers"):
        own.append({"name": "MCP_HANDLERS", "value": str(handlers)})
    written = _items(pool.template, "env")
    for index, variable in enumerate(written):
        path, name = f"spec.template.env[{index}].name", variable.get("name")
        if name in RESERVED_ENV:
            raise values.InvalidObject(f"{path}: {name} is set by the operator; take this entry out")
        if name == "MCP_HANDLERS":
            raise values.InvalidObject(f"{path}: write spec.template.handlers instead of {name}")
    if not any(variable.get("name") == "MCP_LOG_FORMAT" for variable in written):
        own.append({"name": "MCP_LOG_FORMAT", "value": "json"})
    return [*own, *(dict(variable) for variable in written)]


def _pod_security(template: Mapping[str, Any]) -> dict[str, Any]:
    user = values.whole(template, "runAsUser", "spec.template", 1, 2**31 - 1, DEFAULT_USER)
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _volumes(written: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes and their mounts. /tmp is writable unless the template puts something else there."""
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []
    for index, volume in enumerate(written):
        path = f"spec.template.volumes[{index}]"
        name = values.text(volume, "name", path, f"volume-{index}")
        mount: dict[str, Any] = {"name": name, "mountPath": values.text(volume, "mountPath", path)}
        if values.flag(volume, "readOnly", path, default=False):
            mount["readOnly"] = True  # false is what the API server leaves out
        volumes.append({"name": name, **_source(volume, path)})
        mounts.append(mount)
    if not any(mount["mountPath"].rstrip("/") == "/tmp" for mount in mounts):  # noqa: S108 - a path in the container
        volumes.append({"name": _TMP, "emptyDir": {}})
        mounts.append({"name": _TMP, "mountPath": "/tmp"})  # noqa: S108 - a path in the container
    return volumes, mounts


def _source(volume: Mapping[str, Any], path: str) -> dict[str, Any]:
    values.known(volume, frozenset({"name", "mountPath", "readOnly", *_SOURCES}), path)
    given = [name for name in _SOURCES if volume.get(name) is not None]
    if len(given) != 1:
        raise values.InvalidObject(f"{path}: write exactly one of {', '.join(_SOURCES)}")
    match given[0]:
        case "claimName":
            return {"persistentVolumeClaim": {"claimName": values.text(volume, "claimName", path)}}
        case "configMap":
            return {"configMap": {"name": values.text(volume, "configMap", path)}}
        case "secret":
            return {"secret": {"secretName": values.text(volume, "secret", path)}}
        case _:
            return {"emptyDir": dict(values.mapping(volume, "emptyDir", path))}


_SOURCES = ("claimName", "configMap", "secret", "emptyDir")


def _items(template: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    return template.get(name) or ()
