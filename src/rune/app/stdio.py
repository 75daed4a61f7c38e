"""Serve stdin and stdout: for a client that starts Rune itself."""

from __future__ import annotations

import asyncio
from typing import Any

from rune.app import Listen, dispatcher, turn
from rune.app.reload import Load, serving
from rune.build import House
from rune.gateway import Gateway
from rune.server.duplex import Duplex
from rune.source import Source
from rune.wires import Way
from rune.wires.stdio import StdioWire, claim_stdout


class StdioRim:
    """What faces the one client on stdio."""

    def __init__(self, gateway: Gateway, listen: Listen) -> None:
        self.listen = listen
        self.dispatcher = dispatcher(gateway, listen)

    def swap(self, gateway: Gateway, listen: Listen) -> None:
        """Put a newer gateway behind it."""
        turn(self.dispatcher, gateway, listen)

    def busy(self, source: Source) -> set[asyncio.Task[Any]]:
        """The requests under way that a source answers, or may be about to."""
        return self.dispatcher.busy(source)


async def serve(house: House, listen: Listen, *, load: Load | None = None) -> None:
    """Serve until stdin ends or a signal comes. What tools print goes to stderr. `load` reads the config again."""
    stdout = claim_stdout()
    rim = StdioRim(house.gateway, listen)

    def open_duplex(way: Way) -> Duplex:
        return Duplex(rim.dispatcher, way)

    async with serving(house, rim, load) as stop:
        wire = StdioWire(open_duplex, limit=listen.max_body, stdout=stdout)
        await wire.run(stop, rim.dispatcher.drain)
