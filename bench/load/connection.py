"""An HTTP/1.1 connection of the load generator: one request in flight, as much of HTTP as MCP servers answer with."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from bench.load.messages import WrongAnswer


class Reply(NamedTuple):
    status: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        return header(self.head, self.head.lower(), name)


class Connection(asyncio.Protocol):
    """It keeps alive and understands Content-Length, chunks and event streams that end."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self.closed = False
        self._buffer = b""
        self._waiter: asyncio.Future[Reply] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # of a stream, whatever its class

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(WrongAnswer("the server closed the connection before it answered"))

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            return
        self._buffer = self._buffer + data if self._buffer else data
        try:
            reply = self.read(self._buffer)
        except (WrongAnswer, ValueError) as error:
            self._waiter.set_exception(WrongAnswer(f"not a response: {error}: {self._buffer[:300]!r}"))
            return
        if reply is not None:
            self._buffer = b""
            self._waiter.set_result(reply)

    def read(self, buffer: bytes) -> Reply | None:
        return read_reply(buffer)

    def exchange(self, request: bytes) -> asyncio.Future[Reply]:
        """Send a request; the future is its response."""
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiter

    def cut(self) -> None:
        """Close it without a word."""
        if self._transport is not None:
            self._transport.abort()


class Stream(Connection):
    """A connection whose response is an event stream that stays open: the reply is there when its head is."""

    def read(self, buffer: bytes) -> Reply | None:
        head, found, rest = buffer.partition(b"\r\n\r\n")
        return Reply(int(head[9:12]), head, rest) if found else None


def read_reply(buffer: bytes) -> Reply | None:
    """The response in the buffer, None while a part of it is missing."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, start = buffer[:end], end + 4
    lower = head.lower()
    status = int(head[9:12])
    length = header(head, lower, b"content-length")
    if length is not None:
        if len(buffer) < start + int(length):
            return None
        body = buffer[start : start + int(length)]
    elif b"transfer-encoding: chunked" in lower:
        chunks = read_chunks(buffer, start)
        if chunks is None:
            return None
        body = chunks
    elif status in (202, 204):
        body = b""
    else:
        raise WrongAnswer("its length is not known")
    if b"content-type: text/event-stream" in lower:
        body = last_event(body)
    return Reply(status, head, body)


def header(head: bytes, lower: bytes, name: bytes) -> bytes | None:
    """The value of a header; `lower` is the same head in lower case, `name` is lower already."""
    start = lower.find(b"\r\n" + name + b":")
    if start < 0:
        return None
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return (head[start:end] if end > 0 else head[start:]).strip()


def read_chunks(buffer: bytes, start: int) -> bytes | None:
    """A chunked body, None while a part of it is missing."""
    if not buffer.endswith(b"0\r\n\r\n"):
        return None
    parts: list[bytes] = []
    while True:
        end = buffer.find(b"\r\n", start)
        if end < 0:
            return None
        size = int(buffer[start:end].partition(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        start = end + 2 + size + 2
        if len(buffer) < start:
            return None
        parts.append(buffer[end + 2 : start - 2])


def last_event(body: bytes) -> bytes:
    """The data of the last event that has any: the answer stands behind notes and a priming event."""
    lines = [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]
    return next((line for line in reversed(lines) if line), b"")
