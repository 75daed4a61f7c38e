"""Whatever comes in gets a defined answer, and the server goes on: messages, headers, sizes, tools."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.broken import BROKEN, LISTS, OBJECTS, call
from tests.rig import Rig, config, rig
from tests.wire.client import Client, text_of, word
from tests.wire.duplex import Connection, DuplexClient, SocketLink, StdioLink
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN, check_frame

TOOLS = Path(__file__).with_name("badtools.py")
CAP = 1024 * 1024
SETTINGS = (f"max_body = {CAP}", "timeout = 1.5")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig("--config", str(config(tmp_path_factory.mktemp("bad"), TOOLS, SETTINGS))) as found:
        yield found


async def clients(server: Rig, folder: Path) -> dict[str, Client]:
    """One client per wire, legacy ones with their handshake behind them."""
    http, old = HttpClient(server.url, MODERN), HttpClient(server.url, "2025-06-18")
    socket = DuplexClient(Connection(await SocketLink.open(f"ws://127.0.0.1:{server.port}/")), MODERN)
    stdio = DuplexClient(Connection(await StdioLink.open("--config", str(config(folder, TOOLS, SETTINGS)))), MODERN)
    await old.initialize()
    return {"http": http, "legacy http": old, "ws": socket, "stdio": stdio}


async def fine(client: Client) -> None:
    """An ordinary call works."""
    text = word()
    assert await client.text("echo", text=text) == text


async def refusal(client: Client, data: bytes) -> dict[str, Any]:
    """The error that answers these bytes."""
    if isinstance(client, HttpClient):
        extra = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call"} if client.modern else {}
        status, body, _ = await client.post(data, **extra)
        assert status in (400, 404, 200), (status, body)
        return body
    assert isinstance(client, DuplexClient)
    if isinstance(client.connection.link, StdioLink):
        client.connection.link.write(data.replace(b"\n", b" ") + b"\n")
    elif isinstance(client.connection.link, SocketLink):
        await client.connection.link.socket.send_bytes(data)
    async with asyncio.timeout(30):
        return await client.connection.strays.get()


async def test_broken_messages(server: Rig, tmp_path: Path) -> None:
    everybody = await clients(server, tmp_path)
    try:
        for name, (data, codes) in BROKEN.items():
            for wire, client in everybody.items():
                if not data and wire == "stdio":
                    continue  # an empty line is no message
                allowed = (
                    codes
                    if client.wire == "http" and client.modern
                    else tuple(code for code in codes if code != -32020)
                )
                error = await refusal(client, data)
                assert "error" in error, f"{name} on {wire}: {error}"
                assert error["error"]["code"] in (*allowed, *((-32601,) if not client.modern else ())), (
                    f"{name} on {wire}: {error}"
                )
                check_frame(client.revision, error)
                await fine(client)
    finally:
        for client in everybody.values():
            await client.close()


VALUES = {
    "deep lists": LISTS,
    "deep objects": OBJECTS,
    "huge integer": "9" * 5000,
    "huge float": "1e999",
    "minus zero": "-0",
    "tiny": "1e-400",
    "lone surrogate": r'"\ud800"',
    "duplicate keys": '{"a":1,"a":2}',
    "NULs": '"' + r"\u0000" * 999 + '"',
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
async def test_strange_arguments(server: Rig, tmp_path: Path, value: str) -> None:
    everybody = await clients(server, tmp_path)
    try:
        for wire, client in everybody.items():
            message = client.message("tools/call", {"name": "anything", "arguments": {"value": "@"}})
            data = json.dumps(message).replace('"@"', value).encode()
            if isinstance(client, HttpClient):
                status, answer, _ = await client.post(data, **client.headers(message))
                assert status in (200, 400), wire
            else:
                answer = await refusal(client, data)
            assert answer.get("id") == message["id"] or answer["error"]["code"] in (-32700, -32600), wire
            check_frame(client.revision, answer)
            await fine(client)
    finally:
        for client in everybody.values():
            await client.close()


async def test_duplicate_members_count_once(server: Rig) -> None:
    """Whichever of two names is checked is the one that is called."""
    client = HttpClient(server.url, MODERN)
    try:
        body = call('"arguments":{"text":"a"}', '"name":"echo"', name='"leaves"')
        for name in ("leaves", "echo"):
            status, answer, _ = await client.post(
                body, **{"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": name}
            )
            assert (status == 200 and text_of(answer["result"]) == "a") if name == "echo" else status == 400
    finally:
        await client.close()


# --- sizes -----------------------------------------------------------------------------------------------------------


def big(client: Client, size: int) -> bytes:
    """A call of exactly this size."""
    message = client.message("tools/call", {"name": "echo", "arguments": {"text": ""}}, id=7)
    return (
        json.dumps(message).replace('"text": ""', '"text": "%s"' % ("x" * (size - len(json.dumps(message))))).encode()
    )


async def test_a_body_over_the_cap(server: Rig) -> None:
    client = HttpClient(server.url, MODERN)

    async def pieces(data: bytes) -> Any:
        for start in range(0, len(data), 60_000):
            yield data[start : start + 60_000]

    try:
        for size, wanted in ((CAP, 200), (CAP + 1, 413), (3 * CAP, 413)):
            data = big(client, size)
            headers = client.headers(client.message("tools/call", {"name": "echo"}))
            for body in (io.BytesIO(data), pieces(data)):
                async with client.http.post(client.url, data=body, headers=headers) as response:
                    assert response.status == wanted, size
                    answer = json.loads(await response.read())
                    assert ("error" in answer) == (wanted == 413)
            await fine(client)
    finally:
        await client.close()


def test_lengths_that_lie(server: Rig) -> None:
    head = b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    for line, status in (
        (b"content-length: 99999999999999\r\n", b"413"),
        (b"content-length: -1\r\n", b"400"),
        (b"content-length: x\r\n", b"400"),
        (b"content-length: 2\r\ncontent-length: 3\r\n", b"400"),
        (b"content-length: 2\r\ntransfer-encoding: chunked\r\n", b"400"),
        (b"transfer-encoding: chunked\r\n\r\nfffffffffffffffffff\r\n", b"400"),
    ):
        answer = server.raw(head + line + b"\r\n{}", 1)
        assert answer.startswith(b"HTTP/1.1 " + status), (line, answer[:200])
        assert server.healthy()


def test_heads_that_are_no_heads(server: Rig) -> None:
    for data in (
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"POST /mcp HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET /mcp HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST http:// HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /%ff%00 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ):
        answer = server.raw(data, 0.5)
        assert answer.startswith(b"HTTP/1.1 4"), (data, answer)
        assert server.healthy()
    long = b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: %b\r\n\r\n" % (b"y" * 300_000)
    assert server.raw(long, 1).startswith(b"HTTP/1.1 ")
    assert server.healthy()


async def test_a_line_that_is_too_long(tmp_path: Path) -> None:
    link = await StdioLink.open("--config", str(config(tmp_path, TOOLS, SETTINGS)))
    client = DuplexClient(Connection(link), MODERN)
    try:
        for size in (CAP + 1, 5 * CAP):
            for start in range(0, size, 100_000):
                link.write(b"x" * min(100_000, size - start))
                await link._stdin.drain()
            link.write(b"\n")
            async with asyncio.timeout(30):
                error = await client.connection.strays.get()
            assert (error.get("id"), error["error"]["code"]) == (None, -32600)
            assert str(CAP) in error["error"]["message"]
            await fine(client)
        link.write(big(client, CAP) + b"\n")
        async with asyncio.timeout(30):
            assert (await client.connection.strays.get())["id"] == 7
    finally:
        await client.close()


async def test_a_websocket_message_that_is_too_large(server: Rig) -> None:
    link = await SocketLink.open(f"ws://127.0.0.1:{server.port}/")
    client = DuplexClient(Connection(link), MODERN)
    try:
        await fine(client)
        await link.socket.send_bytes(b"x" * (CAP + 1))
        async with asyncio.timeout(30):
            await client.connection.over.wait()
        assert link.socket.close_code == 1009
    finally:
        await client.close()
    again = DuplexClient(Connection(await SocketLink.open(f"ws://127.0.0.1:{server.port}/")), MODERN)
    await fine(again)
    await again.close()
