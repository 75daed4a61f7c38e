"""Tools that misbehave: each call gets a defined answer, and the next one works."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.badtools import ERRORS, VALUES
from tests.rig import Rig, config, rig
from tests.wire.client import Client, Refused, word
from tests.wire.duplex import Connection, DuplexClient, StdioLink
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

TOOLS = Path(__file__).with_name("badtools.py")
DEADLINE = 30.0  # s; what hangs would hang for ever
SETTINGS = ("timeout = 0.6",)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return config(tmp_path_factory.mktemp("tools"), TOOLS, SETTINGS)


@pytest.fixture(scope="module")
def server(path: Path) -> object:
    with rig("--config", str(path)) as found:
        yield found
        assert "Traceback" not in found.said, found.said


@pytest.fixture(params=["http", "legacy", "stdio"])
async def client(request: pytest.FixtureRequest, server: Rig, path: Path) -> AsyncIterator[Client]:
    if request.param == "stdio":
        client: Client = DuplexClient(Connection(await StdioLink.open("--config", str(path))), MODERN)
    else:
        client = HttpClient(server.url, MODERN if request.param == "http" else "2025-03-26")
        if not client.modern:
            await client.initialize()
    yield client
    await client.close()


async def fine(client: Client) -> None:
    text = word()
    assert await client.text("echo", text=text) == text


async def outcome(client: Client, name: str, **arguments: object) -> dict[str, Any]:
    """The result of a call; an internal error counts as one that failed."""
    exchange = await client.open("tools/call", {"name": name, "arguments": arguments})
    response = await exchange.done()
    if "error" not in response:
        result: dict[str, Any] = response["result"]
        return result
    assert response["error"]["code"] == -32603, response
    return {"isError": True, "content": [{"type": "text", "text": response["error"]["message"]}]}


async def test_whatever_a_tool_raises_is_an_answer(client: Client) -> None:
    for kind, tool in itertools.product(ERRORS, ("raises", "raises_in_thread", "raises_later")):
        if kind == "KeyboardInterrupt" and tool != "raises_in_thread":
            continue  # outside of threads Python itself ends the loop for it
        result = await outcome(client, tool, kind=kind)
        assert result["isError"] is True, (kind, tool)
        text = result["content"][0]["text"]
        assert text, (kind, tool)
        assert "Traceback" not in text, (kind, tool)
        await fine(client)


async def test_whatever_a_tool_returns_is_an_answer(client: Client) -> None:
    for kind in VALUES:
        assert (await outcome(client, "returns", kind=kind))["content"], kind
        await fine(client)


async def test_tools_that_hang(client: Client) -> None:
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(Refused) as refused:
            await client.tool("hangs")
        assert "0.6" in refused.value.message
        result = await client.tool("hangs_with_a_limit")
        assert result["isError"] is True
        assert "0.2" in result["content"][0]["text"]
        with pytest.raises(Refused):
            await client.tool("sleeps", seconds=1)
        await fine(client)


async def test_a_tool_that_does_not_care_about_being_cancelled(client: Client) -> None:
    assert (await outcome(client, "stubborn"))["content"]
    await fine(client)


async def test_busy_threads_do_not_block_the_others(client: Client) -> None:
    await client.text("lets_go", now=False)
    exchanges = [await client.open("tools/call", {"name": "stays", "arguments": {}}) for _ in range(10)]
    for _ in range(5):
        await fine(client)
    await client.text("lets_go", now=True)
    for exchange in exchanges:
        assert (await exchange.result())["content"][0]["text"] == "let go"


async def test_endless_recursion(client: Client) -> None:
    result = await client.tool("recurses")
    assert result["isError"] is True
    assert "RecursionError" in result["content"][0]["text"]
    await fine(client)


async def test_a_tool_that_wants_to_end_the_process(client: Client) -> None:
    result = await client.tool("leaves")
    assert result["isError"] is True
    await fine(client)


async def test_what_tools_print_never_gets_between_the_frames(client: Client) -> None:
    text = word()
    assert await client.text("prints", text=text) == text
    await fine(client)
    if isinstance(client, DuplexClient):
        assert isinstance(client.connection.link, StdioLink)
        assert client.connection.strays.empty()
        assert client.connection.link.said.count(text) == 4


async def test_a_generator_that_breaks_off(client: Client) -> None:
    exchange = await client.start("breaks_off", count=5)
    result = await exchange.result()
    assert result["isError"] is True
    assert "broke off" in result["content"][0]["text"]
    assert len(exchange.notes("notifications/progress")) == 5
    await fine(client)


async def test_a_client_that_disappears_in_mid_call(server: Rig) -> None:
    for revision in (MODERN, "2025-11-25"):
        client, other = HttpClient(server.url, revision), HttpClient(server.url, MODERN)
        if not client.modern:
            await client.initialize()
        calls = (("hangs", {}), ("sleeps", {"seconds": 0.3}), ("drips", {"count": 1000, "size": 10_000}))
        exchanges = [await client.start(name, **arguments) for name, arguments in calls]
        await asyncio.sleep(0)
        for exchange in exchanges:
            await client.drop(exchange)
        await client.close()
        await fine(other)
        await other.close()
