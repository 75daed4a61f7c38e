"""One timer for many deadlines."""

from __future__ import annotations

import asyncio

from rune.aio import NEVER, Alarm

DEADLINE = 30.0


class Waiting:
    """Deadlines, and which of them have been rung."""

    def __init__(self) -> None:
        self.open: set[float] = set()
        self.rung: list[float] = []
        self.rings = 0
        self.alarm = Alarm(self.ring)

    def add(self, deadline: float) -> None:
        self.open.add(deadline)
        self.alarm.at(deadline)

    def ring(self, now: float) -> float:
        self.rings += 1
        due = sorted(deadline for deadline in self.open if deadline <= now)
        self.rung += due
        self.open.difference_update(due)
        return min(self.open, default=NEVER)


async def test_each_deadline_is_rung_in_its_turn():
    waiting = Waiting()
    now = asyncio.get_running_loop().time()
    deadlines = [now + offset / 100 for offset in (6, 2, 9, -1, 4)]
    for deadline in deadlines:
        waiting.add(deadline)
    async with asyncio.timeout(DEADLINE):
        while waiting.open:
            await asyncio.sleep(0.005)
    assert waiting.rung == sorted(deadlines)


async def test_those_that_are_done_in_time_cost_one_timer():
    waiting = Waiting()
    loop = asyncio.get_running_loop()
    last = loop.time() + 0.05
    for _ in range(1000):
        waiting.add(last)
        waiting.open.clear()
    waiting.add(last)
    async with asyncio.timeout(DEADLINE):
        while waiting.open:
            await asyncio.sleep(0.005)
    assert waiting.rings == 1


async def test_nothing_is_rung_after_it_was_stopped_and_it_can_go_on():
    waiting = Waiting()
    now = asyncio.get_running_loop().time()
    waiting.add(now)
    waiting.alarm.stop()
    await asyncio.sleep(0.02)
    assert not waiting.rings
    waiting.alarm.at(NEVER)
    waiting.add(now)
    async with asyncio.timeout(DEADLINE):
        while waiting.open:
            await asyncio.sleep(0.005)
