"""A wire inside one process: for tests, and for whoever wants frames without a transport."""

from __future__ import annotations

import asyncio
from typing import Self

from rune.wires import Open


class MemoryWire:
    """Both ends of a wire: what a client would send goes in by `send`, what it would get comes out by `receive`."""

    def __init__(self, open: Open) -> None:
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()
        self._peer = open(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._peer.close()

    def write(self, frame: bytes, topic: str) -> None:
        self._frames.put_nowait(frame)

    async def room(self) -> None:
        """There is always room."""

    def send(self, frame: bytes) -> None:
        """What the client says."""
        self._peer.feed(frame)

    async def receive(self, timeout: float = 5.0) -> bytes:
        """The next frame for the client.

        Raises:
            TimeoutError: when none comes in time.
        """
        async with asyncio.timeout(timeout):
            return await self._frames.get()

    async def finish(self, patience: float = 1.0) -> None:
        """Let what is in flight end."""
        await self._peer.finish(patience)
