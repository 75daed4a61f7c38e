"""An MCP server as a source: its connections, its last catalog, and one listen towards it for all who listen here.

Built by `build.py` from a URL or a command; `client/` speaks to the server in whichever revision it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Self

import msgspec

from rune.client.calls import Wire
from rune.client.client import Connection
from rune.client.life import Life
from rune.parking import Parking
from rune.protocol import jsonrpc
from rune.protocol.methods import TASKS
from rune.request import Request, Result
from rune.source import Catalog, Listeners
from rune.sources.upstream.disk import Disk
from rune.sources.upstream.errands import Errands
from rune.sources.upstream.gate import Gate, Terms
from rune.sources.upstream.hearing import Hearing
from rune.sources.upstream.pool import Pool
from rune.sources.upstream.shelf import Shelf
from rune.taskids import TaskIds
from rune.tasks import Tasks

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
        self._pool = Pool(self._new_life, Gate(name, self._terms), self._terms, lambda: self._parking)
        lazy = self._terms.idle is not None
        self._shelf = Shelf(self._pool.first, self.listeners, lazy=lazy)
        self._hearing = Hearing(self._pool.first, self._shelf, self.listeners, lazy=lazy)

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
        self._shelf.disk = disk

    def keep_tasks(self, tasks: Tasks, ids: TaskIds) -> None:
        """Offer the tasks of this server too. Without this, no call may become one: nobody would find it again."""
        self._errands = Errands(self.name, tasks, ids)
        self._shelf.tasks = True

    def _new_life(self, capabilities: Mapping[str, Any]) -> Life:
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
            connection.revision = terms.revision
            connection.roots = terms.roots
            connection.on_free = lambda: self._pool.freed()
            connection.start_task = None if self._errands is None else self._errands.start
            connection.on_note = self._shelf.noted
            connection.on_lost = lambda: self._gone(on_lost)
            return connection

        return Life(self.name, make, start_timeout=max(terms.timeout, 30.0), idle=terms.idle)

    # --- life ---

    async def __aenter__(self) -> Self:
        """Start in the background: a gateway does not wait for slow or dead servers."""
        self._shelf.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._hearing.close()
        await self._shelf.close()
        if self._own_parking:
            await self._parking.close()
        await self._pool.close()

    def status(self) -> dict[str, Any]:
        """For `rune doctor`: how it stands with this server."""
        life = self._pool.first
        error = life.error
        return {
            "name": self.name,
            "ok": life.state == "ready" or (life.state == "asleep" and self._shelf.known),
            "state": life.state,
            "error": None if error is None else str(error),
            "hint": None if error is None else error.hint or life.outlook,
            "stderr": "\n".join(life.connection.last_words if life.connection else life.last_words),
        }

    def _gone(self, on_lost: Callable[[], None]) -> None:
        on_lost()
        # The next one may offer something else.
        self._shelf.stale()

    # --- use ---

    def handle(self, request: Request) -> Coroutine[Any, Any, Result]:
        """Send a request to the server.

        Raises:
            ProtocolError, NotFound: what the server said. Unavailable, TimedOut, NeedsAuth: why it said nothing.
        """
        if request.method == "subscriptions/listen":
            return self._hearing.listen(request if self._errands is None else self._errands.listening(request))
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
        if result.kind == "task" and not self._pool.first.legacy:
            return await self._errands.created(request, result)
        return result

    async def catalog(self, request: Request) -> Catalog:
        """The last catalog, and a fresher one if it comes quickly.

        Raises:
            Unavailable, TimedOut, NeedsAuth: there has never been one.
        """
        return await self._shelf.catalog()


def without_tasks(request: Request) -> Request:
    """The request of a client that declares no tasks: where nobody could find them again, none must be made."""
    capabilities = dict(request.capabilities)
    extensions = dict(capabilities.get("extensions", {}))
    extensions.pop(TASKS, None)
    capabilities["extensions"] = extensions
    meta = msgspec.structs.replace(request.meta, capabilities=msgspec.Raw(jsonrpc.encode(capabilities)))
    return request.replace(meta=meta, _capabilities=None)
