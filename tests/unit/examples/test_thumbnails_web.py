"""`fetch` from a web server: which of its answers are asked for again."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mastercontrol_worker import Context, StepFailure
from unit.examples.pictures import NAMES, SAMPLES, files

pytestmark = pytest.mark.usefixtures("out")


class Site(http.server.SimpleHTTPRequestHandler):
    """The samples, and /status/NNN/anything that answers with that status."""

    def do_GET(self) -> None:
        if self.path.startswith("/status/"):
            self.send_error(int(self.path.split("/")[2]))
        else:
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    handler: Callable[..., Site] = functools.partial(Site, directory=str(SAMPLES))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_images_come_from_a_web_server_too(thumbnails: ModuleType, context: Context, site: str, out: Path) -> None:
    thumbnails.fetch({"images": NAMES, "source": f"{site}/"}, context)
    assert files(out / "album" / "original") == files(SAMPLES)


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (404, "NoSuchImage", False),
        (403, "NoSuchImage", False),
        (429, "SourceUnavailable", True),
        (500, "SourceUnavailable", True),
        (503, "SourceUnavailable", True),
    ],
)
def test_only_a_server_that_may_recover_is_asked_again(
    thumbnails: ModuleType, context: Context, site: str, status: int, code: str, *, retryable: bool
) -> None:
    with pytest.raises(StepFailure, match=str(status)) as failed:
        thumbnails.fetch({"images": ["a.png"], "source": f"{site}/status/{status}"}, context)
    assert (failed.value.code, failed.value.retryable) == (code, retryable)


def test_a_server_that_is_away_is_asked_again(thumbnails: ModuleType, context: Context) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Site) as free:
        port = free.server_port
    with pytest.raises(StepFailure, match="refused") as failed:
        thumbnails.fetch({"images": ["a.png"], "source": f"http://127.0.0.1:{port}"}, context)
    assert (failed.value.code, failed.value.retryable) == ("SourceUnavailable", True)
