"""What the recorder takes from a kubeconfig."""

from __future__ import annotations

from pathlib import Path

import yaml

from recording.server import server_of


def test_the_server_and_the_token_of_the_current_context(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    config = {
        "current-context": "here",
        "contexts": [{"name": "there", "context": {}}, {"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }
    path.write_text(yaml.safe_dump(config))
    server = server_of(str(path))
    expected = "https://127.0.0.1:1/apis/mastercontrol.dev/v1alpha1/namespaces/shop/mcpjobs"
    assert server.path("mcpjobs", "shop") == expected
    assert server.headers == {"Authorization": "Bearer secret"}
