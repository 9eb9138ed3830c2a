"""The commands where they cannot do their work: one line that says why, and a status."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

URLS = {"MCP_AMQP_URL": "amqp://u:secret@127.0.0.1:1", "MCP_MANAGEMENT_URL": "http://u:secret@127.0.0.1:1"}


def command(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run it for a user who has no cluster."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(folder / "none"), **environ}
    argv = [sys.executable, "-m", "mastercontrol.cli", *words]
    return subprocess.run(argv, env=clean, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_an_operator_without_a_cluster_says_so_in_one_line(tmp_path: Path, free_port: int) -> None:
    ended = command(tmp_path, "run", **URLS, MCP_HTTP_PORT=str(free_port))
    assert ended.returncode == 1
    assert "the operator ends: no way to the API server" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr


def test_an_operator_whose_port_is_taken_says_so_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("", 0)) as taken:
        ended = command(tmp_path, "run", **URLS, MCP_HTTP_PORT=str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert "the operator ends: " in ended.stderr
    assert "address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_check_without_a_cluster_says_what_failed(tmp_path: Path) -> None:
    ended = command(tmp_path, "check", **URLS)
    assert ended.returncode == 1
    assert "FAILED  credentials: no way to the API server" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_wrong_setting_ends_it_with_status_two(tmp_path: Path) -> None:
    ended = command(tmp_path, "run", **{**URLS, "MCP_AMQP_URL": "amqp://u:secret/x@rabbit"})
    assert ended.returncode == 2
    assert ended.stderr.startswith("mastercontrol: MCP_AMQP_URL: write amqp[s]://")
    assert "secret" not in ended.stderr
