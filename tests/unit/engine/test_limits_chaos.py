"""Whatever happens, no job begins that would be one too many, and in the end every job has had its turn.

MCP_LIMITS_SEEDS sets how many stories are told (default 40).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from mastercontrol.engine import engine as engine_module
from mastercontrol.engine.ports import Refused, StoreUnavailable
from unit.engine.fakes import Fault
from unit.engine.limited import CUSTOMER, Shop
from unit.engine.world import until

SEEDS = int(os.environ.get("MCP_LIMITS_SEEDS", "40"))
LIMITS: list[dict[str, Any]] = [
    {"limit": 1},
    {"limit": 3},
    {"limit": 1, "key": CUSTOMER},
    {"limit": 2, "key": CUSTOMER},
    {"limit": 1, "key": "${input.region}"},
]
POLICIES = ["Queue", "Queue", "Reject", "Replace"]


class Story:
    """One seed: a shop, and what befalls it."""

    def __init__(self, shop: Shop, dice: random.Random) -> None:
        self.shop = shop
        self.dice = dice
        self.suspended: set[str] = set()

    def live(self) -> list[str]:
        return [n for _, n in self.shop.jobs.objects if "completionTime" not in self.shop.jobs.status(n)]

    async def something(self) -> None:
        """One thing that may happen."""
        plain: list[Callable[[], object]] = [
            *[self.order] * 4,
            *[self.work] * 3,
            lambda: self.edit(priority=self.dice.randrange(10)),
            lambda: self.edit(suspend=self.dice.random() < 0.4),
            lambda: self.edit(cancel=self.dice.random() < 0.5),
            self.delete,
            self.spoil_a_write,
            self.spoil_a_list,
            self.shop.jobs.land,
        ]
        slow = [self.crash, self.edit_the_limit, self.sweep]
        chosen = self.dice.randrange(len(plain) + len(slow))
        if chosen < len(plain):
            plain[chosen]()
        else:
            await slow[chosen - len(plain)]()

    def work(self) -> None:
        queue = self.shop.broker.queue
        for step in self.dice.sample(queue, self.dice.randint(0, len(queue))):
            self.shop.answer(step)

    def spoil_a_write(self) -> None:
        error = self.dice.choice([StoreUnavailable("503"), Refused("409"), None])
        if error is None:
            self.shop.jobs.delays += 1
        else:
            self.shop.jobs.faults.append(Fault(error, written=self.dice.random() < 0.5))

    def spoil_a_list(self) -> None:
        self.shop.jobs.list_faults.append(StoreUnavailable("503"))

    async def edit_the_limit(self) -> None:
        # Who was admitted before an edit may still begin after it: so nobody is.
        await until(lambda: self.shop.quiet() and not self.shop.admitted())
        self.shop.jobs.land()
        self.shop.limit(**self.dice.choice(LIMITS), policy=self.dice.choice(POLICIES))

    async def sweep(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self.shop.sweep()

    def order(self) -> None:
        data = {"customer": self.dice.choice("abc"), "region": self.dice.randrange(2)}
        self.shop.order(input=data, priority=self.dice.randrange(3), seen=self.dice.random() < 0.9)

    def edit(self, **spec: Any) -> None:
        names = self.live()
        if names and spec != {"cancel": False}:
            raw = self.shop.jobs.edit(self.dice.choice(names), **spec)
            if self.dice.random() < 0.9:
                self.shop.engine.observe(raw)

    def delete(self) -> None:
        if not self.shop.jobs.objects:
            return
        name = self.dice.choice([n for _, n in self.shop.jobs.objects])
        match self.dice.randrange(3):
            case 0:
                self.shop.remove(name)
            case 1:
                del self.shop.jobs.objects["shop", name]  # and no event tells
            case _:
                raw = self.shop.jobs.objects["shop", name]
                raw["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
                self.shop.engine.observe(self.shop.jobs._store(raw))

    async def crash(self) -> None:
        """What a leader has in flight when the next one begins is the one thing that nobody can promise anything of."""
        await self.shop.engine.close(0)
        self.shop.jobs.late.clear()
        self.shop.jobs.list_faults.clear()
        await self.shop.crash()

    async def breathe(self) -> None:
        for _ in range(self.dice.choice([0, 1, 3, 20])):
            await asyncio.sleep(0)

    async def settle(self) -> None:
        """No more accidents: everything comes to its end."""
        shop = self.shop
        shop.jobs.faults.clear()
        shop.jobs.list_faults.clear()
        shop.jobs.delays = 0
        shop.jobs.land()
        for key in [k for k, raw in shop.jobs.objects.items() if "deletionTimestamp" in raw["metadata"]]:
            shop.engine.gone(shop.jobs.objects.pop(key))
        for name in self.live():
            if shop.jobs.objects["shop", name]["spec"].get("suspend"):
                shop.edit(name, suspend=False)
        await until(shop.quiet)
        await shop.sweep()

        def ended() -> bool:
            shop.work()
            return not self.live() and shop.quiet()

        await until(ended, f"some never end: {[(n, shop.jobs.status(n)) for n in self.live()]}", seconds=20)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "FIRST_RETRY_SECONDS", 0.002)
    monkeypatch.setattr(engine_module, "LAST_RETRY_SECONDS", 0.02)


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_limit_holds_whatever_happens_and_nobody_waits_for_ever(seed: int) -> None:
    dice = random.Random(seed)
    shop = Shop(**dice.choice(LIMITS), policy=dice.choice(POLICIES))
    story = Story(shop, dice)
    try:
        for _ in range(150):
            await story.something()
            await story.breathe()
            shop.check()
        await story.settle()
        shop.check()
        assert shop.jobs.begun, "nothing ever ran, so this showed nothing"
        assert not shop.engine.gate._by_job, "the gate remembers jobs that have ended"
    finally:
        await shop.close()
