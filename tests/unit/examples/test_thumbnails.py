"""`fetch` and `resize` as plain functions, and `manifest.py` as a program."""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from mastercontrol_worker import Context, GiveBack, JobRef, Registry
from unit.examples.loading import THUMBNAILS, load
from unit.examples.pictures import NAMES, SAMPLES, files, run_manifest

pytestmark = pytest.mark.usefixtures("out")


def test_the_samples_become_thumbnails_with_a_manifest_that_is_right(
    thumbnails: ModuleType, context: Context, out: Path
) -> None:
    resized = thumbnails.resize(thumbnails.fetch({"images": NAMES, "widths": [40, 80]}, context), context)
    done = run_manifest(resized)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    text = Path(summary["manifest"]).read_bytes()
    assert hashlib.sha256(text).hexdigest() == summary["sha256"]
    entries = [entry for image in json.loads(text)["images"] for entry in (image, *image["thumbnails"])]
    assert len(entries) == 4 * 3
    for entry in entries:
        path = out / "album" / entry["path"]
        assert entry["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert entry["bytes"] == path.stat().st_size
        with Image.open(path) as image:
            assert image.size == (entry["width"], entry["height"])
    assert summary["thumbnails"] == 8
    assert summary["bytes"] == sum(e["bytes"] for e in entries if not e["path"].startswith("original/"))


def test_the_page_shows_every_thumbnail(thumbnails: ModuleType, context: Context, out: Path) -> None:
    resized = thumbnails.resize(thumbnails.fetch({"images": NAMES[:2], "widths": [40, 80]}, context), context)
    run_manifest(resized)
    page = (out / "album" / "index.html").read_text()
    for path in ("40/dunes.jpg", "80/dunes.jpg", "40/rings.png", "80/rings.png"):
        assert f'src="{path}"' in page


def test_doing_all_steps_twice_changes_nothing(thumbnails: ModuleType, context: Context, out: Path) -> None:
    seen = []
    for _ in range(2):
        fetched = thumbnails.fetch({"images": NAMES, "widths": [40]}, context)
        resized = thumbnails.resize(fetched, context)
        done = run_manifest(resized)
        seen.append((fetched, resized, json.loads(done.stdout), files(out)))
    assert seen[0] == seen[1]
    assert set(seen[0][3]) == {
        *(f"album/{folder}/{name}" for folder in ("original", "40") for name in NAMES),
        "album/manifest.json",
        "album/index.html",
    }, "and nothing is left behind"


def test_a_step_that_runs_twice_at_the_same_time_does_no_harm(
    thumbnails: ModuleType, context: Context, out: Path
) -> None:
    fetched = thumbnails.fetch({"images": NAMES, "widths": [40, 80]}, context)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(thumbnails.resize(fetched, context))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [thumbnails.resize(fetched, context)] * 4
    assert len(files(out)) == 4 * 3


def test_a_write_that_breaks_off_leaves_the_old_file(thumbnails: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "picture.png"
    target.write_bytes(b"old")

    def half(file: Any) -> None:
        file.write(b"ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        thumbnails._write(target, half)
    assert files(tmp_path) == {"picture.png": hashlib.sha256(b"old").hexdigest()}


def test_an_image_is_never_enlarged(thumbnails: ModuleType, context: Context, source: Path) -> None:
    Image.new("RGB", (50, 20)).save(source / "small.png")
    fetched = thumbnails.fetch({"images": ["small.png"], "widths": [20, 60, 90]}, context)
    (image,) = thumbnails.resize(fetched, context)["images"]
    assert image["thumbnails"] == [
        {"path": "20/small.png", "width": 20, "height": 8},
        {"path": "50/small.png", "width": 50, "height": 20},
    ]


def test_a_picture_that_the_camera_turned_stands_upright(
    thumbnails: ModuleType, context: Context, source: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees
    Image.new("RGB", (80, 40)).save(source / "turned.jpg", exif=exif)
    resized = thumbnails.resize(thumbnails.fetch({"images": ["turned.jpg"], "widths": [20]}, context), context)
    assert resized["images"][0]["thumbnails"] == [{"path": "20/turned.jpg", "width": 20, "height": 40}]


@pytest.mark.parametrize(
    ("mode", "kind"), [("1", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("I;16", "PNG"), ("CMYK", "JPEG"), ("RGBA", "WEBP")]
)
def test_every_kind_of_pixel_can_be_resized(
    thumbnails: ModuleType, context: Context, source: Path, out: Path, mode: str, kind: str
) -> None:
    Image.new(mode, (30, 30)).save(source / "pixels", format=kind)
    thumbnails.resize(thumbnails.fetch({"images": ["pixels"], "widths": [10]}, context), context)
    with Image.open(out / "album" / "10" / "pixels") as image:
        assert (image.size, image.format) == ((10, 10), kind)


def test_a_worker_that_is_told_to_stop_gives_the_step_back(thumbnails: ModuleType) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    stopping = Context(JobRef("default", "album", "6f1c"), "fetch", 1, "6f1c:1:1", deadline=past)
    with pytest.raises(GiveBack):
        thumbnails.fetch({"images": NAMES}, stopping)
    with pytest.raises(GiveBack):
        thumbnails.resize({"folder": "album", "images": NAMES, "widths": [40]}, stopping)


def test_without_a_setting_the_results_are_in_the_current_folder(
    thumbnails: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MCP_THUMBNAILS_DIR")
    monkeypatch.chdir(tmp_path)
    assert thumbnails.output_folder() == tmp_path / "thumbnails-out"


def test_the_samples_are_what_their_script_draws(tmp_path: Path) -> None:
    load(THUMBNAILS / "make_samples.py", Registry()).main(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in SAMPLES.iterdir()) == NAMES
    for name in NAMES[1:]:  # a JPEG depends on the library that writes it
        with Image.open(tmp_path / name) as drawn, Image.open(SAMPLES / name) as kept:
            assert drawn.convert("RGBA").tobytes() == kept.convert("RGBA").tobytes()
