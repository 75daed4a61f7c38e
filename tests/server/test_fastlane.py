"""The fast lane over real sockets: what HTTP/1.1 allows on one connection, and clients that are slow or leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from rune import Server
from rune.app import Listen
from rune.app.http import HttpServer, asgi, bind
from rune.gateway import Gateway
from rune.router import Mount
from rune.server import fastlane
from rune.server.fastlane import FastLane

DEADLINE = 10
LIMIT = 100_000


def post(text: str, id: int = 1, *, version: str = "1.1", tool: str = "echo", extra: str = "") -> bytes:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    params = {"name": tool, "arguments": {"text": text}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).encode()
    return (
        f"POST /mcp HTTP/{version}\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next response with a content-length."""
        async with asyncio.timeout(DEADLINE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return int(lines[0].split()[1]), headers, body

    async def text(self) -> str:
        status, _, body = await self.answer()
        assert status == 200, body
        text: str = json.loads(body)["result"]["content"][0]["text"]
        return text

    async def end(self) -> bytes:
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read()


@dataclass
class House:
    port: int
    server: HttpServer
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def serving(listen: Listen) -> AsyncIterator[House]:
    tools = Server("demo")
    listener = bind("127.0.0.1", 0)

    @tools.tool
    async def echo(text: str) -> str:
        return text

    @tools.tool
    async def waits(text: str) -> str:
        house.started.set()
        try:
            await house.release.wait()
        finally:
            house.ended.set()
        return text

    async with Gateway([Mount(tools)]) as gateway:
        server = HttpServer(asgi(gateway, listen), listen)
        house = House(listener.getsockname()[1], server)
        task = asyncio.create_task(server.serve([listener]))
        await server.up.wait()
        try:
            yield house
        finally:
            server.should_exit = True
            async with asyncio.timeout(DEADLINE):
                await task
            listener.close()


Connect = Callable[[], Awaitable[Client]]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with serving(Listen(max_body=LIMIT)) as made:
        yield made


@pytest.fixture
async def connect(house: House) -> AsyncIterator[Connect]:
    clients: list[Client] = []

    async def make() -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", house.port)))
        return clients[-1]

    yield make
    for client in clients:
        client.writer.close()


def lanes(house: House) -> list[FastLane]:
    return [item for item in house.server.server_state.connections if isinstance(item, FastLane)]


async def test_one_connection_many_requests(connect: Connect) -> None:
    client = await connect()
    for number in range(5):
        client.send(post(f"hello {number}"))
        assert await client.text() == f"hello {number}"


async def test_pipelined_requests_are_answered_in_order(connect: Connect, house: House) -> None:
    client = await connect()
    health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    client.send(post("slow", tool="waits") + post("second", 2) + health + post("third", 3))
    async with asyncio.timeout(DEADLINE):
        await house.started.wait()
    house.release.set()
    assert await client.text() == "slow"
    assert await client.text() == "second"
    assert (await client.answer())[2] == b'{"status":"ok"}'
    assert await client.text() == "third"


async def test_a_request_in_small_pieces(connect: Connect) -> None:
    client = await connect()
    data = post("piece by piece")
    for start in range(0, len(data), 17):
        client.send(data[start : start + 17])
        await client.writer.drain()
        await asyncio.sleep(0)
    assert await client.text() == "piece by piece"


async def test_a_chunked_body(connect: Connect) -> None:
    client = await connect()
    head, _, body = post("in chunks").partition(b"\r\n\r\n")
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length"))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + 9]), body[at : at + 9]) for at in range(0, len(body), 9))
    client.send(head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert await client.text() == "in chunks"


@pytest.mark.parametrize("extra", ["Expect: 100-continue\r\n", "Connection: close\r\n"])
async def test_what_the_lane_leaves_to_others(connect: Connect, extra: str) -> None:
    client = await connect()
    client.send(post("x", extra=extra))
    if "100" in extra:
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert await client.text() == "x"
    else:
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.end() == b""


async def test_http_1_0(connect: Connect) -> None:
    client = await connect()
    client.send(post("old", version="1.0"))
    assert b'"old"' in await client.end()


async def test_a_header_twice(connect: Connect) -> None:
    client = await connect()
    client.send(post("x", extra="Mcp-Name: echo\r\n"))
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (400, "close")


async def test_too_large(connect: Connect) -> None:
    client = await connect()
    client.send(post("x" * (LIMIT + 1)))
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (413, "close")


async def test_far_too_large_is_not_read_for_ever(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastlane, "DISCARD", LIMIT * 3)
    monkeypatch.setattr(fastlane, "DISCARD_TIMEOUT", 60)
    client = await connect()
    head = post("x", extra="X: y\r\n").partition(b"Content-Length")[0] + b"Content-Length: 99999999\r\n\r\n"
    client.send(head + b"x" * LIMIT * 4)
    assert (await client.answer())[0] == 413


async def test_a_body_that_does_not_come(connect: Connect, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastlane, "BODY_TIMEOUT", 0.05)
    client = await connect()
    client.send(post("x")[:-5])
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (408, "close")


async def test_a_head_that_does_not_come(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastlane, "BODY_TIMEOUT", 0.05)
    client = await connect()
    client.send(post("x")[:30])
    assert (await client.answer())[0] == 400


async def test_idle_connections_are_closed() -> None:
    async with serving(Listen(keep_alive=1)) as short:
        silent = Client(*await asyncio.open_connection("127.0.0.1", short.port))
        used = Client(*await asyncio.open_connection("127.0.0.1", short.port))
        used.send(post("x"))
        assert await used.text() == "x"
        for client in (silent, used):
            assert await client.end() == b""
            client.writer.close()


async def test_a_client_that_leaves_cancels_its_call(connect: Connect, house: House) -> None:
    client = await connect()
    client.send(post("x", tool="waits"))
    async with asyncio.timeout(DEADLINE):
        await house.started.wait()
        client.writer.close()
        await house.ended.wait()
        while lanes(house):
            await asyncio.sleep(0.01)


async def test_stopping_closes_what_has_not_arrived(house: House, connect: Connect) -> None:
    half, idle = await connect(), await connect()
    half.send(post("x")[:-5])
    idle.send(post("y"))
    assert await idle.text() == "y"
    while len(lanes(house)) < 2:
        await asyncio.sleep(0.01)
    house.server.should_exit = True
    assert await half.end() == b""
    assert await idle.end() == b""
