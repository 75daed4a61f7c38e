"""The public library for components: `Host` and `add_to_linker` for a wasmtime program of one's own, and backends.

Needs the extra `rune-mcp[wasm]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rune.app import Listen, http, stdio
from rune.build import House, housing
from rune.gateway import Identity
from rune.sources.wasm.host import GuestHost, add_to_linker

__all__ = ["Backend", "Host", "HttpBackend", "StdioBackend", "WebSocketBackend", "add_to_linker"]


class Backend(Protocol):
    """What carries the messages of a host."""

    async def run(self, house: House) -> None:
        """Serve until the end."""
        ...


class StdioBackend:
    """stdin and stdout: for a client that starts this program. What the program prints goes to stderr."""

    async def run(self, house: House) -> None:
        """Serve until stdin ends or a signal comes."""
        await stdio.serve(house, Listen())


@dataclass(frozen=True, slots=True)
class HttpBackend:
    """Streamable HTTP at `/mcp`, for all revisions. Port 0 takes a free one; `ready` gets the URL once it is open.

    The same port takes WebSocket upgrades.
    """

    host: str = "127.0.0.1"
    port: int = 7331
    ready: Callable[[str], None] | None = None

    scheme = "http"

    async def run(self, house: House) -> None:
        """Serve until a signal comes."""
        host = f"[{self.host}]" if ":" in self.host else self.host

        def opened(port: int) -> None:
            if self.ready is not None:
                self.ready(f"{self.scheme}://{host}:{port}/mcp")

        await http.serve(house, Listen(host=self.host, port=self.port), ready=opened)


@dataclass(frozen=True, slots=True)
class WebSocketBackend(HttpBackend):
    """WebSocket at `/`, `/ws` and `/mcp`, one message in each text frame. It is the server of `HttpBackend`, under the
    other name."""

    scheme = "ws"


class Host(GuestHost):
    """An MCP server out of one component. Also a source: `async with Client(host)` reaches it in this process."""

    async def serve(self, backend: Backend | None = None) -> None:
        """Serve the component that was opened, on stdin and stdout if nothing else is said.

        Raises:
            ConfigError: the component cannot be used, or the address cannot be had.
        """
        said = await self.identity()
        identity = Identity(name=str(said.get("name", self.name)), version=str(said.get("version", "0")))
        async with housing(self, identity) as house:
            await (StdioBackend() if backend is None else backend).run(house)

    def run(self, backend: Backend | None = None) -> None:
        """The same, for a program that has no loop yet."""
        asyncio.run(self.serve(backend))
