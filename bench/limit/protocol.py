"""The lean core on an asyncio.Protocol of its own, the floor under HTTP: `python -m bench.limit.protocol PORT`."""

from __future__ import annotations

import asyncio
import gc
import sys

import uvloop
from httptools import HttpRequestParser

from bench.limit import core

BEGIN = {
    200: b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ",
    202: b"HTTP/1.1 202 Accepted\r\ncontent-length: ",
    400: b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ",
    404: b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: ",
}


class Exchange(asyncio.Protocol):
    """Requests of one connection. A client has one in flight, so answers cannot overtake each other."""

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._headers: dict[str, str] = {}
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # of a stream, whatever its class

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers = {}
        self._body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower().decode("latin1")] = value.decode("latin1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"DELETE":
            self._send(202, b"", None)
        else:
            core.begin(self._loop, self._answer(self._body, self._headers))

    async def _answer(self, body: bytes, headers: dict[str, str]) -> None:
        self._send(*await core.post(body, headers))

    def _send(self, status: int, body: bytes, session: str | None) -> None:
        if self._transport is not None:
            extra = b"mcp-session-id: " + session.encode() + b"\r\n\r\n" if session else b"\r\n"
            self._transport.write(BEGIN[status] + b"%d\r\n" % len(body) + extra + body)


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Exchange, "127.0.0.1", port, backlog=2048)
    gc.collect()
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
