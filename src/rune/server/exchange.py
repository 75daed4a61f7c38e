"""One HTTP exchange, whoever carries it: what a carrier offers, and the stream it becomes once something is emitted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from rune.server.dispatch import Answer
from rune.server.reply import Reply
from rune.server.run import Guard
from rune.wires import sse
from rune.wires.queue import FrameQueue

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

JSON: Final = (b"content-type", b"application/json")
SSE: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
USUAL: Final = b"application/json, text/event-stream"
"""What most clients accept."""
ROOM: Final = 16
"""Events that may wait before a producer of chunks is held back."""
BODY_TIMEOUT: Final = 30.0
"""Seconds that a body may take to arrive."""
DISCARD: Final = 64 * 1024 * 1024
"""Bytes of a body that is too large which are still read, so that its sender sees the answer."""
DISCARD_TIMEOUT: Final = 0.5
PATIENCE: Final = 30.0
"""Seconds that the rest of a stream may take to reach a client once its answer is complete."""


def too_large(limit: int) -> str:
    """What the sender of a body over the limit is told, with a 413."""
    return f"the body is larger than {limit} bytes (server.max_body)"


def prefers_sse(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a client names the event stream before JSON, as one does that wants to be able to resume."""
    accept = headers.get(b"accept", b"")
    if accept == USUAL:
        return False
    stream, json = accept.find(b"text/event-stream"), accept.find(b"application/json")
    return stream >= 0 and (json < 0 or stream < json)


class Out(Reply, Guard, kw_only=True):
    """What a carrier of HTTP offers to one exchange, and what can end it.

    It is the reply of a modern POST, too: silent until something is emitted, which turns the response into SSE.
    `stream` says that the client wants that anyway, `keep` is told of the stream.
    """

    stream: bool = False
    keep: Callable[[SseWriter], None] | None = None
    writer: SseWriter | None = None

    async def respond(self, status: int, body: bytes, headers: Headers = (JSON,)) -> None:
        """A whole response; content-length is added."""
        raise NotImplementedError

    async def begin(self, status: int, headers: Headers) -> None:
        """The head of a stream."""
        raise NotImplementedError

    async def write(self, data: bytes) -> None:
        """A piece of a stream; waits while the client does not read."""
        raise NotImplementedError

    async def end(self) -> None:
        """The end of a stream."""
        raise NotImplementedError

    async def gone(self) -> None:
        """Returns when the client has closed the connection, or the exchange is over."""
        raise NotImplementedError

    def push(self, frame: bytes, topic: str) -> None:
        if self.writer is None:
            self.writer = SseWriter(self)
            if self.keep is not None:
                self.keep(self.writer)
        self.writer.send(sse.encode(frame), topic)

    async def room(self) -> None:
        if self.writer is not None:
            await self.writer.room()

    async def finish(self, answer: Answer | None) -> None:
        """The answer, as JSON or as the last event; None when it was cancelled."""
        if answer is None:
            if self.writer is not None:
                await self.writer.abandon()
            return
        frame, status = answer
        if self.writer is None and not (self.stream and status == 200):
            await self.respond(status, frame)
        else:
            self.push(frame, "")
            if self.writer is not None:
                await self.writer.end()


class SseWriter:
    """Writes events to one client. The head goes out with the first event; an idle stream has no task of its own."""

    __slots__ = ("__weakref__", "_begun", "_out", "_pump", "_queue", "_room", "closed")

    def __init__(self, out: Out) -> None:
        self._out = out
        self._queue = FrameQueue()
        self._pump: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self._begun = False
        self.closed = False

    def send(self, event: bytes, topic: str = "") -> None:
        """Queue an encoded event; `topic` says what a notification is about, which may be coalesced."""
        if not self.closed:
            self._queue.push(event, topic)
            self.open()

    def open(self) -> None:
        """See to it that what waits is written, the head first of all."""
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._write())

    def comment(self) -> None:
        """A keep-alive for a stream that is open and idle."""
        if self._begun and not self._queue:
            self.send(sse.COMMENT)

    async def room(self) -> None:
        """Wait until the client has read most of what was sent."""
        if len(self._queue) >= ROOM:
            self._room = self._room or asyncio.Event()
            self._room.clear()
            await self._room.wait()

    async def _write(self) -> None:
        if not self._begun:
            self._begun = True
            await self._out.begin(200, SSE)
            if not self._queue:
                # A head alone may wait in some buffer on the way: push it out.
                await self._out.write(sse.COMMENT)
        while (event := self._queue.pop()) is not None:
            await self._out.write(event)
            if self._room is not None and len(self._queue) < ROOM:
                self._room.set()
        self._pump = None

    async def end(self) -> None:
        """Write what waits, then close. A client that does not read is given up after a while."""
        self.closed = True
        self.open()
        while (pump := self._pump) is not None:
            await asyncio.wait({pump}, timeout=PATIENCE)
            if not pump.done():
                await self.abandon()
                return
            self._pump = None
            if self._queue:
                self.open()
        await self._out.end()

    async def abandon(self) -> None:
        """Stop at once: the client is gone or its request was cancelled."""
        self.closed = True
        if self._room is not None:
            self._room.set()
        if self._pump is not None and not self._pump.done():
            self._pump.cancel()
            await asyncio.wait([self._pump])
