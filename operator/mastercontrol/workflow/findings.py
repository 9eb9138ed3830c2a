"""What is found wrong with a Workflow while it is compiled, and its expressions, which may be what is wrong.

`compile` collects all faults of one Workflow here, each field's once, so that its author sees them at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from mastercontrol.api.values import Collection
from mastercontrol.api.values import Fault as ShapeFault
from mastercontrol.workflow.expressions import Expression, Fault, compile_condition
from mastercontrol.workflow.templates import Template, compile_template

NAMES: Final = frozenset({"input", "job", "steps", "vars", "item", "index", "error"})
"""Variables that an expression may read; `result` beside them where a state has one."""


class Findings:
    """The faults of one Workflow.

    :param shape: what was found wrong while its spec was read, where it has stand-ins.
    """

    def __init__(self, shape: Sequence[ShapeFault] = ()) -> None:
        self.faults: list[str] = [str(fault) for fault in shape]
        self._told = Collection(tuple(shape))
        self._misnamed = {fault.path.rpartition(".")[0] for fault in shape if fault.misnamed}

    def fault(self, path: str, text: str) -> None:
        """Take note of a fault, unless the field is known to be wrong: then it is of a stand-in."""
        if not self._told.holds(path):
            self.faults.append(f"{path}: {text}")
            self._told.add(ShapeFault(path, text))

    def template(self, path: str, value: Any, names: frozenset[str] = NAMES) -> Template:
        """A template that may read these names; an empty one where it has faults."""
        compiled = compile_template(value, names)
        if isinstance(compiled, Template):
            return compiled
        if not self._told.holds(path):
            self.faults += [f"{path}{f.path}, column {f.position}: {f.message}" for f in compiled]
        empty = compile_template(None, names)
        assert isinstance(empty, Template)  # noqa: S101  # null has nothing to compile
        return empty

    def condition(self, path: str, text: str) -> Expression | None:
        """The expression of a condition; None where it has a fault."""
        compiled = compile_condition(text, NAMES)
        if isinstance(compiled, Fault):
            if not self._told.holds(path):
                self.faults.append(f"{path}, column {compiled.position}: {compiled.message}")
            return None
        return compiled


_NUMBER: Final = re.compile(r"(\d+)")


def place(fault: str) -> list[str | int]:
    """For the order of faults: that of their fields in the object, `states[9]` before `states[10]`."""
    return [int(part) if part.isdecimal() else part for part in _NUMBER.split(fault)]
