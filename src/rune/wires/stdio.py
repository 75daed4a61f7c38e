"""Newline-delimited frames over this process's own stdin and stdout. Reads and writes are batched: one system call
carries all that is there."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import threading
from collections.abc import Callable
from typing import Final

from rune.wires import Open, Peer
from rune.wires.queue import FrameQueue

CHUNK: Final = 256 * 1024
PATIENCE: Final = 3.0
"""Seconds that requests in flight have after the end of stdin."""


class Lines:
    """Cuts bytes into lines and bounds their length."""

    def __init__(self, peer: Peer, limit: int) -> None:
        self._peer = peer
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = False

    def feed(self, data: bytes) -> None:
        """Hand every line that is complete to the peer."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self._parts:
                line = b"".join((*self._parts, line))
                self._parts.clear()
                self._size = 0
            if self._skipping or len(line) > self._limit:
                self._skip()
                self._skipping = False
            elif line and not line.isspace():
                self._peer.feed(line)
        if rest:
            self._size += len(rest)
            if self._size > self._limit:
                self._skip()
                self._skipping = True
            else:
                self._parts.append(rest)

    def _skip(self) -> None:
        """Forget a line that is too long; say so once."""
        if not self._skipping:
            self._peer.oversize(self._limit)
        self._parts.clear()
        self._size = 0

    def end(self) -> None:
        """The last line needs no line end."""
        if self._parts:
            self.feed(b"\n")


class _Reader(asyncio.Protocol):
    def __init__(self, received: Callable[[bytes], None], done: asyncio.Event) -> None:
        self.data_received = received  # type: ignore[assignment, method-assign]
        self._done = done

    def connection_lost(self, exc: Exception | None) -> None:
        self._done.set()


class StdioWire(asyncio.Protocol):
    """The wire of a server that was started by its client."""

    def __init__(self, open: Open, *, limit: int, stdin: int = 0, stdout: int = 1) -> None:
        self._stdin = stdin
        self._stdout = stdout
        self._peer = open(self)
        self._lines = Lines(self._peer, limit)
        self._queue = FrameQueue()
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()
        self._flushing = False
        self._waiting = False
        self._reading: asyncio.ReadTransport | None = None
        self._writing: asyncio.WriteTransport | None = None

    def write(self, frame: bytes, topic: str) -> None:
        self._queue.push(frame, topic)
        self._waiting = True
        if not self._flushing and self._free.is_set():
            self._flushing = True
            self._loop.call_soon(self._flush)

    async def room(self) -> None:
        await self._free.wait()

    def _received(self, data: bytes) -> None:
        """What stdin has brought. The answers that are ready at once leave in one write, without a turn of the loop."""
        self._flushing = True
        try:
            self._lines.feed(data)
        finally:
            self._flushing = False
            if self._waiting and self._free.is_set():
                self._flush()

    def _flush(self) -> None:
        self._flushing = self._waiting = False
        frames = self._queue.drain()
        if not frames:
            return
        frames.append(b"")
        data = b"\n".join(frames)
        if self._writing is not None:
            self._writing.write(data)
        else:
            _write_all(self._stdout, data)

    # The write transport's protocol: back-pressure reaches the reader, so a client that does not read is not read.

    def pause_writing(self) -> None:
        self._free.clear()
        if self._reading is not None and not self._reading.is_closing():
            self._reading.pause_reading()

    def resume_writing(self) -> None:
        self._free.set()
        self._flush()
        if self._reading is not None and not self._reading.is_closing():
            self._reading.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._free.set()
        self._done.set()

    async def run(self, stop: asyncio.Event, drain: Callable[[], None]) -> None:
        """Serve until stdin ends, stdout breaks or `stop` is set; then `drain` ends what would go on for ever."""
        await self._open()
        waits = [asyncio.create_task(self._done.wait()), asyncio.create_task(stop.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        self._lines.end()
        drain()
        await self._peer.finish(PATIENCE)
        await self._peer.close()
        await asyncio.sleep(0)
        self._flush()
        await self._close()

    async def _open(self) -> None:
        if _is_stream(self._stdout):
            transport, _ = await self._loop.connect_write_pipe(lambda: self, os.fdopen(self._stdout, "wb", 0))
            self._writing = transport
        if _is_stream(self._stdin):
            received, done = self._received, self._done
            reading, _ = await self._loop.connect_read_pipe(
                lambda: _Reader(received, done), os.fdopen(self._stdin, "rb", 0, closefd=False)
            )
            self._reading = reading
        else:
            threading.Thread(target=self._read_file, name="rune-stdin", daemon=True).start()

    def _read_file(self) -> None:
        """Event loops cannot wait for plain files, so a thread reads them."""
        while data := os.read(self._stdin, CHUNK):
            self._loop.call_soon_threadsafe(self._received, data)
        self._loop.call_soon_threadsafe(self._done.set)

    async def _close(self) -> None:
        if self._reading is not None:
            self._reading.close()
        if self._writing is not None:
            if self._writing.get_write_buffer_size():
                self._writing.set_write_buffer_limits(0)
                await asyncio.wait_for(self._free.wait(), PATIENCE)
            self._writing.close()


def claim_stdout() -> int:
    """A private copy of stdout for the frames; what else prints goes to stderr, so that it cannot break one."""
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    return private


def _is_stream(fd: int) -> bool:
    """Pipes, sockets and terminals, which an event loop can wait for."""
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and os.isatty(fd))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
