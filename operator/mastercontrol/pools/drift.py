"""Whether a live object is what its manifest says. Pure.

A manifest says less than the live object holds: the API server fills in defaults, others add fields of their own,
and a server-side apply leaves both alone. So only what the manifest says counts, and of lists whose items have a
key only the items that it names: a difference is exactly what an apply would mend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

_KEYS: Final = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "ownerReferences": "uid",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""The lists that server-side apply merges by a key; all others are replaced as a whole."""

_QUANTITIES: Final = frozenset({"requests", "limits", "sizeLimit"})

_SUFFIXES: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}


def difference(manifest: Any, live: Any, path: str = "", *, quantity: bool = False) -> str | None:
    """The path of the first field in which `live` is not what `manifest` says; None when it is."""
    match manifest:
        case Mapping():
            return _in_mapping(manifest, live, path, quantity=quantity)
        case str():
            return None if _same_text(manifest, live, quantity=quantity) else path
        case Sequence():
            return _in_list(manifest, live, path)
        case _ if quantity:
            return None if _same_text(str(manifest), live, quantity=True) else path
        case _:
            return None if manifest == live and isinstance(manifest, bool) == isinstance(live, bool) else path


def parse_quantity(text: str) -> Decimal | None:
    """A Kubernetes quantity (`500m`, `1.5Gi`, `2e3`) as a number; None when it is none."""
    for length in (2, 1):
        if factor := _SUFFIXES.get(text[-length:]):
            text = text[:-length]
            break
    else:
        factor = Decimal(1)
    try:
        return Decimal(text) * factor
    except InvalidOperation:
        return None


def _in_mapping(manifest: Mapping[str, Any], live: Any, path: str, *, quantity: bool) -> str | None:
    if not isinstance(live, Mapping):
        return path
    for name, value in manifest.items():
        where = f"{path}.{name}" if path else name
        if name in _KEYS and isinstance(value, list):
            found = _in_keyed_list(value, live.get(name), where, _KEYS[name])
        else:
            found = difference(value, live.get(name), where, quantity=quantity or name in _QUANTITIES)
        if found is not None:
            return found
    return None


def _in_keyed_list(manifest: list[Any], live: Any, path: str, key: str) -> str | None:
    by_key = {item.get(key): item for item in live or () if isinstance(item, Mapping)}
    for item in manifest:
        where = f"{path}[{item.get(key)}]"
        found = difference(item, by_key.get(item.get(key)), where)
        if found is not None:
            return found
    return None


def _in_list(manifest: Sequence[Any], live: Any, path: str) -> str | None:
    if not isinstance(live, list) or len(live) != len(manifest):
        return path
    for index, (one, other) in enumerate(zip(manifest, live, strict=True)):
        found = difference(one, other, f"{path}[{index}]")
        if found is not None:
            return found
    return None


def _same_text(manifest: str, live: Any, *, quantity: bool) -> bool:
    if manifest == live or (not manifest and live is None):  # the API server leaves empty texts out
        return True
    if not quantity or not isinstance(live, str | int):
        return False
    wanted = parse_quantity(manifest)
    return wanted is not None and wanted == parse_quantity(str(live))
