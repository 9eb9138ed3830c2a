"""What a newcomer types, and what comes of it."""

from __future__ import annotations

import json

from e2e.harness import HELM, Cluster, assert_exactly_once, run


def test_the_quick_start_of_the_readme_runs_as_written_until_its_jobs_are_done(
    cluster: Cluster, quick_start: dict[str, str]
) -> None:
    assert any("helm install mcp ./charts/mcp" in command for command in quick_start)
    watched = next(out for command, out in quick_start.items() if "get mcpjobs" in command)
    assert "Done" in watched
    status = cluster.status("relay-1")
    assert status["phase"] == "Succeeded"
    assert status["output"]["path"] == ["first", "second"]
    assert_exactly_once("relay-1", status, ["first", "second"])


def test_helm_test_finds_the_api_and_the_broker(cluster: Cluster) -> None:
    said = run([str(HELM), "--kubeconfig", cluster.kubeconfig, "test", "mcp", "--logs"], seconds=180)
    assert "Succeeded" in said


def test_kubectl_shows_what_a_person_asks_first(cluster: Cluster) -> None:
    head = cluster.kubectl("get", "mcpjobs").splitlines()[0].split()
    assert head == ["NAME", "STATE", "PHASE", "ATTEMPT", "WHY", "AGE"]
    assert "relay" in cluster.kubectl("get", "mcp")
    assert "The Workflow" in cluster.kubectl("explain", "mcpjobs.spec.workflow")


def test_the_thumbnails_are_right(cluster: Cluster, quick_start: dict[str, str]) -> None:  # noqa: ARG001 - it makes them
    status = cluster.wait_job("thumbnails-1", "Succeeded", 180)
    assert_exactly_once("thumbnails-1", status, ["fetch", "resize", "manifest"])
    found = cluster.kubectl("exec", "thumbnails-viewer", "--", "sh", "-c", "find /data -name manifest.json | head -n1")
    folder = found.strip().removesuffix("/manifest.json")
    manifest = json.loads(cluster.kubectl("exec", "thumbnails-viewer", "--", "cat", f"{folder}/manifest.json"))
    thumbnails = [t for image in manifest["images"] for t in image["thumbnails"]]
    assert sorted({t["width"] for t in thumbnails}) == [64, 160, 320]
    program = (
        "import hashlib, json, sys\nfrom PIL import Image\nfound = {}\nfor path in sys.argv[1:]:\n"
        "    with Image.open(path) as i: found[path] = [*i.size, hashlib.sha256(open(path, 'rb').read()).hexdigest()]\n"
        "print(json.dumps(found))"
    )
    paths = [f"{folder}/{t['path']}" for t in thumbnails]
    seen = json.loads(cluster.kubectl("exec", "thumbnails-viewer", "--", "python3", "-c", program, *paths))
    assert seen == {p: [t["width"], t["height"], t["sha256"]] for p, t in zip(paths, thumbnails, strict=True)}
    cluster.kubectl("delete", "pod", "thumbnails-viewer", "--now")
