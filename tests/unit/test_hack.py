"""What hack/'s scripts promise, as far as it can be seen without services, root or a network."""

import os
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from processes import gone

HACK = Path(__file__).parents[2] / "hack"
SCRIPTS = sorted(path for path in HACK.rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!"))
SHELL = [*(path for path in SCRIPTS if b"bash" in path.read_bytes().splitlines()[0]), HACK / "lib.sh"]
OURS = sorted(path for path in HACK.rglob("*") if path.is_file() and path.suffix not in {".mod", ".sum"})

Run = Callable[..., subprocess.CompletedProcess[str]]


def name_of(path: Path) -> str:
    return str(path.relative_to(HACK))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a script, or lines of bash after lib.sh, with a cache of its own."""

    def call(*command: str, shell: str = "") -> subprocess.CompletedProcess[str]:
        if shell:
            command = ("bash", "-c", f"set -euo pipefail; . {HACK}/lib.sh\n{shell}")
        environment = os.environ | {"MCP_CACHE": str(tmp_path / "cache")}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)

    return call


@pytest.mark.parametrize("script", SHELL, ids=name_of)
def test_bash_can_read_the_script(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], capture_output=True, check=False).stderr == b""


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_can_be_run_and_says_what_it_is_for(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[1].startswith("# ")


@pytest.mark.parametrize("script", [path for path in SCRIPTS if "lib.sh" in path.read_text()], ids=name_of)
def test_a_script_stops_at_the_first_error(script: Path) -> None:
    assert "\nset -euo pipefail\n" in script.read_text()


@pytest.mark.parametrize(
    "command",
    [
        "tools nonsense",
        "docker-engine nonsense",
        "control-plane",
        "control-plane nonsense",
        "control-plane start one two",
        "rabbitmq",
        "rabbitmq nonsense",
        "cluster",
        "cluster load",
        "cluster up extra",
        "root",
        "root nonsense",
        "kube/build",
        "kube/build nonsense",
        "node-image extra",
        "base-images extra",
        "build-image only-a-name",
        "up extra",
        "down extra",
    ],
)
def test_a_wrong_command_line_exits_with_2_and_shows_the_right_one(run: Run, command: str) -> None:
    script, *arguments = command.split()
    result = run(str(HACK / script), *arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("usage: ")
    assert f"hack/{script}" in result.stderr


@pytest.mark.parametrize("script", ["control-plane", "rabbitmq"])
@pytest.mark.parametrize("verb", ["env", "restart", "wipe"])
def test_what_was_never_started_is_an_error_and_leaves_nothing_behind(
    run: Run, tmp_path: Path, script: str, verb: str
) -> None:
    result = run(str(HACK / script), verb, str(tmp_path / "state"))
    assert result.returncode == 1
    assert "nothing was started" in result.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("script", ["control-plane", "rabbitmq"])
def test_to_stop_what_was_never_started_succeeds(run: Run, tmp_path: Path, script: str) -> None:
    assert run(str(HACK / script), "stop", str(tmp_path / "state")).returncode == 0
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_no_registry_or_mirror_is_named(path: Path) -> None:
    text = path.read_text()
    hosts = set(re.findall(r"https?://([\w.-]+)", text))
    assert hosts <= {"127.0.0.1", "localhost", "kubernetes.default.svc"}
    assert not re.search(r"\b(registry|mirror|proxy|quay|ghcr)\.[a-z][\w.-]*", text)


def test_the_module_of_kubernetes_has_the_pinned_version() -> None:
    pinned = re.search(r"^KUBERNETES_VERSION=(\S+)", (HACK / "versions.sh").read_text(), re.MULTILINE)
    assert pinned
    assert f"k8s.io/kubernetes {pinned[1]}\n" in (HACK / "kube/kubernetes/go.mod").read_text()


def test_the_development_values_are_values_of_the_chart() -> None:
    def names(values: dict[str, Any], before: str = "") -> set[str]:
        found: set[str] = set()
        for name, value in values.items():
            found |= names(value, f"{before}{name}.") if isinstance(value, dict) else {before + name}
        return found

    chart = yaml.safe_load((HACK.parent / "charts/mcp/values.yaml").read_text())
    ours = yaml.safe_load((HACK / "values-dev.yaml").read_text())
    assert names(ours) <= names(chart)


def test_a_hash_follows_content_and_not_the_folder_it_is_in(run: Run, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file").write_text("same")
    one, two = run(shell=f"hash_of {tmp_path}/one; hash_of {tmp_path}/two").stdout.split()
    (tmp_path / "two" / "file").write_text("other")
    changed = run(shell=f"hash_of {tmp_path}/two").stdout.strip()
    assert one == two != changed


def test_the_version_of_the_systems_broker_is_empty_where_there_is_none(run: Run, tmp_path: Path) -> None:
    none = run(shell=f"version=$(rabbitmq_version {tmp_path}/none); echo found=$version")
    assert (none.stdout, none.stderr) == ("found=\n", "")
    (tmp_path / "lib" / "rabbitmq_server-3.10.8").mkdir(parents=True)
    assert run(shell=f"rabbitmq_version {tmp_path}/lib").stdout == "3.10.8\n"


def test_a_lock_keeps_another_script_out(run: Run, tmp_path: Path) -> None:
    held = tmp_path / "held"
    with ThreadPoolExecutor() as pool:
        first = pool.submit(run, shell=f"hold_lock shared; touch {held}; sleep 0.5; rm {held}")
        while not held.exists():
            time.sleep(0.01)
        second = run(shell=f"hold_lock shared; test ! -e {held}")
    assert first.result().returncode == 0
    assert second.returncode == 0
    assert "waiting for another run (shared)" in second.stderr


def test_a_lock_lets_a_script_in_that_its_holder_calls(run: Run) -> None:
    result = run(shell=f'hold_lock shared; bash -c ". {HACK}/lib.sh; hold_lock shared; echo in"')
    assert (result.stdout, result.stderr) == ("in\n", "")


def test_a_background_process_outlives_its_script_and_is_ended_by_name_of_its_pid_file(
    run: Run, tmp_path: Path
) -> None:
    pidfile = tmp_path / "pid"
    started = run(shell=f"hold_lock one; background {pidfile} {tmp_path}/log sleep 60")
    assert started.returncode == 0, started.stderr
    pid = int(pidfile.read_text().split()[0])
    assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x0060\x00"
    # It does not keep the script's lock.
    assert run(shell=f"hold_lock one; alive {pidfile} && echo alive").stdout == "alive\n"
    assert run(shell=f"end {pidfile} 5").returncode == 0
    assert not pidfile.exists()
    assert gone(pid)


def test_a_later_process_with_the_same_pid_is_left_alone(run: Run, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        (tmp_path / "pid").write_text(f"{other.pid} 1\n")
        began = time.monotonic()
        assert run(shell=f"end {tmp_path}/pid").returncode == 0
        assert time.monotonic() - began < 5
        assert other.poll() is None
        other.kill()
    assert not (tmp_path / "pid").exists()


def test_free_ports_are_different_ones(run: Run) -> None:
    ports = run(shell="free_ports 4").stdout.split()
    assert len(set(ports)) == 4


def test_no_script_stops_reading_a_pipe_early() -> None:
    """Under pipefail a program that still writes then fails the pipe: a cluster that was there was not found."""
    early = re.compile(r"(?<!\|)\|\s*(grep\s+(-\w*q|--quiet)|head\b)")
    found = [
        f"{name_of(path)}: {line}" for path in SHELL for line in path.read_text().splitlines() if early.search(line)
    ]
    assert found == []
