"""What the evaluation of an expression may cost at most, told before it from the sizes of its data.

The CEL library stops an expression after 10,000 turns of its loops, but bounds neither the lists and texts that it
builds nor what one turn does. So the tree is gone through once with sizes in place of values. The bound is an upper
one: an expression may be refused that would have been cheap, none is let through that is dear.

One unit is about 40 ns: a node evaluated, an element copied, eight bytes of text read or copied, or a byte of JSON
handed back. A list that a loop builds is copied by the library for each element that is added.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mastercontrol.workflow.reads import Path, path_of
from mastercontrol.workflow.sizes import SCALAR, Size, collection, largest, largest_element, measure
from mastercontrol.workflow.syntax_tree import Call, Comprehension, Constant, Ident, ListOf, MapOf, Node, Select, walk

BUDGET: Final = 2_500_000
"""Units that one evaluation may cost: about a tenth of a second. An evaluation holds up all other jobs."""

_BYTES_PER_UNIT: Final = 8
_BYTES_SEARCHED_PER_UNIT: Final = 1024
_CHEAP_OPERATORS: Final = 8
_CHEAP_READS: Final = 8
_MAX_REPETITION: Final = 1000
_REPETITION: Final = re.compile(r"\{(?:\d*,)?(\d+),?\}")


class TooCostly(Exception):
    """The bound is above the budget."""


def needs_bound(node: Node) -> bool:
    """Whether an expression can cost much more than the reading of its data, so that it is to be estimated."""
    nodes = list(walk(node))
    calls = [each.function for each in nodes if isinstance(each, Call)]
    loops = any(isinstance(each, Comprehension) for each in nodes)
    reads = sum(isinstance(each, Ident) for each in nodes)  # what is read often may be handed back as often
    many = reads > _CHEAP_READS or calls.count("_+_") > _CHEAP_OPERATORS
    return loops or many or not _GROWING.isdisjoint(calls)


def check_cost(node: Node, scope: Mapping[str, Any]) -> None:
    """Estimate the evaluation of a tree over this data.

    :raises TooCostly: if it may cost more than the budget.
    """
    estimate = Estimate(scope)
    estimate.spend(estimate.size(node, {}).total)


class Estimate:
    """One estimate: what was spent so far, and how many times over the part at hand is evaluated."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope
        self._measured: dict[Path, Size] = {}
        self._spent = 0
        self._times = 1

    def spend(self, units: int) -> None:
        """Count the cost of one evaluation of the part at hand.

        :raises TooCostly: above the budget.
        """
        self._spent += units * self._times
        if self._spent > BUDGET:
            raise TooCostly

    def made(self, size: Size) -> Size:
        """Count the making of a value."""
        self.spend(size.count + size.total // _BYTES_PER_UNIT)
        return size

    def searched(self, text: Size, part: Size) -> None:
        """Count the search for a text in another: in the worst case they agree in all but the last character."""
        self.spend(text.total // _BYTES_PER_UNIT + text.total * part.total // _BYTES_SEARCHED_PER_UNIT)

    def size(self, node: Node, bound: Mapping[str, Size]) -> Size:
        """The bound of a node's value; what its evaluation costs is counted. `bound` are the variables of loops."""
        self.spend(1)
        match node:
            case Constant(size=size, text=text):
                return Size(max(8, size + 2), text=text)
            case Ident() | Select():
                return self._read(node, bound)
            case Call(function=function, arguments=arguments):
                sizes = [self.size(a, bound) for a in arguments]
                return _RULES.get(function, _any_function)(self, sizes)
            case ListOf(elements=elements):
                return collection([self.size(e, bound) for e in elements], len(elements))
            case MapOf(keys=keys, values=values):
                return collection([self.size(e, bound) for e in keys + values], len(values))
            case Comprehension():
                return self._loop(node, bound)

    def _read(self, node: Ident | Select, bound: Mapping[str, Size]) -> Size:
        if isinstance(node, Select) and node.test:
            self.size(node.operand, bound)
            return SCALAR
        path = path_of(node, bound)
        if path:
            if path not in self._measured:
                self._measured[path] = measure(_value(self._scope, path))
            return self._measured[path]
        if isinstance(node, Ident):
            return bound[node.name]
        return self.size(node.operand, bound).one

    def _loop(self, node: Comprehension, bound: Mapping[str, Size]) -> Size:
        source = self.size(node.source, bound)
        initial = self.size(node.initial, bound)
        turns = source.count
        inside = {**bound, **dict.fromkeys(node.variables, source.one), node.accumulator: initial}
        before, self._times = self._times, self._times * max(1, turns)
        self.size(node.condition, inside)
        stepped = self.size(node.step, inside)
        self._times = before
        added = max(0, stepped.count - initial.count)
        self.spend(added * turns * turns // 2)
        total = initial.total + turns * max(0, stepped.total - initial.total)
        end = Size(total, initial.count + turns * added, stepped.element) if turns else initial
        return self.size(node.result, {**bound, node.accumulator: end})


# -- what functions give and cost, by their names in the tree

Rule = Callable[[Estimate, list[Size]], Size]


def _any_function(estimate: Estimate, sizes: list[Size]) -> Size:
    """A function that is not in the table gives at most a text of its arguments, escaped: six bytes for one."""
    total = 6 * sum(s.total for s in sizes) + 1024
    return estimate.made(Size(total, max((s.count for s in sizes), default=0), largest_element(sizes)))


def _to_scalar(estimate: Estimate, sizes: list[Size]) -> Size:
    estimate.spend(sum(s.total for s in sizes) // _BYTES_PER_UNIT)
    return SCALAR


def _logic(_: Estimate, __: list[Size]) -> Size:
    return SCALAR


def _compare(estimate: Estimate, sizes: list[Size]) -> Size:
    estimate.spend(min(s.total for s in sizes))
    return SCALAR


def _is_in(estimate: Estimate, sizes: list[Size]) -> Size:
    estimate.spend(sizes[1].total)
    return SCALAR


def _choose(_: Estimate, sizes: list[Size]) -> Size:
    return largest(sizes[1:]) or SCALAR


def _one_of(_: Estimate, sizes: list[Size]) -> Size:
    return largest(sizes) or SCALAR


def _index(_: Estimate, sizes: list[Size]) -> Size:
    return sizes[0].one


def _same_length(estimate: Estimate, sizes: list[Size]) -> Size:
    return estimate.made(Size(sum(s.total for s in sizes) + 64))


def _add(estimate: Estimate, sizes: list[Size]) -> Size:
    return estimate.made(Size(sum(s.total for s in sizes), sum(s.count for s in sizes), largest_element(sizes)))


def _search(estimate: Estimate, sizes: list[Size]) -> Size:
    estimate.searched(sizes[0], sizes[1])
    return SCALAR


def _matches(estimate: Estimate, sizes: list[Size]) -> Size:
    estimate.spend(sizes[0].total * _regex_weight(sizes[1]) // _BYTES_PER_UNIT)
    return SCALAR


def _replace(estimate: Estimate, sizes: list[Size]) -> Size:
    text, old, new = sizes[:3]
    estimate.searched(text, old)
    return estimate.made(Size(text.total + _times_found(text, old) * new.total))


def _split(estimate: Estimate, sizes: list[Size]) -> Size:
    text, separator, *limit = sizes  # behind a limit the rest stays in one piece
    estimate.searched(text, separator)
    if text.text is not None and separator.text is not None and not limit:
        return estimate.made(measure(text.text.split(separator.text) if separator.text else [*text.text]))
    count = _times_found(text, separator) + 1
    return estimate.made(Size(text.total + 4 * count, count, Size(text.total)))


def _join(estimate: Estimate, sizes: list[Size]) -> Size:
    texts = sizes[0]
    between = sizes[1].total if len(sizes) > 1 else 0
    return estimate.made(Size(texts.total + texts.count * between))


def _format(estimate: Estimate, sizes: list[Size]) -> Size:
    """A number may be written with a thousand digits behind its point, and three hundred before it."""
    return estimate.made(Size(6 * sum(s.total for s in sizes) + 1400 * sizes[1].count))


def _regex_weight(pattern: Size) -> int:
    """How large the automaton of a regular expression may become: its length times its repetition counts.

    The library refuses a pattern whose counts together go beyond 1,000.
    """
    if pattern.text is None:
        return pattern.total * _MAX_REPETITION
    repeated = math.prod(max(1, int(count)) for count in _REPETITION.findall(pattern.text))
    return (len(pattern.text) + 1) * min(repeated, _MAX_REPETITION)


def _times_found(text: Size, part: Size) -> int:
    """How often one text can stand in another."""
    if text.text is not None and part.text:
        return text.text.count(part.text)
    shortest = len(part.text) if part.text else 1
    return text.total // max(1, shortest) + 1


_RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("_&&_", "_||_", "!_", "@not_strictly_false"), _logic),
    **dict.fromkeys(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"), _compare),
    **dict.fromkeys(("_-_", "_*_", "_/_", "_%_", "-_"), _logic),
    **dict.fromkeys(("size", "int", "uint", "double", "bool", "type", "timestamp", "duration"), _to_scalar),
    **dict.fromkeys(("startsWith", "endsWith", "hasValue"), _to_scalar),
    **dict.fromkeys(("dyn", "optional.of", "optional.ofNonZeroValue", "or", "orValue", "value"), _one_of),
    **dict.fromkeys(("lowerAscii", "upperAscii", "trim", "substring", "charAt", "reverse", "string"), _same_length),
    **dict.fromkeys(("_[_]", "_?._", "_[?_]"), _index),
    **dict.fromkeys(("contains", "indexOf", "lastIndexOf"), _search),
    "_?_:_": _choose,
    "_+_": _add,
    "@in": _is_in,
    "matches": _matches,
    "replace": _replace,
    "split": _split,
    "join": _join,
    "format": _format,
}

_GROWING: Final = frozenset(
    {"matches", "replace", "split", "join", "format", "contains", "indexOf", "lastIndexOf", "strings.quote"}
)
"""Functions that may cost more than the length of their arguments, or double it where they stand in each other."""


def _value(scope: Mapping[str, Any], path: Path) -> Any:
    value: Any = scope
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value
