"""How many Jobs of a Workflow may run at once, and by what key: `spec.concurrency`, compiled.

`compile.py` makes a Concurrency; the engine's gate asks it for the key of each Job. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mastercontrol.api.names import LimitPolicy
from mastercontrol.api.workflow import ConcurrencySpec
from mastercontrol.workflow.expressions import ExpressionError
from mastercontrol.workflow.templates import Template, compile_template

KEY_NAMES: Final = frozenset({"input", "job"})
"""Variables that a key may read: those that stand fast before a Job has begun."""

_PATH: Final = "spec.concurrency.key"


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most `limit` Jobs at once for each value of `key`; without a key, of all Jobs of the Workflow."""

    limit: int
    policy: LimitPolicy = LimitPolicy.QUEUE
    key: Template | None = None

    def key_of(self, names: Mapping[str, Any]) -> str | None:
        """The key of a Job as JSON text, so that 1 and "1" are two keys; None where there is no key expression.

        :param names: the variables `input` and `job`.
        :raises ExpressionError: the key has no value, or one that is no text, number or bool.
        """
        if self.key is None:
            return None
        try:
            value = self.key.evaluate(names)
        except ExpressionError as error:
            raise ExpressionError(f"{_PATH}: {error}") from None
        if not isinstance(value, str | int | float):  # a bool is an int
            raise ExpressionError(f"{_PATH}: the key must be a text, a number or a bool, not {_kind(value)}")
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # JSON does not tell 1 from 1.0
        return json.dumps(value, ensure_ascii=False)


def compile_concurrency(spec: ConcurrencySpec | None) -> Concurrency | tuple[str, ...] | None:
    """Compile what was written, or name every fault in it with its field. None: nothing was written."""
    if spec is None or spec.key is None:
        return None if spec is None else Concurrency(spec.limit, spec.policy)
    compiled = compile_template(spec.key, KEY_NAMES)
    if not isinstance(compiled, Template):
        return tuple(f"{_PATH}, column {fault.position}: {fault.message}" for fault in compiled)
    if not compiled.variables:
        return (f"{_PATH}: write an expression over input or job in ${{…}}, or leave it out: this is one key for all",)
    return Concurrency(spec.limit, spec.policy, compiled)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case list():
            return "a list"
        case _:
            return "an object"
