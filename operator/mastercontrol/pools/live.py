"""What is known of a pool's Deployment in the cluster.

It learns from the watch, from reads, and from the answers to its own writes, which may overtake each other: an older
version of an object that is known already is ignored, and a number of replicas that was set stands until a version
newer than that write has been seen. So the controller's own writes never look like somebody else's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mastercontrol.api import names
from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.drift import difference


@dataclass(frozen=True, slots=True)
class Counts:
    """The pods of a Deployment, as its status says."""

    replicas: int = 0
    ready: int = 0


class LiveDeployment:
    """`known` is False until the Deployment, or its absence, has been seen."""

    def __init__(self) -> None:
        self.known = False
        self.raw: RawObject | None = None
        self._scaled: tuple[int, int] | None = None  # replicas that were set, generation before that
        self._settled: tuple[str | None, RawObject] | None = None  # digest that was applied, spec after that
        self._checked: tuple[RawObject, RawObject] | None = None
        self._difference: str | None = None

    def observe(self, raw: RawObject | None) -> bool:
        """Take in a version of the object, or its absence; False when it is older than what is known."""
        if raw is not None and self.raw is not None and _older(raw, self.raw):
            return False
        if raw is None or self._scaled is None or _generation(raw) > self._scaled[1]:
            self._scaled = None
        self.raw = raw
        self.known = True
        return True

    def lost(self, raw: RawObject) -> bool:
        """Take in that this object was deleted; False when another one has its name already."""
        if self.raw is not None and _uid(self.raw) != _uid(raw):
            return False
        self.doubt()
        return True

    def doubt(self) -> None:
        """What is known may be wrong: it must be read before it is used."""
        self.known = False

    def applied(self, manifest: RawObject, raw: RawObject) -> None:
        """Take in the answer to the apply of a manifest.

        What the API server made of the manifest is how it will stay: a field that it writes in another way than the
        manifest is no reason to apply again, until somebody changes the object.
        """
        self.observe(raw)
        self._settled = (applied_digest(manifest), _spec(raw))

    def already_applied(self, manifest: RawObject) -> bool:
        """Whether this process has applied that manifest last: a difference was made by somebody else then."""
        return self._settled is not None and self._settled[0] == applied_digest(manifest)

    def scaled(self, replicas: int) -> None:
        """Take in that this number of replicas was set."""
        self._scaled = (replicas, 0 if self.raw is None else _generation(self.raw))

    @property
    def replicas(self) -> int:
        """The replicas that it is told to have. Meaningful only where there is one."""
        if self._scaled is not None:
            return self._scaled[0]
        return 0 if self.raw is None else int(self.raw.get("spec", {}).get("replicas", 1))

    @property
    def counts(self) -> Counts:
        """The pods that there are."""
        status = {} if self.raw is None else self.raw.get("status", {})
        return Counts(int(status.get("replicas", 0)), int(status.get("readyReplicas", 0)))

    @property
    def is_observed(self) -> bool:
        """Whether its pods are known: there is none, or the cluster's controller has looked at it."""
        return self.raw is None or "observedGeneration" in self.raw.get("status", {})

    @property
    def is_rolling(self) -> bool:
        """Whether its pods are being replaced, and Kubernetes has not given that up."""
        if self.raw is None:
            return False
        status = self.raw.get("status", {})
        # A count of 0 is left out. A generation that nobody has looked at may be a new template.
        is_updated = int(status.get("updatedReplicas", 0)) == int(status.get("replicas", 0))
        if is_updated and int(status.get("observedGeneration", _generation(self.raw))) >= _generation(self.raw):
            return False
        progress = (one for one in status.get("conditions") or () if one.get("type") == "Progressing")
        return all(one.get("status") != "False" for one in progress)

    @property
    def terminating(self) -> bool:
        """Whether it is being deleted and not gone yet."""
        return self.raw is not None and self.raw["metadata"].get("deletionTimestamp") is not None

    def failure(self) -> str | None:
        """Why its pods can't be made (quota, pod security, a missing ServiceAccount), in Kubernetes' words."""
        conditions: list[dict[str, Any]] = [] if self.raw is None else self.raw.get("status", {}).get("conditions", [])
        for condition in conditions:
            if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
                return str(condition.get("message", condition.get("reason", "")))
        return None

    def drift(self, manifest: RawObject) -> str | None:
        """The path of the first field that an apply of `manifest` would change; None when there is none.

        Meaningful only where the object exists. It costs nothing when neither has changed.
        """
        assert self.raw is not None, "there is nothing to compare with"  # noqa: S101 - the caller has looked
        if self._checked is None or self._checked[0] is not manifest or self._checked[1] is not self.raw:
            self._checked = (manifest, self.raw)
            self._difference = self._compare(manifest, self.raw)
        return self._difference

    def _compare(self, manifest: RawObject, raw: RawObject) -> str | None:
        if self._settled == (applied_digest(manifest), _spec(raw)):
            return difference(manifest["metadata"], raw.get("metadata"), "metadata")
        return difference(manifest, raw)


def applied_digest(raw: RawObject) -> str | None:
    """The digest of the manifest that an object was applied from."""
    annotations = raw.get("metadata", {}).get("annotations") or {}
    return annotations.get(names.ANNOTATION_APPLIED)


def _generation(raw: RawObject) -> int:
    return int(raw.get("metadata", {}).get("generation", 0))


def _spec(raw: RawObject) -> RawObject:
    return {name: value for name, value in raw.get("spec", {}).items() if name != "replicas"}


def _uid(raw: RawObject) -> str:
    return str(raw.get("metadata", {}).get("uid", ""))


def _older(raw: RawObject, known: RawObject) -> bool:
    if _uid(raw) != _uid(known):
        return False
    new, old = (str(item.get("metadata", {}).get("resourceVersion", "")) for item in (raw, known))
    return new.isdigit() and old.isdigit() and int(new) < int(old)
