"""Every metric of the engine, in one place. Names and labels are the words of the docs; times are in seconds."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RESULTS = Counter("mcp_results_total", "Result messages, by what became of them.", ["reason"])
TRANSITIONS = Counter("mcp_transitions_total", "Transitions of jobs that were committed.")
COMMITS = Counter("mcp_commits_total", "Writes of a job's status, by outcome.", ["outcome"])
DISPATCHES = Counter("mcp_dispatches_total", "Step messages that the broker confirmed, by why.", ["why"])
PUBLISH_FAILURES = Counter("mcp_publish_failures_total", "Step messages without a confirm, by reason.", ["reason"])
TURNS = Histogram(
    "mcp_turn_seconds",
    "Time of one turn, from draining the mailbox to the acknowledgement.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
TURN_FAILURES = Counter("mcp_turn_failures_total", "Turns that did not get through and are tried again.", ["reason"])
JOBS_ENDED = Counter("mcp_jobs_ended_total", "Jobs that ended, by phase.", ["phase"])
JOBS_ACTIVE = Gauge("mcp_jobs_active", "Jobs in memory that have not ended.")
OUTSTANDING = Gauge("mcp_steps_outstanding", "Steps sent and not answered yet.", ["namespace", "pool"])
JOBS_HELD = Gauge("mcp_jobs_held", "Jobs that wait for a place under a limit.", ["namespace", "workflow"])
SWEPT = Counter("mcp_swept_dispatches_total", "Dispatches sent again because their queue had lost them.")
LEADER = Gauge("mcp_leader", "1 while this process holds the Lease.")
HEARTBEATS = Counter("mcp_heartbeats_total", "Heartbeats of steps, by what became of them.", ["reason"])
