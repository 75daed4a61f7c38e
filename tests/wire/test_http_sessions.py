"""Streamable HTTP of the legacy revisions: sessions, streams that are taken up again, batches."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import pytest_asyncio

from tests.wire.client import Client, Refused, text_of, word
from tests.wire.conftest import Connect
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN, check

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(params=["http", "asgi"], loop_scope="session")
async def connect(request: pytest.FixtureRequest, connect: Connect) -> Connect:
    """The same over both carriers: the one of `rune serve`, and any other ASGI server."""

    async def over(wire: str, revision: str) -> Client:
        return await connect(request.param if wire == "http" else wire, revision)

    return over


async def post(client: HttpClient, message: dict[str, Any], **headers: str | None) -> tuple[int, Any]:
    """Status and body of a message with other headers than the right ones."""
    status, body, _ = await client.post(json.dumps(message).encode(), **(client.headers(message) | headers))
    return status, body


# --- sessions --------------------------------------------------------------------------------------------------------

OLD = pytest.mark.parametrize("revision", ["2025-11-25", "2025-06-18", "2025-03-26"])


@OLD
async def test_a_session_from_birth_to_death(connect: Connect, revision: str) -> None:
    client = await connect("http", revision)
    assert client.session is not None
    assert all(0x21 <= ord(letter) <= 0x7E for letter in client.session)
    assert len(client.session) >= 32
    other = await connect("http", revision)
    assert other.session != client.session
    assert await client.delete() == 204
    assert await client.delete() == 404
    with pytest.raises(Refused) as refused:
        await client.request("tools/list")
    assert refused.value.status == 404
    assert (await other.request("tools/list"))["tools"]


@OLD
async def test_no_session_and_an_unknown_one(connect: Connect, revision: str) -> None:
    client = await connect("http", revision)
    message = client.message("tools/list")
    status, body = await post(client, message, **{"Mcp-Session-Id": None})
    assert (status, body["id"]) == (400, message["id"])
    for wrong in (word(), client.session[:-1] + "0x", "", "é"):
        status, body = await post(client, message, **{"Mcp-Session-Id": wrong})
        assert (status, body["id"]) == (404, message["id"]), wrong
        async with client.http.get(
            client.url, headers={"accept": "text/event-stream", "Mcp-Session-Id": wrong}
        ) as response:
            assert response.status == 404
            assert "Mcp-Session-Id" not in response.headers


async def test_an_unserved_version_is_answered_with_one_that_is(connect: Connect) -> None:
    client = await connect("http", "2025-11-25")
    params = {"protocolVersion": "1999-01-01", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    status, body = await post(
        client, client.message("initialize", params), **{"Mcp-Session-Id": None, "MCP-Protocol-Version": None}
    )
    assert (status, body["result"]["protocolVersion"]) == (200, "2025-11-25")
    assert (await post(client, client.message("tools/list"), **{"MCP-Protocol-Version": "1999-01-01"}))[0] == 400


@pytest.mark.parametrize("params", [{}, {"protocolVersion": 7}, {"protocolVersion": "2025-06-18", "capabilities": []}])
async def test_a_failed_handshake_leaves_no_session(connect: Connect, params: dict[str, Any]) -> None:
    client = await connect("http", "2025-06-18")
    status, body, headers = await client.post(
        json.dumps(client.message("initialize", params)).encode(),
        **{"Mcp-Session-Id": None, "MCP-Protocol-Version": None},
    )
    assert (status, body["error"]["code"]) == (400, -32602)
    assert "Mcp-Session-Id" not in headers


# --- streams that are taken up again ---------------------------------------------------------------------------------


@OLD
async def test_the_rest_of_a_stream_comes_exactly_once(connect: Connect, revision: str) -> None:
    client = await connect("http", revision)
    key, token = word(), word()
    exchange = await client.open(
        "tools/call", {"name": "hang", "arguments": {"key": key}}, meta={"progressToken": token}
    )
    assert (await exchange.next())["params"]["progress"] == 1
    last = exchange.events[-1][0]
    assert last
    assert (exchange.events[0][1] == "") == (revision == "2025-11-25"), "the priming event came with 2025-11-25"
    await client.drop(exchange)
    await client.text("mark", key=key, what="go")
    assert await client.text("marked", key=key, what="ended", seconds=5) == "true"
    for _ in range(2):
        rest = await client.resume(last)
        frames = [json.loads(data) for _, data in rest]
        assert [frame.get("method") for frame in frames] == ["notifications/progress", None]
        assert frames[0]["params"]["progress"] == 2
        assert frames[1]["id"] == exchange.id
        assert text_of(frames[1]["result"]) == key
        assert len({id for id, _ in exchange.events + rest}) == len(exchange.events + rest)
    again = await client.resume(exchange.events[0][0])
    assert len(again) == len(exchange.events) + 1


@OLD
async def test_a_client_that_comes_back_while_the_call_still_runs(connect: Connect, revision: str) -> None:
    client = await connect("http", revision)
    key = word()
    exchange = await client.open("tools/call", {"name": "hang", "arguments": {"key": key}}, meta={"progressToken": key})
    await exchange.next()
    await client.drop(exchange)
    back = asyncio.create_task(client.resume(exchange.events[-1][0]))
    await client.text("mark", key=key, what="go")
    frames = [json.loads(data) for _, data in await back]
    assert [frame.get("method") for frame in frames] == ["notifications/progress", None]


async def test_polling_releases_the_stream_and_the_answer_waits(connect: Connect) -> None:
    client = await connect("http", "2025-11-25")
    key = word()
    exchange = await client.open("tools/call", {"name": "let_poll", "arguments": {"key": key}})
    async with asyncio.timeout(30):
        await exchange.over.wait()
    assert exchange.response is None
    assert [data for _, data in exchange.events] == [""]
    await client.text("mark", key=key, what="go")
    rest = await client.resume(exchange.events[0][0])
    assert text_of(json.loads(rest[-1][1])["result"]) == key


async def test_older_revisions_hold_the_stream_instead(connect: Connect) -> None:
    client = await connect("http", "2025-06-18")
    key = word()
    exchange = await client.open("tools/call", {"name": "let_poll", "arguments": {"key": key}})
    assert await client.text("marked", key=key, what="started", seconds=5) == "true"
    await client.text("mark", key=key, what="go")
    assert text_of(await exchange.result()) == key


async def test_one_session_cannot_read_the_stream_of_another(connect: Connect) -> None:
    one, two = await connect("http", "2025-11-25"), await connect("http", "2025-11-25")
    exchange = await one.open(
        "tools/call", {"name": "steps", "arguments": {"count": 3, "message": word()}}, meta={"progressToken": 1}
    )
    await exchange.result()
    # In the other session the id means nothing: its own standing stream opens, and stays silent.
    headers = two.headers(accept="text/event-stream") | {"Last-Event-ID": exchange.events[0][0]}
    async with two.http.get(two.url, headers=headers) as response:
        assert response.status == 200
        assert await response.content.readuntil(b"\n\n") == b":\n\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readline(), 0.2)


# --- batches ---------------------------------------------------------------------------------------------------------


async def test_a_batch_of_everything(connect: Connect) -> None:
    client = await connect("http", "2025-03-26")
    words = [word(), word()]
    calls = [client.message("tools/call", {"name": "echo", "arguments": {"text": each}}) for each in words]
    unknown = client.message("no/such")
    members = [calls[0], {"jsonrpc": "2.0", "method": "notifications/x"}, unknown, 7, {"jsonrpc": "2.0"}, calls[1]]
    status, body, _ = await client.post(json.dumps(members).encode())
    assert status == 200
    answers = {answer.get("id"): answer for answer in body if "id" in answer}
    assert len(body) == 5
    assert [text_of(answers[call["id"]]["result"]) for call in calls] == words
    assert answers[unknown["id"]]["error"]["code"] == -32601
    assert [answer["error"]["code"] for answer in body if answer.get("id") is None] == [-32600, -32600]
    check("2025-03-26", "JSONRPCBatchResponse", [answer for answer in body if "id" in answer])


async def test_a_batch_of_notifications_only(connect: Connect) -> None:
    client = await connect("http", "2025-03-26")
    members = [{"jsonrpc": "2.0", "method": "notifications/x"}, {"jsonrpc": "2.0", "id": "nobody", "result": {}}]
    assert (await client.post(json.dumps(members).encode()))[:2] == (202, None)


async def test_a_batch_with_progress_becomes_a_stream(connect: Connect) -> None:
    client = await connect("http", "2025-03-26")
    calls = [
        client.message(
            "tools/call", {"name": "steps", "arguments": {"count": 3, "message": str(n)}}, meta={"progressToken": n}
        )
        for n in range(2)
    ]
    status, body, _ = await client.post(json.dumps(calls).encode())
    assert status == 200
    frames = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]
    assert len(frames) == 7
    assert {answer["id"] for answer in frames[-1]} == {call["id"] for call in calls}


@pytest.mark.parametrize(
    "body",
    [b"[]", b"[1", b" [ ] ", json.dumps([{"jsonrpc": "2.0", "id": n, "method": "ping"} for n in range(200)]).encode()],
)
async def test_what_is_no_batch(connect: Connect, body: bytes) -> None:
    client = await connect("http", "2025-03-26")
    status, answer, _ = await client.post(body)
    assert (status, answer["error"]["code"]) == (400, -32700 if body == b"[1" else -32600)


@pytest.mark.parametrize("revision", [MODERN, "2025-11-25", "2025-06-18"])
async def test_other_revisions_have_no_batches(connect: Connect, revision: str) -> None:
    client = await connect("http", revision)
    status, body, _ = await client.post(json.dumps([client.message("tools/list")]).encode())
    assert (status, body["error"]["code"]) == (400, -32600)
