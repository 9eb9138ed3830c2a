"""From what the CEL library hands back to JSON, and what JSON must not hold when it goes in."""

from __future__ import annotations

import datetime as dt
import json
import marshal
import math
from typing import Any, Final

_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
_NUL_IN_JSON: Final = "\\u0000"


class NotJson(ValueError):
    """A value has no form in JSON, or is nested too deep."""


def to_json(value: Any) -> Any:
    """The JSON value: a time becomes RFC 3339 text, all else stays what it is.

    :raises NotJson: for a duration, bytes, a type, a number that is not finite, and a key that is no text.
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if not math.isfinite(value):
                raise NotJson(f"the value is {value}, which JSON has not")
            return value
        case list():
            return [to_json(v) for v in value]
        case dict():
            return {_key(k): to_json(v) for k, v in value.items()}
        case dt.datetime():
            return _rfc3339(value)
        case dt.timedelta():
            raise NotJson("the value is a duration, which JSON has not; write string(…) around it")
        case bytes() | bytearray():
            raise NotJson("the value is bytes, which JSON has not; write base64.encode(…) or string(…) around it")
        case _:
            raise NotJson("the value is a type, which JSON has not")


def check_input(value: Any) -> None:
    """Make sure that the library can take a JSON value as it is.

    Its recursion over nested data has no bound and could overflow the stack; its texts end at a NUL character.

    :raises NotJson: if the value is nested more than about 1,000 levels deep, holds a NUL, or is no JSON.
    """
    try:
        # The cheapest walk over nested containers that the interpreter has; it stops at 2,000 levels everywhere.
        marshal.dumps(value)
        suspicious = _NUL_IN_JSON in _ENCODE(value)
    except (RecursionError, ValueError):
        raise NotJson("the data is nested too deep") from None
    except TypeError:
        raise NotJson("the data is no JSON") from None
    if suspicious and _holds_nul(value):
        raise NotJson("the data holds a text with a NUL character, which expressions can't read")


def _holds_nul(value: Any) -> bool:
    """Whether there is one; in JSON text it looks like a backslash before `u0000`, which may be there as well."""
    match value:
        case str():
            return "\0" in value
        case list():
            return any(_holds_nul(v) for v in value)
        case dict():
            return any(_holds_nul(v) for pair in value.items() for v in pair)
        case _:
            return False


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise NotJson(f"the value has the key {key!r}; in JSON each key is a text")
    return key


def _rfc3339(time: dt.datetime) -> str:
    utc = time.astimezone(dt.UTC).replace(tzinfo=None)
    return utc.isoformat() + "Z"
