"""A process that wants to lead, for tests that kill it. It prints `leads` and `leads no more` as they become true.

Run as: candidate.py KUBECONFIG NAMESPACE IDENTITY LEASE_SECONDS RENEW_DEADLINE_SECONDS RETRY_SECONDS
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "operator"))

from mastercontrol.kube.client import KubeClient
from mastercontrol.kube.lease import Elector


async def main() -> None:
    kubeconfig, namespace, identity, *seconds = sys.argv[1:]
    lease, deadline, retry = (float(each) for each in seconds)
    async with await KubeClient.connect(kubeconfig) as client:
        elector = Elector(client, identity, namespace, "operator", lease, deadline, retry)
        await elector.acquire()
        print("leads", flush=True)  # how the test hears of it
        while elector.is_leader:  # noqa: ASYNC110  # is_leader itself is under test, not the event
            await asyncio.sleep(0.01)
        print("leads no more", flush=True)


asyncio.run(main())
