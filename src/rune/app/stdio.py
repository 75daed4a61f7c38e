"""Serve stdin and stdout: for a client that starts Rune itself."""

from __future__ import annotations

from rune.app import Listen, dispatcher, stop_on_signal
from rune.gateway import Gateway
from rune.server.duplex import Duplex
from rune.wires import Way
from rune.wires.stdio import StdioWire, claim_stdout


async def serve(gateway: Gateway, listen: Listen | None = None) -> None:
    """Serve until stdin ends or a signal comes. What tools print goes to stderr."""
    listen = listen or Listen()
    stdout = claim_stdout()
    dispatch = dispatcher(gateway, listen)

    def open_duplex(way: Way) -> Duplex:
        return Duplex(dispatch, way)

    async with gateway, stop_on_signal() as stop:
        wire = StdioWire(open_duplex, limit=listen.max_body, stdout=stdout)
        await wire.run(stop, dispatch.drain)
