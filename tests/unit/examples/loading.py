"""Where the examples are, and how a test imports a module of theirs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import mastercontrol_worker

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
RELAY = EXAMPLES / "relay"
THUMBNAILS = EXAMPLES / "thumbnails"
PATTERNS = EXAMPLES / "patterns"


def load(path: Path, registry: mastercontrol_worker.Registry) -> ModuleType:
    """Import a file. Its steps go to `registry`, and not to the one that all tests of this process share."""
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mastercontrol_worker, "step", registry.step)
        spec.loader.exec_module(module)
    return module
