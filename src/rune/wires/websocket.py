"""One WebSocket connection as an ASGI server hands it over: one JSON-RPC message per text frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any, Final, TypeAlias

from rune.wires import Open
from rune.wires.queue import FrameQueue

Receive: TypeAlias = Callable[[], Coroutine[Any, Any, MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Coroutine[Any, Any, None]]

ROOM: Final = 64
GOING_AWAY: Final = 1001


class WebSocketWire:
    """The sending half with its queue, and the loop that reads."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._queue = FrameQueue()
        self._pump: asyncio.Task[None] | None = None
        self._free = asyncio.Event()
        self._free.set()
        self._closed = False

    def write(self, frame: bytes, topic: str) -> None:
        if self._closed:
            return
        self._queue.push(frame, topic)
        if len(self._queue) >= ROOM:
            self._free.clear()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._write())

    async def room(self) -> None:
        await self._free.wait()

    async def _write(self) -> None:
        while (frame := self._queue.pop()) is not None:
            try:
                await self._send({"type": "websocket.send", "text": frame.decode()})
            except OSError:
                # The client is gone (ASGI, send on a closed connection). The reader learns of it and ends the peer.
                self._closed = True
                self._queue.drain()
            if len(self._queue) < ROOM:
                self._free.set()

    async def serve(self, open: Open) -> None:
        """Read until the client closes. A client that does not read its answers is not read either."""
        peer = open(self)
        try:
            while True:
                message = await self._receive()
                if message["type"] != "websocket.receive":
                    return
                text = message.get("text")
                peer.feed(text.encode("utf-8", "surrogatepass") if text is not None else message.get("bytes") or b"")
                await self._free.wait()
        finally:
            self._closed = True
            await peer.close()

    async def stop(self) -> None:
        """The server stops: write what waits, then say goodbye."""
        if self._pump is not None:
            await asyncio.wait([self._pump], timeout=1)
        if not self._closed:
            self._closed = True
            await self._send({"type": "websocket.close", "code": GOING_AWAY})
