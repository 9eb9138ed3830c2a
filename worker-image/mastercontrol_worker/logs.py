"""The worker's log, on stderr: lines for people or one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

STEP_FIELDS = ("job", "step", "attempt", "dispatch")
"""Fields that records about a step carry; see context.StepLogger."""


class TextFormatter(logging.Formatter):
    """`time LEVEL logger [job=… step=…] text`."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        about = f" [{fields}]" if fields else ""
        return f"{_time(record)} {record.levelname} {record.name}{about} {_text(self, record)}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message and the step's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        head = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        return json.dumps(head | {"message": _text(self, record)} | _fields(record), default=str)


def set_up(level: str, form: str) -> None:
    """Send all logging of the process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Why a connection is lost is logged once, in our words; pika would add a dozen lines and traces.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    # asyncio logs at debug level how it selects.
    logging.getLogger("asyncio").setLevel(max(logging.INFO, root.level))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: getattr(record, name) for name in STEP_FIELDS if hasattr(record, name)}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _text(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info:
        text = f"{text}\n{formatter.formatException(record.exc_info)}"
    return text
