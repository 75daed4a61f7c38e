"""Requests that are taken back, each wire and era in its own way, and ids that are in use."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.wire.client import Client, Refused, text_of, word
from tests.wire.conftest import Connect
from tests.wire.duplex import DuplexClient
from tests.wire.http import HttpClient

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHORT = 0.3


async def seen(client: Client, key: str, what: str, seconds: float = 5.0) -> bool:
    """Whether the tool notes something down in time."""
    return await client.text("marked", key=key, what=what, seconds=seconds) == "true"


async def test_a_cancelled_call_ends_and_is_never_answered(client: Client) -> None:
    key = word()
    exchange = await client.start("hang", key=key)
    assert (await exchange.next("notifications/progress"))["params"]["progress"] == 1
    await client.cut(exchange)
    assert await seen(client, key, "cancelled")
    await client.text("mark", key=key, what="go")
    # Other requests go on, and nothing about this one comes between them.
    assert await client.text("echo", text=key) == key
    assert exchange.response is None
    assert len(exchange.frames) == 1
    if isinstance(client, DuplexClient):
        assert client.connection.strays.empty()
        client.connection.forget(exchange)


async def test_an_id_that_was_cancelled_is_free_again(client: Client) -> None:
    key, id = word(), word()
    exchange = await client.open("tools/call", {"name": "hang", "arguments": {"key": key}}, id=id)
    assert await seen(client, key, "started")
    await client.cut(exchange)
    assert await seen(client, key, "ended")
    again = await client.open("tools/call", {"name": "echo", "arguments": {"text": key}}, id=id)
    assert text_of(await again.result()) == key


@pytest.mark.parametrize(
    "params", [{"requestId": "no-such-id"}, {"requestId": 0}, {"requestId": None}, {"requestId": {}}, {}, {"reason": 7}]
)
async def test_cancelling_nothing_is_ignored(client: Client, params: dict[str, object]) -> None:
    if client.wire == "http" and client.modern:
        assert isinstance(client, HttpClient)
        message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        assert (await client.post(json.dumps(message).encode(), **client.headers(message)))[0] == 202
    else:
        await client.notify("notifications/cancelled", params)
    assert await client.text("echo", text="on") == "on"


async def test_an_id_in_use_is_refused_and_the_first_call_goes_on(client: Client) -> None:
    key, id = word(), word()
    first = await client.open("tools/call", {"name": "hang", "arguments": {"key": key}}, id=id)
    assert await seen(client, key, "started")
    if isinstance(client, DuplexClient):
        message = client.message("tools/call", {"name": "echo", "arguments": {"text": "x"}}, id=id)
        client.connection.forget(first)
        await client.connection.link.send(json.dumps(message))
        async with asyncio.timeout(30):
            refusal = await client.connection.strays.get()
        assert refusal["id"] == id
        assert refusal["error"]["code"] == -32600
        client.connection.add(first, None)
    elif not client.modern:
        with pytest.raises(Refused) as refused:
            await client.request("tools/list", id=id)
        assert refused.value.code == -32600
    else:
        # Requests of the modern era stand alone on HTTP: an id means nothing beyond its own exchange.
        assert (await client.request("tools/list", id=id))["tools"]
    await client.text("mark", key=key, what="go")
    assert text_of(await first.result()) == key


async def test_a_closed_stream_cancels_in_the_modern_era_only(connect: Connect) -> None:
    for revision, cancels in (("2026-07-28", True), ("2025-11-25", False), ("2025-03-26", False)):
        client = await connect("http", revision)
        key = word()
        exchange = await client.start("hang", key=key)
        await exchange.next("notifications/progress")
        await client.drop(exchange)
        assert await seen(client, key, "cancelled", 5.0 if cancels else SHORT) is cancels
        await client.text("mark", key=key, what="go")
        assert await seen(client, key, "ended")
        assert await seen(client, key, "cancelled", 0.01) is cancels


async def test_a_connection_that_is_cut_before_anything_was_said(connect: Connect) -> None:
    """No stream yet: the client has only sent its request and goes away."""
    client = await connect("http", "2026-07-28")
    key = word()
    exchange = await client.open("tools/call", {"name": "hang", "arguments": {"key": key}})
    other = await connect("http", "2026-07-28")
    assert await seen(other, key, "started")
    await client.drop(exchange)
    assert await seen(other, key, "cancelled")


@pytest.mark.parametrize("wire", ["ws", "sse"])
async def test_a_connection_that_ends_takes_its_calls_with_it(connect: Connect, wire: str) -> None:
    revisions = ("2024-11-05",) if wire == "sse" else ("2026-07-28", "2025-11-25")
    other = await connect("http", "2026-07-28")
    for revision in revisions:
        client = await connect(wire, revision)
        key = word()
        await client.open("tools/call", {"name": "hang", "arguments": {"key": key}})
        assert await seen(other, key, "started")
        await client.close()
        assert await seen(other, key, "cancelled")


async def test_a_question_is_taken_back_when_its_call_is_cancelled(legacy: Client) -> None:
    exchange = await legacy.open("tools/call", {"name": "ask_model", "arguments": {"prompt": word()}})
    question = await exchange.next("sampling/createMessage")
    await legacy.notify("notifications/cancelled", {"requestId": exchange.id})
    if isinstance(legacy, DuplexClient):
        note = await legacy.heard("notifications/cancelled")
        legacy.connection.forget(exchange)
    else:
        note = await exchange.next("notifications/cancelled")
    assert note["params"]["requestId"] == question["id"]
    # Too late: nobody waits for it.
    late = {"role": "assistant", "content": {"type": "text", "text": "x"}, "model": "m"}
    await legacy.tell({"jsonrpc": "2.0", "id": question["id"], "result": late})
    assert await legacy.text("echo", text="on") == "on"
    assert exchange.response is None


async def test_ending_a_session_ends_its_calls(connect: Connect) -> None:
    client, other = await connect("http", "2025-11-25"), await connect("http", "2026-07-28")
    key = word()
    exchange = await client.start("hang", key=key)
    await exchange.next("notifications/progress")
    assert await client.delete() == 204
    assert await seen(other, key, "cancelled")
    async with asyncio.timeout(30):
        await exchange.over.wait()
    assert exchange.response is None
