"""RabbitMQ's HTTP API: depths, users and policies. Nothing else here speaks HTTP.

Every answer is distrusted: a status, a body or a field that is not as expected is a ManagementError with a reason
of few values (for a metric) and a text (for a log), never a number.

Depths are asked for with `disable_stats` and `enable_queue_totals`: these are the counters that the queue's leader
wrote last (each `quorum_tick_interval`, 5 s unless the broker sets it lower), without the further 5 s of the
statistics database.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from mastercontrol.broker.workers import WorkerUser

OK: Final = 200
NOT_FOUND: Final = 404
TOTALS: Final = {
    "disable_stats": "true",
    "enable_queue_totals": "true",
    "columns": "name,messages_ready,messages_unacknowledged",
}


class ManagementError(Exception):
    """The API did not do or say what was asked. `reason`: timeout, unreachable, status, missing or malformed."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Totals:
    """Messages of one queue, as of the leader's last tick."""

    ready: int
    unacknowledged: int


class Management:
    """A client of one vhost. `open` before use, `close` after it; all calls raise ManagementError."""

    def __init__(self, url: str, user: str, password: str, vhost: str, timeout_seconds: float) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
        self._vhost = quote(vhost, safe="")
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._http: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Make the client; needs a running event loop."""
        self._http = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)

    async def close(self) -> None:
        """Close its connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def totals(self, queue: str) -> Totals:
        """Messages of one queue."""
        answer = await self._get(f"/queues/{self._vhost}/{quote(queue, safe='')}", TOTALS)
        return _totals(answer)

    async def all_totals(self, prefix: str, page_size: int) -> dict[str, Totals]:
        """Messages of all queues whose names begin with `prefix`. A queue whose numbers are not known is left out."""
        found: dict[str, Totals] = {}
        page, pages = 1, 1
        while page <= pages:
            query = {**TOTALS, "page": str(page), "page_size": str(page_size), "name": prefix, "use_regex": "false"}
            answer = await self._get(f"/queues/{self._vhost}", query)
            pages, rows = _page(answer)
            found |= _known_rows(rows, prefix)
            page += 1
        return found

    async def held(self, queue: str) -> dict[str, int]:
        """The unacknowledged messages of each consumer of a queue, by its tag: as of the last statistics (5 s).

        The broker counts them for each channel, so a consumer whose channel has others is taken to hold all of them.
        One whose channel has no numbers is left out.
        """
        columns = {"columns": "consumer_tag,queue.name,channel_details.name"}
        consumers = _rows(await self._get(f"/consumers/{self._vhost}", columns))
        columns = {"columns": "name,messages_unacknowledged"}
        channels = _rows(await self._get(f"/vhosts/{self._vhost}/channels", columns))
        counts = {row.get("name"): row.get("messages_unacknowledged") for row in channels}
        found: dict[str, int] = {}
        for row in consumers:
            tag, where = row.get("consumer_tag"), row.get("queue")
            channel = row.get("channel_details")
            if not isinstance(tag, str) or not isinstance(where, dict) or not isinstance(channel, dict):
                raise ManagementError("malformed", "a consumer has no tag, queue or channel")
            count = counts.get(channel.get("name"))
            if where.get("name") == queue and isinstance(count, int):
                found[tag] = count
        return found

    async def delivery_limit(self, queue: str) -> float | None:
        """The delivery limit that is in force at a quorum queue, as of some seconds ago; infinite where there is none.

        It is of the statistics database, as nothing else has it. None: not known (yet).
        """
        answer = await self._get(f"/queues/{self._vhost}/{quote(queue, safe='')}", {"columns": "delivery_limit"})
        limit = answer.get("delivery_limit") if isinstance(answer, dict) else None
        if limit == "unlimited":
            return math.inf
        return limit if isinstance(limit, int) and not isinstance(limit, bool) else None

    async def ensure_user(self, user: WorkerUser) -> None:
        """Create or correct a user and its permissions on the vhost."""
        name = quote(user.name, safe="")
        await self._put(f"/users/{name}", {"password": user.password, "tags": ""})
        permissions = {"configure": user.configure, "write": user.write, "read": user.read}
        await self._put(f"/permissions/{self._vhost}/{name}", permissions)

    async def delete_user(self, name: str) -> None:
        """Delete a user. Absent is success."""
        await self._delete(f"/users/{quote(name, safe='')}")

    async def ensure_policy(self, name: str, policy: dict[str, Any]) -> None:
        """Create or correct a policy of the vhost."""
        await self._put(f"/policies/{self._vhost}/{quote(name, safe='')}", policy)

    async def delete_policy(self, name: str) -> None:
        """Delete a policy. Absent is success."""
        await self._delete(f"/policies/{self._vhost}/{quote(name, safe='')}")

    async def _get(self, path: str, query: dict[str, str]) -> Any:
        status, text = await self._request("GET", path, query=query)
        if status == NOT_FOUND:
            raise ManagementError("missing", f"GET {path}: 404")
        if status != OK:
            raise ManagementError("status", f"GET {path}: {status} {text[:200]}")
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise ManagementError("malformed", f"GET {path}: no JSON: {text[:80]!r}") from None

    async def _put(self, path: str, body: dict[str, Any]) -> None:
        status, text = await self._request("PUT", path, body=body)
        if not OK <= status < OK + 100:
            raise ManagementError("status", f"PUT {path}: {status} {text[:200]}")

    async def _delete(self, path: str) -> None:
        status, text = await self._request("DELETE", path)
        if not OK <= status < OK + 100 and status != NOT_FOUND:
            raise ManagementError("status", f"DELETE {path}: {status} {text[:200]}")

    async def _request(
        self, method: str, path: str, *, query: dict[str, str] | None = None, body: dict[str, Any] | None = None
    ) -> tuple[int, str]:
        if self._http is None:
            raise ManagementError("unreachable", "the adapter is not started")
        try:
            async with self._http.request(method, f"{self._url}/api{path}", params=query, json=body) as answer:
                return answer.status, await answer.text(errors="replace")
        except TimeoutError:
            raise ManagementError("timeout", f"{method} {path}: no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ManagementError("unreachable", f"{method} {path}: {error}") from None


def _rows(answer: Any) -> list[dict[str, Any]]:
    if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
        raise ManagementError("malformed", "a list of objects is expected")
    return answer


def _totals(row: Any) -> Totals:
    if not isinstance(row, dict):
        raise ManagementError("malformed", "a queue is not an object")
    return Totals(_count(row, "messages_ready"), _count(row, "messages_unacknowledged"))


def _count(row: dict[str, Any], name: str) -> int:
    value = row.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ManagementError("malformed", f"{name} of queue {str(row.get('name'))[:80]!r} is {str(value)[:40]!r}")
    return value


def _page(answer: Any) -> tuple[int, list[Any]]:
    """The number of pages and the rows of this one."""
    pages = answer.get("page_count") if isinstance(answer, dict) else None
    rows = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(pages, int) or not isinstance(rows, list):
        raise ManagementError("malformed", "a page of queues has no page_count or no items")
    return pages, rows


def _known_rows(rows: list[Any], prefix: str) -> dict[str, Totals]:
    known: dict[str, Totals] = {}
    for row in rows:
        name = row.get("name") if isinstance(row, dict) else None
        if isinstance(name, str) and name.startswith(prefix):
            try:
                known[name] = _totals(row)
            except ManagementError:
                continue  # a queue that just started has no numbers yet: unknown, so it is left out
    return known
