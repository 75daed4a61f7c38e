"""The Gateway: resolves a request, sends it down the chain and keeps the sources alive. Built whole, swapped whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from rune.errors import METHOD_NOT_FOUND, ProtocolError, RuneError
from rune.protocol import jsonrpc
from rune.protocol.methods import METHODS, REVISIONS, TASKS
from rune.protocol.modern import ACKNOWLEDGED, check_param_headers
from rune.request import Emit, Handler, Note, Request, Result
from rune.router import Mount, Router, View
from rune.seal import Seal
from rune.source import EVERYTHING, Filter, Target
from rune.tasks import Tasks

log = logging.getLogger("rune.gateway")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the gateway is to its clients (serverInfo and instructions)."""

    name: str = "rune"
    version: str = "0"
    title: str | None = None
    description: str | None = None
    website_url: str | None = None
    icons: tuple[dict[str, Any], ...] = ()
    instructions: str | None = None

    def wire(self) -> dict[str, Any]:
        """As an Implementation of the wire."""
        value = {
            "name": self.name, "version": self.version, "title": self.title, "description": self.description,
            "websiteUrl": self.website_url, "icons": list(self.icons) or None,
        }  # fmt: skip
        return {key: item for key, item in value.items() if item is not None}


class Gateway:
    """A Handler over its sources. List methods and calls take the same stops, so that a policy is written once."""

    def __init__(
        self,
        mounts: Sequence[Mount],
        *,
        identity: Identity | None = None,
        seal: Seal | None = None,
        tasks: Tasks | None = None,
        page_size: int = 1000,
    ) -> None:
        self.identity = identity or Identity()
        self.seal = seal or Seal()
        self.tasks = tasks
        self.mounts = tuple(mounts)
        self.router = Router(mounts, self.seal, page_size)
        self._chain = self.router.handle
        self._stack = AsyncExitStack()
        self._methods: dict[str, Handler] = {
            "server/discover": self._discover,
            "tools/call": self._call,
            "resources/read": self._call,
            "prompts/get": self._call,
            "completion/complete": self._complete,
            "subscriptions/listen": self._listen,
            **{name: self._list for name, method in METHODS.items() if method.members},
            **dict.fromkeys(("tasks/get", "tasks/update", "tasks/cancel", "tasks/list"), self._task),
        }
        self._discovered: tuple[View, Result] | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for mount in self.mounts:
                await stack.enter_async_context(mount.source)
                stack.callback(mount.source.listeners.add(EVERYTHING, lambda _: self.router.changed()))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def handle(self, request: Request) -> Coroutine[Any, Any, Result]:
        """Answer one request of the 2026-07-28 dialect.

        Raises:
            RuneError: with the JSON-RPC code that the client gets.
        """
        method = self._methods.get(request.method)
        if method is None:
            raise ProtocolError(METHOD_NOT_FOUND, f"unknown method {request.method}")
        # Handed on, not awaited: each frame between the rim and the source would cost every call.
        return method(request)

    async def _call(self, request: Request) -> Result:
        view = self.router.fresh(request) or await self.router.view(request)
        target = self.router.resolve(request, view)
        if target.item is not None and target.item.headers and request.headers is not None:
            check_param_headers(request.headers, target.item.headers, request.params.get("arguments"))
        request.target = target
        return await self._chain(request)

    async def _list(self, request: Request) -> Result:
        view = await self.router.view(request)
        cursor = request.text("cursor") if "cursor" in request.params else None
        members = METHODS[request.method].members
        assert members is not None, "only list methods come here"
        return view.page(members, cursor)

    async def _discover(self, request: Request) -> Result:
        view = await self.router.view(request)
        if self._discovered is None or self._discovered[0] is not view:
            value: dict[str, Any] = {
                "supportedVersions": list(reversed(REVISIONS)),
                "capabilities": self._capabilities(view),
                "ttlMs": view.ttl,
                "cacheScope": view.scope,
            }
            instructions = self._instructions(view)
            if instructions:
                value["instructions"] = instructions
            self._discovered = view, Result.of(value)
        return self._discovered[1]

    def _capabilities(self, view: View) -> dict[str, Any]:
        """The union of what the sources can do."""
        known = [catalog for catalog in view.catalogs if catalog is not None]
        changes = {"listChanged": True} if any(catalog.list_changed for catalog in known) else {}
        value: dict[str, Any] = {}
        if any(catalog.logging for catalog in known):
            value["logging"] = {}
        if any(catalog.completions for catalog in known):
            value["completions"] = {}
        if any(catalog.prompts for catalog in known):
            value["prompts"] = changes
        if any(catalog.resources or catalog.templates or catalog.subscribe for catalog in known):
            value["resources"] = changes | ({"subscribe": True} if any(c.subscribe for c in known) else {})
        value["tools"] = changes
        extensions: dict[str, Any] = {}
        for catalog in known:
            extensions |= catalog.extensions
        if any(catalog.tasks for catalog in known):
            extensions[TASKS] = {}
        if extensions:
            value["extensions"] = extensions
        return value

    def _instructions(self, view: View) -> str | None:
        if self.identity.instructions:
            return self.identity.instructions
        texts = [catalog.instructions for catalog in view.catalogs if catalog is not None and catalog.instructions]
        return "\n\n".join(texts) or None

    async def _complete(self, request: Request) -> Result:
        target = self.router.resolve(request, await self.router.view(request))
        request.target = target
        ref = request.value("ref")
        if ref.get("name", target.name) != target.name:
            request.params = {**request.params, "ref": msgspec.Raw(jsonrpc.encode({**ref, "name": target.name}))}
        return await self._chain(request)

    async def _task(self, request: Request) -> Result:
        """Tasks belong to the app and its store, not to one source."""
        if self.tasks is None:
            raise ProtocolError(METHOD_NOT_FOUND, f"unknown method {request.method}")
        return await self.tasks.handle(request)

    async def _listen(self, request: Request) -> Result:
        """Pass the wish to every source; the acknowledgement names what will be honoured."""
        waits = await self._wishes(request)
        del request
        if len(waits) == 1:
            return await waits.pop()
        async with asyncio.TaskGroup() as group:
            if not waits:
                await asyncio.get_running_loop().create_future()
            while waits:
                group.create_task(_quietly(waits.pop()))
        # Every source has let go of it: nothing more will come.
        return Result.of({})

    async def _wishes(self, request: Request) -> list[Coroutine[Any, Any, Result]]:
        """What must be awaited for a listen: its part at each source."""
        honoured = await self._honour(Filter.of(request), await self.router.view(request), request)
        wire = jsonrpc.encode(honoured.wire())
        request.emit(Note(ACKNOWLEDGED, b'{"notifications":%b}' % wire))
        params = {**request.params, "notifications": msgspec.Raw(wire)}
        below = request.replace(params=params, emit=Wanted(request.emit, honoured))
        waits = [mount.source.handle(below.replace(target=Target(mount.source, ""))) for mount in self.mounts]
        if self.tasks is not None and honoured.tasks:
            waits.append(self.tasks.listen(below))
        return waits

    async def _honour(self, wanted: Filter, view: View, request: Request) -> Filter:
        known = [catalog for catalog in view.catalogs if catalog is not None]
        changes = any(catalog.list_changed for catalog in known)
        can_subscribe = any(catalog.subscribe for catalog in known)
        tasks = set()
        if self.tasks is not None and request.declares(TASKS):
            tasks = {id for id in wanted.tasks if await self.tasks.owned(id, request.caller)}
        return Filter(
            tools=wanted.tools and changes,
            prompts=wanted.prompts and changes,
            resources=wanted.resources and changes,
            uris=wanted.uris if can_subscribe else frozenset(),
            tasks=frozenset(tasks),
        )


class Wanted(Emit):
    """Lets only those notes of a listen through that were asked for."""

    __slots__ = ("_emit", "_wanted")

    def __init__(self, emit: Emit, wanted: Filter) -> None:
        self._emit = emit
        self._wanted = wanted

    def __call__(self, note: Note) -> None:
        if self._wanted.wants(note):
            self._emit(note)

    async def room(self) -> None:
        await self._emit.room()


async def _quietly(wait: Coroutine[Any, Any, Result]) -> None:
    """One source that cannot listen does not end the others."""
    try:
        await wait
    except RuneError as error:
        log.info("listen: %s", error)
