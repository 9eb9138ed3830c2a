"""Is this worker alive? Answered by the event loop that keeps the connection, over a socket that needs no file.

The worker serves it, `mastercontrol-worker --healthy` asks it (for a Kubernetes exec probe). The socket has a name in
Linux' abstract namespace: it belongs to the pod's network, needs no writable folder and vanishes with the process.
An answer means that the loop runs. It does not depend on handlers, which run elsewhere, nor on the broker, for a
restart would help neither.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket

logger = logging.getLogger(__name__)

ALIVE = b"alive\n"
ASK_SECONDS = 3.0


def address(name: str) -> str:
    """The socket of the worker of that name. Hashed: names may be longer than an address."""
    return f"\0mastercontrol-worker.{hashlib.sha256(name.encode()).hexdigest()[:32]}"


async def serve(name: str) -> asyncio.Server | None:
    """Answer until the server is closed; None, with a warning, where that is not possible."""
    try:
        return await asyncio.start_unix_server(_answer, address(name))
    except OSError as error:
        logger.warning("--healthy will find no worker of the name %s: %s", name, error)
        return None


async def _answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(ALIVE)
    writer.close()


def ask(name: str) -> bool:
    """Does the worker of that name answer within ASK_SECONDS?"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(ASK_SECONDS)
        try:
            client.connect(address(name))
            return client.recv(len(ALIVE)) == ALIVE
        except OSError:
            return False
