"""Answers in place of RabbitMQ's HTTP API, for a test of what the operator believes. Each port lies in its own way."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

SLOW_SECONDS = 60.0


class Liar(BaseHTTPRequestHandler):
    """One request, whatever it asks for."""

    answers: ClassVar[dict[int, tuple[int, str, str]]] = {
        8001: (200, "text/html", "<html><body>Welcome to the portal, please log in</body></html>"),
        8002: (200, "application/json", json.dumps({"messages_ready": -3, "messages_unacknowledged": "many"})),
        8003: (503, "text/plain", "upstream connect error"),
        8004: (200, "application/json", "{}"),
    }

    def do_GET(self) -> None:
        """The port's answer; 8004 has it after a minute."""
        port = self.connection.getsockname()[1]
        if port == 8004:
            time.sleep(SLOW_SECONDS)
        status, kind, text = self.answers[port]
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        """As for GET."""
        self.do_GET()

    def do_DELETE(self) -> None:
        """As for GET."""
        self.do_GET()


if __name__ == "__main__":
    servers = [ThreadingHTTPServer(("", port), Liar) for port in Liar.answers]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()
