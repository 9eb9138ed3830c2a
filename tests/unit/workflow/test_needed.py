"""Which outputs are read, so that a job keeps them: wherever an expression stands, and for as long as it is ahead."""

from __future__ import annotations

from typing import Any

import pytest

from unit.engine.builders import Raw, each, parallel, state, step, written

A, B = "${steps.a.output}", "${steps.b.output}"
END = state("Succeed", "end")


def needed(*readers: Raw, **more: Any) -> frozenset[str]:
    """What is still read, of the states `a` and `b`, when these are done."""
    definition = written(step("a"), step("b"), *readers, **more)
    return definition.block.needed[readers[0]["name"]]


@pytest.mark.parametrize(
    "reader",
    [
        step("r", input=A, output=B),
        step("r", assign={"x": A, "y": B}),
        state("Choice", "r", input=A, choices=[{"when": "steps.b.output == 1", "next": "end"}], default="end"),
        state("Wait", "r", input=A, seconds=B),
        state("Wait", "r", input=A, until=B),
        state("Fail", "r", code=A, message=B),
        state("Fail", "r", input=A, message=B),
        each("r", A, step("x", input=B)),
        parallel("r", [step("x", input=A), step("y", input=B)]),
        parallel("r", [step("x", input=A)], [step("y", input=B)]),
        step("r", input=A, compensate={"input": B, "states": [step("undo")]}),
    ],
    ids=lambda reader: str(reader["type"]),
)
def test_what_an_expression_of_a_state_reads_is_needed_wherever_it_stands(reader: Raw) -> None:
    after = () if reader["type"] == "Fail" else (END,)
    assert needed(reader, *after) == {"a", "b"}


def test_what_only_a_later_state_reads_is_needed_until_then() -> None:
    assert needed(step("r"), step("s", input=A), END) == {"a"}


def test_what_is_never_read_is_not_needed() -> None:
    assert needed(step("r", input="${input}"), END) == frozenset()


def test_what_may_be_read_after_a_loop_back_is_needed() -> None:
    back = state("Choice", "back", choices=[{"when": "input == 1", "next": "r"}], default="end")
    assert needed(step("r"), step("s", input=B), back, END) == {"b"}
    definition = written(step("a"), step("b"), step("r"), step("s", input=B), back, END)
    assert definition.block.needed["back"] == {"b"}
    assert definition.block.needed["end"] == frozenset()


def test_where_it_cannot_be_told_what_is_read_all_is_needed() -> None:
    assert needed(step("r", input="${steps}")) == {"a", "b", "r"}
    assert needed(parallel("r", [step("x", input="${steps}")])) == {"a", "b", "r"}


@pytest.mark.parametrize(
    ("tidy", "read"),
    [(step("tidy", input=A), {"a"}), (step("tidy", input="${steps}"), {"a", "b", "r"}), (step("tidy"), set())],
)
def test_what_the_clean_up_reads_is_needed_to_the_end(tidy: Raw, read: set[str]) -> None:
    definition = written(step("a"), step("b"), step("r"), onExit={"states": [tidy]})
    assert definition.block.at_end == read
    assert definition.block.needed["r"] == read


def test_what_several_parts_of_a_clean_up_read_is_needed_together() -> None:
    undone = step("b", compensate={"states": [step("undo", input=A)]})
    definition = written(step("a"), undone, step("r"), onExit={"states": [step("tidy", input=B)]})
    assert definition.block.at_end == {"a", "b"}
