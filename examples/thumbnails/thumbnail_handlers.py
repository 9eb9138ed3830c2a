"""The Python steps of the example `thumbnails`: `fetch` the originals, `resize` them. `manifest.py` is the third step.

All three share one folder (MCP_THUMBNAILS_DIR): a volume in a cluster, `thumbnails-out` in the current folder
elsewhere. A job's files are in a folder of the job's name: original/NAME, and <width>/NAME for each width.

Both steps may run twice, even at the same time: a file is written under a name of its own and then renamed, so who
reads it sees all of it or none, and writing it again gives the same bytes.
"""

from __future__ import annotations

import functools
import os
import re
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

from PIL import Image, ImageOps, UnidentifiedImageError

import mastercontrol_worker as worker

DEFAULT_WIDTHS = [64, 160, 320]
MAX_IMAGES = 100
MAX_IMAGE_BYTES = 20 * 1024 * 1024
MAX_PIXELS = 24_000_000
"""The largest image, in pixels: decoded it takes up to four bytes for each."""

SOURCE_SECONDS = 20
"""How long a web server may be silent."""

FORMATS = ("PNG", "JPEG", "WEBP")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def output_folder() -> Path:
    return Path(os.environ.get("MCP_THUMBNAILS_DIR") or "thumbnails-out").absolute()


def source_folder() -> Path:
    return Path(os.environ.get("MCP_THUMBNAILS_SOURCE") or Path(__file__).parent / "samples")


@worker.step("fetch")
def fetch(job: Any, context: worker.Context) -> dict[str, Any]:
    """Input {images: [name...], source?: URL, widths?: [pixels...]}; output {folder, images, widths}."""
    images, source, widths = _read_input(job)
    originals = output_folder() / context.job.name / "original"
    for name in images:
        _give_back_if_told_to_stop(context)
        data = _from_web(source, name) if source else _from_folder(name)
        _write(originals / name, functools.partial(_put, data))
        context.logger.info("fetched %s, %d bytes", name, len(data))
    return {"folder": context.job.name, "images": images, "widths": widths}


@worker.step("resize")
def resize(fetched: dict[str, Any], context: worker.Context) -> dict[str, Any]:
    """Input: the output of fetch; output {folder, images: [{path, width, height, thumbnails: [{...}]}]}.

    An image is never enlarged: where a width is more than its own, it gets one thumbnail of its own width.
    """
    folder = output_folder() / fetched["folder"]
    images = []
    for name in fetched["images"]:
        _give_back_if_told_to_stop(context)
        image = _open(folder / "original" / name)
        thumbnails = [_thumbnail(image, folder, name, w) for w in _fitting(fetched["widths"], image.width)]
        size = {"width": image.width, "height": image.height}
        images.append({"path": f"original/{name}", **size, "thumbnails": thumbnails})
        context.heartbeat({"done": len(images), "of": len(fetched["images"])})
    return {"folder": fetched["folder"], "images": images}


def _thumbnail(image: Image.Image, folder: Path, name: str, width: int) -> dict[str, Any]:
    height = max(1, round(image.height * width / image.width))
    small = image.resize((width, height), Image.Resampling.LANCZOS)
    path = f"{width}/{name}"
    _write(folder / path, lambda file: small.save(file, format=image.format, optimize=True))
    return {"path": path, "width": width, "height": height}


def _fitting(widths: list[int], own: int) -> list[int]:
    return sorted({min(width, own) for width in widths})


def _open(path: Path) -> Image.Image:
    """The decoded image, upright, in a mode that can be resized well."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _bad("TooManyPixels", f"{path.name}: more than {MAX_PIXELS} pixels")
            upright = ImageOps.exif_transpose(image)
            # A palette has no colours between its own.
            decoded = upright.convert("RGBA") if upright.mode in {"1", "P"} else upright.copy()
            decoded.format = image.format
            return decoded
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise _bad("BadImage", f"{path.name}: {error}") from error
    except OSError as error:
        if error.errno is None:  # Pillow says so of an image that ends too early
            raise _bad("BadImage", f"{path.name}: {error}") from error
        raise


def _read_input(job: Any) -> tuple[list[str], str | None, list[int]]:
    if not isinstance(job, dict):
        raise _bad("BadInput", 'input: write an object, as in {"images": ["cat.png"]}')
    images, source, widths = job.get("images"), job.get("source"), job.get("widths", DEFAULT_WIDTHS)
    if not isinstance(images, list) or not 1 <= len(images) <= MAX_IMAGES:
        raise _bad("BadInput", f"images: write a list of 1 to {MAX_IMAGES} file names")
    for name in images:
        # A name with a slash could point out of the folder.
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _bad("BadInput", f"images: {name!r} is no plain file name")
    if source is not None and not (isinstance(source, str) and source.startswith(("http://", "https://"))):
        raise _bad("BadInput", f"source: write a URL that begins with http:// or https://, not {source!r}")
    if not isinstance(widths, list) or not widths or not all(type(w) is int and 1 <= w <= 4096 for w in widths):  # noqa: PLR2004  said in the text
        raise _bad("BadInput", "widths: write a list of whole numbers of pixels from 1 to 4096")
    return images, source, widths


def _from_folder(name: str) -> bytes:
    path = source_folder() / name
    try:
        with path.open("rb") as file:
            return _bounded(file, name)
    except FileNotFoundError:
        raise _bad("NoSuchImage", f"there is no {name} in {path.parent}") from None


def _from_web(source: str, name: str) -> bytes:
    url = f"{source.rstrip('/')}/{urllib.parse.quote(name)}"
    try:
        with urllib.request.urlopen(url, timeout=SOURCE_SECONDS) as answer:  # noqa: S310  http(s) only, see _read_input
            return _bounded(answer, name)
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection
            text = f"{url}: {error.code} {error.reason}"
        if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code == HTTPStatus.TOO_MANY_REQUESTS:
            raise worker.StepFailure(text, code="SourceUnavailable") from None
        raise _bad("NoSuchImage", text) from None
    except OSError as error:  # no connection, or one that broke
        raise worker.StepFailure(f"{url}: {error}", code="SourceUnavailable") from error


def _bounded(file: IO[bytes], name: str) -> bytes:
    data = file.read(MAX_IMAGE_BYTES + 1)
    if len(data) > MAX_IMAGE_BYTES:
        raise _bad("ImageTooLarge", f"{name}: more than {MAX_IMAGE_BYTES} bytes")
    return data


def _put(data: bytes, file: IO[bytes]) -> None:
    file.write(data)


def _write(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
        temporary = Path(file.name)
        try:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            temporary.unlink()
            raise
    temporary.chmod(0o644)
    temporary.replace(path)


def _give_back_if_told_to_stop(context: worker.Context) -> None:
    if context.should_stop():
        raise worker.GiveBack


def _bad(code: str, text: str) -> worker.StepFailure:
    """A failure that another attempt with the same input can't mend."""
    return worker.StepFailure(text, code=code, retryable=False)
