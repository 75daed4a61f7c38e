"""A shared connection at its limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rune import Context, Server
from rune.app import Listen, dispatcher
from rune.gateway import Gateway
from rune.server import duplex
from rune.server.duplex import Duplex
from rune.view import Mount
from rune.wires.memory import MemoryWire
from tests.wire.client import Client, word
from tests.wire.schemas import MODERN

MODERN_SPEAKER, LEGACY_SPEAKER = Client(MODERN), Client("2025-06-18")


@pytest.fixture
async def wire() -> AsyncIterator[MemoryWire]:
    server = Server("limits")

    @server.tool
    async def wait() -> str:
        await asyncio.Event().wait()
        return ""

    @server.tool
    async def echo(text: str, ctx: Context) -> str:
        return text

    async with Gateway([Mount(server)]) as gateway:
        dispatch = dispatcher(gateway, Listen(timeout=5))
        async with MemoryWire(lambda way: Duplex(dispatch, way)) as wire:
            yield wire


def say(wire: MemoryWire, message: dict[str, Any]) -> None:
    wire.send(json.dumps(message).encode())


async def heard(wire: MemoryWire) -> Any:
    return json.loads(await wire.receive())


async def hello(wire: MemoryWire) -> None:
    say(
        wire,
        LEGACY_SPEAKER.message(
            "initialize",
            {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
        ),
    )
    assert (await heard(wire))["result"]["protocolVersion"] == "2025-06-18"


@pytest.mark.parametrize("speaker", [MODERN_SPEAKER, LEGACY_SPEAKER], ids=["modern", "legacy"])
async def test_too_many_requests_at_once(wire: MemoryWire, monkeypatch: pytest.MonkeyPatch, speaker: Client) -> None:
    monkeypatch.setattr(duplex, "IN_FLIGHT", 3)
    if not speaker.modern:
        await hello(wire)
    calls = [speaker.message("tools/call", {"name": "wait", "arguments": {}}) for _ in range(4)]
    for call in calls:
        say(wire, call)
        await asyncio.sleep(0)
    refusal = await heard(wire)
    assert (refusal["id"], refusal["error"]["code"]) == (calls[3]["id"], -32600)
    # One less, one more.
    say(wire, {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": calls[0]["id"]}})
    text = word()
    for _ in range(3):
        await asyncio.sleep(0)
    say(wire, speaker.message("tools/call", {"name": "echo", "arguments": {"text": text}}))
    assert (await heard(wire))["result"]["content"][0]["text"] == text


async def test_a_cancellation_for_the_other_era_finds_its_call(wire: MemoryWire) -> None:
    """The era of a cancellation is not told: the id decides."""
    await hello(wire)
    for speaker in (MODERN_SPEAKER, LEGACY_SPEAKER):
        call = speaker.message("tools/call", {"name": "wait", "arguments": {}})
        say(wire, call)
        await asyncio.sleep(0)
        say(
            wire,
            {
                "jsonrpc": "2.0",
                "method": "notifications/cancelled",
                "params": {"requestId": call["id"], "_meta": MODERN_SPEAKER.meta()},
            },
        )
        say(wire, {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": call["id"]}})
    async with asyncio.timeout(30):
        await wire.finish(5)
    say(wire, MODERN_SPEAKER.message("ping"))
    assert (await heard(wire))["error"]["code"] == -32601


async def test_the_end_of_the_connection_ends_all_there_is(wire: MemoryWire) -> None:
    await hello(wire)
    say(wire, LEGACY_SPEAKER.message("resources/subscribe", {"uri": "x://1"}))
    for speaker in (MODERN_SPEAKER, LEGACY_SPEAKER):
        say(wire, speaker.message("tools/call", {"name": "wait", "arguments": {}}))
    say(wire, MODERN_SPEAKER.message("subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
    await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks()) >= 4
    await wire.__aexit__()
    assert asyncio.all_tasks() == {asyncio.current_task()}
