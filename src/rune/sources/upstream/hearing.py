"""One listen towards a server, for all who listen here: the union of their wishes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from rune.client.life import Life
from rune.errors import METHOD_NOT_FOUND, ProtocolError, RuneError
from rune.protocol import jsonrpc
from rune.protocol.methods import MODERN, TASKS
from rune.protocol.modern import ACKNOWLEDGED, Meta
from rune.request import Emit, Note, Request, Result
from rune.source import Filter, Listeners
from rune.sources.upstream.shelf import Shelf

log = logging.getLogger("rune.upstream")

OWN: Final = Meta(version=MODERN, capabilities=msgspec.Raw(b"{}"))
WITH_TASKS: Final = Meta(version=MODERN, capabilities=msgspec.Raw(jsonrpc.encode({"extensions": {TASKS: {}}})))
"""For the tasks of clients who have declared that they know them."""


class Hearing:
    """The wishes of all who listen. What the server says goes to `shelf`, which tells `listeners`."""

    def __init__(self, life: Life, shelf: Shelf, listeners: Listeners, *, lazy: bool) -> None:
        self.name = life.name
        self._life = life
        self._shelf = shelf
        self._listeners = listeners
        self._lists = not lazy
        self._wishes: dict[object, Filter] = {}
        self._union = Filter()
        self._ear: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        self._heard.set()
        self._over = asyncio.Event()

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._wishes)

    async def close(self) -> None:
        """Stop listening, and let those go who listen here."""
        self._over.set()
        if self._ear is not None:
            self._ear.cancel()
            await asyncio.wait((self._ear,))

    async def listen(self, request: Request) -> Result:
        """Answer a listen request: pass on what it wants until it is cancelled, or this is closed."""
        key = object()
        self._wishes[key] = Filter.of(request)
        self._rewish()
        try:
            return await self._listeners.serve(request, self._heard, self._over)
        finally:
            del self._wishes[key]
            if not self._over.is_set():
                self._rewish()

    def _rewish(self) -> None:
        """The union of all wishes has changed: the new listen takes over from the old one."""
        # Who sleeps is not woken to be asked what it offers: that is looked at when it is started.
        wishes = self._wishes.values()
        self._shelf.wanted = bool(wishes)
        union = Filter(
            tools=self._lists and any(wish.tools for wish in wishes),
            prompts=self._lists and any(wish.prompts for wish in wishes),
            resources=self._lists and any(wish.resources for wish in wishes),
            uris=frozenset().union(*(wish.uris for wish in wishes)),
            tasks=frozenset().union(*(wish.tasks for wish in wishes)),
        )
        if union == self._union:
            return
        self._union = union
        old, self._ear = self._ear, None
        if union != Filter():
            # Those who wait for the old one hear as much by the new one.
            heard, self._heard = self._heard, asyncio.Event()
            self._ear = asyncio.get_running_loop().create_task(self._hear(union, old, (heard, self._heard)))
        else:
            self._heard.set()
            if old is not None:
                old.cancel()

    async def _hear(
        self, wanted: Filter, old: asyncio.Task[None] | None, heard: tuple[asyncio.Event, asyncio.Event]
    ) -> None:
        def opened() -> None:
            for event in heard:
                event.set()
            if old is not None:
                old.cancel()

        delay = 1.0
        try:
            while True:
                began = asyncio.get_running_loop().time()
                try:
                    if not await self._hear_once(wanted, opened):
                        return
                except RuneError as error:
                    log.info("%s: listen: %s", self.name, error)
                # Whoever listens need not wait for a server that is not there: what it offers then is news.
                opened()
                delay = 1.0 if asyncio.get_running_loop().time() - began > 60 else min(delay * 2, 60.0)
                await asyncio.sleep(delay)
                # What happened in between has been missed.
                self._shelf.stale()
                self._shelf.refresh_soon()
        finally:
            opened()

    async def _hear_once(self, wanted: Filter, opened: Callable[[], None]) -> bool:
        """Listen until the server ends it; False when it knows nothing of the kind."""
        connection = await self._life.ready()
        capabilities = connection.discovered.get("capabilities", {})
        possible = Filter(
            tools=wanted.tools and bool(capabilities.get("tools", {}).get("listChanged")),
            prompts=wanted.prompts and bool(capabilities.get("prompts", {}).get("listChanged")),
            resources=wanted.resources and bool(capabilities.get("resources", {}).get("listChanged")),
            uris=wanted.uris if capabilities.get("resources", {}).get("subscribe") else frozenset(),
            tasks=wanted.tasks if TASKS in capabilities.get("extensions", {}) else frozenset(),
        )
        if possible == Filter():
            return False
        params = {"notifications": msgspec.Raw(jsonrpc.encode(possible.wire()))}
        meta = WITH_TASKS if possible.tasks else OWN
        ear = Ear(self._shelf.noted, connection.legacy, opened)
        try:
            await connection.handle(Request("subscriptions/listen", params, meta=meta, emit=ear))
        except ProtocolError as error:
            if error.code == METHOD_NOT_FOUND:
                return False
            raise
        return True


class Ear(Emit):
    """What a listen towards the server brings. An older connection tells its own changes besides."""

    __slots__ = ("_legacy", "_opened", "_publish")

    def __init__(self, publish: Callable[[Note], None], legacy: bool, opened: Callable[[], None]) -> None:
        self._publish = publish
        self._legacy = legacy
        self._opened = opened

    def __call__(self, note: Note) -> None:
        if note.method == ACKNOWLEDGED:
            self._opened()
        elif not self._legacy:
            self._publish(note)
