"""What the workers of a pool may do at the broker: their user, its password and its permissions. Pure.

The user is named with dots: a namespace has none, so `a.b-c` and `a-b.c` stay two users.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from mastercontrol_worker.contract import RESULTS_EXCHANGE, pool_queue

NOTHING: Final = "^$"


@dataclass(frozen=True, slots=True)
class WorkerUser:
    """A user of the broker and its permissions as regular expressions over names of queues and exchanges."""

    name: str
    password: str
    configure: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """An AMQP URL taken apart. `port` is None where the URL names none."""

    scheme: str
    host: str
    port: int | None
    user: str
    password: str
    vhost: str

    @classmethod
    def parse(cls, url: str) -> BrokerAddress:
        """Take `amqp[s]://user:password@host:port/vhost` apart. A missing vhost is `/`, a missing user guest.

        :raises ValueError: it is no such URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"amqp", "amqps"} or not parts.hostname:
            raise ValueError("not an AMQP URL: amqp[s]://user:password@host:port/vhost is expected")
        user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        vhost = unquote(parts.path[1:]) or "/"
        return cls(parts.scheme, parts.hostname, parts.port, user, password, vhost)

    def url(self, user: str, password: str) -> str:
        """The same broker and vhost for another user."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"{self.scheme}://{login}@{host}{port}/{quote(self.vhost, safe='')}"


def worker_name(namespace: str, pool: str) -> str:
    """The user of a pool's workers."""
    return f"mcp.{namespace}.{pool}"


def worker_user(namespace: str, pool: str, secret: str) -> WorkerUser:
    """The user of a pool's workers. Its password follows from the operator's own, so that it is kept nowhere."""
    password = hmac.new(secret.encode(), f"{namespace}/{pool}".encode(), hashlib.sha256).hexdigest()
    return WorkerUser(
        name=worker_name(namespace, pool),
        password=password,
        configure=NOTHING,
        write=f"^{re.escape(RESULTS_EXCHANGE)}$",
        read=f"^{re.escape(pool_queue(namespace, pool))}$",
    )
