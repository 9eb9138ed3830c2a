"""What holds for all unit tests."""

from __future__ import annotations

from hypothesis import settings

# The machines are noisy, and speed belongs to the benchmarks.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
