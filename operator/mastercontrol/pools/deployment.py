"""What a WorkerPool owns in the cluster: a Secret with the AMQP URL and a Deployment. Pure.

`provision.py` applies them by server-side apply. Both have the pool as their controller, so they go with it.

On `spec.replicas`: the manifest is made without it, and `with_replicas` puts it in for each apply. It can't be left
out: whoever has once applied a field owns it, and an apply without it removes it, which for `replicas` means the
default of 1. A creating apply without it would start one worker too. So every apply carries the number that holds
at that moment (the wanted one at creation, the live one after), and between applies the scale subresource alone
changes it. It is no part of the digest: a scaled Deployment does not differ from its manifest.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from typing import Any

from mastercontrol.api import names
from mastercontrol.api.pool import WorkerPool
from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.podtemplate import AMQP_URL_KEY, pod_template

APP_NAME = "mcp-worker"
_OLD_REPLICA_SETS = 2


def child_name(pool: str) -> str:
    """The name of the Deployment and of the Secret of a pool."""
    return f"{APP_NAME}-{pool}"


def selector(pool: str) -> str:
    """The label selector of a pool's pods, as text."""
    return f"{names.LABEL_POOL}={pool}"


def labels(pool: str) -> dict[str, str]:
    """The labels of all that a pool owns."""
    return {names.LABEL_POOL: pool, names.LABEL_NAME: APP_NAME, names.LABEL_MANAGED_BY: names.FIELD_MANAGER}


def secret(pool: WorkerPool, amqp_url: str) -> RawObject:
    """The Secret `mcp-worker-<pool>`; its key is `amqp-url`.

    Written as `data`, not as `stringData`: server-side apply owns only what is stored.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(pool),
        "type": "Opaque",
        "data": {AMQP_URL_KEY: base64.b64encode(amqp_url.encode()).decode()},
    }


def deployment(pool: WorkerPool, amqp_url: str, grace_seconds: int | None = None) -> RawObject:
    """The Deployment `mcp-worker-<pool>`, without `replicas`.

    `grace_seconds` is how long a worker that is told to end may go on; None: what the pool's template says.

    Its annotation `mastercontrol.dev/applied` is a digest of the rest: it tells that a field was taken out of the
    template, which a comparison with the live object can't.

    :raises InvalidObject: a field of spec.template that can't be taken, and what to write instead.
    """
    manifest: RawObject = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(pool),
        "spec": {
            "selector": {"matchLabels": {names.LABEL_POOL: pool.name}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "revisionHistoryLimit": _OLD_REPLICA_SETS,
            "template": pod_template(pool, child_name(pool.name), labels(pool.name), amqp_url, grace_seconds),
        },
    }
    manifest["metadata"]["annotations"] = {names.ANNOTATION_APPLIED: digest(manifest)}
    return manifest


def with_replicas(manifest: RawObject, replicas: int) -> RawObject:
    """A copy of a Deployment with that number of replicas."""
    result = copy.copy(manifest)
    result["spec"] = {**manifest["spec"], "replicas": replicas}
    return result


def digest(manifest: RawObject) -> str:
    """The same for the same manifest, whatever the order of its keys."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def belongs(live: RawObject, pool: WorkerPool) -> bool:
    """Whether a live object is one that this operator made for a pool of that name, and not somebody else's."""
    meta = live.get("metadata", {})
    if meta.get("labels", {}).get(names.LABEL_POOL) == pool.name:
        return True
    owners = meta.get("ownerReferences", [])
    return any(owner.get("kind") == names.KIND_POOL and owner.get("name") == pool.name for owner in owners)


def metadata(pool: WorkerPool) -> dict[str, Any]:
    """The metadata of what a pool owns: one of each kind, named after it, with the pool as its controller."""
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND_POOL,
        "name": pool.name,
        "uid": pool.uid,
        "controller": True,
        # Deleting a pool does not wait for its pods to drain.
        "blockOwnerDeletion": False,
    }
    return {
        "name": child_name(pool.name),
        "namespace": pool.namespace,
        "labels": labels(pool.name),
        "ownerReferences": [owner],
    }
