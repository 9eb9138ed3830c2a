"""The client against a small HTTP server that answers as it is told."""

from __future__ import annotations

import json
import stat
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.config import incluster_config
from prometheus_client import REGISTRY

from mastercontrol.engine.ports import Refused, Rejected, StoreUnavailable
from mastercontrol.kube.client import KubeClient, Limits, PatchType
from mastercontrol.kube.credentials import Credentials
from mastercontrol.kube.paths import JOBS, Target

TARGET = Target(JOBS, "shop", "order-1")
STATUS = Target(JOBS, "shop", "order-1", "status")
LIMITS = Limits(attempts=3, first_pause_seconds=0.001, longest_pause_seconds=0.3, request_seconds=2)


class Api:
    """Answers with what is in `answers`, then with an empty object; keeps the requests."""

    def __init__(self) -> None:
        self.answers: deque[web.Response | Callable[[web.Request], web.Response]] = deque()
        self.requests: list[tuple[web.Request, bytes]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.append((request, await request.read()))
        answer = self.answers.popleft() if self.answers else web.json_response({"kind": "Job"})
        return answer(request) if callable(answer) else answer

    @property
    def tokens(self) -> list[str | None]:
        return [request.headers.get("Authorization") for request, _ in self.requests]


def failure(code: int, **headers: str) -> web.Response:
    body = {"kind": "Status", "message": "no", "details": {"name": "order-1"}, "code": code}
    return web.json_response(body, status=code, headers=headers)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    async with TestServer(app) as server:
        api.url = str(server.make_url("")).rstrip("/")
        yield api


# Any certificate: its key was thrown away.
CA = """\
-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIUS6vFX0GPiicBnGl6JV3sPq79dcAwCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFdGVzdHMwIBcNMjYxMTI1MDM1ODA5WhgPMjEyNjExMDEwMzU4
MDlaMBAxDjAMBgNVBAMMBXRlc3RzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
igwjO2PtVEqVyJMB8F+2D/GDBbE2D48ma523nRbwR1c0+q8lqmPiRFkZqUgrhvkO
zJd+8NrAqafb2Ynwz1RBLqNTMFEwHQYDVR0OBBYEFLiFmuDOmvRGCeML+AR+XQz+
B2lsMB8GA1UdIwQYMBaAFLiFmuDOmvRGCeML+AR+XQz+B2lsMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgAVx2HRfuVQKVmXyxPtZ/AXt+d5X0koc9
VrtGCG8919kCIQDR/sSEpqoz92tISQuNMRlW1gNUyqdRsRTiCZTRGVW09Q==
-----END CERTIFICATE-----
"""

WriteConfig = Callable[[dict[str, Any]], str]


@pytest.fixture
def write_config(api: Api, tmp_path: Path) -> WriteConfig:
    def write(user: dict[str, Any]) -> str:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": api.url}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    return write


@pytest.fixture
async def client(write_config: WriteConfig) -> AsyncIterator[KubeClient]:
    async with await KubeClient.connect(write_config({"token": "t"}), limits=LIMITS) as client:
        yield client


async def test_a_patch_is_sent_as_json_of_its_media_type(api: Api, client: KubeClient) -> None:
    await client.patch(STATUS, [{"op": "add", "path": "/status", "value": "é"}], PatchType.JSON, {"force": "true"})
    ((request, body),) = api.requests
    assert (request.method, request.path_qs) == ("PATCH", f"{STATUS.path}?force=true")
    assert request.headers["Content-Type"] == "application/json-patch+json"
    assert request.headers["Authorization"] == "Bearer t"
    assert json.loads(body) == [{"op": "add", "path": "/status", "value": "é"}]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
async def test_a_read_is_repeated_when_the_answer_says_not_now(api: Api, client: KubeClient, code: int) -> None:
    api.answers.extend([failure(code), failure(code)])
    assert await client.get(TARGET) == {"kind": "Job"}
    assert len(api.requests) == 3


async def test_a_read_gives_up_after_its_attempts(api: Api, client: KubeClient) -> None:
    api.answers.extend(failure(503) for _ in range(10))
    with pytest.raises(StoreUnavailable):
        await client.get(TARGET)
    assert len(api.requests) == LIMITS.attempts


@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_a_write_is_not_repeated_when_nobody_knows_what_became_of_it(
    api: Api, client: KubeClient, code: int
) -> None:
    api.answers.append(failure(code))
    with pytest.raises(StoreUnavailable):
        await client.patch(STATUS, [], PatchType.JSON)
    assert len(api.requests) == 1


def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def test_a_write_is_not_repeated_when_the_connection_is_lost(api: Api, client: KubeClient) -> None:
    api.answers.append(hang_up)
    with pytest.raises(StoreUnavailable):
        await client.patch(STATUS, [], PatchType.JSON)
    assert len(api.requests) == 1


async def test_a_read_is_repeated_when_the_connection_is_lost(api: Api, client: KubeClient) -> None:
    api.answers.extend([hang_up, hang_up])
    assert await client.get(TARGET) == {"kind": "Job"}
    assert len(api.requests) == 3


async def test_a_write_is_repeated_after_a_429_when_the_api_server_wants_it(api: Api, client: KubeClient) -> None:
    api.answers.append(failure(429, **{"Retry-After": "1"}))
    started = time.monotonic()
    await client.patch(STATUS, [], PatchType.JSON)
    # Told a second, which is more than this client may wait.
    assert LIMITS.longest_pause_seconds <= time.monotonic() - started < 1
    assert len(api.requests) == 2


async def test_a_retry_after_of_zero_or_nonsense_is_no_long_wait(api: Api, client: KubeClient) -> None:
    api.answers.extend([failure(429, **{"Retry-After": "0"}), failure(429, **{"Retry-After": "Wed, 21 Oct"})])
    started = time.monotonic()
    await client.patch(STATUS, [], PatchType.JSON)
    assert time.monotonic() - started < LIMITS.longest_pause_seconds


async def test_a_write_that_is_always_told_429_is_unavailable(api: Api, client: KubeClient) -> None:
    api.answers.extend(failure(429) for _ in range(10))
    with pytest.raises(StoreUnavailable, match="429"):
        await client.patch(STATUS, [], PatchType.JSON)
    assert len(api.requests) == LIMITS.attempts


@pytest.mark.parametrize(("code", "error"), [(409, Refused), (403, Rejected), (422, Rejected)])
async def test_a_final_answer_is_final(api: Api, client: KubeClient, code: int, error: type[Exception]) -> None:
    api.answers.append(failure(code))
    with pytest.raises(error):
        await client.get(TARGET)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>"),
        web.Response(status=302, headers={"Location": "/elsewhere"}),
        web.Response(status=502, text="Bad Gateway"),
    ],
)
async def test_an_answer_of_something_that_is_no_api_server_is_unavailable(
    api: Api, client: KubeClient, answer: web.Response
) -> None:
    api.answers.append(answer)
    with pytest.raises(StoreUnavailable):
        await client.patch(STATUS, [], PatchType.JSON)
    assert len(api.requests) == 1


@pytest.mark.parametrize("body", [float("inf"), {1, 2}, "x" * 1_100_000])
async def test_what_cannot_be_sent_is_rejected_unsent(api: Api, client: KubeClient, body: Any) -> None:
    with pytest.raises(Rejected):
        await client.patch(STATUS, body, PatchType.MERGE)
    assert api.requests == []


async def test_requests_are_counted_by_verb_resource_and_code(api: Api, client: KubeClient) -> None:
    def count(code: str) -> float:
        labels = {"verb": "PATCH", "resource": "mcpjobs/status", "code": code}
        return REGISTRY.get_sample_value("mcp_kube_requests_total", labels) or 0

    before = count("200"), count("429"), count("409")
    api.answers.extend([failure(429, **{"Retry-After": "0"}), web.json_response({}), failure(409)])
    await client.patch(STATUS, [], PatchType.JSON)
    with pytest.raises(Refused):
        await client.patch(STATUS, [], PatchType.JSON)
    assert (count("200"), count("429"), count("409")) == tuple(number + 1 for number in before)


class TestCredentials:
    async def test_a_token_file_that_was_renewed_is_read_again_after_a_401(
        self, api: Api, write_config: WriteConfig, tmp_path: Path
    ) -> None:
        token = tmp_path / "token"
        token.write_text("old")
        async with await KubeClient.connect(write_config({"tokenFile": str(token)}), limits=LIMITS) as client:
            token.write_text("new")
            api.answers.append(failure(401))
            await client.patch(STATUS, [], PatchType.JSON)
        assert api.tokens == ["Bearer old", "Bearer new"]

    async def test_a_token_that_stays_wrong_is_not_tried_again(self, api: Api, client: KubeClient) -> None:
        api.answers.extend([failure(401), failure(401)])
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="401"):
                await client.patch(STATUS, [], PatchType.JSON)
        assert len(api.requests) == 2

    async def test_an_exec_plugin_is_run_again_after_a_401(
        self, api: Api, write_config: WriteConfig, tmp_path: Path
    ) -> None:
        plugin, runs = tmp_path / "plugin", tmp_path / "runs"
        plugin.write_text(
            "#!/bin/sh\n"
            f"echo run >>{runs}\n"
            'echo "{\\"apiVersion\\":\\"client.authentication.k8s.io/v1\\",\\"kind\\":\\"ExecCredential\\",'
            f'\\"status\\":{{\\"token\\":\\"t$(grep -c run {runs})\\"}}}}"\n'
        )
        plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
        user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
        async with await KubeClient.connect(write_config(user), limits=LIMITS) as client:
            await client.get(TARGET)
            api.answers.append(failure(401))
            await client.get(TARGET)
        assert api.tokens == ["Bearer t1", "Bearer t1", "Bearer t2"]

    async def test_in_a_pod_the_service_account_is_used(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        token, ca = tmp_path / "token", tmp_path / "ca.crt"
        token.write_text("old")
        ca.write_text(CA)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
        monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(ca))
        credentials = await Credentials.load()
        assert credentials.url == "https://10.0.0.1:443"
        assert await credentials.headers() == {"authorization": "bearer old"}
        token.write_text("new")
        assert await credentials.reload()
        assert await credentials.headers() == {"authorization": "bearer new"}

    async def test_the_proxy_of_the_environment_is_used_unless_no_proxy_says_otherwise(
        self, monkeypatch: pytest.MonkeyPatch, write_config: WriteConfig
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
        monkeypatch.delenv("no_proxy", raising=False)
        assert (await Credentials.load(write_config({"token": "t"}))).proxy == "http://proxy.example:3128"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert (await Credentials.load(write_config({"token": "t"}))).proxy is None

    async def test_no_credentials_is_an_error_that_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailable, match="no way to the API server"):
            await KubeClient.connect(str(tmp_path / "nothing"))
