"""The one clock of the process. Everything else gets it passed in."""

from __future__ import annotations

import datetime as dt


def utc_now() -> dt.datetime:
    """The time to the millisecond, as statuses have it, so that what is written reads back as the same."""
    now = dt.datetime.now(dt.UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
