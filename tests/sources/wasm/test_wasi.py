"""wasi:mcp with a guest in JavaScript: each function of the runtime, each handler, and what the host refuses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rune import Client
from rune.build import around
from rune.errors import NotFound, ProtocolError
from rune.gateway import Gateway
from rune.sources.wasm.component import WasmSource
from tests import guests

DEADLINE = 60


@pytest.fixture(scope="module")
def proposal() -> Path:
    return guests.served(Path(__file__).with_name("guests") / "proposal.js")


@pytest.fixture
async def gateway(proposal: Path) -> AsyncIterator[Gateway]:
    async with around(WasmSource("proposal", proposal, cache=guests.compiled() / "wasm")) as gateway:
        yield gateway


async def test_what_is_registered_is_listed(gateway: Gateway) -> None:
    async with asyncio.timeout(DEADLINE), Client(gateway) as client:
        tools = {tool["name"]: tool for tool in await client.list_tools()}
        assert tools["echo"] == {
            "name": "echo", "description": "echo", "inputSchema": {"type": "object"},
            "annotations": {"readOnlyHint": True},
        }  # fmt: skip
        assert await client.list_resources() == [
            {"uri": "note://one", "name": "one", "title": "One", "mimeType": "text/plain", "size": 3}
        ]
        assert await client.list_resource_templates() == [{"uriTemplate": "note://{name}", "name": "note"}]
        assert await client.list_prompts() == [{"name": "hello", "arguments": [{"name": "who", "required": True}]}]
        assert (await client.discover())["instructions"] == "Try it."
        # What else it was told: test_runtime.py.
        told = json.loads(tools["before"]["description"])
        assert told["register-server again"].startswith("invalid-request: register-server: it was called already")
        assert told["register-tools double"].startswith("invalid-params: tool odd is there twice")


async def test_notes_reach_the_client_of_the_call_and_no_other(gateway: Gateway) -> None:
    progress: dict[str, list[Any]] = {"mine": [], "other": []}
    logs: dict[str, list[Any]] = {"mine": [], "other": []}

    def client(name: str) -> Client:
        return Client(
            gateway, on_progress=lambda *note: progress[name].append(note), on_log=lambda *note: logs[name].append(note)
        )

    async with asyncio.timeout(DEADLINE), client("mine") as mine, client("other") as other:
        told, _ = await asyncio.gather(mine.call_tool("tell", {}), other.call_tool("echo", {"text": "x"}))
    assert "a server has asked nothing" in told.text
    assert progress == {"mine": [(1, 2, None), (2, 2, None), (3, 3, None)], "other": []}
    assert [(level, data) for level, data, _ in logs["mine"]] == [
        ("warning", {"message": "said", "data": {"k": "é"}}),
        ("critical", "plain"),
    ]
    assert logs["other"] == []


async def test_what_serve_has_frozen_stays(gateway: Gateway) -> None:
    async with asyncio.timeout(DEADLINE), Client(gateway) as client:
        before = await client.list_tools()
        twice = await client.call_tool("twice", {})
        assert "serve: it was called already" in twice.text and twice["isError"]
        assert await client.list_tools() == before


@pytest.mark.parametrize(
    ("code", "wire", "data"),
    [
        ("invalid-params", -32602, {"retry": 5}),
        ("method-not-found", -32601, {"retry": 5}),
        ("tool-not-found", -32602, {"retry": 5}),
        ("rate-limited", -32603, {"code": "rate-limited", "data": {"retry": 5}}),
    ],
)
async def test_an_error_of_the_guest_arrives(gateway: Gateway, code: str, wire: int, data: Any) -> None:
    async with asyncio.timeout(DEADLINE), Client(gateway) as client:
        with pytest.raises((ProtocolError, NotFound)) as caught:
            await client.call_tool("fail", {"code": code})
        assert (caught.value.code, caught.value.message, caught.value.data) == (wire, "no é", data)


async def test_content_of_every_kind(gateway: Gateway) -> None:
    async with asyncio.timeout(DEADLINE), Client(gateway) as client:
        assert (await client.call_tool("blocks", {}))["content"] == [
            {
                "type": "text", "text": "a",
                "annotations": {"lastModified": "2026-01-01", "priority": 0.5, "audience": ["user"]},
            },
            {"type": "image", "data": "AAAA", "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "note://one", "text": "one"}},
            {"type": "resource_link", "uri": "note://one", "name": "one"},
        ]  # fmt: skip
        assert (await client.read_resource("note://é"))["contents"] == [
            {"uri": "note://é", "text": "note://é"},
            {"uri": "note://é", "mimeType": "a/b", "blob": "AAAA"},
        ]
        messages = (await client.get_prompt("hello", {"who": "you"}))["messages"]
        assert [(each["role"], each["content"]["text"]) for each in messages] == [
            ("user", "hello"),
            ("assistant", '{"who":"you"}'),
        ]
        found = await client.complete({"type": "ref/prompt", "name": "hello"}, {"name": "who", "value": "b"})
        assert found.suggestions == ["prompt-name", "b"]


async def test_subscriptions_reach_the_guest(gateway: Gateway) -> None:
    async with asyncio.timeout(DEADLINE), Client(gateway) as client:
        await client.list_resources()
        async with client.listen(uris=["note://one"]) as changes:
            await client.call_tool("change", {})
            assert (await anext(changes)).params["uri"] == "note://one"
        with pytest.raises(ProtocolError, match="locked"):
            async with client.listen(uris=["note://locked"]) as changes:
                await anext(changes)


async def test_a_flood_of_logs_is_bounded(gateway: Gateway) -> None:
    heard: list[Any] = []
    async with asyncio.timeout(DEADLINE), Client(gateway, on_log=lambda *note: heard.append(note)) as client:
        assert (await client.call_tool("logs", {})).text == "logged"
        assert len(heard) == 1000
