"""Clients that send slowly, read slowly or not at all: nobody else waits for them, and memory is bounded."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.rig import Rig, config, rig
from tests.wire.client import META, Client, word
from tests.wire.duplex import StdioLink
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

TOOLS = Path(__file__).with_name("badtools.py")
GROWTH = 48 * 2**20
DEADLINE = 30.0  # s; whoever is held up by somebody slow waits for ever
URI = "thing://" + "x" * 2000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Rig]:
    with rig("--config", str(config(tmp_path, TOOLS, ["timeout = 20"]))) as found:
        yield found


@asynccontextmanager
async def other(server: Rig) -> AsyncIterator[HttpClient]:
    """Somebody else, who must not notice anything."""
    client = HttpClient(server.url, MODERN)
    try:
        await fine(client)
        yield client
        await fine(client)
    finally:
        await client.close()


async def fine(client: Client) -> None:
    text = word()
    async with asyncio.timeout(DEADLINE):
        assert await client.text("echo", text=text) == text


def post(message: dict[str, Any], **headers: str) -> bytes:
    """The bytes of a POST."""
    body = json.dumps(message).encode()
    known = {
        "Host": "localhost",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Accept": "text/event-stream",
        **headers,
    }
    return b"POST /mcp HTTP/1.1\r\n%b\r\n%b" % (
        "".join(f"{key}: {value}\r\n" for key, value in known.items()).encode(),
        body,
    )


def deaf(server: Rig, data: bytes) -> socket.socket:
    """A connection that says this and then never reads."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(data)
    return connection


def call(name: str, meta: dict[str, Any], **arguments: Any) -> bytes:
    """A modern tools/call as bytes."""
    client = Client(MODERN)
    message = client.message("tools/call", {"name": name, "arguments": arguments}, meta=meta)
    return post(message, **{"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": name})


async def test_heads_and_bodies_that_come_byte_by_byte(server: Rig) -> None:
    data = call("echo", {}, text="slow")
    head = data.index(b"\r\n\r\n") + 4
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    try:
        for number, connection in enumerate(slow):
            connection.sendall(data[: number % 20] if number < 20 else data[: head + number])
        async with other(server) as client:
            for connection in slow:
                connection.sendall(b"")
            await fine(client)
        # They are answered all the same once they are ready.
        for number, connection in enumerate(slow):
            connection.settimeout(DEADLINE)
            connection.sendall(data[number % 20 :] if number < 20 else data[head + number :])
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.parametrize(
    ("name", "arguments"), [("floods", {"count": 5000, "size": 20_000}), ("drips", {"count": 5000, "size": 20_000})]
)
async def test_a_stream_that_nobody_reads(server: Rig, name: str, arguments: dict[str, int]) -> None:
    async with other(server) as client:
        before = server.rss
        connections = [
            deaf(server, call(name, {META + "logLevel": "error", "progressToken": 1}, **arguments)) for _ in range(2)
        ]
        try:
            for _ in range(30):
                await fine(client)
                await asyncio.sleep(0.02)
            assert server.rss - before < GROWTH
        finally:
            for connection in connections:
                connection.close()


async def test_a_listen_that_nobody_reads(server: Rig) -> None:
    async with other(server) as client:
        message = Client(MODERN).message("subscriptions/listen", {"notifications": {"resourceSubscriptions": [URI]}})
        connection = deaf(
            server, post(message, **{"MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"})
        )
        try:
            await asyncio.to_thread(connection.recv, 100)
            before = server.rss
            await client.tool("updates", uri=URI, count=50_000)
            assert server.rss - before < GROWTH
        finally:
            connection.close()


async def test_a_legacy_stream_that_nobody_reads(server: Rig) -> None:
    async with other(server) as client:
        old = HttpClient(server.url, "2025-11-25")
        await old.initialize()
        await old.request("resources/subscribe", {"uri": URI})
        headers = f"Host: localhost\r\nMcp-Session-Id: {old.session}\r\nAccept: text/event-stream\r\n"
        connection = deaf(server, f"GET /mcp HTTP/1.1\r\n{headers}\r\n".encode())
        try:
            await asyncio.to_thread(connection.recv, 100)
            before = server.rss
            await client.tool("updates", uri=URI, count=50_000)
            assert server.rss - before < GROWTH
        finally:
            connection.close()
            await old.close()


UPGRADE = (
    b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mcp\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(message: dict[str, Any]) -> bytes:
    """A masked text frame (RFC 6455); the mask is zero."""
    data = json.dumps(message).encode()
    return b"\x81" + bytes([0x80 | 126]) + struct.pack(">H", len(data)) + b"\0\0\0\0" + data


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_websocket_that_nobody_reads(server: Rig, era: str) -> None:
    async with other(server) as client:
        speaker = Client(MODERN if era == "modern" else "2025-06-18")
        hello = {"protocolVersion": speaker.revision, "capabilities": {}, "clientInfo": speaker.info}
        messages = {
            "modern": [speaker.message("subscriptions/listen", {"notifications": {"resourceSubscriptions": [URI]}})],
            "legacy": [speaker.message("initialize", hello), speaker.message("resources/subscribe", {"uri": URI})],
        }[era]
        connection = deaf(server, UPGRADE)
        try:
            assert (await asyncio.to_thread(connection.recv, 4096)).startswith(b"HTTP/1.1 101 ")
            for message in messages:
                connection.sendall(frame(message))
                assert (await asyncio.to_thread(connection.recv, 4096))[0] == 0x81
            before = server.rss
            await client.tool("updates", uri=URI, count=50_000)
            assert server.rss - before < GROWTH
        finally:
            connection.close()


async def test_a_parent_that_does_not_read_stdout(tmp_path: Path) -> None:
    """What it asked for waits in its pipe and is there when it reads again."""
    link = await StdioLink.open("--config", str(config(tmp_path, TOOLS, ["timeout = 20"])))
    client = Client(MODERN)
    count = 400
    for number in range(count):
        message = client.message("tools/call", {"name": "echo", "arguments": {"text": "x" * 10_000}}, id=number)
        link.write(json.dumps(message).encode() + b"\n")
    drained = asyncio.create_task(link._stdin.drain())
    await asyncio.sleep(0.3)
    found = set()
    async with asyncio.timeout(DEADLINE):
        while len(found) < count:
            line = await link.receive()
            assert line is not None
            found.add(json.loads(line)["id"])
    await drained
    assert found == set(range(count))
    await link.close()
