"""Whole collections, read in pages so that neither side holds more than it must. Used at start-up and by sweeps."""

from __future__ import annotations

import logging
from typing import Final

from mastercontrol.engine.ports import Expired, RawObject
from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.paths import Resource, Target

_log = logging.getLogger(__name__)

PAGE: Final = 500
"""Objects a page; what client-go uses."""

_RESTARTS: Final = 3


async def list_all(
    client: KubeClient, resource: Resource, namespace: str | None, selector: str | None = None, page: int = PAGE
) -> list[RawObject]:
    """All objects of a kind in a namespace (None: in all), as of one moment.

    A continue token that expired under way starts the list again; after three times it is read in one piece.

    :raises StoreError: Rejected or StoreUnavailable.
    """
    for _ in range(_RESTARTS):
        try:
            return await _pages(client, resource, namespace, selector, page)
        except Expired as error:
            _log.info("The list of %s took too long and starts again: %s", resource.plural, error)
    return await _pages(client, resource, namespace, selector, None)


async def _pages(
    client: KubeClient, resource: Resource, namespace: str | None, selector: str | None, page: int | None
) -> list[RawObject]:
    target = Target(resource, namespace)
    params: dict[str, str] = {} if page is None else {"limit": str(page)}
    if selector is not None:
        params["labelSelector"] = selector
    items: list[RawObject] = []
    while True:
        answer = await client.get(target, params)
        # Items of a built-in kind come without what the list says for all of them.
        items += [{"apiVersion": resource.group_version, "kind": resource.kind, **item} for item in answer["items"]]
        token = answer["metadata"].get("continue")
        if not token:
            return items
        params["continue"] = token
