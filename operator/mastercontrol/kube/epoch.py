"""The id of the broker's data, kept in a ConfigMap: `engine.ports.EpochStore`. Used by the broker at each connection.

The ConfigMap's resourceVersion makes the exchange atomic, so that of two operators that find the broker empty at the
same time only one begins a new epoch.
"""

from __future__ import annotations

from typing import Final

from mastercontrol.api import names
from mastercontrol.engine.ports import Gone, RawObject, Refused
from mastercontrol.kube.client import KubeClient, PatchType
from mastercontrol.kube.paths import CONFIG_MAPS, Target

KEY: Final = "epoch"


class ConfigMapEpochStore:
    """Implements `EpochStore` in one ConfigMap, which it creates when it is missing."""

    def __init__(self, client: KubeClient, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._target = Target(CONFIG_MAPS, namespace, name)

    async def load(self) -> str | None:
        """See `EpochStore.load`.

        :raises StoreError: Rejected or StoreUnavailable.
        """
        found = await self._read()
        return None if found is None else _epoch(found)

    async def replace(self, old: str | None, new: str) -> bool:
        """See `EpochStore.replace`.

        :raises StoreError: Rejected or StoreUnavailable; it may be replaced or not, `load` tells.
        """
        found = await self._read()
        try:
            if found is None:
                return old is None and await self._create(new)
            if _epoch(found) != old:
                return False
            version = found["metadata"]["resourceVersion"]
            body = {"metadata": {"resourceVersion": version}, "data": {KEY: new}}
            await self._client.patch(self._target, body, PatchType.MERGE)
        except (Refused, Gone):
            return False
        return True

    async def _create(self, new: str) -> bool:
        labels = {names.LABEL_MANAGED_BY: names.FIELD_MANAGER}
        metadata = {"name": self._name, "namespace": self._namespace, "labels": labels}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {KEY: new}}
        await self._client.create(Target(CONFIG_MAPS, self._namespace), body)
        return True

    async def _read(self) -> RawObject | None:
        try:
            return await self._client.get(self._target)
        except Gone:
            return None


def _epoch(config_map: RawObject) -> str | None:
    value = (config_map.get("data") or {}).get(KEY)
    return value if isinstance(value, str) and value else None
