"""The connections to one upstream: kept for the next request, bounded in number, handed out in the order of asking."""

from __future__ import annotations

import asyncio
import select
from collections import deque
from typing import Final

from rune.aio import NEVER, Alarm
from rune.errors import Unavailable
from rune.net.dial import Dialer, Origin
from rune.net.http1 import Connection, Heads
from rune.net.policy import Limits, Room
from rune.net.response import Cut

FRESH: Final = 0.25
"""Seconds that a connection may have been idle and still be trusted without a look at its socket."""


class Pool:
    """Connections by origin; an upstream usually has one."""

    def __init__(self, name: str, limits: Limits, dialer: Dialer) -> None:
        self._name = name
        self._limits = limits
        self._dialer = dialer
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Origin, list[Connection]] = {}
        self._all: dict[Connection, Origin] = {}
        self._heads: Heads = {}
        self.room = Room(name, limits.held)
        self._opening = 0
        self._waiting: deque[tuple[Origin, asyncio.Future[Connection | None]]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self.alarm = Alarm(self._late)

    def __len__(self) -> int:
        return len(self._all) + self._opening

    def idle(self, origin: Origin) -> Connection | None:
        """A connection that is free now, the one that was used last."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable and not self._stale(connection):
                return connection
            connection.drop()
        return None

    async def take(self, origin: Origin) -> Connection:
        """A connection that is free, or a new one, or the next one that becomes free.

        Raises:
            Unavailable, TimedOut: when there is none to be had.
        """
        while True:
            if self._closed:
                raise Unavailable(f"{self._name}: closed")
            connection = self.idle(origin)
            if connection is not None:
                return connection
            if len(self) < self._limits.connections or self._evict():
                return await self._open(origin)
            connection = await self._wait(origin)
            if connection is None:
                # A place has become free and is held for us.
                self._opening -= 1
                return await self._open(origin)
            if connection.usable:
                return connection

    async def fresh(self, origin: Origin) -> Connection:
        """A connection that nobody has used: where one that was kept has died, the others may have died with it."""
        for connection in tuple(self._idle.get(origin, ())):
            connection.drop()
        while (connection := await self.take(origin)).used:
            connection.drop()
        return connection

    def _evict(self) -> bool:
        """Close an idle connection to somebody else to make room."""
        for idle in self._idle.values():
            if idle:
                idle[0].drop()
                return True
        return False

    async def _open(self, origin: Origin) -> Connection:
        connection = Connection(self._name, self._limits, self._heads, self.free, self.gone)
        connection.room = self.room
        self._opening += 1
        try:
            await self._dialer.connect(origin, connection)
            if self._closed:
                connection.drop()
                raise Unavailable(f"{self._name}: closed")
            if not connection.usable:
                raise Cut(f"{self._name}: the connection was lost", answered=False)
            self._all[connection] = origin
        finally:
            self._opening -= 1
            if connection not in self._all:
                self._next()
        return connection

    async def _wait(self, origin: Origin) -> Connection | None:
        if len(self._waiting) >= self._limits.waiting:
            raise Unavailable(
                f"{self._name}: {len(self)} connections are busy and {len(self._waiting)} calls wait for one",
                hint="it answers too slowly for so many calls",
            )
        future: asyncio.Future[Connection | None] = self._loop.create_future()
        entry = origin, future
        self._waiting.append(entry)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(future.result())
            elif entry in self._waiting:
                self._waiting.remove(entry)
            raise

    def _give_back(self, connection: Connection | None) -> None:
        if connection is None:
            self._opening -= 1
            self._next()
        else:
            self.free(connection)

    # --- what connections tell ---

    def free(self, connection: Connection) -> None:
        """It can take the next request: that of the one who waits longest, if anybody does."""
        origin = self._all.get(connection)
        if origin is None or self._closed or not connection.usable:
            connection.drop()
            return
        while self._waiting:
            wanted, future = self._waiting[0]
            if not future.done():
                if wanted != origin:
                    connection.drop()
                    return
                self._waiting.popleft()
                future.set_result(connection)
                return
            self._waiting.popleft()
        connection.idle_since = self._loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._limits.idle, self._sweep)

    def gone(self, connection: Connection) -> None:
        """It is closed: there is room for another one."""
        origin = self._all.pop(connection, None)
        if origin is None:
            return
        idle = self._idle.get(origin, [])
        if connection in idle:
            idle.remove(connection)
        self._next()

    def _next(self) -> None:
        """Hold a free place for the one who waits longest."""
        while self._waiting and len(self) < self._limits.connections:
            _, future = self._waiting.popleft()
            if not future.done():
                self._opening += 1
                future.set_result(None)

    def _late(self, now: float) -> float:
        """End the exchanges whose time is over; when the next one will be."""
        for connection in tuple(self._all):
            if connection.deadline <= now:
                connection.expire()
        return min((connection.deadline for connection in self._all), default=NEVER)

    # --- idle ones ---

    def _stale(self, connection: Connection) -> bool:
        """Whether its server has closed it. After some idleness the loop may not have seen that yet."""
        idle = self._loop.time() - connection.idle_since
        return idle > FRESH and (idle > connection.lifetime or readable(connection.fileno()))

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeper = None
        now = self._loop.time()
        for idle in self._idle.values():
            for connection in [entry for entry in idle if now - entry.idle_since >= entry.lifetime]:
                connection.drop()
        first = min((entry.idle_since + entry.lifetime for idle in self._idle.values() for entry in idle), default=None)
        if first is not None:
            self._sweeper = self._loop.call_later(max(first - now, 1.0), self._sweep)

    def close(self) -> None:
        """End all connections; those who wait for an answer or for a connection are told."""
        self._closed = True
        self.alarm.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._all):
            connection.cut("was closed")
        waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            if not future.done():
                future.set_exception(Unavailable(f"{self._name}: closed"))


def readable(descriptor: int) -> bool:
    """Whether something waits to be read, the end of the stream among it."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([descriptor], [], [], 0)[0])
