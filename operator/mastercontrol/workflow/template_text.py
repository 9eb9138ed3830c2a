"""Where the expressions in a text begin and end: `${ … }`, with `$${` for a plain `${`.

An expression ends at the brace that closes it; braces inside it and those in its texts and comments don't count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mastercontrol.workflow.expression_faults import Fault


@dataclass(frozen=True, slots=True)
class Hole:
    """An expression in a text, and how many characters stand before it."""

    expression: str
    at: int


_OPENING: Final = re.compile(r"\$?\$\{")

_TOKEN: Final = re.compile(
    r"""
    (?P<raw> [rR][bB]?|[bB][rR] )?                  # a prefix that makes backslashes stand for themselves
    (?P<quote> \"{3} | '{3} | " | ' )
    | (?P<comment> //[^\n\r]* )
    | (?P<brace> [{}] )
    | (?P<word> [A-Za-z_0-9]+ )                     # so that the r of `for"x"` is no prefix
    """,
    re.VERBOSE,
)


def scan(text: str) -> list[str | Hole] | Fault:
    """The pieces of a text in order: text with its escapes resolved, and expressions.

    What comes back never has two texts side by side; a text without expressions is one piece. The fault is an
    expression that is not closed.
    """
    pieces: list[str | Hole] = []
    plain: list[str] = []
    at = 0
    while opening := _OPENING.search(text, at):
        plain.append(text[at : opening.start()])
        if opening[0] == "$${":
            plain.append("${")
            at = opening.end()
            continue
        end = _closing(text, opening.end())
        if end is None:
            return Fault(opening.start() + 1, "'${' is never closed with '}'; for a plain '${' write '$${'")
        if before := "".join(plain):
            pieces.append(before)
        plain = []
        pieces.append(Hole(text[opening.end() : end], opening.end()))
        at = end + 1
    plain.append(text[at:])
    rest = "".join(plain)
    return [*pieces, rest] if rest or not pieces else pieces


def _closing(text: str, at: int) -> int | None:
    """Where the brace is that closes an expression which begins at `at`."""
    depth = 0
    while token := _TOKEN.search(text, at):
        at = token.end()
        if token["quote"]:
            end = _end_of_quoted(text, at, token["quote"], raw=token["raw"] is not None)
            if end is None:
                return None
            at = end
        elif token["brace"] == "{":
            depth += 1
        elif token["brace"] == "}" and depth == 0:
            return token.start()
        elif token["brace"]:
            depth -= 1
    return None


def _end_of_quoted(text: str, at: int, quote: str, *, raw: bool) -> int | None:
    """The first place behind a quoted text whose opening quote ends at `at`."""
    while at < len(text):
        if text.startswith(quote, at):
            return at + len(quote)
        at += 2 if text[at] == "\\" and not raw else 1
    return None
