"""Metrics of the schedules."""

from __future__ import annotations

from prometheus_client import Counter

RUNS = Counter("mcp_schedule_runs_total", "Runs of Schedules, by what became of them.", ["outcome"])
FAILURES = Counter("mcp_schedule_failures_total", "Turns of Schedules that failed and are made again.", ["reason"])
