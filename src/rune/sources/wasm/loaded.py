"""A component that was loaded: the template of its instances, and what the first of them has registered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wasmtime.component import Component, Linker

from rune.config.policy import PolicyTable, ServeMode
from rune.errors import ConfigError
from rune.sources.wasm.dialect import Dialect, Offer
from rune.sources.wasm.egress import Egress
from rune.sources.wasm.engine import Compilers, Machine, load
from rune.sources.wasm.guest import GuestDialect
from rune.sources.wasm.instance import Dead, Exports, Guest, Instance
from rune.sources.wasm.plain import PlainDialect
from rune.sources.wasm.pool import GRACE
from rune.sources.wasm.wasi import WasiDialect


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
        self.dialect: Dialect = dialect_of(name, self.exports, policy.serve_mode)
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
        with registering(self.name):
            instance = Instance(self, self.linker)
            offer = self.dialect.register(instance)
            let_go(instance)
            return offer

    async def close(self) -> None:
        """Its connections to the outside."""
        await self.egress.close()

    def make(self) -> Instance:
        """A further instance, where the first one was when it had registered."""
        instance = Instance(self, self.linker)
        self.dialect.rehearse(instance)
        return instance


def dialect_of(name: str, exports: Exports, mode: ServeMode) -> Dialect:
    """The kind of a component: what it exports says it.

    Raises:
        ConfigError: nothing of it could stay in `serve()`.
    """
    if WasiDialect.fits(exports):
        return WasiDialect(name, exports)
    if mode == "reentrant":
        raise ConfigError(
            f'{name}: serve_mode = "reentrant" is for components that export wasi:mcp/handlers', hint="take it out"
        )
    return GuestDialect(name, exports) if GuestDialect.fits(exports) else PlainDialect(name, exports)


@contextmanager
def registering(name: str) -> Iterator[None]:
    """What a guest does wrong while it registers is said of the component.

    Raises:
        ConfigError: it cannot run, or what it says cannot be.
    """
    try:
        yield
    except Dead as error:
        raise ConfigError(f"{name}: {error}", hint=_import_hint(str(error))) from None
    except ConfigError as error:
        raise ConfigError(f"{name}: {error.message}", hint=error.hint) from None


def let_go(guest: Guest) -> None:
    """It has said what it had to; one that stays in `serve()` has a moment to leave."""
    guest.close()
    if guest.seat is not None:
        guest.seat.join(GRACE)


def _import_hint(text: str) -> str | None:
    """What to do about an import that nobody offers."""
    if "wasi:http" in text:
        return "calls to the outside go through rune:guest/http, and a policy says where to"
    if "matching implementation was not found" in text:
        return "it was built for another host; it may import WASI 0.2, rune:guest and wasi:mcp"
    return None
