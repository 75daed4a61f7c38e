"""The last catalog of one server, kept fresh: a server that sleeps, starts or is dead is still listed."""

from __future__ import annotations

import asyncio
from typing import Final

from rune.client.catalog import changes, read_catalog, same
from rune.client.life import Life
from rune.errors import RuneError, Unavailable
from rune.request import Note
from rune.source import Catalog, Listeners

FIRST_WAIT: Final = 5.0
"""Seconds that a list waits for a server which is starting for the first time."""
FRESH_WAIT: Final = 0.25
"""Seconds that a list waits for a fresher catalog than the one at hand."""


class Shelf:
    """What the server behind `life` offers. `listeners` hear of what has changed; `wanted` says that somebody
    listens, so that a server which was gone is looked at again without being asked for."""

    def __init__(self, life: Life, listeners: Listeners, *, tasks: bool) -> None:
        self.name = life.name
        self.wanted = False
        self._life = life
        self._listeners = listeners
        self._tasks = tasks
        self._catalog: Catalog | None = None
        self._fresh_until = 0.0
        self._changes = 0
        self._announced: set[str] = set()
        self._refreshing: asyncio.Task[RuneError | None] | None = None
        self._revival: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Stop looking."""
        if self._revival is not None:
            self._revival.cancel()
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait((self._refreshing,))

    async def catalog(self) -> Catalog:
        """The last catalog, and a fresher one if it comes quickly.

        Raises:
            Unavailable, TimedOut, NeedsAuth: there has never been one.
        """
        loop = asyncio.get_running_loop()
        if self._catalog is not None and loop.time() < self._fresh_until:
            return self._catalog
        new = self._refreshing is None
        task = self.refresh_soon()
        if self._catalog is None:
            wait = max(self._life.started_at, loop.time() if self._life.state != "starting" else 0) + FIRST_WAIT
            await asyncio.wait((task,), timeout=max(wait - loop.time(), 0))
        elif new and self._life.connection is not None:
            await asyncio.wait((task,), timeout=FRESH_WAIT)
        if self._catalog is not None:
            return self._catalog
        error = task.result() if task.done() else None
        raise (error or Unavailable(f"{self.name}: still starting")).with_traceback(None)

    def stale(self) -> None:
        """Something may have changed that nobody has told."""
        self._fresh_until = 0.0

    def noted(self, note: Note) -> None:
        """The server says that something has changed."""
        if note.method.endswith("/list_changed"):
            self._fresh_until = 0.0
            self._changes += 1
            self._announced.add(note.method.split("/")[1])
        self._listeners.publish(note)

    def refresh_soon(self) -> asyncio.Task[RuneError | None]:
        """Read it anew, unless that is under way."""
        if self._refreshing is None:
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())
            self._refreshing.add_done_callback(self._refreshed)
        return self._refreshing

    async def _refresh(self) -> RuneError | None:
        """Never raises a RuneError: those who wait find it as the result."""
        changes = self._changes
        try:
            connection = await self._life.ready()
            catalog = await read_catalog(connection, tasks=self._tasks)
        except Unavailable as error:
            connection_now = self._life.connection
            if connection_now is not None:
                self._life.doubt(connection_now, error)
            return error
        except RuneError as error:
            return error
        self._keep(catalog)
        if changes == self._changes:
            self._announced.clear()
            # On a shared stream an older server says when something changes, whether anybody listens or not.
            told = connection.legacy and not connection.http
            self._fresh_until = float("inf") if told else asyncio.get_running_loop().time() + catalog.ttl / 1000
        return None

    def _keep(self, catalog: Catalog) -> None:
        known = self._catalog
        if known is None or not same(known, catalog):
            self._catalog = catalog
            for kind in changes(known or Catalog(), catalog) - self._announced:
                self._listeners.publish(Note(f"notifications/{kind}/list_changed"))

    def _refreshed(self, task: asyncio.Task[RuneError | None]) -> None:
        self._refreshing = None
        if task.cancelled() or task.result() is None or self._revival is not None:
            return
        # Nobody may ask again before it has shown what it offers.
        loop = asyncio.get_running_loop()
        self._revival = loop.call_at(max(self._life.retry_at, loop.time() + 0.5) + 0.01, self._revive)

    def _revive(self) -> None:
        self._revival = None
        if self._catalog is None or self.wanted:
            self.refresh_soon()
