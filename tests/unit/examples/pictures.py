"""What the tests of the example `thumbnails` share."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from unit.examples.loading import THUMBNAILS

SAMPLES = THUMBNAILS / "samples"
NAMES = ["dunes.jpg", "rings.png", "tiles.png", "waves.png"]


def files(folder: Path) -> dict[str, str]:
    """Path and checksum of each file below a folder."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def run_manifest(value: Any, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(THUMBNAILS / "manifest.py")]
    text, env = json.dumps(value), {**os.environ, **environ}
    return subprocess.run(command, input=text, env=env, capture_output=True, text=True, check=False, timeout=30)
