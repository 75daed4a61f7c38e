"""The transport of 2024-11-05: GET /sse opens the stream to the client, POST /messages brings what it says."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from rune.errors import INVALID_REQUEST
from rune.protocol.jsonrpc import error_frame
from rune.request import ANONYMOUS, Caller
from rune.server.dispatch import Dispatcher
from rune.server.duplex import Duplex
from rune.server.exchange import Out, SseWriter
from rune.wires import sse

MAX_STREAMS: Final = 10_000


class SseWay:
    """Frames as `message` events."""

    def __init__(self, writer: SseWriter) -> None:
        self._writer = writer

    def write(self, frame: bytes, topic: str) -> None:
        self._writer.send(sse.encode(frame, event="message"), topic)

    async def room(self) -> None:
        await self._writer.room()


class SseTransport:
    """All connections of that transport, at its two paths; those of a profile go on with its name."""

    def __init__(self, dispatcher: Dispatcher, profile: str = "") -> None:
        end = f"/{profile}" if profile else ""
        self.paths = (f"/sse{end}", f"/messages{end}")
        self._dispatcher = dispatcher
        self._open: dict[str, tuple[Duplex, SseWriter]] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def handle(
        self, method: str, path: str, query: str, body: bytes, out: Out, caller: Caller = ANONYMOUS
    ) -> None:
        """Answer a request for one of `paths`."""
        stream, messages = self.paths
        if path == stream and method == "GET":
            await self._stream(out, caller)
        elif path == messages and method == "POST":
            await self._message(query, body, out, caller)
        else:
            await out.respond(405, error_frame(None, INVALID_REQUEST, f"{method} is not allowed here"))

    async def _stream(self, out: Out, caller: Caller) -> None:
        if len(self._open) >= MAX_STREAMS:
            await out.respond(503, error_frame(None, INVALID_REQUEST, "too many open streams"))
            return
        id = self._dispatcher.seal.new_id("session")
        writer = SseWriter(out)
        duplex = Duplex(self._dispatcher, SseWay(writer), caller)
        self._open[id] = duplex, writer
        writer.send(sse.encode(f"{self.paths[1]}?session_id={id}".encode(), event="endpoint"))
        try:
            await out.gone()
        finally:
            self._open.pop(id, None)
            await writer.abandon()
            await duplex.close()

    async def _message(self, query: str, body: bytes, out: Out, caller: Caller) -> None:
        ids = parse_qs(query).get("session_id", [""])
        duplex, _ = self._open.get(ids[0], (None, None))
        if duplex is None or duplex.caller.subject != caller.subject:
            await out.respond(404, error_frame(None, INVALID_REQUEST, "no such session: open /sse again"))
            return
        duplex.feed(body)
        await out.respond(202, b"Accepted", ((b"content-type", b"text/plain"),))

    async def close(self) -> None:
        """End every stream: the server stops."""
        for duplex, writer in tuple(self._open.values()):
            await duplex.finish(1.0)
            await writer.end()
