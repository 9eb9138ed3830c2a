"""The HTTP client of the API server: one session, raw JSON in and out. Every other module of this package uses it.

It sends JSON as it is over aiohttp, because generated clients cost two to three times the CPU of a status PATCH; who
we are (see credentials) comes from `kubernetes.aio`. It promises:

- each answer that is no success is raised as one of the errors of engine.ports (see errors);
- reads are repeated on 429, 5xx and lost connections, with back-off, and as `Retry-After` says;
- a write is repeated only after a 429 or a 401, which say that nothing was done. After a time-out, a lost connection
  or a 5xx nobody knows, and StoreUnavailable says so. (aiohttp itself repeats a PUT or a DELETE whose kept-alive
  connection was closed. There is no PUT here, conditional writes are merge patches with a resourceVersion; and a
  DELETE is of a uid.)
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

import aiohttp
from yarl import URL

from mastercontrol import __version__
from mastercontrol.engine.ports import RawObject, Rejected, StoreUnavailable
from mastercontrol.kube.credentials import Credentials
from mastercontrol.kube.errors import error_of
from mastercontrol.kube.metrics import REQUESTS
from mastercontrol.kube.paths import Target

_log = logging.getLogger(__name__)
_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


MAX_BODY_BYTES: Final = 1024 * 1024
"""The largest body that is sent. The API server takes objects up to 1.5 MiB; nothing here comes near that."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the client asks of the API server and of its callers' patience."""

    connections: int = 32
    """Connections, and so requests in flight. More only queue up inside the API server."""
    connect_seconds: float = 5.0
    """To open a connection, TLS included."""
    request_seconds: float = 15.0
    """One request from its start to the end of its answer, waiting for a free connection included."""
    attempts: int = 5
    """Times that a request is sent when it may be repeated."""
    first_pause_seconds: float = 0.1
    """The pause before the second attempt; it doubles from there, with jitter."""
    longest_pause_seconds: float = 5.0
    """No pause is longer, whatever `Retry-After` says."""


class PatchType(StrEnum):
    """What the body of a PATCH is, as a media type."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class _Request:
    verb: str
    target: Target
    body: bytes | None
    content_type: str
    params: Mapping[str, str]

    @property
    def is_read(self) -> bool:
        return self.verb == "GET"


@dataclass(frozen=True, slots=True)
class _Answer:
    code: int
    body: bytes
    retry_after: float | None

    @property
    def is_success(self) -> bool:
        return 200 <= self.code < 300  # noqa: PLR2004  # HTTP's success codes


class KubeClient:
    """A connection pool to one API server. Made by `connect`, or by hand inside a running event loop; must be closed.

    Every method may raise any StoreError.
    """

    def __init__(self, credentials: Credentials, limits: Limits | None = None) -> None:
        self._credentials = credentials
        self._limits = limits or Limits()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._limits.connections, ssl=credentials.tls),
            timeout=aiohttp.ClientTimeout(
                total=self._limits.request_seconds, sock_connect=self._limits.connect_seconds
            ),
            headers={"User-Agent": f"mastercontrol/{__version__}", "Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    @classmethod
    async def connect(
        cls, kubeconfig: str | None = None, context: str | None = None, limits: Limits | None = None
    ) -> Self:
        """A client for the cluster of a kubeconfig, or of the pod that this runs in. Sends nothing yet.

        :raises StoreUnavailable: there are no credentials.
        """
        return cls(await Credentials.load(kubeconfig, context), limits)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(self, target: Target, params: Mapping[str, str] | None = None) -> RawObject:
        """Read an object, or one page of a collection."""
        return await self._call(_Request("GET", target, None, "application/json", params or {}))

    async def create(self, target: Target, body: RawObject) -> RawObject:
        """Create an object in the collection `target`. Refused: there is one of that name."""
        return await self._call(_Request("POST", target, _encode(body), "application/json", {}))

    async def patch(
        self, target: Target, body: Any, kind: PatchType, params: Mapping[str, str] | None = None
    ) -> RawObject:
        """Patch an object or a subresource; the object as it is after it."""
        return await self._call(_Request("PATCH", target, _encode(body), kind, params or {}))

    async def delete(self, target: Target, options: RawObject) -> RawObject:
        """Delete an object. `options` are those of `DeleteOptions`, preconditions for one."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        return await self._call(_Request("DELETE", target, _encode(body), "application/json", {}))

    async def _call(self, request: _Request) -> RawObject:
        answer = await self._answer(request)
        if not answer.is_success:
            raise error_of(answer.code, answer.body)
        try:
            decoded: RawObject = json.loads(answer.body)
        except ValueError as error:
            raise StoreUnavailable(f"{answer.code}, but the answer is not JSON: {error}") from error
        return decoded

    async def _answer(self, request: _Request) -> _Answer:
        """The last answer, after as many attempts as this request may have."""
        attempt = 1
        renewed = False
        while True:
            try:
                answer = await self._send(request)
            except StoreUnavailable:
                if not request.is_read or attempt >= self._limits.attempts:
                    raise
                retry_after = None
            else:
                if answer.code == 401 and not renewed and await self._credentials.reload():  # noqa: PLR2004
                    renewed = True
                    continue
                if not _may_be_repeated(request, answer) or attempt >= self._limits.attempts:
                    return answer
                retry_after = answer.retry_after
            await asyncio.sleep(self._pause(attempt, retry_after))
            attempt += 1

    async def _send(self, request: _Request) -> _Answer:
        headers = {"Content-Type": request.content_type, **await self._credentials.headers()}
        code = "connection"
        try:
            async with self._session.request(
                request.verb,
                URL(self._credentials.url + request.target.path, encoded=True),
                params=request.params or None,
                data=request.body,
                headers=headers,
                allow_redirects=False,
                proxy=self._credentials.proxy,
                server_hostname=self._credentials.server_name,
            ) as response:
                code = str(response.status)
                return _Answer(response.status, await response.read(), _retry_after(response.headers))
        except TimeoutError as error:
            code = "timeout"
            raise StoreUnavailable(f"{request.verb} {request.target.label}: no answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            code = "connection"
            raise StoreUnavailable(f"{request.verb} {request.target.label}: {error!r}") from error
        finally:
            REQUESTS.labels(request.verb, request.target.label, code).inc()

    def _pause(self, attempt: int, retry_after: float | None) -> float:
        """Seconds before the next attempt."""
        longest = self._limits.longest_pause_seconds
        if retry_after is not None:
            return min(retry_after, longest)
        ceiling = min(self._limits.first_pause_seconds * 2 ** (attempt - 1), longest)
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311  # jitter, no secret


def _may_be_repeated(request: _Request, answer: _Answer) -> bool:
    """Whether another attempt can neither do the thing twice nor is bound to be refused again."""
    return answer.code == 429 or (request.is_read and answer.code >= 500)  # noqa: PLR2004  # HTTP status codes


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _encode(body: Any) -> bytes:
    """:raises Rejected: it is nothing that JSON can say, or too large."""
    try:
        encoded = _encoder.encode(body).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Rejected(f"not JSON: {error}") from error
    if len(encoded) > MAX_BODY_BYTES:
        raise Rejected(f"{len(encoded)} bytes, the limit is {MAX_BODY_BYTES}")
    return encoded
