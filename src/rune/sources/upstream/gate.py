"""How many calls one server gets at once, and how many may wait for their turn."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Literal

from rune.errors import TimedOut, Unavailable


@dataclass(frozen=True, slots=True)
class Terms:
    """How one server is used: seconds that an answer may take, seconds without use after which it sleeps, how many
    calls it gets at once and how many may wait, and the one revision to speak with it, if that is settled. An older
    server on a shared stream runs at most `children` times besides, for clients that it may ask something; with `share`
    "caller" none of its connections serves two callers. `roots` are told to one that asks outside of a call."""

    timeout: float = 60.0
    idle: float | None = None
    concurrency: int = 100
    queue: int = 1000
    revision: str | None = None
    share: Literal["all", "caller"] = "all"
    children: int = 8
    roots: tuple[str, ...] = ()


class Gate:
    """Counts the calls at one server. Whoever comes when the queue is full is told so at once: a server that hangs must
    not collect the calls of everybody."""

    __slots__ = ("_name", "_queue", "_waiting", "free")

    def __init__(self, name: str, terms: Terms) -> None:
        self.free = terms.concurrency
        self._name = name
        self._queue = terms.queue
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def wait(self, deadline: float | None) -> None:
        """Wait for a place, where none is free; in the order of arrival.

        Raises:
            Unavailable: when too many wait already, TimedOut when no place came free in time.
        """
        if len(self._waiting) >= self._queue:
            raise Unavailable(
                f"{self._name}: busy, {self._queue} calls wait already",
                hint=f"try again later, or raise concurrency or queue of {self._name} in the config",
            )
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout_at(deadline):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                # It was given a place that it cannot use any more.
                self.leave()
            elif place in self._waiting:
                self._waiting.remove(place)
            if isinstance(error, TimeoutError):
                raise TimedOut(f"{self._name}: busy, no call before this one ended in time") from None
            raise

    def leave(self) -> None:
        """A call has ended: the next one takes its place."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.free += 1
