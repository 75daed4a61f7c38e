"""What only shared connections have: frames of both eras side by side, batches, the paths of the WebSocket, the end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.rig import Rig
from tests.wire.client import META, Refused, text_of, word
from tests.wire.conftest import Connect, Wires
from tests.wire.duplex import Connection, DuplexClient, SocketLink, SseLink, StdioLink, stdio
from tests.wire.schemas import LEGACY, MODERN, check

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def stray(connection: Connection) -> dict[str, Any]:
    """The next response to nobody."""
    async with asyncio.timeout(30):
        return await connection.strays.get()


async def batch(connection: Connection, members: list[Any]) -> list[dict[str, Any]]:
    """The answer to a batch."""
    await connection.link.send(json.dumps(members))
    async with asyncio.timeout(30):
        return await connection.batches.get()


# --- eras ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["mixed-ws", "mixed-stdio"])
async def test_both_eras_call_side_by_side(connect: Connect, wire: str) -> None:
    modern = await connect(wire, MODERN)
    assert isinstance(modern, DuplexClient)
    legacy = modern.connection.legacy
    assert legacy is not None
    words = [word() for _ in range(20)]
    exchanges = [
        await (modern, legacy)[number % 2].open("tools/call", {"name": "echo", "arguments": {"text": each}})
        for number, each in enumerate(words)
    ]
    results = [await exchange.result() for exchange in exchanges]
    assert [text_of(result) for result in results] == words
    assert ["resultType" in result for result in results] == [True, False] * 10
    # An id belongs to its era: the same one may be in flight in both.
    id = word()
    key = word()
    hanging = await legacy.open("tools/call", {"name": "hang", "arguments": {"key": key}}, id=id)
    modern.connection.forget(hanging)
    assert (await modern.request("tools/list", id=id))["resultType"] == "complete"
    modern.connection.add(hanging, None)
    await modern.text("mark", key=key, what="go")
    assert text_of(await hanging.result()) == key


@pytest.mark.parametrize("wire", ["ws", "memory", "stdio"])
async def test_before_the_handshake(wires: Wires, wire: str) -> None:
    connection = await wires._connection(wire)
    legacy = DuplexClient(connection, "2025-06-18")
    try:
        assert await legacy.request("ping") == {}
        with pytest.raises(Refused) as refused:
            await legacy.request("tools/list")
        assert refused.value.code == -32600
        assert "initialize" in refused.value.message
        modern = DuplexClient(connection, MODERN)
        assert (await modern.request("server/discover"))["supportedVersions"]
        await legacy.notify("notifications/initialized")
        await legacy.initialize()
        assert (await legacy.request("tools/list"))["tools"]
    finally:
        await legacy.close()


async def test_a_modern_envelope_with_another_version(connect: Connect) -> None:
    client = await connect("ws", MODERN)
    unknown = f"2099-{word()}"
    with pytest.raises(Refused) as refused:
        await client.request("tools/list", meta={META + "protocolVersion": unknown})
    assert (refused.value.code, refused.value.data["requested"]) == (-32022, unknown)
    assert set(refused.value.data["supported"]) == {MODERN, *LEGACY}
    with pytest.raises(Refused) as refused:
        await client.request("tools/list", meta={META + "protocolVersion": 7})
    assert refused.value.code == -32602


async def test_a_modern_notification_and_response_are_taken_in_silence(connect: Connect) -> None:
    client = await connect("ws", MODERN)
    for message in (
        {"jsonrpc": "2.0", "method": "notifications/x", "params": {"_meta": client.meta()}},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}},
    ):
        await client.tell(message)
    assert await client.text("echo", text="on") == "on"
    assert client.connection.strays.empty()


# --- batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", ["stdio", "ws", "memory"])
async def test_a_batch_of_everything(connect: Connect, wire: str) -> None:
    client = await connect(wire, "2025-03-26")
    words = [word(), word()]
    calls = [client.message("tools/call", {"name": "echo", "arguments": {"text": each}}) for each in words]
    members = [calls[0], {"jsonrpc": "2.0", "method": "notifications/x"}, 7, client.message("no/such"), calls[1]]
    found = await batch(client.connection, members)
    answers = {answer.get("id"): answer for answer in found}
    assert len(found) == 4
    assert [text_of(answers[call["id"]]["result"]) for call in calls] == words
    assert answers[None]["error"]["code"] == -32600
    check("2025-03-26", "JSONRPCBatchResponse", [answer for answer in found if "id" in answer])
    # Nothing to answer: nothing comes.
    await client.connection.link.send(json.dumps([{"jsonrpc": "2.0", "method": "notifications/x"}]))
    assert await client.text("echo", text="on") == "on"
    assert client.connection.batches.empty()


@pytest.mark.parametrize("revision", [MODERN, "2025-11-25", "2025-06-18", "2024-11-05"])
async def test_other_revisions_have_no_batches(connect: Connect, revision: str) -> None:
    client = await connect("memory", revision)
    for body in ([client.message("tools/list")], []):
        await client.connection.link.send(json.dumps(body))
        refusal = await stray(client.connection)
        assert (refusal.get("id"), refusal["error"]["code"]) == (None, -32600)


async def test_half_an_array(connect: Connect) -> None:
    client = await connect("memory", "2025-03-26")
    await client.connection.link.send("[1, ")
    assert (await stray(client.connection))["error"]["code"] == -32700


# --- WebSocket -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/ws", "/mcp"])
@pytest.mark.parametrize(
    ("offered", "chosen"), [(("mcp",), "mcp"), (("other", "mcp"), "mcp"), ((), None), (("other",), None)]
)
async def test_the_paths_and_the_subprotocol(
    server: Rig, path: str, offered: tuple[str, ...], chosen: str | None
) -> None:
    link = await SocketLink.open(f"ws://127.0.0.1:{server.port}{path}", offered)
    assert link.socket.protocol == chosen
    client = DuplexClient(Connection(link), MODERN)
    text = word()
    assert await client.text("echo", text=text) == text
    await client.close()


async def test_no_other_path(server: Rig) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"ws://127.0.0.1:{server.port}/{word()}")
        assert refused.value.status == 403


async def test_binary_frames_are_read_too(connect: Connect) -> None:
    client = await connect("ws", MODERN)
    message = client.message("ping-" + word())
    await client.connection.link.socket.send_bytes(json.dumps(message).encode())
    refusal = await stray(client.connection)
    assert (refusal.get("id"), refusal["error"]["code"]) == (message["id"], -32601)


# --- HTTP+SSE --------------------------------------------------------------------------------------------------------


async def test_messages_need_an_open_stream(server: Rig) -> None:
    link = await SseLink.open(server.base)
    assert server.base in link.endpoint
    async with aiohttp.ClientSession() as session:
        for place in ("/messages", f"/messages?session_id={word()}"):
            async with session.post(server.base + place, data=b"{}") as response:
                assert response.status == 404
        for method, place in (("POST", "/sse"), ("GET", "/messages"), ("DELETE", "/sse")):
            async with session.request(method, server.base + place) as response:
                assert response.status == 405
        await link.close()
        async with asyncio.timeout(30):
            while True:
                async with session.post(link.endpoint, data=b"{}") as response:
                    if response.status == 404:
                        break


# --- stdio -----------------------------------------------------------------------------------------------------------


async def test_the_end_of_stdin_ends_the_server_after_what_is_in_flight(wire_config: Path) -> None:
    async with stdio(wire_config) as connection:
        client = DuplexClient(connection, MODERN)
        text = word()
        exchange = await client.open("tools/call", {"name": "steps", "arguments": {"count": 3, "message": text}})
        await connection.close()
        assert text_of(await exchange.result()) == text


async def test_a_last_line_without_its_end(wire_config: Path) -> None:
    link = await StdioLink.open("--config", str(wire_config))
    client = DuplexClient(Connection(link), MODERN)
    message = client.message("server/discover")
    link.write(b"\n  \r\n\t\n" + json.dumps(message).encode())
    await client.connection.close()
    answer = client.connection.strays.get_nowait()
    assert answer["id"] == message["id"]
    assert answer["result"]["supportedVersions"]


async def test_frames_that_come_in_pieces_and_in_heaps(wire_config: Path) -> None:
    async with stdio(wire_config) as connection:
        client = DuplexClient(connection, MODERN)
        assert isinstance(connection.link, StdioLink)
        text = "ü" * 50_000 + word()
        message = json.dumps(
            client.message("tools/call", {"name": "echo", "arguments": {"text": text}}), ensure_ascii=False
        ).encode()
        for start in range(0, len(message), 30_001):
            connection.link.write(message[start : start + 30_001])
            await connection.link._stdin.drain()
        connection.link.write(b"\r\n")
        assert text_of((await stray(connection))["result"]) == text
        heap = [client.message("tools/call", {"name": "echo", "arguments": {"text": str(n)}}, id=n) for n in range(500)]
        connection.link.write(b"".join(json.dumps(each).encode() + b"\n" for each in heap))
        found = {answer["id"]: text_of(answer["result"]) for answer in [await stray(connection) for _ in heap]}
        assert found == {n: str(n) for n in range(500)}
