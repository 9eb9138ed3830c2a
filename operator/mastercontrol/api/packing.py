"""Long lists of a status as texts. Pure.

The API server pays for each field of an object at each write of it: it decodes, validates, compares and stores them
one by one. A Map of 1,000 items has some 10,000. So once a status has many entries, its lists are stored as JSON in
`status.packed`, one text a list; a text costs the API server next to nothing.

A packed list is a JSON array. Its first element is an object of the fields that its entries have in common; each
other element is an entry, and a field that is null there is absent in that entry though the others have it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

PACKED_FROM: Final = 24
"""A status with so many entries is packed. Below it people read the fields, and the API server hardly feels them."""
_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class PackedEntry:
    """An entry's JSON, kept for as long as the entry: from one write of a status to the next few of them change."""

    __slots__ = ("common", "raw", "text")

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.common: Mapping[str, Any] | None = None
        self.text = ""

    def without(self, common: Mapping[str, Any]) -> str:
        """The entry as JSON, less what it has in common with the others."""
        if self.common is not common and self.common != common:
            own = {k: v for k, v in self.raw.items() if k not in common or common[k] != v}
            missing = {k: None for k in common if k not in self.raw}
            self.common, self.text = common, _encode({**own, **missing})
        return self.text


def pack_list(entries: Sequence[PackedEntry], shared: Iterable[str] = ()) -> str:
    """A list as one text.

    :param shared: the fields that entries may have in common; texts and numbers only.
    """
    # Any entry would do as the measure. One in the middle is the least likely to be special.
    measure = entries[len(entries) // 2].raw if entries else {}
    common = {name: measure[name] for name in shared if name in measure}
    return f"[{','.join((_encode(common), *(entry.without(common) for entry in entries)))}]"


def pack_plain(values: Sequence[Any]) -> str:
    """A list of values that have nothing in common as one text."""
    return _encode([{}, *values])


def unpack_list(text: str) -> list[Any]:
    """The entries of a packed list."""
    found: list[Any] = json.loads(text)
    common, entries = found[0], found[1:]
    if not common:
        return entries
    filled = ({**common, **entry} for entry in entries)
    return [{k: v for k, v in entry.items() if v is not None or k not in common} for entry in filled]
