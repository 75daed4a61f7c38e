"""Streamable HTTP and WebSocket as a plain ASGI app: mounts anywhere, holds no protocol of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

from rune.errors import INVALID_REQUEST, TimedOut, Unavailable
from rune.protocol.jsonrpc import error_frame
from rune.request import ANONYMOUS
from rune.server.duplex import Duplex
from rune.server.endpoint import Endpoint, method_not_allowed, once
from rune.server.exchange import BODY_TIMEOUT, DISCARD, DISCARD_TIMEOUT, JSON, Headers, Out, too_large
from rune.server.legacy.sse import SseTransport
from rune.server.run import Guard, Stage, watched
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
_FEW: Final = 1024
_LENGTHS: Final = tuple((b"content-length", b"%d" % length) for length in range(_FEW))
SOCKETS: Final = ("/", "/ws")


class AsgiOut(Out, kw_only=True):
    """An exchange over ASGI's receive and send."""

    receive: Receive
    send: Send
    watcher: asyncio.Task[None] | None = None

    async def respond(self, status: int, body: bytes, headers: Headers = (JSON,)) -> None:
        length = len(body)
        counted = _LENGTHS[length] if length < _FEW else (b"content-length", b"%d" % length)
        await self.send({"type": "http.response.start", "status": status, "headers": [*headers, counted]})
        await self.send({"type": "http.response.body", "body": body})

    async def begin(self, status: int, headers: Headers) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, data: bytes) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def gone(self) -> None:
        while True:
            if (await self.receive())["type"] == "http.disconnect":
                return
            # The body has been read. Some middleware repeats it for ever instead of waiting: do not spin with it.
            await asyncio.sleep(1)

    def watch(self) -> None:
        self.watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        await self.gone()
        self.lost()


class App:
    """The ASGI application: one endpoint for all there is, and below its path one for each profile."""

    def __init__(self, endpoint: Endpoint, sse: SseTransport, *, path: str = "/mcp", max_body: int = MAX_BODY) -> None:
        self.endpoint = endpoint
        self.path = path
        self.lanes: dict[bytes, Endpoint] = {}
        self._endpoints: dict[str, Endpoint] = {}
        self._sockets: set[tuple[Endpoint, Duplex, WebSocketWire]] = set()
        self._reading: set[Guard] = set()
        self._arrival: Stage = BODY_TIMEOUT, self._reading, None, False
        """The first stage is the arrival of the body."""
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
            out = AsgiOut(receive=receive, send=send, stage=self._arrival)
            rest = watched(self._http(scope, out), out)
            if rest is not None:
                try:
                    await rest
                finally:
                    if out.watcher is not None:
                        out.watcher.cancel()
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await _lifespan(receive, send)

    async def _http(self, scope: Scope, out: AsgiOut) -> None:
        headers = once(scope["headers"])
        if headers is None:
            await out.respond(400, error_frame(None, INVALID_REQUEST, "a header that must be unique is there twice"))
            return
        try:
            message = await out.receive()
            more = message.get("more_body")
            if more:
                message = await _rest(message, out, self._limit(headers))
                more = message.get("more_body")
        except asyncio.CancelledError as error:
            await _late(out, error)
            return
        finally:
            if out.task is None:
                # As `leave` does it where nothing has been waited for.
                out.stage = None
            else:
                out.leave()
        body: bytes = message.get("body", b"")
        if more or len(body) > self._max_body:
            if more:
                await self._discard(out)
            await out.respond(413, error_frame(None, INVALID_REQUEST, too_large(self._max_body)), CLOSE)
        elif message["type"] == "http.request":
            endpoint = self._endpoints.get(scope["path"])
            if endpoint is not None and scope["method"] == "POST":
                await endpoint.post(headers, body, out)
            else:
                await self._other(scope, headers, body, out)

    async def _other(self, scope: Scope, headers: Mapping[bytes, bytes], body: bytes, out: AsgiOut) -> None:
        """Whatever is no POST to an endpoint."""
        path, method = scope["path"], scope["method"]
        endpoint = self._endpoints.get(path)
        if endpoint is not None:
            if method == "GET":
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

    def _limit(self, headers: Mapping[bytes, bytes]) -> int:
        """How much of a body in pieces is read: nothing more of one that says that it is too large."""
        length = headers.get(b"content-length", b"0")
        return self._max_body if length.isdigit() and int(length) <= self._max_body else 0

    async def _discard(self, out: AsgiOut) -> None:
        """Read what is left of a body that is too large, within bounds: a client that is still writing would otherwise
        see a broken connection instead of the answer."""
        out.enter(DISCARD_TIMEOUT, self._reading)
        size, more = 0, True
        try:
            while more and size < DISCARD:
                message = await out.receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)
        except asyncio.CancelledError as error:
            verdict = out.verdict(error, "the body")
            if not isinstance(verdict, TimedOut):
                raise verdict from None
        finally:
            out.leave()

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
            guard.stop("drain")
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


async def _rest(message: Message, out: AsgiOut, limit: int) -> Message:
    """The messages of a body as one, read no further than needed to see that it is too large."""
    parts, size = [], 0
    while True:
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit or not message.get("more_body"):
            return {**message, "body": b"".join(parts)}
        message = await out.receive()


async def _late(out: AsgiOut, error: BaseException) -> None:
    """The body has not come in time (408), or before the server stopped (503)."""
    verdict = out.verdict(error, "the body")
    if not isinstance(verdict, (TimedOut, Unavailable)):
        raise verdict from None
    status = 408 if isinstance(verdict, TimedOut) else 503
    await out.respond(status, error_frame(None, INVALID_REQUEST, verdict.message), CLOSE)


async def _lifespan(receive: Receive, send: Send) -> None:
    """Nothing to do: whoever serves the app owns the gateway's life."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind.endswith("shutdown"):
            return
