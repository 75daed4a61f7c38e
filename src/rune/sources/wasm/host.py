"""Components in a wasmtime program of somebody else: its engine, linker, stores; our `wasi:mcp` and `rune:guest`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from wasmtime import Store, WasmtimeError
from wasmtime.component import Component, Linker

from rune.config.policy import Isolation, LimitsTable, NetworkTable, PolicyTable, ServeMode
from rune.config.sizes import Size
from rune.errors import METHOD_NOT_FOUND, ConfigError, ProtocolError
from rune.request import Request, Result
from rune.sources.wasm.component import GuestSource, Origin
from rune.sources.wasm.dialect import Dialect, Offer, decode
from rune.sources.wasm.egress import Egress
from rune.sources.wasm.engine import gist
from rune.sources.wasm.guest import GuestDialect
from rune.sources.wasm.instance import Dead, Exports, Guest
from rune.sources.wasm.loaded import dialect_of, let_go, registering
from rune.sources.wasm.seat import Seat
from rune.sources.wasm.wasi import WasiDialect

Stores: TypeAlias = Callable[[], Store]


def add_to_linker(linker: Linker, host: GuestHost) -> None:
    """Define what components of MCP import: `wasi:mcp/runtime` and `types`, `rune:guest/host`, and `rune:guest/http`,
    which leads where the host says. WASI itself, and all else, is the caller's to define."""
    WasiDialect.link(linker)
    GuestDialect.link(linker)
    host.egress.link(linker)
    host.linker = linker


class GuestHost(GuestSource):
    """Serves one component out of a linker: see `open`. `output` bounds an answer in bytes, `concurrency` how many
    instances there are at the same time; what else they may do is up to the stores.

    `isolation` says who shares an instance: nobody ("call"), the calls of one caller ("caller"), or all ("shared").
    With `serve_mode` "reentrant" guests may stay in `serve()`. `network` are the hosts that they may call through us,
    as in a policy: `[{"host": "api.example.org", "inject": {…}}]`.
    """

    def __init__(
        self,
        name: str = "component",
        *,
        isolation: Isolation = "call",
        serve_mode: ServeMode = "return",
        network: Sequence[Mapping[str, Any]] = (),
        output: int = 4 << 20,
        concurrency: int = 4,
    ) -> None:
        limits = LimitsTable(output=Size(output), concurrency=concurrency)
        try:
            hosts = msgspec.convert(network, tuple[NetworkTable, ...])
        except msgspec.ValidationError as error:
            raise ConfigError(f"{name}: network: {error}") from None
        super().__init__(name, PolicyTable(isolation=isolation, serve_mode=serve_mode, network=hosts, limits=limits))
        self.egress = Egress(name, self.policy)
        self.linker: Linker | None = None
        self._component: Component | None = None
        self._stores: Store | Stores | None = None

    def open(self, component: Component, stores: Store | Stores) -> None:
        """Serve this component. `stores` makes a store for each instance, which is closed with it. A store in its place
        is all there will be: its one instance is shared, and gone for good when it traps.

        Raises:
            ConfigError: the linker is not known yet.
        """
        if self.linker is None:
            raise ConfigError(f"{self.name}: no linker", hint="add_to_linker(linker, host) comes first")
        if isinstance(stores, Store):
            limits = msgspec.structs.replace(self.policy.limits, concurrency=1)
            self.policy = msgspec.structs.replace(self.policy, isolation="shared", limits=limits)
        self._component, self._stores = component, stores

    async def elicit(self, message: str, fields: list[dict[str, Any]]) -> Any:
        """Have a guest of `wasi:mcp` fill in a form: each of the `fields` has `name`, `field-type`, and may have
        `description` and `required`.

        Raises:
            ProtocolError, NotFound: what the guest says instead, or it cannot.
        """
        loaded = await self._ready()
        dialect = loaded.dialect
        if not isinstance(dialect, WasiDialect):
            raise ProtocolError(METHOD_NOT_FOUND, f"{self.name}: only guests of wasi:mcp fill in forms")

        def work(instance: Guest) -> Result:
            known = {"description": None, "required": None}
            return Result(dialect.elicit(instance, message, [{**known, **each} for each in fields]))

        return decode((await self._ask(Request("elicitation/create"), work)).raw)

    async def identity(self) -> dict[str, Any]:
        """What the component says it is.

        Raises:
            ConfigError: it cannot be used, and why.
        """
        await self._ready()
        assert self._offer is not None, "what is loaded has said what it offers"
        return self._offer.identity

    async def _origin(self) -> Origin:
        component, linker, stores = self._component, self.linker, self._stores
        if component is None or linker is None or stores is None:
            raise ConfigError(f"{self.name}: no component", hint="host.open(component, stores) comes first")
        return await self._threads.run(lambda: Borrowed(self, component, linker, stores))

    def _spent(self) -> str:
        if isinstance(self._stores, Store):
            return "its store cannot be used any more; a function that makes stores, given to open, has another one"
        return "its next call gets a new instance"


class Lone(Guest):
    """An instance in a store that was made for it."""

    def free(self) -> None:
        """The store goes with it."""
        self.store.close()


class Borrowed:
    """A component whose stores others make."""

    def __init__(self, host: GuestHost, component: Component, linker: Linker, stores: Store | Stores) -> None:
        self._host = host
        self._component = component
        self._linker = linker
        self._stores = stores
        self._exports = Exports(component, linker.engine)
        self._only: Guest | None = None
        self.dialect: Dialect = dialect_of(host.name, self._exports, host.policy.serve_mode)
        self.offer = self.read()

    def read(self) -> Offer:
        """What a fresh instance registers.

        Raises:
            ConfigError: it cannot run, or what it says cannot be; or there is no fresh one.
        """
        name = self._host.name
        if self._only is not None:
            raise ConfigError(f"{name}: its lists are read when it starts, and there is one store for all its life")
        with registering(name):
            guest = self._guest()
            offer = self.dialect.register(guest)
        if isinstance(self._stores, Store):
            guest.life = math.inf
            self._only = guest
        else:
            let_go(guest)
        return offer

    def make(self) -> Guest:
        """A further instance, or the only one.

        Raises:
            Dead: there is none any more.
        """
        if isinstance(self._stores, Store):
            assert self._only is not None, "it has registered"
            if self._only.dead:
                raise Dead("its only instance has failed before")
            return self._only
        guest = self._guest()
        self.dialect.rehearse(guest)
        return guest

    def _guest(self) -> Guest:
        lasting = isinstance(self._stores, Store)
        store = self._stores if isinstance(self._stores, Store) else self._stores()
        guest = (Guest if lasting else Lone)(self._host.name, self._exports, self._host.policy.limits.output)
        if self._host.policy.serve_mode == "reentrant":
            guest.seat = Seat(guest)
        with guest:
            try:
                guest.bind(store, self._linker.instantiate(store, self._component))
            except WasmtimeError as error:
                raise Dead(gist(error)) from None
        return guest

    async def close(self) -> None:
        """Let the only instance go; the stores are not ours."""
        await self._host.egress.close()
        if self._only is not None and self._only.seat is not None:
            self._only.seat.leave()
