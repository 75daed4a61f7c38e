"""An MCP server as a source: its connections, and what it offers and announces to each kind of client.

Built by `build.py` from a URL or a command; `client/` speaks to the server in whichever revision it knows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Self

import msgspec

from rune.client.calls import Wire
from rune.client.client import Connection
from rune.client.life import Life
from rune.errors import RuneError
from rune.parking import Parking
from rune.protocol import jsonrpc
from rune.protocol.methods import TASKS
from rune.request import Note, Request, Result
from rune.source import Catalog, Listeners
from rune.sources.upstream.disk import Disk
from rune.sources.upstream.errands import Errands
from rune.sources.upstream.gate import Gate, Terms
from rune.sources.upstream.pool import FIRST, OLDER, Key, Pool
from rune.sources.upstream.shelf import CHECK_WAIT
from rune.sources.upstream.side import Side
from rune.taskids import TaskIds
from rune.tasks import Tasks

log = logging.getLogger("rune.upstream")

_TASKS: Final = TASKS.encode()


class Upstream:
    """One MCP server. `wire` gives a new, unopened way to reach it, under the name of this source."""

    def __init__(
        self,
        name: str,
        wire: Callable[[], Wire],
        *,
        terms: Terms | None = None,
        identity: Mapping[str, Any] | None = None,
        parking: Parking | None = None,
    ) -> None:
        self.name = name
        self.listeners = Listeners()
        self._wire = wire
        self._terms = terms or Terms()
        self._identity = identity
        self._parking = Parking() if parking is None else parking
        self._own_parking = parking is None
        self._errands: Errands | None = None
        self._disk: Disk | None = None
        self._sides: dict[Key, Side] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._pool = Pool(self._new_life, Gate(name, self._terms), self._terms, lambda: self._parking)
        self._pool.leads, self._pool.on_end = self._leads, self._let_go
        self._first = self._sides[FIRST] = self._new_side(self._pool.first)

    @property
    def parking(self) -> Parking:
        """Where calls wait for an answer of the user."""
        return self._parking

    @parking.setter
    def parking(self, parking: Parking) -> None:
        self._parking = parking
        self._own_parking = False

    def keep(self, disk: Disk) -> None:
        """Keep the last catalog there, and begin with it."""
        self._disk = self._first.shelf.disk = disk

    def keep_tasks(self, tasks: Tasks, ids: TaskIds) -> None:
        """Offer the tasks of this server too. Without this, no call may become one: nobody would find it again."""
        self._errands = Errands(self.name, tasks, ids)
        self._first.shelf.tasks = True

    def _new_side(self, life: Life, disk: Disk | None = None) -> Side:
        lazy, tasks = self._terms.idle is not None, self._errands is not None
        return Side(life, self.listeners, lazy=lazy, tasks=tasks, disk=disk)

    def _new_life(self, facet: str) -> Life:
        abilities = facet.removeprefix(OLDER)
        capabilities = jsonrpc.decode(abilities) if abilities else {}

        terms = self._terms
        told = {"roots": {}, **capabilities} if terms.roots else capabilities

        def make(on_lost: Callable[[], None]) -> Connection:
            connection = Connection(
                self._wire,
                identity=self._identity,
                capabilities=told,
                timeout=self._terms.timeout,
                parking=self._parking,
            )
            connection.revision, connection.older = terms.revision, abilities != facet
            connection.roots = terms.roots
            connection.on_free = lambda: self._pool.freed()
            connection.start_task = None if self._errands is None else self._errands.start
            connection.on_note = lambda note: self._noted(life, note)
            connection.on_lost = lambda: self._gone(life, on_lost)
            return connection

        life = Life(self.name, make, start_timeout=max(terms.timeout, 30.0), idle=terms.idle)
        return life

    # --- life ---

    async def __aenter__(self) -> Self:
        """Start in the background: a gateway does not wait for slow or dead servers."""
        self._first.shelf.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.gather(*(side.close() for side in self._sides.values()), *self._closing)
        if self._own_parking:
            await self._parking.close()
        await self._pool.close()

    def status(self) -> dict[str, Any]:
        """For `rune doctor`: how it stands with this server."""
        life = self._pool.first
        error = life.error
        return {
            "name": self.name,
            "ok": life.state == "ready" or (life.state == "asleep" and self._first.shelf.known),
            "state": life.state,
            "error": None if error is None else str(error),
            "hint": None if error is None else error.hint or life.outlook,
            "stderr": "\n".join(life.connection.last_words if life.connection else life.last_words),
        }

    async def revive(self) -> None:
        """What kept it away is over, a sign-in for example: look again at once."""
        for life in self._pool:
            life.again()
        await asyncio.gather(*(side.shelf.refresh_soon() for side in tuple(self._sides.values())))

    # --- sides ---

    def _side(self, request: Request) -> Side:
        """The side that the client of this request sees; the first one where there is no room for another."""
        key = self._pool.key(request)
        life = self._pool.main(key)
        if life is None or life is self._pool.first:
            return self._first
        side = self._sides.get(key)
        if side is None:
            side = self._sides[key] = self._new_side(life, self._disk and self._disk.variant(key))
            # What is offered to others will do meanwhile.
            side.shelf.patience = CHECK_WAIT
            side.shelf.open()
        return side

    def _leads(self, life: Life) -> bool:
        """Whether somebody listens to what is said there."""
        return any(side.life is life and side.hearing.wanted for side in self._sides.values())

    def _let_go(self, life: Life) -> None:
        """That connection ends: its side goes with it."""
        for key, side in tuple(self._sides.items()):
            if side.life is life:
                task = asyncio.get_running_loop().create_task(self._sides.pop(key).close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    def _noted(self, life: Life, note: Note) -> None:
        side = self._sides.get(self._pool.key_of(life))
        if side is not None:
            side.shelf.noted(note)

    def _gone(self, life: Life, on_lost: Callable[[], None]) -> None:
        on_lost()
        side = self._sides.get(self._pool.key_of(life))
        if side is not None:
            # The next one may offer something else.
            side.shelf.stale()

    # --- use ---

    def handle(self, request: Request) -> Coroutine[Any, Any, Result]:
        """Send a request to the server.

        Raises:
            ProtocolError, NotFound: what the server said. Unavailable, TimedOut, NeedsAuth: why it said nothing.
        """
        if request.method == "subscriptions/listen":
            return self._listen(request if self._errands is None else self._errands.listening(request))
        # Handed on, not awaited: each frame on the way costs every call.
        if _TASKS not in bytes(request.meta.capabilities):
            return self._pool.handle(request)
        return self._handle_tasks(request)

    async def _handle_tasks(self, request: Request) -> Result:
        """The request of a client that knows tasks."""
        if self._errands is None:
            return await self._pool.handle(without_tasks(request))
        if request.method.startswith("tasks/"):
            return await self._errands.ask(request, self._pool.handle)
        result = await self._pool.handle(request)
        if result.kind == "task":
            return await self._errands.created(request, result)
        return result

    async def _listen(self, request: Request) -> Result:
        side = self._side(request)
        await side.hearing.listen(request)
        # That side had to make room. The first one never does, and hears most of the same.
        return await self._first.hearing.listen(request)

    async def catalog(self, request: Request) -> Catalog:
        """The last catalog for the client of this request, and a fresher one if it comes quickly.

        Raises:
            Unavailable, TimedOut, NeedsAuth: there has never been one.
        """
        first = await self._first.shelf.catalog()
        side = self._side(request)
        if side is self._first:
            return first
        try:
            return await side.shelf.catalog()
        except RuneError as error:
            # What it offers to others is better than nothing.
            log.info("%s", error)
            self._pool.refused(self._pool.key(request))
            return first


def without_tasks(request: Request) -> Request:
    """The request of a client that declares no tasks: where nobody could find them again, none must be made."""
    capabilities = dict(request.capabilities)
    extensions = dict(capabilities.get("extensions", {}))
    extensions.pop(TASKS, None)
    capabilities["extensions"] = extensions
    meta = msgspec.structs.replace(request.meta, capabilities=msgspec.Raw(jsonrpc.encode(capabilities)))
    return request.replace(meta=meta, _capabilities=None)
