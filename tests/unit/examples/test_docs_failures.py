"""The failure matrix: each row names a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "explanation" / "failures.md"
COLUMNS = 5


def rows() -> list[list[str]]:
    """The rows of all tables, without their heads."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in found if row[0] not in {"what", "---"}]


def named(cell: str) -> list[tuple[Path, str]]:
    """The tests that a cell names: their file, and the name of the function."""
    return [(ROOT / "tests" / file, name) for file, name in re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", cell)]


def functions_of(file: Path) -> set[str]:
    """The test functions of a file."""
    tree = ast.walk(ast.parse(file.read_text()))
    return {
        n.name for n in tree if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name.startswith("test_")
    }


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_row_names_tests_that_exist(row: list[str]) -> None:
    assert len(row) == COLUMNS, row
    assert all(row[:3])
    tests = named(row[-1])
    assert tests, f"no test is named in {row[-1]!r}"
    for file, name in tests:
        assert file.is_file(), file
        assert name in functions_of(file), f"{file.name} has no test {name or 'named'}"


def test_the_page_has_a_row_for_each_thing_that_the_system_consists_of() -> None:
    text = PAGE.read_text()
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == [
        "Workers",
        "The operator",
        "RabbitMQ",
        "The API server",
        "People",
        "Everything at once",
    ]
    assert len(rows()) > 30
