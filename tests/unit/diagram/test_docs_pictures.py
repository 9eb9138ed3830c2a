"""The pictures of the docs are what the command draws."""

from __future__ import annotations

from pathlib import Path

import pytest

from mastercontrol.diagram.command import draw, find
from unit.examples.loading import ROOT

PICTURES = ROOT / "docs" / "pictures"


@pytest.mark.parametrize("name", ["order", "order-1"])
def test_a_picture_of_the_docs_is_up_to_date(name: str) -> None:
    picture = PICTURES / f"{name}.svg"
    drawn = draw(find(str(PICTURES / "order.yaml"), name, "default"), None, Path(picture.name))
    again = f"mastercontrol diagram docs/pictures/order.yaml --name {name} -o docs/pictures/{name}.svg"
    assert picture.read_text(encoding="utf-8") == drawn, f"run: {again}"


def test_the_mermaid_that_the_docs_show_is_what_the_command_writes() -> None:
    page = (ROOT / "docs" / "how-to" / "draw-a-workflow.md").read_text(encoding="utf-8")
    assert draw(find(str(ROOT / "examples" / "relay" / "workflow.yaml"), None, "default"), None, None) in page
