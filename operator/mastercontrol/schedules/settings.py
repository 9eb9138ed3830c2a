"""What can be set about schedules: unit, default and the reason for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """All times are in seconds."""

    longest_sleep_seconds: float = 30.0
    """Between two looks at the clock: it may be put forward, or the machine may have slept."""

    retry_base_seconds: float = 0.5
    """The first wait after a failure; it doubles with each further one."""

    retry_cap_seconds: float = 30.0
    """The longest wait after a failure."""

    concurrent_schedules: int = 8
    """Schedules that are worked on at the same time. Turns of one schedule never overlap."""
