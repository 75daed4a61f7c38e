"""A Gateway becomes something that listens: `http` and `stdio` here, each loaded only where it is wanted."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from rune.gateway import Gateway
from rune.server.dispatch import Dispatcher

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Listen:
    """How to listen: the part of `[server]` that is not about the gateway itself. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 7331
    timeout: float | None = 60.0
    max_body: int = 4 * 1024 * 1024
    keep_alive: int = 75
    max_sessions: int = 10_000
    session_idle: float = 1800.0
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()


def dispatcher(gateway: Gateway, listen: Listen) -> Dispatcher:
    """The modern rim of a gateway."""
    return Dispatcher(gateway.handle, gateway.seal, gateway.identity.wire(), timeout=listen.timeout)


@asynccontextmanager
async def stop_on_signal() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set; a second one ends the process the hard way."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def stopped() -> None:
        stop.set()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    for number in SIGNALS:
        loop.add_signal_handler(number, stopped)
    try:
        yield stop
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
