"""Connections without sockets, and servers that say exactly what they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

from rune.net.http1 import Connection
from rune.net.policy import Limits
from rune.net.response import Response

Serve = Callable[["Raw", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Pipe(asyncio.Transport):
    """Keeps what is written; says when it was paused or aborted."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.aborted = False
        self.paused = 0
        self.unsent = 0

    def write(self, data):
        self.sent += data

    def writelines(self, data):
        self.sent += b"".join(data)

    def abort(self):
        self.aborted = True

    def is_closing(self):
        return self.aborted

    def pause_reading(self):
        self.paused += 1

    def resume_reading(self):
        self.paused -= 1

    def get_write_buffer_size(self):
        return self.unsent


class Wire:
    """One connection whose server is the test."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.pipe = Pipe()
        self.free: list[Connection] = []
        self.lost: list[Connection] = []
        self.connection = Connection("web", limits or Limits(), {}, self.free.append, self.lost.append)
        self.connection.connection_made(self.pipe)

    def ask(self) -> asyncio.Future[Response]:
        return self.connection.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n", b"")

    def feed(self, parts: Iterable[bytes]) -> None:
        """As a transport would: nothing after the end."""
        for part in parts:
            if part and not self.pipe.aborted:
                self.connection.data_received(part)

    def end(self, error: Exception | None = None) -> None:
        if not self.connection.lost or self.pipe.aborted:
            self.connection.connection_lost(error)


async def read(answer: Awaitable[Response]) -> tuple[Response, bytes]:
    """An answer with all of its body."""
    async with asyncio.timeout(30):
        response = await answer
        parts = []
        while part := await response.some():
            parts.append(part)
        return response, b"".join(parts)


class Raw:
    """What a raw server has seen."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/mcp"
        self.accepted = 0
        self.closed = 0
        self.heads: list[bytes] = []

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """One request with its body; empty when there is none any more."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self.heads.append(head)
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if length:
            await reader.readexactly(int(length))
        return head


@asynccontextmanager
async def raw(serve: Serve, **options) -> AsyncIterator[Raw]:
    """A server on loopback whose connections are served by one function."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        site.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(site, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            site.closed += 1
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, **options)
    site = Raw(server.sockets[0].getsockname()[1])
    try:
        yield site
    finally:
        server.close()
        waiting = tuple(tasks)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def answer(body: bytes = b"hello", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = b"".join(b"%b\r\n" % header for header in headers)
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, lines, len(body), body)


async def polite(site: Raw, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers for ever."""
    while await site.request(reader):
        writer.write(answer())
        await writer.drain()
