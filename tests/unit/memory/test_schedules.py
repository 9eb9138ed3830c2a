"""The contract of the store of Schedules, in memory."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("contracts.schedules")

# ruff: noqa: E402  # the line above must come before what imports it
from contracts.schedules import Create, ScheduleClusterContract
from mastercontrol.memory.schedules import MemorySchedules
from mastercontrol.memory.store import MemoryStore


class TestSchedules(ScheduleClusterContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def schedules(self, store: MemoryStore) -> MemorySchedules:
        return MemorySchedules(store)

    @pytest.fixture
    def where(self) -> str:
        return "here"

    @pytest.fixture
    def create(self, store: MemoryStore) -> Create:
        return store.create
