"""Serves the operator's metrics as external metrics of Kubernetes, for a test of the HorizontalPodAutoscaler.

A Prometheus and its adapter do that in a real cluster. Of the API it has what the autoscaler asks for:
`/apis/external.metrics.k8s.io/v1beta1/namespaces/NAMESPACE/METRIC?labelSelector=key%3Dvalue`.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

GROUP = "external.metrics.k8s.io/v1beta1"
SAMPLE = re.compile(r"^(\w+)\{(.*)\} ([0-9.e+]+)$", re.MULTILINE)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Discovery, or one metric."""
        url = urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        if len(parts) == 6:
            answer = self._metric(parts[4], parts[5], parse_qs(url.query).get("labelSelector", [""])[0])
        else:
            answer = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP, "resources": []}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _metric(self, namespace: str, metric: str, selector: str) -> dict[str, Any]:
        wanted = {"namespace": namespace} | dict(pair.split("=", 1) for pair in selector.split(",") if pair)
        with urllib.request.urlopen(os.environ["METRICS_URL"], timeout=5) as page:
            text = page.read().decode()
        items = []
        for name, labels, value in SAMPLE.findall(text):
            found = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            if name == metric and wanted.items() <= found.items():
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                shown = {"metricName": name, "metricLabels": found, "timestamp": now, "value": str(int(float(value)))}
                items.append(shown)
        return {"kind": "ExternalMetricValueList", "apiVersion": GROUP, "metadata": {}, "items": items}


if __name__ == "__main__":
    server = ThreadingHTTPServer(("", 6443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
