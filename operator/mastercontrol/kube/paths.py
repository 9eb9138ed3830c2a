"""Where an object lives under the API server's URL: the kinds that this operator reads or writes, and no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from mastercontrol.api import names
from mastercontrol.engine.ports import RawObject, Rejected


@dataclass(frozen=True, slots=True)
class Resource:
    """One namespaced kind. `group_version` is what `apiVersion` says: `v1`, `apps/v1`."""

    group_version: str
    kind: str
    plural: str

    @property
    def root(self) -> str:
        """The path before `/namespaces`."""
        return f"/apis/{self.group_version}" if "/" in self.group_version else f"/api/{self.group_version}"


JOBS: Final = Resource(names.API_VERSION, names.KIND_JOB, names.JOBS)
WORKFLOWS: Final = Resource(names.API_VERSION, names.KIND_WORKFLOW, names.WORKFLOWS)
POOLS: Final = Resource(names.API_VERSION, names.KIND_POOL, names.POOLS)
SCHEDULES: Final = Resource(names.API_VERSION, names.KIND_SCHEDULE, names.SCHEDULES)
DEPLOYMENTS: Final = Resource("apps/v1", "Deployment", "deployments")
REVISIONS: Final = Resource("apps/v1", "ControllerRevision", "controllerrevisions")
PODS: Final = Resource("v1", "Pod", "pods")
BUDGETS: Final = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
SECRETS: Final = Resource("v1", "Secret", "secrets")
CONFIG_MAPS: Final = Resource("v1", "ConfigMap", "configmaps")
LEASES: Final = Resource("coordination.k8s.io/v1", "Lease", "leases")
EVENTS: Final = Resource("events.k8s.io/v1", "Event", "events")

_ALL: Final = (
    *(JOBS, WORKFLOWS, POOLS, SCHEDULES, DEPLOYMENTS, REVISIONS, PODS),
    *(BUDGETS, SECRETS, CONFIG_MAPS, LEASES, EVENTS),
)
_BY_KIND: Final = {(resource.group_version, resource.kind): resource for resource in _ALL}


def resource_of(manifest: RawObject) -> Resource:
    """The resource of an object, by its apiVersion and kind.

    :raises Rejected: it is none that this operator handles.
    """
    key = (manifest.get("apiVersion", ""), manifest.get("kind", ""))
    if (resource := _BY_KIND.get(key)) is None:
        raise Rejected(f"this operator does not handle {key[0]} {key[1]}")
    return resource


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about: a collection when `name` is None; all namespaces when `namespace` is None."""

    resource: Resource
    namespace: str | None
    name: str | None = None
    subresource: str | None = None

    @property
    def path(self) -> str:
        """The path of the URL."""
        parts = [self.resource.root]
        if self.namespace is not None:
            parts += ["namespaces", quote(self.namespace, safe="")]
        parts.append(self.resource.plural)
        if self.name is not None:
            parts.append(quote(self.name, safe=""))
        if self.subresource is not None:
            parts.append(self.subresource)
        return "/".join(parts)

    @property
    def label(self) -> str:
        """The label `resource` of metrics, as RBAC writes it: `mcpjobs/status`."""
        plural = self.resource.plural
        return plural if self.subresource is None else f"{plural}/{self.subresource}"
