"""Nothing is left behind: connections, calls, streams and sessions that come and go, and many at the same time."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rune.app import Listen
from rune.app.http import asgi
from rune.build import build
from rune.config.files import read_toml
from tests.rig import Rig, config, rig, settled
from tests.sizes import LONG
from tests.wire.client import META, Client, word
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

ROUNDS = 10_000 if LONG else 1_000
MANY = 10_000 if LONG else 500
WORKERS = 8
IDLE = 0.4
TOOLS = Path(__file__).with_name("badtools.py")
SPEAKER = Client(MODERN)
OLD = Client("2025-06-18")
HELLO = {"protocolVersion": OLD.revision, "capabilities": {}, "clientInfo": OLD.info}
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Rig]:
    with room_for(MANY), rig("--config", str(config(tmp_path, TOOLS, [f"session_idle = {IDLE}"]))) as found:
        yield found
        assert "Traceback" not in found.said, found.said


@contextmanager
def room_for(connections: int) -> Iterator[None]:
    """Enough descriptors for both ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, connections + 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(hard, wanted)))


# --- ways to come and go ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def connection(server: Rig) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is cut at the end, in whatever state it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def post(message: dict[str, Any], name: str | None = None, session: str | None = None) -> bytes:
    """The bytes of a POST in either era."""
    body = json.dumps(message).encode()
    headers = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(body)),
               "Accept": "application/json, text/event-stream"}  # fmt: skip
    if session is not None:
        headers["Mcp-Session-Id"] = session
    elif META + "protocolVersion" in message["params"].get("_meta", {}):
        headers |= {"MCP-Protocol-Version": MODERN, "Mcp-Method": message["method"]}
        if name is not None:
            headers["Mcp-Name"] = name
    return b"POST /mcp HTTP/1.1\r\n%b\r\n%b" % (
        "".join(f"{key}: {value}\r\n" for key, value in headers.items()).encode(),
        body,
    )


def call(name: str, **arguments: Any) -> bytes:
    message = SPEAKER.message("tools/call", {"name": name, "arguments": arguments}, meta={"progressToken": 1})
    return post(message, name)


async def said(reader: asyncio.StreamReader, wanted: bytes) -> bytes:
    """What came until these bytes were in it."""
    async with asyncio.timeout(30):
        data = b""
        while wanted not in data:
            piece = await reader.read(65536)
            assert piece, data
            data += piece
        return data


async def calls(server: Rig) -> None:
    async with connection(server) as (reader, writer):
        text = word()
        writer.write(call("echo", text=text))
        await said(reader, text.encode())


async def hangs(server: Rig) -> None:
    async with connection(server) as (reader, writer):
        writer.write(call("holds"))
        await said(reader, b"notifications/progress")


async def listens(server: Rig) -> None:
    async with connection(server) as (reader, writer):
        wanted = {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["thing://1"]}}
        writer.write(post(SPEAKER.message("subscriptions/listen", wanted)))
        await said(reader, b"acknowledged")


async def shakes_hands(server: Rig) -> None:
    async with connection(server) as (reader, writer):
        session = await begin(reader, writer)
        message = OLD.message("tools/call", {"name": "holds", "arguments": {}}, meta={"progressToken": 1})
        writer.write(post(message, session=session))
        await said(reader, b"notifications/progress")
        # The call goes on when its client has gone, until it is taken back.
        async with connection(server) as (other_reader, other_writer):
            cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": message["id"]}}
            other_writer.write(post(cancel, session=session))
            await said(other_reader, b"202")


async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """A new legacy session."""
    writer.write(post(OLD.message("initialize", HELLO)))
    head = (await said(reader, b"serverInfo")).decode().lower()
    return head.split("mcp-session-id: ")[1].split("\r\n")[0]


async def stands(server: Rig) -> None:
    async with connection(server) as (reader, writer):
        session = await begin(reader, writer)
        head = f"GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nMcp-Session-Id: {session}\r\n\r\n"
        writer.write(head.encode())
        await said(reader, b"text/event-stream")


def frame(message: dict[str, Any]) -> bytes:
    data = json.dumps(message).encode()
    size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + len(data).to_bytes(2)
    return b"\x81" + size + b"\0\0\0\0" + data


async def sockets(server: Rig) -> None:
    async with connection(server) as (reader, writer):
        writer.write(UPGRADE)
        await said(reader, b"\r\n\r\n")
        writer.write(frame(OLD.message("initialize", HELLO)))
        await said(reader, b"serverInfo")
        writer.write(frame(SPEAKER.message("subscriptions/listen", {"notifications": {"toolsListChanged": True}})))
        await said(reader, b"acknowledged")
        writer.write(
            frame(SPEAKER.message("tools/call", {"name": "holds", "arguments": {}}, meta={"progressToken": 1}))
        )
        await said(reader, b"notifications/progress")


async def old_streams(server: Rig) -> None:
    async with connection(server) as (reader, writer):
        writer.write(b"GET /sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await said(reader, b"event: endpoint")


async def breaks_off(server: Rig) -> None:
    async with connection(server) as (_, writer):
        data = call("echo", text="x")
        writer.write(data[: len(data) // 2])
        await writer.drain()


WAYS: tuple[Callable[[Rig], Awaitable[None]], ...] = (
    calls, hangs, listens, shakes_hands, stands, sockets, old_streams, breaks_off,
)  # fmt: skip


async def come_and_go(server: Rig, rounds: int) -> None:
    """So many visits, a few at a time, each kind as often."""
    ways = itertools.islice(itertools.cycle(WAYS), rounds)

    async def worker() -> None:
        for way in ways:
            await way(server)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(worker())


def quiet(server: Rig, descriptors: int) -> None:
    """All visitors are forgotten, and sessions are over."""
    assert settled(lambda: server.descriptors, descriptors, 10), (
        f"{server.descriptors} descriptors, {descriptors} before"
    )


async def resting(server: Rig) -> int:
    """Its descriptors once the connections of the start are closed on both sides."""
    found = []
    for _ in range(10):
        found.append(server.descriptors)
        await asyncio.sleep(0.02)
    return min(found)


async def test_visitors_leave_nothing_behind(server: Rig) -> None:
    await calls(server)
    descriptors, threads = await resting(server), server.threads
    # The first thousand fill the pools of the allocator.
    await come_and_go(server, max(ROUNDS // 2, 400))
    quiet(server, descriptors)
    before = server.rss
    await come_and_go(server, ROUNDS)
    quiet(server, descriptors)
    assert server.threads <= threads + 1
    assert server.rss <= before * 1.05, f"{before / 2**20:.1f} MB before, {server.rss / 2**20:.1f} MB after"
    await calls(server)


async def test_idle_sessions_end(server: Rig) -> None:
    client = HttpClient(server.url, "2025-06-18")
    try:
        await client.initialize()
        message = client.message("ping")
        async with asyncio.timeout(30):
            while True:
                # Longer than a session may be idle: only time can show this.
                await asyncio.sleep(IDLE * 1.6)
                status, _, _ = await client.post(json.dumps(message).encode())
                if status == 404:
                    break
                assert status == 200
    finally:
        await client.close()


async def test_a_session_with_an_open_stream_is_not_idle(server: Rig) -> None:
    client = HttpClient(server.url, "2025-06-18")
    try:
        await client.initialize()
        await client.hear()
        await asyncio.sleep(IDLE * 2)
        assert await client.request("ping") == {}
    finally:
        await client.close()


async def test_many_connections_at_once(server: Rig) -> None:
    """Sockets, listens and idle connections: all are served, none costs much, and all are forgotten."""
    await calls(server)
    descriptors = await resting(server)
    before = server.rss
    opened: list[asyncio.StreamWriter] = []

    async def open_one(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        opened.append(writer)
        if number % 3 == 0:
            writer.write(UPGRADE)
            await said(reader, b"\r\n\r\n")
            writer.write(frame(SPEAKER.message("server/discover")))
            await said(reader, b"supportedVersions")
        elif number % 3 == 1:
            writer.write(post(SPEAKER.message("subscriptions/listen", {"notifications": {"toolsListChanged": True}})))
            await said(reader, b"acknowledged")

    try:
        for first in range(0, MANY, 100):
            await asyncio.gather(*(open_one(number) for number in range(first, min(first + 100, MANY))))
        assert server.descriptors >= descriptors + MANY
        each = (server.rss - before) / MANY
        assert each < 40_000, f"{each:.0f} bytes for each connection"
        async with asyncio.timeout(30):
            await calls(server)
        assert server.healthy()
    finally:
        for writer in opened:
            writer.transport.abort()
    await asyncio.sleep(0)
    quiet(server, descriptors)


# --- from inside -----------------------------------------------------------------------------------------------------


async def test_no_task_is_left_in_the_loop(tmp_path: Path) -> None:
    """The same visits to the ASGI app itself, where the tasks of the loop can be counted."""
    async with build(read_toml(config(tmp_path, TOOLS), {})) as gateway, gateway:
        app = asgi(gateway, Listen(session_idle=IDLE))
        await visit(app, SPEAKER.message("tools/call", {"name": "echo", "arguments": {"text": "x"}}), "echo")
        before = asyncio.all_tasks()
        for _ in range(ROUNDS // 20):
            for name, arguments in (("echo", {"text": "x"}), ("holds", {}), ("drips", {"count": 3, "size": 9})):
                message = SPEAKER.message(
                    "tools/call", {"name": name, "arguments": arguments}, meta={"progressToken": 1}
                )
                await visit(app, message, name)
            await visit(
                app, SPEAKER.message("subscriptions/listen", {"notifications": {"toolsListChanged": True}}), None
            )
            await visit(app, OLD.message("initialize", HELLO), None)
        assert len(app.endpoint.legacy) == ROUNDS // 20
        async with asyncio.timeout(30):
            while len(app.endpoint.legacy):
                await asyncio.sleep(IDLE / 4)
            while (left := asyncio.all_tasks() - before) and any("_tick" not in str(task.get_coro()) for task in left):
                await asyncio.sleep(0.01)
        assert not app.endpoint.dispatcher.running
        await app.close()
        gc.collect()
    assert not {
        task for task in asyncio.all_tasks() - before if not task.done() and "_tick" not in str(task.get_coro())
    }


async def visit(app: Any, message: dict[str, Any], name: str | None) -> None:
    """One exchange whose client goes away as soon as it has seen anything."""
    head, _, body = post(message, name).partition(b"\r\n\r\n")
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    seen = asyncio.Event()
    first = True

    async def receive() -> dict[str, Any]:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        await seen.wait()
        return {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        if event["type"] == "http.response.body":
            seen.set()

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "query_string": b"",
        "headers": [(key.lower(), value) for key, value in lines],
    }
    async with asyncio.timeout(30):
        await app(scope, receive, send)
