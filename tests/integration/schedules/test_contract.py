"""The contract of the store of Schedules, on a real API server."""

from __future__ import annotations

from contracts.schedules import ScheduleClusterContract


class TestSchedules(ScheduleClusterContract):
    pass
