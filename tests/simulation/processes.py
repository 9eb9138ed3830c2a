"""How a process may end at one of its calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Death:
    """Whether a process dies at one call, and on which side of it."""

    before: bool = False
    after: bool = False


SURVIVES: Final = Death()
