"""The last catalog of one server, kept fresh: a server that sleeps, starts or is dead is still listed."""

from __future__ import annotations

import asyncio
from typing import Final

from rune.client.catalog import changes, read_catalog, same
from rune.client.life import Life
from rune.errors import RuneError, Unavailable
from rune.protocol.freshness import outdated
from rune.request import Note
from rune.source import Catalog, Listeners
from rune.sources.upstream.disk import Disk

FIRST_WAIT: Final = 5.0
"""Seconds after the start of the gateway in which lists wait for a server of which nothing is known."""
CHECK_WAIT: Final = 2.0
"""The same where its last catalog is known from the disk."""
LEAST_WAIT: Final = 0.05
FRESH_WAIT: Final = 0.25
"""Seconds that a list waits for a fresher catalog than the one at hand."""
TRUSTED: Final = 86400.0
"""Seconds for which a catalog from the disk is good enough not to start a server that sleeps."""
QUIET: Final = 0.25
"""Seconds between two announcements of the same kind: a server that announces without end is heard now and then."""


class Shelf:
    """What the server behind `life` offers, its tasks too if `tasks` says so. `listeners` hear of what has changed;
    `wanted` says that somebody listens, so that a server which was gone is looked at again without being asked for.
    One that is `lazy` is never started to be listed, if it has ever been; `disk` outlives this process; `patience` is
    how long lists wait at the start."""

    def __init__(self, life: Life, listeners: Listeners, *, lazy: bool) -> None:
        self.name = life.name
        self.tasks = False
        self.wanted = False
        self.patience = FIRST_WAIT
        self.disk: Disk | None = None
        life.on_ready = self._woken
        self._lazy = lazy
        self._life = life
        self._listeners = listeners
        self._catalog: Catalog | None = None
        self._fresh_until = 0.0
        self._changes = 0
        self._announced: set[str] = set()
        self._refreshing: asyncio.Task[RuneError | None] | None = None
        self._revival: asyncio.TimerHandle | None = None
        self._wait_until = 0.0
        self._seen = False
        self._quiet: dict[str, asyncio.TimerHandle] = {}
        self._again: set[str] = set()

    @property
    def known(self) -> bool:
        """Whether it can be listed."""
        return self._catalog is not None

    def open(self) -> None:
        """Take what is kept on disk, and start the server in the background unless it may sleep on."""
        kept = None if self.disk is None else self.disk.load()
        age = TRUSTED
        if kept is not None and self._catalog is None:
            self._catalog, age = kept
        if not self._lazy or self._catalog is None or age >= TRUSTED:
            self.refresh_soon()

    async def close(self) -> None:
        """Stop looking."""
        for timer in (self._revival, *self._quiet.values()):
            if timer is not None:
                timer.cancel()
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait((self._refreshing,))

    async def catalog(self) -> Catalog:
        """The last catalog, and a fresher one if it comes quickly.

        Raises:
            Unavailable, TimedOut, NeedsAuth: there has never been one.
        """
        loop = asyncio.get_running_loop()
        known = self._catalog
        if known is not None and (loop.time() < self._fresh_until or (self._lazy and self._life.connection is None)):
            return known
        new = self._refreshing is None
        task = self.refresh_soon()
        if known is None or not self._seen:
            # Only at the start: whoever waits for one server waits for it in vain at all others.
            self._wait_until = self._wait_until or loop.time() + (self.patience if known is None else CHECK_WAIT)
            least = LEAST_WAIT if known is None else 0.0
            await asyncio.wait((task,), timeout=max(self._wait_until - loop.time(), least))
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
        if outdated(note.method):
            self._fresh_until = 0.0
            self._changes += 1
            kind = note.method.split("/")[1]
            self._announced.add(kind)
            if kind in self._quiet:
                self._again.add(kind)
                return
            self._quiet[kind] = asyncio.get_running_loop().call_later(QUIET, self._loud, kind, note)
        self._listeners.publish(note)

    def _loud(self, kind: str, note: Note) -> None:
        del self._quiet[kind]
        if kind in self._again:
            self._again.discard(kind)
            self.noted(note)

    def _woken(self) -> None:
        """It has been started: it may offer something else than before."""
        self._fresh_until = 0.0
        self.refresh_soon()

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
            catalog = await read_catalog(connection, tasks=self.tasks)
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
        known, seen, self._seen = self._catalog, self._seen, True
        new = known is None or not same(known, catalog)
        if self.disk is not None and (new or not seen):
            self.disk.save(catalog)
        if new:
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
