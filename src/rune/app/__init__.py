"""A Gateway becomes something that listens: `http` and `stdio` here, each loaded only where it is wanted."""

from __future__ import annotations

from dataclasses import dataclass

from rune.config.model import ServerTable
from rune.gateway import Gateway
from rune.server.dispatch import Dispatcher


@dataclass(frozen=True, slots=True)
class Listen:
    """How to listen: the part of `[server]` that is not about the gateway itself. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 7331
    timeout: float = 60.0
    max_body: int = 4 * 1024 * 1024
    keep_alive: int = 75
    max_sessions: int = 10_000
    session_idle: float = 1800.0
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()


def listening(table: ServerTable) -> Listen:
    """The part of `[server]` that says how to listen."""
    return Listen(**{name: getattr(table, name) for name in Listen.__dataclass_fields__})


def dispatcher(gateway: Gateway, listen: Listen) -> Dispatcher:
    """The modern rim of a gateway."""
    return Dispatcher(gateway.handle, gateway.seal, gateway.identity.wire(), timeout=listen.timeout)


def turn(dispatcher: Dispatcher, gateway: Gateway, listen: Listen) -> None:
    """The same rim, before another gateway."""
    dispatcher.serve(gateway.handle, gateway.identity.wire())
    dispatcher.timeout = listen.timeout
