"""Workers that a step kills: which of their pods are to be replaced. Pure.

A step that ends the whole worker is handed to the next one, and the next, until the pool's delivery limit. The kubelet
waits ever longer before it starts such a container again, up to five minutes, and with a few workers a single step
would keep a pool from all others for hours. A new pod starts at once, so the pool is through with the step in minutes.

Only a pod whose worker has spoken is replaced: one that never came so far has an image or handlers that can't start,
and a new one would be no better.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from mastercontrol.engine.ports import RawObject
from mastercontrol.pools.podtemplate import CONTAINER

BACK_OFF: Final = "CrashLoopBackOff"


def to_replace(pods: Iterable[RawObject], spoken: Collection[str]) -> list[str]:
    """The names of the pods that wait to be started again though their worker was at work before."""
    return [
        str(pod["metadata"]["name"])
        for pod in pods
        if pod["metadata"]["name"] in spoken
        and pod["metadata"].get("deletionTimestamp") is None
        and any(
            status.get("name") == CONTAINER and status.get("state", {}).get("waiting", {}).get("reason") == BACK_OFF
            for status in pod.get("status", {}).get("containerStatuses") or ()
        )
    ]
