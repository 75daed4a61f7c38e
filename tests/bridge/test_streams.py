"""Streams that end early and sessions that are forgotten, with the HTTP server of the official SDK."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests import peers
from tests.bridge.conftest import Come
from tests.bridge.house import House, Marks, command, offering, visiting
from tests.rig import rig
from tests.serving import foreign
from tests.wire.client import ALL, WAIT, text_of, word
from tests.wire.schemas import MODERN

pytestmark = pytest.mark.asyncio(loop_scope="session")

ERAS = [MODERN, "2025-11-25"]


def call(name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"name": f"old-http_{name}", "arguments": arguments}


@pytest.mark.parametrize("capabilities", [{}, ALL], ids=["mute", "asked"])
@pytest.mark.parametrize("revision", ERAS)
async def test_a_server_that_lets_its_clients_poll(come: Come, revision: str, capabilities: dict[str, Any]) -> None:
    """It ends the stream of the call; the answer is fetched with a GET after the last event. A client of the gateway
    whose revision knows that is let go in the same way."""
    client, text = await come("http", revision, capabilities), word()
    exchange = await client.open("tools/call", call("poll", text=text))
    if client.modern:
        assert text_of(await exchange.result()) == text
        return
    async with asyncio.timeout(WAIT):
        await exchange.over.wait()
    assert exchange.response is None
    events = await client.resume(exchange.events[-1][0])
    answers = [json.loads(data) for _, data in events if data]
    assert [text_of(answer["result"]) for answer in answers if answer.get("id") == exchange.id] == [text]


@pytest.mark.parametrize("revision", ERAS)
async def test_what_was_said_while_the_stream_was_gone_arrives(come: Come, revision: str) -> None:
    client, uri = await come("http", revision, {}), f"note://{word()}"
    method = "notifications/tools/list_changed"
    if client.modern:
        listen = await client.open("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        await listen.next()
        await client.request("tools/call", call("drop_stream", uri=uri))
        assert (await listen.next())["method"] == method
        await client.cut(listen)
    else:
        await client.hear()
        await client.request("tools/call", call("drop_stream", uri=uri))
        await client.heard(method)


async def test_a_server_that_was_restarted_has_forgotten_its_sessions(tmp_path: Path) -> None:
    """404 for a session is answered with a new handshake, and what was subscribed to is again."""
    port = peers.free_port()
    marks = tmp_path / "marks"
    marks.mkdir()
    server, environ = command("old", "http", str(port)), {"MARKS": str(marks), "WHO": "old-http"}
    path = tmp_path / "rune.toml"
    path.write_text(f'[sources.old-http]\nurl = "http://127.0.0.1:{port}/mcp"\n')
    with rig("--config", str(path)) as gateway:
        house = House(gateway, path, Marks(marks))
        pids = set()
        for round in range(2):
            with foreign(server, port, environ):
                for revision in ERAS:
                    for capabilities in ({}, ALL):
                        async with visiting(house, "http", revision, capabilities) as client:
                            await offering(client, ["old-http"])
                            pids.add((round, text_of(await client.request("tools/call", call("pid")))))
                            value = word()
                            if capabilities:
                                result, asked = await client.converse(
                                    "tools/call",
                                    call("form", message="again?"),
                                    {"elicitation/create": lambda _, value=value: accept(value)},
                                )
                                assert text_of(result) == f"accept:{value}"
                                assert len(asked) == 1
        assert len(pids) == 2, pids
        assert "Traceback" not in gateway.said


def accept(value: str) -> dict[str, Any]:
    return {"action": "accept", "content": {"value": value}}
