"""Chaos on a real cluster: jobs flow while everything that they need is killed, paused, restarted and wiped.

`make chaos` runs it on a cluster of its own, `tests/e2e/test_chaos.py` a short one in the suite. What is done, and
when, is chosen by a seed (`plan`); what became of it is judged by what the cluster says afterwards (`verdict`).
"""
