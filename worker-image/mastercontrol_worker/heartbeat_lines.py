"""What a program says while it works, line by line, as heartbeats of its step. `exec_mode` calls it.

A line that is a JSON value is that value, any other the text that it is, and an empty one says only that the program
lives. A program can't be told that its line is too long, so a long one is cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mastercontrol_worker.contract import parse_json
from mastercontrol_worker.heartbeat import MAX_PROGRESS_BYTES, encode_progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from mastercontrol_worker.contract import JSON

MAX_LINE_BYTES = 4 * MAX_PROGRESS_BYTES
"""What is kept of a line: JSON may be written with more spaces than it is sent with."""


class HeartbeatLines:
    """Makes heartbeats of chunks of bytes.

    :param beat: `Context.heartbeat`. Of several lines in one chunk only the last counts: it is the newest.
    """

    def __init__(self, beat: Callable[[JSON], None]) -> None:
        self._beat = beat
        self._line = b""

    def write(self, chunk: bytes) -> None:
        """Take some bytes."""
        *lines, rest = (self._line + chunk).split(b"\n")
        self._line = rest[:MAX_LINE_BYTES]
        if lines:
            self._beat(progress_of(lines[-1][:MAX_LINE_BYTES]))


def progress_of(line: bytes) -> JSON:
    """What a line says; None for an empty one."""
    text = line.strip()
    if not text:
        return None
    try:
        value = parse_json(text)
        encode_progress(value)
    except ValueError:
        return _cut(text.decode(errors="replace"))
    return value


def _cut(text: str) -> str:
    """As much of a text as a progress can be."""
    while len(text) > 1:
        try:
            encode_progress(text)
        except ValueError:
            text = text[: min(MAX_PROGRESS_BYTES, len(text) * 3 // 4)]
        else:
            break
    return text
