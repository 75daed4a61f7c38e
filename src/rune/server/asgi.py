"""Streamable HTTP and WebSocket as a plain ASGI app: mounts anywhere, holds no protocol of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

from rune.errors import INVALID_REQUEST, TimedOut, Unavailable
from rune.protocol.jsonrpc import error_frame
from rune.request import ANONYMOUS
from rune.server.duplex import Duplex
from rune.server.endpoint import Endpoint, method_not_allowed, once
from rune.server.exchange import BODY_TIMEOUT, DISCARD, DISCARD_TIMEOUT, JSON, Headers, too_large
from rune.server.legacy.sse import SseTransport
from rune.server.run import Guard, begin, guarded
from rune.wires import Way
from rune.wires.websocket import WebSocketWire

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Coroutine[Any, Any, Message]]
Send: TypeAlias = Callable[[Message], Coroutine[Any, Any, None]]

MAX_BODY: Final = 4 * 1024 * 1024
PATIENCE: Final = 2.0
"""Seconds that requests in flight have when the server stops."""
CLOSE: Final = (JSON, (b"connection", b"close"))
SOCKETS: Final = ("/", "/ws")


class AsgiOut:
    """An exchange over ASGI's receive and send."""

    __slots__ = ("_receive", "_send", "_watcher")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._watcher: asyncio.Task[None] | None = None

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

    def watch(self, gone: Callable[[], None]) -> None:
        self._watcher = asyncio.create_task(self._watch(gone))

    async def _watch(self, gone: Callable[[], None]) -> None:
        await self.gone()
        gone()

    def close(self) -> None:
        """The exchange is over."""
        if self._watcher is not None:
            self._watcher.cancel()


class App:
    """The ASGI application: one endpoint for all there is, and below its path one for each profile."""

    def __init__(self, endpoint: Endpoint, sse: SseTransport, *, path: str = "/mcp", max_body: int = MAX_BODY) -> None:
        self.endpoint = endpoint
        self.path = path
        self.lanes: dict[bytes, Endpoint] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._sockets: set[tuple[Endpoint, Duplex, WebSocketWire]] = set()
        self._reading: set[Guard] = set()
        self._old: dict[str, tuple[Endpoint, SseTransport]] = {}
        self._max_body = max_body
        self.open("", endpoint, sse)

    def open(self, profile: str, endpoint: Endpoint, sse: SseTransport) -> None:
        """Serve a profile, or all there is when its name is empty."""
        path = f"{self.path}/{profile}" if profile else self.path
        self._endpoints[path] = self.lanes[path.encode()] = endpoint
        self._old |= dict.fromkeys(sse.paths, (endpoint, sse))

    async def shut(self, profile: str, patience: float) -> None:
        """Serve a profile no longer; what is in flight there has its time."""
        path = f"{self.path}/{profile}"
        endpoint = self._endpoints.pop(path)
        del self.lanes[path.encode()]
        for name in [name for name, (owner, _) in self._old.items() if owner is endpoint]:
            _, sse = self._old.pop(name)
        await self._end(endpoint, sse, patience)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await _lifespan(receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        out = AsgiOut(receive, send)
        try:
            await self._answer(scope, receive, out)
        finally:
            out.close()

    async def _answer(self, scope: Scope, receive: Receive, out: AsgiOut) -> None:
        headers = once(scope["headers"])
        if headers is None:
            await out.respond(400, error_frame(None, INVALID_REQUEST, "a header that must be unique is there twice"))
            return
        body = await self._body(headers, receive, out)
        if body is None:
            return
        path, method = scope["path"], scope["method"]
        endpoint = self._endpoints.get(path)
        if endpoint is not None:
            if method == "POST":
                await endpoint.post(headers, body, out)
            elif method == "GET":
                await endpoint.get(headers, out)
            elif method == "DELETE":
                await endpoint.delete(headers, out)
            else:
                text = f"{method} is not allowed"
                await out.respond(405, error_frame(None, INVALID_REQUEST, text), method_not_allowed())
        elif path == "/health" and method in ("GET", "HEAD"):
            await out.respond(200, b'{"status":"ok"}')
        elif path in self._old:
            await self._first_revision(scope, headers, body, out)
        elif path.startswith(f"{self.path}/"):
            await out.respond(404, error_frame(None, INVALID_REQUEST, "there is no such profile"))
        else:
            await out.respond(404, b'{"error":"not found; the endpoint is %b"}' % self.path.encode())

    async def _first_revision(self, scope: Scope, headers: Mapping[bytes, bytes], body: bytes, out: AsgiOut) -> None:
        """HTTP+SSE."""
        endpoint, sse = self._old[scope["path"]]
        if await endpoint.refused(headers, out):
            return
        query = scope["query_string"].decode("latin-1")
        await sse.handle(scope["method"], scope["path"], query, body, out, endpoint.inside(ANONYMOUS))

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive, out: AsgiOut) -> bytes | None:
        """The whole body; None when the exchange is over: too large (413), too slow (408), or the client is gone."""
        try:
            # Nearly always the body is here already, and nothing needs to be guarded.
            message, rest = begin(receive())
            if message is None:
                assert rest is not None, "a job has ended or goes on"
                message = await guarded(rest, Guard(BODY_TIMEOUT, self._reading), "the body")
            body: bytes = message.get("body", b"")
            if message.get("more_body"):
                length = headers.get(b"content-length", b"0")
                limit = self._max_body if length.isdigit() and int(length) <= self._max_body else 0
                message = await guarded(_rest(message, receive, limit), Guard(BODY_TIMEOUT, self._reading), "the body")
                body = message.get("body", b"")
            if message["type"] == "http.disconnect":
                return None
            if len(body) <= self._max_body and not message.get("more_body"):
                return body
            if message.get("more_body"):
                with suppress(TimedOut):
                    await guarded(_discard(receive), Guard(DISCARD_TIMEOUT, self._reading), "the body")
            text, status = too_large(self._max_body), 413
        except TimedOut as error:
            text, status = error.message, 408
        except Unavailable as error:
            text, status = error.message, 503
        await out.respond(status, error_frame(None, INVALID_REQUEST, text), CLOSE)
        return None

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = once(scope["headers"])
        endpoint = self._endpoints.get(self.path if scope["path"] in SOCKETS else scope["path"])
        if endpoint is None or headers is None or endpoint.gate.refuse(headers) is not None:
            await send({"type": "websocket.close", "code": 1008})
            return
        protocol = "mcp" if "mcp" in scope.get("subprotocols", ()) else None
        await send({"type": "websocket.accept", "subprotocol": protocol})
        wire = WebSocketWire(receive, send)
        duplexes: list[Duplex] = []

        def open_duplex(way: Way) -> Duplex:
            duplexes.append(Duplex(endpoint.dispatcher, way, endpoint.inside(ANONYMOUS)))
            self._sockets.add((endpoint, duplexes[0], wire))
            return duplexes[0]

        try:
            await wire.serve(open_duplex)
        finally:
            self._sockets.discard((endpoint, duplexes[0], wire))

    async def close(self, patience: float = PATIENCE) -> None:
        """The server stops: say so on every stream and socket, after what is in flight has had its time."""
        for guard in tuple(self._reading):
            guard.end("drain")
        open = dict(self._old.values())
        await asyncio.gather(*(self._end(endpoint, sse, patience) for endpoint, sse in open.items()))

    async def _end(self, endpoint: Endpoint, sse: SseTransport, patience: float) -> None:
        endpoint.dispatcher.drain()
        await endpoint.dispatcher.settle(patience)
        await endpoint.close()
        await sse.close()
        for owner, duplex, wire in tuple(self._sockets):
            if owner is endpoint:
                await duplex.finish(0.5)
                await wire.stop()


async def _rest(message: Message, receive: Receive, limit: int) -> Message:
    """The messages of a body as one, read no further than needed to see that it is too large."""
    parts, size = [], 0
    while True:
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit or not message.get("more_body"):
            return {**message, "body": b"".join(parts)}
        message = await receive()


async def _discard(receive: Receive) -> None:
    """Read what is left of a body that is too large, within bounds: a client that is still writing would otherwise see
    a broken connection instead of the answer."""
    size = 0
    while size < DISCARD:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return


async def _lifespan(receive: Receive, send: Send) -> None:
    """Nothing to do: whoever serves the app owns the gateway's life."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind.endswith("shutdown"):
            return
