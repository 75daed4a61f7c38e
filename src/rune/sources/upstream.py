"""An MCP server as a source: its life, its last catalog, and one listen towards it for all who listen here.

Built by `build.py` from a URL or a command; `client/` speaks to the server in whichever revision it knows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import msgspec

from rune.client.calls import Lost, Refused, Wire
from rune.client.catalog import changes, read_catalog, same
from rune.client.client import Connection
from rune.client.life import Life
from rune.errors import METHOD_NOT_FOUND, ProtocolError, RuneError, Unavailable
from rune.parking import Parking
from rune.protocol import jsonrpc
from rune.protocol.methods import MODERN, TASKS
from rune.protocol.modern import ACKNOWLEDGED, Meta
from rune.request import Emit, Note, Request, Result
from rune.source import Catalog, Filter, Listeners

log = logging.getLogger("rune.upstream")

OWN: Final = Meta(version=MODERN, capabilities=msgspec.Raw(b"{}"))
FIRST_WAIT: Final = 5.0
"""Seconds that a list waits for a server which is starting for the first time."""
FRESH_WAIT: Final = 0.25
"""Seconds that a list waits for a fresher catalog than the one at hand."""
MAX_CHILDREN: Final = 4
"""Connections beside the first one, for clients that an older server may ask something."""
QUESTIONS: Final = ("elicitation", "sampling", "roots")


class Upstream:
    """One MCP server. `wire` gives a new, unopened way to reach it, under the name of this source."""

    def __init__(
        self,
        name: str,
        wire: Callable[[], Wire],
        *,
        timeout: float = 60.0,
        identity: Mapping[str, Any] | None = None,
        parking: Parking | None = None,
        tasks: bool = False,
    ) -> None:
        self.name = name
        self.listeners = Listeners()
        self._wire = wire
        self._timeout = timeout
        self._identity = identity
        self._parking = Parking() if parking is None else parking
        self._own_parking = parking is None
        self._tasks = tasks
        self._life = self._new_life({})
        self._others: dict[str, list[Life]] = {}
        self._catalog: Catalog | None = None
        self._fresh_until = 0.0
        self._changes = 0
        self._announced: set[str] = set()
        self._refreshing: asyncio.Task[RuneError | None] | None = None
        self._wishes: dict[object, Filter] = {}
        self._union = Filter()
        self._ear: asyncio.Task[None] | None = None
        self._revival: asyncio.TimerHandle | None = None

    @property
    def parking(self) -> Parking:
        """Where calls wait for an answer of the user."""
        return self._parking

    @parking.setter
    def parking(self, parking: Parking) -> None:
        self._parking = parking
        self._own_parking = False

    def _new_life(self, capabilities: Mapping[str, Any]) -> Life:
        def make(on_lost: Callable[[], None]) -> Connection:
            connection = Connection(
                self._wire,
                identity=self._identity,
                capabilities=capabilities,
                timeout=self._timeout,
                parking=self._parking,
            )
            connection.on_note = self._noted
            connection.on_lost = lambda: self._gone(on_lost)
            return connection

        return Life(self.name, make, start_timeout=max(self._timeout, 30.0))

    # --- life ---

    async def __aenter__(self) -> Self:
        """Start in the background: a gateway does not wait for slow or dead servers."""
        self._refresh_soon()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._revival is not None:
            self._revival.cancel()
        tasks = [task for task in (self._ear, self._refreshing) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._own_parking:
            await self._parking.close()
        await asyncio.gather(self._life.close(), *(life.close() for pool in self._others.values() for life in pool))

    def status(self) -> dict[str, Any]:
        """For `rune doctor`: how it stands with this server."""
        error = self._life.error
        return {
            "name": self.name,
            "ok": self._life.state == "ready",
            "state": self._life.state,
            "error": None if error is None else str(error),
            "hint": None if error is None else error.hint,
            "stderr": "\n".join(self._life.connection.last_words if self._life.connection else self._life.last_words),
        }

    def _gone(self, on_lost: Callable[[], None]) -> None:
        on_lost()
        # The next one may offer something else.
        self._fresh_until = 0.0

    # --- calls ---

    async def handle(self, request: Request) -> Result:
        """Send a request to the server.

        Raises:
            ProtocolError, NotFound: what the server said. Unavailable, TimedOut, NeedsAuth: why it said nothing.
        """
        if request.method == "subscriptions/listen":
            return await self._listen(request)
        if not self._tasks:
            request = without_tasks(request)
        life = await self._choose(request)
        life.users += 1
        try:
            result = await self._send(life, request)
        finally:
            life.users -= 1
        life.worked()
        return result

    async def _send(self, life: Life, request: Request) -> Result:
        connection = await life.ready(request.deadline)
        try:
            return await connection.handle(request)
        except Refused:
            raise
        except Lost as lost:
            life.doubt(connection, lost)
            # Whatever a tool does, it must not do it twice.
            if lost.sent and request.method == "tools/call":
                raise
        except Unavailable as error:
            life.doubt(connection, error)
            raise
        connection = await life.ready(request.deadline)
        return await connection.handle(request)

    async def _choose(self, request: Request) -> Life:
        """Servers of the older revisions know only one client per connection: one for each set of capabilities, and
        where all calls share a stream, one for each call in which the server may ask."""
        connection = self._life.connection or await self._life.ready(request.deadline)
        if not connection.legacy:
            return self._life
        declared = request.capabilities
        offered: dict[str, Any] = {kind: declared[kind] for kind in QUESTIONS if kind in declared}
        if not offered:
            return self._life
        key = jsonrpc.encode(offered).decode()
        pool = self._others.setdefault(key, [])
        for life in pool:
            if connection.http or not (life.users or (life.connection is not None and life.connection.asking)):
                return life
        if sum(map(len, self._others.values())) < MAX_CHILDREN:
            pool.append(self._new_life(offered))
            return pool[-1]
        # Full: it is still answered, but nobody can be asked who it is for.
        return min(pool, key=lambda life: life.users, default=self._life)

    # --- catalog ---

    async def catalog(self, request: Request) -> Catalog:
        """The last catalog, and a fresher one if it comes quickly.

        Raises:
            Unavailable, TimedOut, NeedsAuth: there has never been one.
        """
        loop = asyncio.get_running_loop()
        if self._catalog is not None and loop.time() < self._fresh_until:
            return self._catalog
        new = self._refreshing is None
        task = self._refresh_soon()
        if self._catalog is None:
            wait = max(self._life.started_at, loop.time() if self._life.state != "starting" else 0) + FIRST_WAIT
            await asyncio.wait((task,), timeout=max(wait - loop.time(), 0))
        elif new and self._life.connection is not None:
            await asyncio.wait((task,), timeout=FRESH_WAIT)
        if self._catalog is not None:
            return self._catalog
        error = task.result() if task.done() else None
        raise (error or Unavailable(f"{self.name}: still starting")).with_traceback(None)

    def _refresh_soon(self) -> asyncio.Task[RuneError | None]:
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
                self.listeners.publish(Note(f"notifications/{kind}/list_changed"))

    def _refreshed(self, task: asyncio.Task[RuneError | None]) -> None:
        self._refreshing = None
        if task.cancelled() or task.result() is None or self._revival is not None:
            return
        # Nobody may ask again before it has shown what it offers.
        loop = asyncio.get_running_loop()
        self._revival = loop.call_at(max(self._life.retry_at, loop.time() + 0.5) + 0.01, self._revive)

    def _revive(self) -> None:
        self._revival = None
        if self._catalog is None or self._wishes:
            self._refresh_soon()

    def _noted(self, note: Note) -> None:
        """The server says that something has changed."""
        if note.method.endswith("/list_changed"):
            self._fresh_until = 0.0
            self._changes += 1
            self._announced.add(note.method.split("/")[1])
        self.listeners.publish(note)

    # --- listen ---

    async def _listen(self, request: Request) -> Result:
        key = object()
        self._wishes[key] = Filter.of(request)
        self._rewish()
        try:
            return await self.listeners.serve(request)
        finally:
            del self._wishes[key]
            self._rewish()

    def _rewish(self) -> None:
        """One listen towards the server for the union of all wishes; the new one takes over from the old one."""
        wishes = self._wishes.values()
        union = Filter(
            tools=any(wish.tools for wish in wishes),
            prompts=any(wish.prompts for wish in wishes),
            resources=any(wish.resources for wish in wishes),
            uris=frozenset().union(*(wish.uris for wish in wishes)),
            tasks=frozenset().union(*(wish.tasks for wish in wishes)) if self._tasks else frozenset(),
        )
        if union == self._union:
            return
        self._union = union
        old, self._ear = self._ear, None
        if union != Filter():
            self._ear = asyncio.get_running_loop().create_task(self._hear(union, old))
        elif old is not None:
            old.cancel()

    async def _hear(self, wanted: Filter, old: asyncio.Task[None] | None) -> None:
        delay = 1.0
        try:
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    if not await self._hear_once(wanted, old):
                        return
                except RuneError as error:
                    log.info("%s: listen: %s", self.name, error)
                delay = 1.0 if asyncio.get_running_loop().time() - began > 60 else min(delay * 2, 60.0)
                await asyncio.sleep(delay)
                # What happened in between has been missed.
                self._fresh_until = 0.0
                self._refresh_soon()
        finally:
            if old is not None:
                old.cancel()

    async def _hear_once(self, wanted: Filter, old: asyncio.Task[None] | None) -> bool:
        """Listen until the server ends it; False when it knows nothing of the kind."""
        connection = await self._life.ready()
        capabilities = connection.discovered.get("capabilities", {})
        possible = Filter(
            tools=wanted.tools and bool(capabilities.get("tools", {}).get("listChanged")),
            prompts=wanted.prompts and bool(capabilities.get("prompts", {}).get("listChanged")),
            resources=wanted.resources and bool(capabilities.get("resources", {}).get("listChanged")),
            uris=wanted.uris if capabilities.get("resources", {}).get("subscribe") else frozenset(),
            tasks=wanted.tasks,
        )
        if possible == Filter():
            return False
        params = {"notifications": msgspec.Raw(jsonrpc.encode(possible.wire()))}
        ear = Ear(self._noted, connection.legacy, old)
        try:
            await connection.handle(Request("subscriptions/listen", params, meta=OWN, emit=ear))
        except ProtocolError as error:
            if error.code == METHOD_NOT_FOUND:
                return False
            raise
        return True


class Ear(Emit):
    """What a listen towards the server brings. An older connection tells its own changes besides."""

    __slots__ = ("_legacy", "_old", "_publish")

    def __init__(self, publish: Callable[[Note], None], legacy: bool, old: asyncio.Task[None] | None) -> None:
        self._publish = publish
        self._legacy = legacy
        self._old = old

    def __call__(self, note: Note) -> None:
        if note.method == ACKNOWLEDGED:
            if self._old is not None:
                self._old.cancel()
        elif not self._legacy:
            self._publish(note)


def without_tasks(request: Request) -> Request:
    """The request of a client that declares no tasks: where nobody could find them again, none must be made."""
    if TASKS.encode() not in bytes(request.meta.capabilities):
        return request
    capabilities = dict(request.capabilities)
    extensions = dict(capabilities.get("extensions", {}))
    extensions.pop(TASKS, None)
    capabilities["extensions"] = extensions
    meta = msgspec.structs.replace(request.meta, capabilities=msgspec.Raw(jsonrpc.encode(capabilities)))
    return request.replace(meta=meta, _capabilities=None)
