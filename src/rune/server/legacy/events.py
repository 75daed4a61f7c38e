"""Streams of a session that a client may lose and take up again (SSE resumption by Last-Event-ID)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from rune.server.exchange import SseWriter
from rune.wires import sse

EVENTS: Final = 1024
"""Events that one stream keeps for a client that comes back."""
BYTES: Final = 4 * 1024 * 1024
RETRY: Final = 500
"""Milliseconds after which a client that was released should come back."""


class EventStream:
    """A numbered stream of one session, written to one client connection at a time and kept for the next."""

    def __init__(self, name: str, *, priming: bool) -> None:
        self.name = name
        self.done = False
        self._priming = priming
        self._log: deque[tuple[int, bytes, str]] = deque()
        self._size = 0
        self._next = 1
        self._writer: SseWriter | None = None
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def attached(self) -> bool:
        """Whether a client is reading it now."""
        return self._writer is not None

    def push(self, frame: bytes, topic: str) -> None:
        """Add a frame; it is kept, and written when a client is there."""
        event = sse.encode(frame, id=f"{self.name}-{self._next}")
        self._log.append((self._next, event, topic))
        self._next += 1
        self._size += len(event)
        while len(self._log) > EVENTS or (self._size > BYTES and len(self._log) > 1):
            self._size -= len(self._log.popleft()[1])
        if self._writer is not None:
            self._writer.send(event, topic)

    async def room(self) -> None:
        if self._writer is not None:
            await self._writer.room()

    def attach(self, writer: SseWriter, after: int | None = None) -> None:
        """Write from now on to this client, first what it has missed."""
        self.detach()
        self._writer = writer
        if self._priming and after is None:
            # An event with an id and no data: from here on the client can come back (2025-11-25).
            writer.send(sse.encode(b"", id=f"{self.name}-0", retry=RETRY))
        else:
            writer.open()
        for number, event, topic in self._log:
            if number > (after or 0):
                writer.send(event, topic)
        if self.done:
            self.release()

    def detach(self, writer: SseWriter | None = None) -> None:
        """The client is gone, or another connection takes over; what comes is kept."""
        if self._writer is not None and writer in (None, self._writer):
            self.release()

    def release(self) -> None:
        """Close the connection; the stream goes on without it."""
        writer, self._writer = self._writer, None
        if writer is not None:
            task = asyncio.create_task(writer.end())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def finish(self, frame: bytes | None) -> None:
        """The last frame of the stream."""
        if frame is not None:
            self.push(frame, "")
        self.done = True
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.end()
