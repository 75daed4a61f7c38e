"""HTTP servers made of a few lines, on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.client.fakes import DISCOVERED, Message

Handle = Callable[["Web", web.Request, Message], Awaitable[web.StreamResponse]]


class Web:
    """What a test server has heard."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.heard: list[tuple[dict[str, str], Message]] = []
        self.gets: list[dict[str, str]] = []
        self.deletes: list[dict[str, str]] = []
        self.connections: set[object] = set()
        self.closed = asyncio.Event()
        self.get: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        self.url = ""

    async def post(self, request: web.Request) -> web.StreamResponse:
        message = await request.json()
        self.connections.add(request.transport)
        self.heard.append(({key.lower(): value for key, value in request.headers.items()}, message))
        try:
            return await self.handle(self, request, message)
        except (asyncio.CancelledError, ConnectionResetError):
            self.closed.set()
            raise

    async def other(self, request: web.Request) -> web.StreamResponse:
        headers = {key.lower(): value for key, value in request.headers.items()}
        if request.method == "DELETE":
            self.deletes.append(headers)
            return web.Response()
        self.gets.append(headers)
        if self.get is None:
            return web.Response(status=405)
        return await self.get(request)

    def methods(self) -> list[str]:
        return [message["method"] for _, message in self.heard if "method" in message]


@asynccontextmanager
async def serving(handle: Handle, *, port: int = 0) -> AsyncIterator[Web]:
    """A server with one endpoint, /mcp."""
    site = Web(handle)
    app = web.Application(client_max_size=64 << 20)
    app.router.add_post("/mcp", site.post)
    app.router.add_route("*", "/mcp", site.other)
    server = TestServer(app, port=port or None)
    await server.start_server()
    site.url = str(server.make_url("/mcp"))
    try:
        yield site
    finally:
        await server.close()


def result(message: Message, value: Any, **options: Any) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": value}, **options)


def refusal(message: Message, code: int, status: int = 200, data: Any = None, id: Any = ...) -> web.Response:
    error = {"code": code, "message": "no"} | ({} if data is None else {"data": data})
    body = {"jsonrpc": "2.0", "error": error, "id": message["id"] if id is ... else id}
    return web.json_response(body, status=status)


async def events(request: web.Request, *chunks: bytes | Message, end: bool = True) -> web.StreamResponse:
    """Answer with an event stream; dicts are messages, bytes go out as they are."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for chunk in chunks:
        data = chunk if isinstance(chunk, bytes) else event(chunk)
        await response.write(data)
    if not end:
        await asyncio.get_running_loop().create_future()
    return response


def event(message: Message, **fields: Any) -> bytes:
    head = "".join(f"{key}: {value}\n" for key, value in fields.items())
    return f"{head}data: {json.dumps({'jsonrpc': '2.0', **message})}\n\n".encode()


def modern(handle: Handle | None = None) -> Handle:
    async def serve(site: Web, request: web.Request, message: Message) -> web.StreamResponse:
        if message["method"] == "server/discover":
            return result(message, DISCOVERED)
        if handle is None:
            return result(message, {"resultType": "complete", "content": []})
        return await handle(site, request, message)

    return serve


def legacy(handle: Handle | None = None, *, session: bool = True, probe_status: int = 400) -> Handle:
    """Sessions are named s1, s2, …; one that is in `site.forgotten` is answered with 404."""

    async def serve(site: Web, request: web.Request, message: Message) -> web.StreamResponse:
        method = message.get("method")
        if method == "server/discover":
            return web.Response(status=probe_status, text="Bad Request: no session")
        if method == "initialize":
            site.sessions = getattr(site, "sessions", 0) + 1
            value = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}},
                "serverInfo": {"name": "old", "version": "1"},
            }
            headers = {"Mcp-Session-Id": f"s{site.sessions}"} if session else {}
            return result(message, value, headers=headers)
        if session and request.headers.get("Mcp-Session-Id") in getattr(site, "forgotten", ()):
            return web.Response(status=404)
        if "id" not in message or "method" not in message:
            return web.Response(status=202)
        if message["method"] == "ping":
            return result(message, {})
        if handle is None:
            return result(message, {"content": []})
        return await handle(site, request, message)

    return serve
