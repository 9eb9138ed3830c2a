"""What a cluster for tests is made with: the images of this tree, `hack/` and the chart."""

from __future__ import annotations

import os
import re
import subprocess

from e2e.harness import HELM, ROOT, run

CHART = ROOT / "charts" / "mcp"


class Failed(AssertionError):
    """A script of `hack/` failed; what it said is on the standard error."""


def hack(cluster: str, *command: str) -> str:
    """Run a script of `hack/` for a cluster; its standard output.

    :raises Failed: it ended with another status than 0.
    """
    environ = {**os.environ, "MCP_CLUSTER": cluster}
    script = [str(ROOT / "hack" / command[0]), *command[1:]]
    done = subprocess.run(script, env=environ, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"hack/{' '.join(command)} failed; what it said is above")
    return done.stdout.strip()


def app_version() -> str:
    """The version of the operator's image that the chart asks for by itself."""
    found = re.search(r"^appVersion: (\S+)", (CHART / "Chart.yaml").read_text(), re.MULTILINE)
    assert found is not None
    return found[1].strip('"')


def images(cluster: str) -> list[str]:
    """The images of this tree, built. The operator's has the tag that the chart asks for by itself."""
    for script in ("tools", "docker-engine", "base-images"):
        hack(cluster, script)
    operator = f"mastercontrol-operator:{app_version()}"
    hack(cluster, "build-image", operator, str(ROOT / "operator" / "Dockerfile"), str(ROOT))
    folders = {"mastercontrol-worker:dev": ROOT / "worker-image", "mastercontrol-e2e:dev": ROOT / "tests/e2e/image"}
    for dockerfile in sorted((ROOT / "examples").glob("*/Dockerfile")):
        folders[f"mastercontrol-example-{dockerfile.parent.name}:dev"] = dockerfile.parent
    for image, folder in folders.items():
        hack(cluster, "build-image", image, str(folder / "Dockerfile"), str(folder))
    return [operator, "rabbitmq:4-management", *folders]


def install(kubeconfig: str, *settings: str) -> None:
    """Install the chart as release `mcp`, or change its values to these."""
    values = [word for setting in settings for word in ("--set", setting)]
    command = [str(HELM), "--kubeconfig", kubeconfig, "upgrade", "--install", "mcp", str(CHART), "--reset-values"]
    run([*command, *values, "--wait", "--timeout", "180s"], seconds=200)
