"""The Gateway: resolves a request, sends it down the chain and keeps the sources alive. Built whole, swapped whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from rune.addresses import Shade
from rune.errors import METHOD_NOT_FOUND, NeedsAuth, NotFound, ProtocolError, RuneError
from rune.listens import Listens, Wanted
from rune.parking import Parking
from rune.profile import Profile
from rune.protocol import jsonrpc
from rune.protocol.methods import METHODS, REVISIONS, TASKS, UI
from rune.protocol.modern import check_param_headers
from rune.request import Caller, Handler, Note, Request, Result
from rune.router import Router
from rune.seal import Seal
from rune.signin import STATE, SignIns
from rune.source import EVERYTHING, Filter, Source, Target
from rune.taskids import TaskIds
from rune.tasks import Tasks, check_declared
from rune.view import Mount, View

if TYPE_CHECKING:
    from rune.chain import Plugs
    from rune.coding import Coding

log = logging.getLogger("rune.gateway")
_CALLS: Final = ("tools/call", "resources/read", "prompts/get")


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
    """A Handler over its sources. List methods and calls take the same stops, so that a policy is written once.

    With a `profile` it shows a part of them; such a gateway is one of the `profiles` of another, which keeps the
    sources alive for all. `parking` is where calls wait that may outlive it, `reloads` says that another may follow.
    """

    def __init__(
        self,
        mounts: Sequence[Mount],
        *,
        identity: Identity | None = None,
        seal: Seal | None = None,
        tasks: Tasks | None = None,
        page_size: int = 1000,
        profile: Profile | None = None,
    ) -> None:
        self.identity = identity or Identity()
        self.seal = seal or Seal()
        self.tasks = tasks
        self.parking: Parking | None = None
        self.sign_ins: SignIns | None = None
        self.coding: Coding | None = None
        self.profiles: Mapping[str, Gateway] = {}
        self.reloads = False
        self._task_ids = TaskIds(self.seal)
        self.mounts = tuple(mounts)
        self.router = Router(mounts, self.seal, page_size, profile)
        self.listens = Listens(self.sources, self.router.part)
        self._profile = profile
        self._chain: Handler = self.router.handle
        self._lives: dict[Source, AsyncExitStack] = {}
        self._ears = ExitStack()
        self._methods: dict[str, Handler] = {
            "server/discover": self._discover,
            **dict.fromkeys(_CALLS, self._call),
            "completion/complete": self._complete,
            "subscriptions/listen": self._listen,
            **{name: self._list for name, method in METHODS.items() if method.members},
            **dict.fromkeys(("tasks/get", "tasks/update", "tasks/cancel", "tasks/list"), self._task),
        }

    def wrap(self, around: Callable[[Handler], Handler]) -> None:
        """Put a Handler around the way to the sources."""
        self._chain = around(self._chain)

    def plug(self, plugs: Plugs) -> None:
        """Everything passes these plugins; before it serves."""
        chain = plugs(self._target)
        self._chain, self.coding = chain.over(self._chain), chain.coding
        self._methods = {name: chain.beside(name, below) for name, below in self._methods.items()}

    @property
    def sources(self) -> tuple[Source, ...]:
        """What stands behind it, in the order of the config."""
        return tuple(mount.source for mount in self.mounts)

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._ears.close()
        async with AsyncExitStack() as stack:
            for life in self._lives.values():
                stack.push_async_exit(life)
            self._lives = {}

    async def _start(self, running: Container[Source] = ()) -> None:
        """Start the sources that are not running yet; if one of them cannot, none is left behind."""
        async with AsyncExitStack() as undo:
            lives = {}
            for source in self.sources:
                if source not in running:
                    lives[source] = await undo.enter_async_context(AsyncExitStack())
                    await lives[source].enter_async_context(source)
            undo.pop_all()
        self._lives = lives
        for gateway in (self, *self.profiles.values()):
            for source in self.sources:
                self._ears.callback(source.listeners.add(EVERYTHING, partial(gateway.router.changed, source)))

    async def succeed(self, old: Gateway) -> dict[Source, AsyncExitStack]:
        """Take the place of another gateway of the same app: start what it does not have, take over the rest as it
        runs, and hear from now on what its listens wait for. The caller ends what is returned, once it is idle.

        Raises:
            RuneError: a source cannot be started; nothing has changed then.
        """
        await self._start(old.sources)
        for gateway, former in self._pairs(old):
            gateway.router.follow(former.router)
        try:
            await self._look_around()
        except BaseException:
            await self.__aexit__()
            raise
        # Nothing from here on can fail or wait: requests see the one gateway or the other.
        old._ears.close()
        left, old._lives = old._lives, {}
        for source in self.sources:
            if source in left:
                self._lives[source] = left.pop(source)
        for gateway, former in self._pairs(old):
            gateway.listens = former.listens
            gateway.listens.move(self.sources, gateway.router.part)
        return left

    async def announce(self, old: Gateway, *, all: bool = False) -> None:
        """Tell those who listen which of their lists are not what `old` has shown them, or that `all` may differ."""
        for gateway, former in self._pairs(old):
            for listen in gateway.listens:
                view = await gateway.router.view(listen.request)
                for kind in view.differences(None if all else former.router.known(listen.request)):
                    listen.request.emit(Note(f"notifications/{kind}/list_changed"))

    def expect_another(self) -> None:
        """Say that lists may change, even if no source ever does: a newer gateway may follow."""
        for gateway in (self, *self.profiles.values()):
            gateway.reloads = True

    def _pairs(self, old: Gateway) -> list[tuple[Gateway, Gateway]]:
        """This gateway and its profiles, each with what it follows."""
        both = self.profiles.keys() & old.profiles.keys()
        return [(self, old), *((self.profiles[name], old.profiles[name]) for name in both)]

    async def _look_around(self) -> None:
        """Ask the sources what they offer before anybody else does: nothing shall be missing because it is new."""
        await asyncio.gather(*(gateway.router.view(Request("catalog")) for gateway in (self, *self.profiles.values())))

    def inside(self, caller: Caller) -> Caller:
        """Who a caller is for this gateway: what is kept for it in a profile stays there."""
        return caller if self._profile is None else self._profile.caller(caller)

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

    def lead(self, sign_ins: SignIns) -> None:
        """Make a question of a sign-in that a call needs first: a frame around each, where a source may need it."""
        self.sign_ins = sign_ins
        self._methods |= dict.fromkeys(_CALLS, partial(self._signed_in, sign_ins))

    async def _signed_in(self, sign_ins: SignIns, request: Request) -> Result:
        if STATE in request.state:
            found = await sign_ins.returned(request)
            if isinstance(found, Result):
                return found
            request = found
        try:
            return await self._call(request)
        except NeedsAuth as error:
            if request.target is None:
                raise
            return await sign_ins.ask(request, error, partial(_revive, request.target.source))
        except NotFound:
            locked = self.router.locked(request)
            if locked is None:
                raise
            source, wanting = locked
            return await sign_ins.ask(request, wanting, partial(_revive, source))

    def _call(self, request: Request, view: View | None = None) -> Coroutine[Any, Any, Result]:
        view = view or self.router.fresh(request)
        if view is None:
            return self._call_later(request)
        target = self.router.resolve(request, view) if not request.state else self._resume(request, view)
        if target.item is not None and target.item.headers and request.headers is not None:
            check_param_headers(request.headers, target.item.headers, request.params.get("arguments"))
        request.target = target
        shade = view.shades.get(target.source) if view.shades else None
        return self._chain(request) if shade is None else self._shown(shade, request, self._chain(request))

    async def _call_later(self, request: Request) -> Result:
        return await self._call(request, await self.router.view_for_call(request))

    async def _shown(self, shade: Shade, request: Request, answer: Coroutine[Any, Any, Result]) -> Result:
        """A result whose URIs are those that clients know; only that of a source some of whose are not its own here."""
        method, result = request.method, await answer
        return result if result.kind != "complete" else Result(shade.result(method, result.raw))

    async def _target(self, request: Request) -> Target:
        """What a request is about that a plugin has changed."""
        return self.router.resolve(request, await self.router.view_for_call(request))

    def _resume(self, request: Request, view: View) -> Target:
        """A retry belongs where its call waits, even if another source has taken that place since."""
        waits = self.parking.waiting(request) if self.parking is not None else None
        return waits or self.router.resolve(request, view)

    async def _list(self, request: Request) -> Result:
        view = await self.router.view(request)
        cursor = request.text("cursor") if "cursor" in request.params else None
        members = METHODS[request.method].members
        assert members is not None, "only list methods come here"
        return view.page(members, cursor, apps=not view.apps or request.declares(UI))

    async def _discover(self, request: Request) -> Result:
        view = await self.router.view(request)
        if view.discovered is None:
            value: dict[str, Any] = {
                "supportedVersions": list(reversed(REVISIONS)),
                "capabilities": self._capabilities(view),
                "ttlMs": view.ttl,
                "cacheScope": view.scope,
            }
            instructions = self._instructions(view)
            if instructions:
                value["instructions"] = instructions
            view.discovered = Result.of(value)
        return view.discovered

    def _capabilities(self, view: View) -> dict[str, Any]:
        """The union of what the sources can do."""
        known = [catalog for catalog in view.catalogs if catalog is not None]
        listed = self.reloads or any(catalog.list_changed for catalog in known)
        changes = {"listChanged": True} if listed else {}
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
        target = self.router.resolve(request, await self.router.view_for_call(request))
        request.target = target
        ref = request.value("ref")
        key = "uri" if ref["type"] == "ref/resource" else "name"
        if ref[key] != target.name:
            request.params = {**request.params, "ref": msgspec.Raw(jsonrpc.encode({**ref, key: target.name}))}
        return await self._chain(request)

    async def _task(self, request: Request) -> Result:
        """Most tasks belong to the app and its store; those that a source keeps itself are answered there."""
        if self.tasks is None:
            raise ProtocolError(METHOD_NOT_FOUND, f"unknown method {request.method}")
        check_declared(request)
        if request.method == "tasks/list":
            return await self._list_tasks(request)
        id = request.text("taskId")
        task = self._task_ids.read(id)
        if task is None:
            return await self.tasks.handle(request)
        source = next((mount.source for mount in self.mounts if mount.source.name == task.source), None)
        if source is None or not task.belongs_to(request.caller):
            raise NotFound(f"unknown task: {id}")
        request.target = Target(source, task.id)
        return await self._chain(request)

    async def _list_tasks(self, request: Request) -> Result:
        """Only clients of older revisions list their tasks. One that is gone is left out."""
        assert self.tasks is not None, "without tasks there is no such method"
        found = list((await self.tasks.handle(request)).value["tasks"])
        for id in await self.tasks.ids(request.caller):
            if self._task_ids.read(id) is None:
                continue
            params = {"taskId": msgspec.Raw(jsonrpc.encode(id))}
            try:
                found.append((await self._task(request.replace(method="tasks/get", params=params, target=None))).value)
            except RuneError as error:
                log.info("tasks/list: %s", error)
        return Result.of({"tasks": sorted(found, key=lambda task: str(task.get("createdAt")))})

    async def _listen(self, request: Request) -> Result:
        """Pass the wish to every source; the acknowledgement names what will be honoured."""
        below = await self._wish(request)
        del request
        ours = frozenset(id for id in Filter.of(below).tasks if self._task_ids.read(id) is None)
        if self.tasks is None or not ours:
            return await self.listens.serve(below, None)
        wanted = msgspec.Raw(jsonrpc.encode(Filter(tasks=ours).wire()))
        return await self.listens.serve(below, self.tasks.listen(below.replace(params={"notifications": wanted})))

    async def _wish(self, request: Request) -> Request:
        """A listen as the sources see it; it is acknowledged when they hear."""
        honoured = await self._honour(Filter.of(request), await self.router.view(request), request)
        params = {**request.params, "notifications": msgspec.Raw(jsonrpc.encode(honoured.wire()))}
        return request.replace(params=params, emit=Wanted(request.emit, honoured))

    async def _honour(self, wanted: Filter, view: View, request: Request) -> Filter:
        known = [catalog for catalog in view.catalogs if catalog is not None]
        changes = self.reloads or any(catalog.list_changed for catalog in known)
        can_subscribe = any(catalog.subscribe for catalog in known)
        declared = self.tasks is not None and request.declares(TASKS)
        tasks = {id for id in wanted.tasks if declared and await self._owned(id, request.caller)}
        return Filter(
            tools=wanted.tools and changes,
            prompts=wanted.prompts and changes,
            resources=wanted.resources and changes,
            uris=frozenset(uri for uri in wanted.uris if self._subscribes(view, uri)) if can_subscribe else frozenset(),
            tasks=frozenset(tasks),
        )

    def _subscribes(self, view: View, uri: str) -> bool:
        """Whether this caller may hear of a resource: whose it is must be able to tell."""
        target = view.resource(uri)
        if target is None or target.item is None:
            return self.router.shows(uri if target is None else target.name)
        catalogs = zip(self.mounts, view.catalogs, strict=True)
        return any(catalog.subscribe for mount, catalog in catalogs if catalog and mount.source is target.source)

    async def _owned(self, id: str, caller: Caller) -> bool:
        task = self._task_ids.read(id)
        if task is not None:
            return task.belongs_to(caller)
        return self.tasks is not None and await self.tasks.owned(id, caller)


async def _revive(source: Source) -> None:
    """Only servers need to be told."""
    revive = getattr(source, "revive", None)
    if revive is not None:
        await revive()
