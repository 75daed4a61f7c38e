"""The fast lane on real sockets: pipelining, bodies of every kind, slow and broken clients, an endpoint that fails."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from rune import Server
from rune.app import Listen
from rune.app.http import HttpRim, HttpServer, bind
from rune.gateway import Gateway
from rune.server import fastlane
from rune.view import Mount
from tests.wire.client import Client, word
from tests.wire.schemas import MODERN

LIMIT = 20_000
KEEP_ALIVE = 0.25
DEADLINE = 30.0
SPEAKER = Client(MODERN)


class House:
    """A server in this loop."""

    def __init__(self, port: int, server: HttpServer, app: Any) -> None:
        self.port = port
        self.server = server
        self.app = app

    async def ask(
        self, data: bytes, seconds: float = 5.0, after: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None
    ) -> bytes:
        """All that comes back for these bytes, until the connection is closed or nothing more comes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            await writer.drain()
            if after is not None:
                await after(writer)
            answer = b""
            with suppress(TimeoutError, ConnectionResetError):
                async with asyncio.timeout(seconds):
                    while piece := await reader.read(65536):
                        answer += piece
            return answer
        finally:
            writer.transport.abort()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    server = Server("lane")
    gone = asyncio.Event()

    @server.tool
    async def echo(text: str) -> str:
        return text

    @server.tool
    async def wait() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        return ""

    @server.tool
    async def nap(text: str) -> str:
        await asyncio.sleep(0.05)
        return text

    @server.tool
    async def ended() -> bool:
        async with asyncio.timeout(30):
            await gone.wait()
        return True

    listen = Listen(port=0, max_body=LIMIT, keep_alive=KEEP_ALIVE, timeout=10)
    async with Gateway([Mount(server)]) as gateway:
        rim = HttpRim(gateway, listen)
        listener = bind("127.0.0.1", 0)
        http = HttpServer(rim)
        serving = asyncio.create_task(http.serve([listener]))
        async with asyncio.timeout(30):
            await http.up.wait()
        yield House(listener.getsockname()[1], http, rim.app)
        http.should_exit = True
        async with asyncio.timeout(30):
            await serving
        listener.close()


def post(
    tool: str = "echo",
    *,
    close: bool = False,
    extra: str = "",
    version: str = "1.1",
    body: bytes | None = None,
    **arguments: Any,
) -> bytes:
    """The bytes of a modern tools/call."""
    if body is None:
        body = json.dumps(SPEAKER.message("tools/call", {"name": tool, "arguments": arguments})).encode()
    head = (
        f"POST /mcp HTTP/{version}\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n{extra}"
    )
    if "Transfer-Encoding" not in extra and "Content-Length" not in extra:
        head += f"Content-Length: {len(body)}\r\n"
    return f"{head}{'Connection: close' + chr(13) + chr(10) if close else ''}\r\n".encode() + body


def chunked(data: bytes, size: int) -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_pipelined_requests_are_answered_in_their_order(house: House) -> None:
    words = [word() for _ in range(6)]
    calls = [
        post(text=words[0]), HEALTH, post("nap", text=words[1]), post(text=words[2]), HEALTH, HEALTH,
        post("nap", text=words[3]), post("nap", text=words[4]), post(text=words[5], close=True),
    ]  # fmt: skip
    data = b"".join(calls)
    answer = (await house.ask(data)).decode()
    assert answer.count("HTTP/1.1 200 OK") == 9
    positions = [answer.index(each) for each in words]
    assert positions == sorted(positions)
    assert answer.count('"status":"ok"') == 3
    assert "connection: close" in answer.lower()


async def test_a_connection_stays_open_until_it_is_idle_for_too_long(house: House) -> None:
    text = word()
    begin = time.monotonic()
    answer = await house.ask(post(text=text) + HEALTH + post(text=text), DEADLINE)
    assert answer.count(text.encode()) == 2
    # Closed by the server, and not before its time.
    assert KEEP_ALIVE <= time.monotonic() - begin < DEADLINE


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_chunked_bodies(house: House, size: int) -> None:
    text = word()
    body = json.dumps(SPEAKER.message("tools/call", {"name": "echo", "arguments": {"text": text}})).encode()
    answer = await house.ask(post(body=chunked(body, size), extra="Transfer-Encoding: chunked\r\n", close=True))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert text.encode() in answer


async def test_a_body_that_comes_late(house: House) -> None:
    text = word()
    data = post(text=text, close=True)

    async def rest(writer: asyncio.StreamWriter) -> None:
        for start in range(len(data) - 60, len(data), 20):
            await asyncio.sleep(0.02)
            writer.write(data[start : start + 20])

    answer = await house.ask(data[:-60], after=rest)
    assert text.encode() in answer


async def test_who_wants_to_be_asked_first_and_older_http(house: House) -> None:
    text = word()
    answer = await house.ask(post(text=text, extra="Expect: 100-continue\r\n", close=True))
    assert text.encode() in answer
    assert (await house.ask(post(text=text, version="1.0"))).count(text.encode()) == 1
    data = post(text=text, close=True).replace(b"POST /mcp ", b"POST /mcp?x=1 ")
    assert text.encode() in await house.ask(data)


@pytest.mark.parametrize("way", ["length", "chunked", "lie"])
async def test_a_body_that_is_too_large(house: House, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(fastlane, "DISCARD_TIMEOUT", 0.1)
    body = b"x" * (LIMIT + 1)
    data = {
        "length": post(body=body),
        "chunked": post(body=chunked(body * 3, 999), extra="Transfer-Encoding: chunked\r\n"),
        "lie": post(body=b"{", extra="Content-Length: 99999999999\r\n"),
    }[way]
    answer = await house.ask(data)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer
    assert b"server.max_body" in answer


async def test_no_more_is_read_of_a_large_body_than_is_fair(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastlane, "DISCARD", 4 * LIMIT)
    monkeypatch.setattr(fastlane, "DISCARD_TIMEOUT", 60)
    begin = time.monotonic()
    answer = await house.ask(post(body=b"x" * 5 * LIMIT, extra=f"Content-Length: {50 * LIMIT}\r\n"), DEADLINE)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert time.monotonic() - begin < DEADLINE


async def test_heads_and_bodies_that_never_come(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastlane, "BODY_TIMEOUT", 0.2)
    head, body = await asyncio.gather(house.ask(post(text="x")[:30]), house.ask(post(text="x")[:-5]))
    assert head.startswith(b"HTTP/1.1 400 ")
    assert body.startswith(b"HTTP/1.1 408 ")


async def test_a_header_that_is_there_twice(house: House) -> None:
    answer = await house.ask(post(text="x", extra="Mcp-Name: echo\r\n"))
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_leaves_ends_its_call(house: House) -> None:
    async def leave(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.transport.abort()

    await house.ask(post("wait"), after=leave)
    assert b"true" in await house.ask(post("ended", close=True))
    assert not house.app.endpoint.dispatcher.running


async def closed(house: House) -> bytes:
    """The status of an answer whose connection was closed at once and not for being idle."""
    house.server.config.timeout_keep_alive = 600
    begin = time.monotonic()
    answer = await house.ask(post(text="x"), DEADLINE)
    assert time.monotonic() - begin < DEADLINE, "the connection was left open"
    return answer.split(b" ", 2)[1]


@pytest.mark.parametrize("begun", [False, True])
async def test_an_endpoint_that_fails_answers_and_leaves_no_connection(
    house: House, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    async def post_(headers: Any, body: bytes, out: Any) -> None:
        if begun:
            await out.begin(200, ())
        raise ZeroDivisionError

    monkeypatch.setattr(house.app.endpoint, "post", post_)
    assert await closed(house) == (b"200" if begun else b"500")


async def test_an_endpoint_that_gives_up_a_stream_cuts_the_connection(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def post_(headers: Any, body: bytes, out: Any) -> None:
        await out.begin(200, ())
        await out.write(b"x")

    monkeypatch.setattr(house.app.endpoint, "post", post_)
    assert await closed(house) == b"200"
