#!/usr/bin/env python3
"""The step `manifest`, as a program: it knows neither Python workers nor queues, and uses the standard library only.

Standard input: the output of the step `resize`, as JSON. It writes two files beside the images, manifest.json
(sizes in pixels and bytes, SHA-256 checksums) and index.html (a page to look at), and prints a summary as JSON.
Exit status 65 says that the input is wrong and that another attempt can't help.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

BAD_INPUT = 65


def main() -> int:
    try:
        resized = json.load(sys.stdin)
        folder = Path(os.environ.get("MCP_THUMBNAILS_DIR") or "thumbnails-out").absolute() / resized["folder"]
        images = [described(folder, image) for image in resized["images"]]
    except (ValueError, KeyError, TypeError) as error:
        print(f"this is not the output of the step resize: {error!r}", file=sys.stderr)
        return BAD_INPUT
    manifest = json.dumps({"job": resized["folder"], "images": images}, indent=2) + "\n"
    write(folder / "manifest.json", manifest)
    write(folder / "index.html", page(resized["folder"], images))
    thumbnails = [thumbnail for image in images for thumbnail in image["thumbnails"]]
    summary = {
        "manifest": str(folder / "manifest.json"),
        "page": str(folder / "index.html"),
        "sha256": hashlib.sha256(manifest.encode()).hexdigest(),
        "images": len(images),
        "thumbnails": len(thumbnails),
        "bytes": sum(thumbnail["bytes"] for thumbnail in thumbnails),
    }
    print(json.dumps(summary))
    return 0


def described(folder: Path, image: dict[str, Any]) -> dict[str, Any]:
    """The image and its thumbnails, each with the bytes and the checksum of its file."""
    thumbnails = [measured(folder, thumbnail) for thumbnail in image["thumbnails"]]
    return {**measured(folder, image), "thumbnails": thumbnails}


def measured(folder: Path, entry: dict[str, Any]) -> dict[str, Any]:
    data = (folder / entry["path"]).read_bytes()
    known = {name: entry[name] for name in ("path", "width", "height")}
    return {**known, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def page(job: str, images: list[dict[str, Any]]) -> str:
    rows = "\n".join(f"<tr>{''.join(cell(t) for t in image['thumbnails'])}</tr>" for image in images)
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{html.escape(job)}</title>\n'
        "<style>body { font-family: sans-serif } td { padding: 1em; vertical-align: bottom }</style>\n"
        f"<h1>{html.escape(job)}</h1>\n<table>\n{rows}\n</table>\n</html>\n"
    )


def cell(thumbnail: dict[str, Any]) -> str:
    path = html.escape(thumbnail["path"])
    size = f"{thumbnail['width']} &times; {thumbnail['height']}"
    return f'<td><img src="{path}" alt="{path}"><br>{size}, {thumbnail["bytes"]} bytes</td>'


def write(path: Path, text: str) -> None:
    """Under another name first: who reads the file sees all of it or the one before, also when this runs twice."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as file:
        file.write(text)
    temporary = Path(file.name)
    temporary.chmod(0o644)
    temporary.replace(path)


if __name__ == "__main__":
    sys.exit(main())
