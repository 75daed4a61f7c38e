"""Four live defects of the official SDK (protocol/conformance.md, 6.1) that Rune does not have."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rune.app import Listen
from rune.app.http import asgi
from rune.build import build
from rune.config.files import read_toml
from tests.rig import Rig, config, rig
from tests.wire.client import Client, Refused, word
from tests.wire.duplex import SUBSCRIPTION, Connection, DuplexClient, SocketLink, SseLink, StdioLink
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

TOOLS = Path(__file__).parent.parent / "wire" / "tools.py"
LIMIT = 2.0
FILTER = {"toolsListChanged": True, "resourceSubscriptions": ["note://1"]}


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with rig("--config", str(config(tmp_path, TOOLS, ["max_sessions = 8"]))) as found:
        yield found


@asynccontextmanager
async def closing(*clients: Client) -> AsyncIterator[None]:
    try:
        yield
    finally:
        results = await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)
    for result in results:
        if result is not None:
            raise result


async def stopped(server: Rig) -> float:
    """Seconds from SIGTERM to the end, which must be a good one."""
    begin = time.monotonic()
    status = await asyncio.to_thread(server.stop)
    assert status == 0, server.said
    assert "Traceback" not in server.said, server.said
    return time.monotonic() - begin


async def listening(client: Client) -> Any:
    exchange = await client.open("subscriptions/listen", {"notifications": FILTER})
    await exchange.next("notifications/subscriptions/acknowledged")
    return exchange


# --- D1: SIGTERM with open streams -----------------------------------------------------------------------------------


async def test_d1_an_open_listen_gets_its_result_and_the_server_ends(server: Rig) -> None:
    client, other = HttpClient(server.url, MODERN), HttpClient(server.url, MODERN)
    async with closing(client, other):
        exchanges = [await listening(client), await listening(client), await listening(other)]
        assert await stopped(server) < LIMIT
        for exchange in exchanges:
            result = await exchange.result()
            assert result["_meta"][SUBSCRIPTION] == exchange.id


async def test_d1_an_open_get_stream_ends_properly(server: Rig) -> None:
    client = HttpClient(server.url, "2025-11-25")
    async with closing(client):
        await client.initialize()
        await client.hear()
        assert client._standing is not None
        assert await stopped(server) < LIMIT
        # The reader would raise on a stream that was cut off.
        await asyncio.wait_for(client._standing, 30)


async def test_d1_a_websocket_of_both_eras(server: Rig) -> None:
    link = await SocketLink.open(f"ws://127.0.0.1:{server.port}/")
    connection = Connection(link)
    modern, legacy = DuplexClient(connection, MODERN), DuplexClient(connection, "2025-06-18")
    async with closing(modern):
        await legacy.initialize()
        exchange = await listening(modern)
        assert await stopped(server) < LIMIT
        assert (await exchange.result())["_meta"][SUBSCRIPTION] == exchange.id
        note = await legacy.heard("notifications/cancelled")
        assert note["params"] == {"requestId": exchange.id}
        await asyncio.wait_for(connection.over.wait(), 30)
        assert link.socket.close_code == 1001


async def test_d1_http_and_sse(server: Rig) -> None:
    client = DuplexClient(Connection(await SseLink.open(server.base)), "2024-11-05")
    async with closing(client):
        await client.initialize()
        assert await stopped(server) < LIMIT
        await asyncio.wait_for(client.connection.over.wait(), 30)


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT", "stdin"])
async def test_d1_stdio_gets_the_result_and_then_the_cancellation(tmp_path: Path, end: str) -> None:
    link = await StdioLink.open("--config", str(config(tmp_path, TOOLS)))
    connection = Connection(link)
    client = DuplexClient(connection, MODERN)
    connection.legacy = DuplexClient(connection, "2025-11-25")
    exchange = await listening(client)
    begin = time.monotonic()
    if end != "stdin":
        link.process.send_signal(signal.Signals[end])
    await client.close()
    assert time.monotonic() - begin < LIMIT
    assert (await exchange.result())["_meta"][SUBSCRIPTION] == exchange.id
    note = connection.legacy.inbox.get_nowait()
    assert (note["method"], note["params"]["requestId"]) == ("notifications/cancelled", exchange.id)


async def test_d1_calls_in_flight_get_their_time_and_no_more(server: Rig) -> None:
    client, old = HttpClient(server.url, MODERN), HttpClient(server.url, "2025-11-25")
    async with closing(client, old):
        await old.initialize()
        key = word()
        exchanges = [await client.start("hang", key=key), await old.start("hang", key=word())]
        for exchange in exchanges:
            await exchange.next("notifications/progress")
        # The contract gives the whole server five seconds.
        assert await stopped(server) < 5
        for exchange in exchanges:
            # Both are told, one way or the other: no connection is simply cut.
            await asyncio.wait_for(exchange.over.wait(), 30)


async def test_d1_idle_connections_do_not_hold_it_up(server: Rig) -> None:
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    try:
        sockets[0].sendall(b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        sockets[1].sendall(b"POST /mcp HT")
        assert await stopped(server) < 5
    finally:
        for each in sockets:
            each.close()


# --- D2: the era is told by the body, not by a header ----------------------------------------------------------------


async def test_d2_a_modern_body_without_its_header(server: Rig) -> None:
    client = HttpClient(server.url, MODERN)
    async with closing(client):
        for method, params in (("tools/list", {}), ("tools/call", {"name": "echo", "arguments": {"text": "x"}})):
            message = client.message(method, params)
            headers = client.headers(message) | {"MCP-Protocol-Version": None}
            status, body, answered = await client.post(json.dumps(message).encode(), **headers)
            assert (status, body["id"], body["error"]["code"]) == (400, message["id"], -32020)
            assert "Mcp-Session-Id" not in answered


# --- D3: what is refused leaves no session ---------------------------------------------------------------------------


async def test_d3_a_refused_legacy_request_gets_no_session(server: Rig) -> None:
    client = HttpClient(server.url, "2025-11-25")
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    bad = [
        client.message("tools/list"),
        client.message("initialize", {}),
        client.message("initialize", {"protocolVersion": 7}),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
    ]
    async with closing(client):
        # More often than there is room for sessions.
        for message in bad * 4:
            status, _, headers = await client.post(json.dumps(message).encode())
            assert status == 400
            assert "Mcp-Session-Id" not in headers
        status, _, headers = await client.post(json.dumps(client.message("initialize", hello)).encode())
        assert status == 200
        assert "Mcp-Session-Id" in headers


async def test_d3_an_idle_session_makes_room_and_a_busy_one_does_not(server: Rig) -> None:
    clients = [HttpClient(server.url, "2025-11-25") for _ in range(9)]
    late = clients.pop()
    async with closing(*clients, late):
        for client in clients:
            await client.initialize()
        for client in clients[:-1]:
            await client.hear()
        await late.initialize()
        with pytest.raises(Refused) as refused:
            await clients[-1].request("ping")
        assert refused.value.status == 404
        await late.hear()
        message = late.message(
            "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": late.info}
        )
        status, _, headers = await late.post(json.dumps(message).encode(), **{"Mcp-Session-Id": None})
        assert status == 503
        assert int(headers["Retry-After"]) > 0


# --- D4: a middleware that repeats itself ----------------------------------------------------------------------------


async def test_d4_a_middleware_that_repeats_the_request_does_not_make_it_spin(tmp_path: Path) -> None:
    calls = 0
    client = Client(MODERN)
    message = client.message(
        "tools/call", {"name": "marked", "arguments": {"key": word(), "what": "never", "seconds": 0.3}}
    )
    body = json.dumps(message).encode()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        nonlocal calls
        calls += 1
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event: Any) -> None:
        sent.append(event)

    headers = {
        "host": "localhost", "content-type": "application/json", "mcp-protocol-version": MODERN,
        "mcp-method": message["method"], "mcp-name": "marked",
    }  # fmt: skip
    scope = {
        "type": "http", "method": "POST", "path": "/mcp", "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    async with build(read_toml(config(tmp_path, TOOLS), {})) as gateway, gateway:
        app = asgi(gateway, Listen())
        await asyncio.wait_for(app(scope, receive, send), 30)
        await app.close()
    assert calls < 10
    assert sent[0]["status"] == 200
    assert json.loads(sent[1]["body"])["result"]["content"][0]["text"] == "false"
