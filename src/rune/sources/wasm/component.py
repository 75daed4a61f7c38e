"""A WebAssembly component as a source: loaded in the background, registered once, answered by pooled instances."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, Self

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
from rune.sources.wasm.engine import Compilers
from rune.sources.wasm.exchange import Exchange
from rune.sources.wasm.instance import Dead, Guest, too_long
from rune.sources.wasm.loaded import Loaded
from rune.sources.wasm.pool import Pool
from rune.sources.wasm.stock import Stock

log = logging.getLogger("rune.wasm")

RETRY: Final = 10.0
"""Seconds after which a component that could not be fetched is tried again, if somebody asks for it."""
ASKED: Final = frozenset({"tools/call", "resources/read", "prompts/get", "completion/complete"})


class Origin(Protocol):
    """What instances come from: `read` makes one only to hear what it registers."""

    offer: Offer
    dialect: Dialect

    def read(self) -> Offer: ...

    def make(self) -> Guest: ...

    async def close(self) -> None: ...


class GuestSource(ABC):
    """A component as a source, whoever makes its instances. It is loaded while others are served; its catalog is there
    when that is done."""

    def __init__(self, name: str, policy: PolicyTable) -> None:
        self.name = name
        self.policy = policy
        self.listeners = Listeners()
        # Not those of the loop, which waits for its own at the end.
        self._threads = Threads(2)
        self._loading: asyncio.Task[Origin] | None = None
        self._loaded: Origin | None = None
        self._offer: Offer | None = None
        self.pool: Pool | None = None
        self._rereading: asyncio.Task[None] | None = None
        self._wanted: dict[tuple[str, str], int] = {}
        self._failed = 0.0

    @abstractmethod
    async def _origin(self) -> Origin:
        """Load it."""

    @abstractmethod
    def _spent(self) -> str:
        """What to think of when a guest fails."""

    # --- life ---

    async def __aenter__(self) -> Self:
        """Begin to load; nobody waits for it here."""
        self._begin()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in (self._rereading, self._loading):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self.pool is not None:
            await self.pool.close()
        if self._loaded is not None:
            await self._loaded.close()
        self._threads.close()
        self._loading = self.pool = self._loaded = None

    def _begin(self) -> asyncio.Task[Origin]:
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

    async def _load(self) -> Origin:
        try:
            loaded = await self._origin()
        except (Unavailable, TimedOut):
            self._failed = asyncio.get_running_loop().time()
            raise
        self.pool = Pool(self.name, loaded.make, self.policy)
        self._offer, self._loaded = loaded.offer, loaded
        self.pool.refill()
        return loaded

    async def _ready(self) -> Origin:
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
        return ProtocolError(
            INTERNAL_ERROR,
            f"{self.name}: {what}: the guest failed: {why}",
            hint=self._spent(),
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

    async def _want(self, request: Request, loaded: Origin, uri: str, step: int) -> None:
        """The guest hears of the first who wants to know, and of the last who does no more."""
        # Each caller's instance, where they have one of their own.
        key = uri, request.caller.subject if self.policy.isolation == "caller" else ""
        count = self._wanted[key] = self._wanted.get(key, 0) + step
        if not count:
            del self._wanted[key]
        if count == (step > 0):

            def work(instance: Guest) -> Result:
                loaded.dialect.subscribe(instance, uri, step > 0)
                return Result.of({})

            await self._ask(request, work)

    async def _unwant(self, request: Request, loaded: Origin, uri: str) -> None:
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


class WasmSource(GuestSource):
    """A component that lies in a file or on the shelf: compiled by us, and run under a policy."""

    def __init__(
        self,
        name: str,
        path: Path,
        policy: PolicyTable | None = None,
        cache: Path | None = None,
        stock: Stock | None = None,
    ) -> None:
        """Without a `stock` the component is what lies in the file, whatever it asks for."""
        super().__init__(name, policy or PolicyTable())
        self.path = path
        self._cache = cache
        self._stock = stock
        self._compilers = Compilers()
        if stock is None:
            _look_at(path)

    async def __aexit__(self, *exc: object) -> None:
        self._compilers.stop()
        await super().__aexit__(*exc)

    async def _origin(self) -> Origin:
        path, known = self.path, ""
        if self._stock is not None:
            path, known, *_ = await self._stock.find()
        make = partial(Loaded, self.name, path, self.policy, self._cache, self._compilers, known)
        return await self._threads.run(make)

    def _spent(self) -> str:
        memory = self.policy.limits.memory >> 20
        return f"it may use {memory} MiB (limits.memory); its next call gets a new instance"


def _look_at(path: Path) -> None:
    try:
        with path.open("rb") as file:
            check_kind(path.name, file.read(8))
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}", hint="check the path") from None


def _raw(catalog: Catalog, kind: str) -> list[bytes]:
    items = [*catalog.resources, *catalog.templates] if kind == "resources" else getattr(catalog, kind)
    return [item.raw for item in items]
