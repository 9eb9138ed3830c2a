"""`manifest.py`, as the worker runs it: JSON in, JSON out."""

from __future__ import annotations

from typing import Any

import pytest

from unit.examples.pictures import run_manifest

pytestmark = pytest.mark.usefixtures("out")


@pytest.mark.parametrize("value", [None, 7, {"images": []}, {"folder": "album", "images": [{}]}])
def test_the_program_says_so_when_its_input_is_none_of_resize(value: Any) -> None:
    done = run_manifest(value)
    assert done.returncode == 65
    assert "this is not the output of the step resize" in done.stderr
    assert done.stdout == ""


def test_the_program_can_be_retried_when_a_file_is_not_there() -> None:
    image = {"path": "original/a.png", "width": 1, "height": 1, "thumbnails": []}
    done = run_manifest({"folder": "album", "images": [image]})
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stderr
