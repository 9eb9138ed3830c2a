"""How an engine that is broken on purpose is shown to be caught by a story that the real one survives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import pytest

Mutation = Callable[[pytest.MonkeyPatch], None]

IMPATIENCE: Final = 0.4
"""Seconds for what a broken engine never does: hundreds of the turns that a story needs."""


class Catch(Protocol):
    """The fixture `catch`: breaks the engine, and fails unless the story notices."""

    async def __call__(self, mutation: Mutation, story: Awaitable[object]) -> None: ...
