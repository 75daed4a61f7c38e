"""A WebAssembly component as a source: loaded in the background, registered once, answered by pooled instances."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

from wasmtime.component import Component, Linker

from rune.config.policy import PolicyTable
from rune.errors import (
    INTERNAL_ERROR,
    METHOD_NOT_FOUND,
    ConfigError,
    ProtocolError,
    RuneError,
    TimedOut,
    ToolError,
    Unavailable,
)
from rune.request import Note, Request, Result
from rune.source import Catalog, Filter, Listeners
from rune.sources.content import error_result
from rune.sources.execution import Threads
from rune.sources.wasm.asks import check_kind
from rune.sources.wasm.dialect import Dialect, Offer
from rune.sources.wasm.egress import Egress
from rune.sources.wasm.engine import Compilers, Machine, load
from rune.sources.wasm.exchange import Exchange
from rune.sources.wasm.guest import GuestDialect
from rune.sources.wasm.instance import Dead, Exports, Instance, too_long
from rune.sources.wasm.plain import PlainDialect
from rune.sources.wasm.pool import GRACE, Pool
from rune.sources.wasm.stock import Stock
from rune.sources.wasm.wasi import WasiDialect

log = logging.getLogger("rune.wasm")

RETRY: Final = 10.0
"""Seconds after which a component that could not be fetched is tried again, if somebody asks for it."""
ASKED: Final = frozenset({"tools/call", "resources/read", "prompts/get", "completion/complete"})


class Loaded:
    """A component, ready to be instantiated: the template of its instances."""

    def __init__(
        self,
        name: str,
        path: Path,
        policy: PolicyTable,
        cache: Path | None,
        compilers: Compilers | None = None,
        known: str = "",
    ) -> None:
        self.name = name
        self.policy = policy
        self.egress = Egress(name, policy)
        self.component: Component
        self.component, self.digest = load(path, cache, compilers, known)
        self.exports = Exports(self.component)
        self.dialect: Dialect = _dialect(name, self.exports)
        self.linker = Linker(Machine.get().engine)
        self.linker.allow_shadowing = True
        self.linker.add_wasip2()
        self.dialect.link(self.linker)
        self.egress.link(self.linker)
        self.offer = self.read()

    def read(self) -> Offer:
        """What a fresh instance registers.

        Raises:
            ConfigError: it cannot run, or what it says cannot be.
        """
        try:
            instance = Instance(self, self.linker)
            offer = self.dialect.register(instance)
            instance.close()
            if instance.seat is not None:
                instance.seat.join(GRACE)
            return offer
        except Dead as error:
            raise ConfigError(f"{self.name}: {error}", hint=_hint(str(error))) from None
        except ConfigError as error:
            raise ConfigError(f"{self.name}: {error.message}", hint=error.hint) from None

    def make(self) -> Instance:
        """A further instance, where the first one was when it had registered."""
        instance = Instance(self, self.linker)
        self.dialect.rehearse(instance)
        return instance


def _dialect(name: str, exports: Exports) -> Dialect:
    if WasiDialect.fits(exports):
        return WasiDialect(name, exports)
    return GuestDialect(name, exports) if GuestDialect.fits(exports) else PlainDialect(name, exports)


def _hint(text: str) -> str | None:
    if "wasi:http" in text:
        return "calls to the outside go through rune:guest/http, and a policy says where to"
    if "matching implementation was not found" in text:
        return "it was built for another host; it may import WASI 0.2, rune:guest and wasi:mcp"
    return None


class WasmSource:
    """One component. It is compiled while others are served; its catalog is there when that is done."""

    def __init__(
        self,
        name: str,
        path: Path,
        policy: PolicyTable | None = None,
        cache: Path | None = None,
        stock: Stock | None = None,
    ) -> None:
        """Without a `stock` the component is what lies in the file, whatever it asks for."""
        self.name = name
        self.path = path
        self.policy = policy or PolicyTable()
        self.listeners = Listeners()
        self._cache = cache
        self._stock = stock
        # Not those of the loop, which waits for its own at the end.
        self._threads = Threads(2)
        self._compilers = Compilers()
        self._loading: asyncio.Task[Loaded] | None = None
        self._loaded: Loaded | None = None
        self._offer: Offer | None = None
        self.pool: Pool | None = None
        self._rereading: asyncio.Task[None] | None = None
        self._wanted: dict[str, int] = {}
        self._failed = 0.0
        if stock is None:
            _look_at(path)

    # --- life ---

    async def __aenter__(self) -> Self:
        """Begin to load; nobody waits for it here."""
        self._begin()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._compilers.stop()
        for task in (self._rereading, self._loading):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self.pool is not None:
            await self.pool.close()
        if self._loaded is not None:
            await self._loaded.egress.close()
        self._threads.close()
        self._loading = self.pool = self._loaded = None

    def _begin(self) -> asyncio.Task[Loaded]:
        loop = asyncio.get_running_loop()
        if self._loading is None or (self._unreachable() and loop.time() > self._failed + RETRY):
            self._loading = loop.create_task(self._load())
        return self._loading

    def _unreachable(self) -> bool:
        """Whether it could not be fetched, which may be over soon."""
        task = self._loading
        return bool(
            task and task.done() and not task.cancelled() and isinstance(task.exception(), Unavailable | TimedOut)
        )

    async def _load(self) -> Loaded:
        path, known = self.path, ""
        if self._stock is not None:
            try:
                path, known, *_ = await self._stock.find()
            except (Unavailable, TimedOut):
                self._failed = asyncio.get_running_loop().time()
                raise
        make = partial(Loaded, self.name, path, self.policy, self._cache, self._compilers, known)
        loaded = await self._threads.run(make)
        self.pool = Pool(self.name, loaded.make, self.policy)
        self._offer, self._loaded = loaded.offer, loaded
        self.pool.refill()
        return loaded

    async def _ready(self) -> Loaded:
        return await asyncio.shield(self._begin()) if self._loaded is None else self._loaded

    # --- use ---

    async def catalog(self, request: Request) -> Catalog:
        """What it has registered; everybody sees the same.

        Raises:
            ConfigError: it cannot be used, and why.
        """
        await self._ready()
        assert self._offer is not None, "what is loaded has said what it offers"
        return self._offer.catalog

    async def handle(self, request: Request) -> Result:
        """Put a request to an instance.

        Raises:
            ProtocolError, NotFound: what the guest said. TimedOut, Unavailable: what became of it.
        """
        if request.method == "subscriptions/listen":
            return await self._listen(request)
        if request.method not in ASKED:
            raise ProtocolError(METHOD_NOT_FOUND, f"unknown method {request.method}")
        loaded = await self._ready()
        return await self._ask(request, lambda instance: loaded.dialect.answer(instance, request))

    async def _ask(self, request: Request, work: Any) -> Result:
        assert self.pool is not None, "what is loaded has a pool"
        exchange = Exchange(request, self.name, self._changed)
        try:
            result: Result = await self.pool.run(exchange, work)
            # Each text was measured when it came; many of them are one answer all the same.
            if len(result.raw) > (most := self.policy.limits.output):
                raise ToolError(too_long(self.name, len(result.raw), most))
            return result
        except Dead as error:
            raise self._failure(request, str(error)) from None
        except ToolError as error:
            if request.method != "tools/call":
                raise
            return error_result(error.message)
        finally:
            exchange.close()

    def _failure(self, request: Request, why: str) -> RuneError:
        what = request.target.shown or request.target.name if request.target is not None else request.method
        if why.startswith("stopped"):
            return TimedOut(f"{self.name}: {what}: {why}", hint="the policy of the component sets its limits")
        memory = self.policy.limits.memory >> 20
        return ProtocolError(
            INTERNAL_ERROR,
            f"{self.name}: {what}: the guest failed: {why}",
            hint=f"it may use {memory} MiB (limits.memory); its next call gets a new instance",
        )

    # --- changes ---

    def _changed(self, note: Note) -> None:
        """A guest says that something has changed. What a list says is read from a fresh instance."""
        if note.method == "notifications/resources/updated":
            self.listeners.publish(note)
        elif self._rereading is None or self._rereading.done():
            self._rereading = asyncio.get_running_loop().create_task(self._reread())

    async def _reread(self) -> None:
        loaded = self._loaded
        if loaded is None or self._offer is None:
            return
        try:
            offer = await self._threads.run(loaded.read)
        except RuneError as error:
            log.warning("%s: its lists stay as they were: %s", self.name, error)
            return
        former, now = self._offer.catalog, offer.catalog
        self._offer = offer
        for kind in ("tools", "prompts", "resources"):
            if _raw(former, kind) != _raw(now, kind):
                self.listeners.publish(Note(f"notifications/{kind}/list_changed"))

    async def _listen(self, request: Request) -> Result:
        loaded = await self._ready()
        uris = Filter.of(request).uris if loaded.offer.subscribes else frozenset()
        told: list[str] = []
        try:
            for uri in sorted(uris):
                await self._want(request, loaded, uri, 1)
                told.append(uri)
            return await self.listeners.serve(request)
        finally:
            for uri in told:
                await asyncio.shield(self._unwant(request, loaded, uri))

    async def _want(self, request: Request, loaded: Loaded, uri: str, step: int) -> None:
        """The guest hears of the first who wants to know, and of the last who does no more."""
        count = self._wanted[uri] = self._wanted.get(uri, 0) + step
        if not count:
            del self._wanted[uri]
        if count == (step > 0):

            def work(instance: Instance) -> Result:
                loaded.dialect.subscribe(instance, uri, step > 0)
                return Result.of({})

            await self._ask(request, work)

    async def _unwant(self, request: Request, loaded: Loaded, uri: str) -> None:
        try:
            await self._want(request, loaded, uri, -1)
        except RuneError as error:
            log.info("%s: unsubscribe %s: %s", self.name, uri, error)

    def status(self) -> dict[str, Any]:
        """For `rune doctor`."""
        task = self._loading
        failed = task.exception() if task is not None and task.done() and not task.cancelled() else None
        return {
            "name": self.name,
            "ok": self._loaded is not None,
            "state": "ready" if self._loaded is not None else "starting" if failed is None else "failed",
            "error": None if failed is None else str(failed),
            "hint": failed.hint if isinstance(failed, RuneError) else None,
            "stderr": "",
        }


def _look_at(path: Path) -> None:
    try:
        with path.open("rb") as file:
            check_kind(path.name, file.read(8))
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}", hint="check the path") from None


def _raw(catalog: Catalog, kind: str) -> list[bytes]:
    items = [*catalog.resources, *catalog.templates] if kind == "resources" else getattr(catalog, kind)
    return [item.raw for item in items]
