"""What `fetch` and `resize` refuse, and that they say so in words."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from mastercontrol_worker import Context, StepFailure

pytestmark = pytest.mark.usefixtures("out")


def png(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"<html>", png(200)[:-30], png(200).replace(b"IHDR", b"IHDS")], ids=["empty", "html", "cut", "odd"]
)
def test_a_file_that_is_no_image_fails_for_good(
    thumbnails: ModuleType, context: Context, source: Path, content: bytes
) -> None:
    (source / "broken.png").write_bytes(content)
    fetched = thumbnails.fetch({"images": ["broken.png"]}, context)
    with pytest.raises(StepFailure, match=r"broken\.png") as failed:
        thumbnails.resize(fetched, context)
    assert (failed.value.code, failed.value.retryable) == ("BadImage", False)


def test_an_image_of_too_many_pixels_is_not_decoded(
    thumbnails: ModuleType, context: Context, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "large.png").write_bytes(png(200))
    monkeypatch.setattr(thumbnails, "MAX_PIXELS", 39_999)
    fetched = thumbnails.fetch({"images": ["large.png"]}, context)
    with pytest.raises(StepFailure, match="more than 39999 pixels") as failed:
        thumbnails.resize(fetched, context)
    assert (failed.value.code, failed.value.retryable) == ("TooManyPixels", False)


def test_a_file_of_too_many_bytes_is_refused(
    thumbnails: ModuleType, context: Context, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "large.png").write_bytes(b"x" * 101)
    monkeypatch.setattr(thumbnails, "MAX_IMAGE_BYTES", 100)
    with pytest.raises(StepFailure, match="more than 100 bytes") as failed:
        thumbnails.fetch({"images": ["large.png"]}, context)
    assert (failed.value.code, failed.value.retryable) == ("ImageTooLarge", False)


@pytest.mark.parametrize(
    "job",
    [
        None,
        {},
        {"images": []},
        {"images": "a.png"},
        {"images": ["../secret"]},
        {"images": ["/etc/passwd"]},
        {"images": [".hidden"]},
        {"images": ["a.png"] * 101},
        {"images": ["a.png"], "source": "file:///etc"},
        {"images": ["a.png"], "source": 1},
        {"images": ["a.png"], "widths": [0]},
        {"images": ["a.png"], "widths": []},
        {"images": ["a.png"], "widths": [True]},
    ],
)
def test_a_bad_input_is_refused_and_says_what_to_write(thumbnails: ModuleType, context: Context, job: Any) -> None:
    with pytest.raises(StepFailure, match=r"write|plain file name") as failed:
        thumbnails.fetch(job, context)
    assert (failed.value.code, failed.value.retryable) == ("BadInput", False)


def test_an_image_that_is_not_there_fails_for_good(thumbnails: ModuleType, context: Context) -> None:
    with pytest.raises(StepFailure, match=r"no none\.png in") as failed:
        thumbnails.fetch({"images": ["none.png"]}, context)
    assert (failed.value.code, failed.value.retryable) == ("NoSuchImage", False)
