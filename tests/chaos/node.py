"""Processes inside the node of a kind cluster, by its container runtime: the API server neither sees nor prevents it.

`ctr` is in kind's own node image and in ours. None of it needs the API server, which may be what was killed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from e2e.harness import run

KEPT: Final = "/var/lib/mcp-chaos"
"""Where the logs of pods that are gone are kept in the node."""

# A pod's log goes with the pod. A second name keeps the file; it has the inode, as the log goes on in another file when
# it has become large.
_KEEP_LOGS: Final = f"""
rm -rf {KEPT} && mkdir -p {KEPT} && cd /var/log/pods || exit 1
end=$(($(date +%s) + @SECONDS@))
while [ "$(date +%s)" -lt "$end" ] && [ ! -e {KEPT}/stop ]; do
    for file in @NAMESPACE@_*/*/*.log; do
        [ -e "$file" ] || continue
        kept={KEPT}/$(stat -c %i "$file")-$(echo "$file" | tr / _)
        [ -e "$kept" ] || ln "$file" "$kept" || true
    done
    sleep 1
done
"""

KUBELET: Final = "/var/lib/kubelet/config.yaml"

# Of those that run only: where containers die all the time, most have died and are not collected yet.
_LIST: Final = """
tasks=" $(ctr -n k8s.io tasks ls | awk '$3 == "RUNNING" {print $1}' | tr '\\n' ' ')"
for id in $(ctr -n k8s.io containers ls -q 'labels."io.kubernetes.container.name"==@NAME@'); do
    case $tasks in *" $id "*) ;; *) continue ;; esac
    ctr -n k8s.io containers info "$id" || true  # gone since
done
"""


@dataclass(frozen=True, order=True)
class Container:
    """A running container of a pod."""

    pod: str
    id: str


@dataclass(frozen=True)
class Node:
    """The node, by the name of the container that it is."""

    name: str

    def sh(self, script: str, *, seconds: float = 60) -> str:
        """Run a script in the node; what it printed.

        :raises AssertionError: it failed.
        """
        return run(["docker", "exec", self.name, "bash", "-c", script], seconds=seconds)

    def running(self, container: str, namespace: str) -> list[Container]:
        """The running containers of this name, in the order of their pods' names."""
        found = []
        for info in documents(self.sh(_LIST.replace("@NAME@", container))):
            labels = info["Labels"]
            if labels["io.kubernetes.pod.namespace"] == namespace:
                found.append(Container(labels["io.kubernetes.pod.name"], info["ID"]))
        return sorted(found)

    def starts_again_at_once(self) -> bool:
        """Whether the kubelet starts what dies again at once, however often it died (`MCP_RESTART_PERIOD`)."""
        return "maxContainerRestartPeriod: 1s" in self.sh(f"cat {KUBELET}")

    def kill(self, container: Container) -> None:
        """SIGKILL to the first process of a container: all others in it die too."""
        self.sh(f"ctr -n k8s.io tasks kill -s SIGKILL {container.id}")

    def stop(self, container: Container) -> None:
        """SIGSTOP to all processes of a container."""
        self.sh(f"kill -STOP {_pids(container)}")

    def resume(self, container: Container) -> None:
        """SIGCONT to all processes of a container; it may be gone meanwhile."""
        self.sh(
            f"ctr -n k8s.io tasks ps {container.id} >/dev/null 2>&1 || exit 0; kill -CONT {_pids(container)} || true"
        )

    def forget_deaths(self) -> None:
        """Restart the kubelet: what has died often it keeps away for longer each time, and so it forgets that.

        Whatever keeps the node's processes (systemd, or our entrypoint) starts it again. Containers go on.
        """
        self.sh("kill $(pidof kubelet)")

    def keep_logs(self, namespace: str, seconds: float) -> None:
        """Begin to keep the logs of all pods of a namespace, those that are gone by the end included."""
        script = _KEEP_LOGS.replace("@NAMESPACE@", namespace).replace("@SECONDS@", f"{seconds:.0f}")
        run(["docker", "exec", "-d", self.name, "bash", "-c", script])

    def kept_logs(self, prefix: str) -> str:
        """The kept logs of the pods whose name begins so."""
        return self.sh(f"cat $(ls {KEPT}/*_{prefix}* 2>/dev/null) </dev/null", seconds=300)

    def forget_logs(self) -> None:
        """End `keep_logs`. What was kept stays until it begins again, or the node is gone."""
        self.sh(f"touch {KEPT}/stop")


def _pids(container: Container) -> str:
    return f"$(ctr -n k8s.io tasks ps {container.id} | awk 'NR > 1 {{print $1}}')"


def documents(text: str) -> list[dict[str, Any]]:
    """JSON objects that follow one another."""
    decoder, found = json.JSONDecoder(), []
    text = text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:].lstrip()
    return found
