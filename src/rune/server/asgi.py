"""Streamable HTTP and WebSocket as a plain ASGI app: mounts anywhere, holds no protocol of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from rune.errors import INVALID_REQUEST
from rune.protocol.jsonrpc import error_frame
from rune.request import ANONYMOUS
from rune.server.duplex import Duplex
from rune.server.endpoint import Endpoint, method_not_allowed, once
from rune.server.exchange import JSON, Headers
from rune.server.legacy.sse import SseTransport
from rune.wires import Way
from rune.wires.websocket import WebSocketWire

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

MAX_BODY: Final = 4 * 1024 * 1024
SOCKETS: Final = ("/", "/ws", "/mcp")


class AsgiOut:
    """An exchange over ASGI's receive and send."""

    __slots__ = ("_receive", "_send")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send

    async def respond(self, status: int, body: bytes, headers: Headers = (JSON,)) -> None:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def begin(self, status: int, headers: Headers) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def gone(self) -> None:
        while True:
            if (await self._receive())["type"] == "http.disconnect":
                return
            # The body has been read. Some middleware repeats it for ever instead of waiting: do not spin with it.
            await asyncio.sleep(1)


class App:
    """The ASGI application of one endpoint."""

    def __init__(self, endpoint: Endpoint, sse: SseTransport, *, path: str = "/mcp", max_body: int = MAX_BODY) -> None:
        self._endpoint = endpoint
        self._sse = sse
        self._sockets: set[tuple[Duplex, WebSocketWire]] = set()
        self._path = path
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await _lifespan(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        out = AsgiOut(receive, send)
        headers = once(scope["headers"])
        if headers is None:
            await out.respond(400, error_frame(None, INVALID_REQUEST, "a header that must be unique is there twice"))
            return
        path, method = scope["path"], scope["method"]
        if path == self._path and method == "POST":
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                body: bytes | None = message.get("body", b"")
                if body is None or len(body) > self._max_body:
                    await self._too_large(out)
                    return
            else:
                body = await self._rest(message, headers, receive, out)
            if body is not None:
                await self._endpoint.post(headers, body, out)
        elif path == "/health" and method in ("GET", "HEAD"):
            await out.respond(200, b'{"status":"ok"}')
        elif path in self._sse.paths:
            await self._old(scope, headers, receive, out)
        elif path != self._path:
            await out.respond(404, b'{"error":"not found; the endpoint is %b"}' % self._path.encode())
        elif method == "GET":
            await self._endpoint.get(headers, out)
        elif method == "DELETE":
            await self._endpoint.delete(headers, out)
        else:
            await out.respond(405, error_frame(None, INVALID_REQUEST, f"{method} is not allowed"), method_not_allowed())

    async def _old(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, out: AsgiOut) -> None:
        """HTTP+SSE of the first revision."""
        reason = self._endpoint.gate.refuse(headers)
        if reason is not None:
            await out.respond(403, error_frame(None, INVALID_REQUEST, reason))
            return
        query = scope["query_string"].decode("latin-1")
        post = scope["method"] == "POST"
        body = await self._rest(await receive(), headers, receive, out) if post else b""
        if body is not None:
            await self._sse.handle(scope["method"], scope["path"], query, body, out)

    async def _rest(
        self, message: Message, headers: Mapping[bytes, bytes], receive: Receive, out: AsgiOut
    ) -> bytes | None:
        """A body that comes in pieces; None when it was too large (413) or the client went away."""
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_body:
            await self._too_large(out)
            return None
        parts, size = [], 0
        while True:
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body:
                await self._too_large(out)
                return None
            if not message.get("more_body"):
                return b"".join(parts)
            message = await receive()

    async def _too_large(self, out: AsgiOut) -> None:
        text = f"the body is larger than {self._max_body} bytes (server.max_body)"
        await out.respond(413, error_frame(None, INVALID_REQUEST, text), (JSON, (b"connection", b"close")))

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = once(scope["headers"])
        if scope["path"] not in SOCKETS or headers is None or self._endpoint.gate.refuse(headers) is not None:
            await send({"type": "websocket.close", "code": 1008})
            return
        protocol = "mcp" if "mcp" in scope.get("subprotocols", ()) else None
        await send({"type": "websocket.accept", "subprotocol": protocol})
        wire = WebSocketWire(receive, send)
        duplexes: list[Duplex] = []

        def open_duplex(way: Way) -> Duplex:
            duplexes.append(Duplex(self._endpoint.dispatcher, way, ANONYMOUS))
            self._sockets.add((duplexes[0], wire))
            return duplexes[0]

        try:
            await wire.serve(open_duplex)
        finally:
            self._sockets.discard((duplexes[0], wire))

    async def close(self) -> None:
        """The server stops: end every stream and socket with what its revision says to the client."""
        await self._endpoint.close()
        await self._sse.close()
        for duplex, wire in tuple(self._sockets):
            await duplex.finish(1.0)
            await wire.stop()


async def _lifespan(receive: Receive, send: Send) -> None:
    """Nothing to do: whoever serves the app owns the gateway's life."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind.endswith("shutdown"):
            return
