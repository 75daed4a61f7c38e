"""What passing bytes on costs at least: `python -m bench.limit.relay PORT URL` copies between a client and a server."""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlsplit

import uvloop


class Behind(asyncio.Protocol):
    """The connection to the server."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream

    def data_received(self, data: bytes) -> None:
        assert self._front.transport is not None
        self._front.transport.write(data)


class Front(asyncio.Protocol):
    """The connection of a client. What it sends before the server is reached waits."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._behind = Behind(self)
        self._early = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self._behind, self._host, self._port)
        assert self._behind.transport is not None
        self._behind.transport.write(self._early)

    def data_received(self, data: bytes) -> None:
        if self._behind.transport is None:
            self._early += data
        else:
            self._behind.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._opening.cancel()
        if self._behind.transport is not None:
            self._behind.transport.close()


async def main(port: int, url: str) -> None:
    upstream = urlsplit(url)
    host, behind = upstream.hostname or "", upstream.port or 80
    server = await asyncio.get_running_loop().create_server(lambda: Front(host, behind), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
