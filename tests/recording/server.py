"""The API server as the recorder talks to it: what a kubeconfig says, lists and watches over plain HTTP.

It has its own client, so that a fault of the operator's is not in what judges the operator.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

Raw = dict[str, Any]

EXPIRED: Final = 410
GROUP: Final = "/apis/mastercontrol.dev/v1alpha1"
WATCH_SECONDS: Final = 60
LONGEST_LINE: Final = 4 * 1024 * 1024


class Expired(Exception):
    """The API server does not have all changes since a version any more."""


@dataclass(frozen=True)
class Server:
    """An API server and how to get in."""

    url: str
    tls: ssl.SSLContext
    headers: Mapping[str, str]

    def path(self, plural: str, namespace: str) -> str:
        """The URL of all objects of a kind in a namespace."""
        return f"{self.url}{GROUP}/namespaces/{namespace}/{plural}"


def server_of(kubeconfig: str) -> Server:
    """The server of the current context of a kubeconfig, with a token or a client's certificate."""
    config = yaml.safe_load(Path(kubeconfig).read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    authority = _content(cluster, "certificate-authority")
    tls = ssl.create_default_context(cadata=None if authority is None else authority.decode())
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    certificate, key = _content(user, "client-certificate"), _content(user, "client-key")
    if certificate is not None and key is not None:
        with tempfile.NamedTemporaryFile() as both:  # the library takes them from a file only
            both.write(certificate + b"\n" + key)
            both.flush()
            tls.load_cert_chain(both.name)
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    return Server(cluster["server"], tls, headers)


def _named(entries: list[Raw], name: str) -> Raw:
    return next(entry for entry in entries if entry["name"] == name)


def _content(entry: Raw, field: str) -> bytes | None:
    if f"{field}-data" in entry:
        return base64.b64decode(entry[f"{field}-data"])
    return Path(entry[field]).read_bytes() if field in entry else None


class Client:
    """Lists and watches, on one event loop."""

    def __init__(self, server: Server) -> None:
        self.server = server
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=2 * WATCH_SECONDS)
        self._session = aiohttp.ClientSession(headers=server.headers, timeout=timeout, read_bufsize=LONGEST_LINE)

    async def close(self) -> None:
        await self._session.close()

    async def list(self, plural: str, namespace: str) -> tuple[list[Raw], str]:
        """All objects of a kind, and the version of the list.

        :raises aiohttp.ClientError, TimeoutError: there was no answer, or another one.
        """
        async with self._session.get(self.server.path(plural, namespace), ssl=self.server.tls) as answer:
            answer.raise_for_status()
            body = await answer.json()
        return list(body.get("items") or ()), str(body["metadata"]["resourceVersion"])

    async def watch(self, plural: str, namespace: str, version: str) -> AsyncIterator[tuple[str, Raw]]:
        """The changes since a version, until the server ends the watch: their type and the object.

        :raises Expired: list again.
        :raises aiohttp.ClientError, TimeoutError: the connection broke.
        """
        parameters = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        path = self.server.path(plural, namespace)
        async with self._session.get(path, params=parameters, ssl=self.server.tls) as answer:
            if answer.status == EXPIRED:
                raise Expired
            answer.raise_for_status()
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise Expired
                yield event["type"], event["object"]
