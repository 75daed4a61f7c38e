"""`serve_mode = "reentrant"`: guests that stay in `serve()` are called from inside; a trap costs one of them."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rune import Client
from rune.build import around
from rune.config.policy import Isolation, LimitsTable, PolicyTable
from rune.errors import ConfigError, ProtocolError, TimedOut
from rune.request import Caller, Request
from rune.sources.wasm.component import WasmSource
from tests import guests, peers
from tests.sources.wasm.wat import tools

DEADLINE = 60


@pytest.fixture(scope="module", params=[".js", ".c"])
def stay(request: pytest.FixtureRequest) -> Path:
    return guests.component(Path(__file__).parent / "seated" / f"stay{request.param}")


def source(stay: Path, isolation: Isolation = "shared", **limits: Any) -> WasmSource:
    policy = PolicyTable(
        isolation=isolation, serve_mode="reentrant", limits=LimitsTable(**{"concurrency": 1, **limits})
    )
    return WasmSource("stay", stay, policy, peers.cache() / "compiled")


def seated() -> int:
    return sum(thread.name == "rune-wasm-guest" for thread in threading.enumerate())


async def test_a_guest_that_stays_is_served(stay: Path) -> None:
    heard: list[Any] = []
    async with (
        asyncio.timeout(DEADLINE),
        around(source(stay)) as gateway,
        Client(gateway, on_progress=lambda *note: heard.append(note)) as client,
    ):
        names = [tool["name"] for tool in await client.list_tools()]
        assert names[:5] == ["count", "fail", "spin", "inside", "step"]
        assert (await client.call_tool("inside", {})).text == "true"
        # One instance, for as long as it lives.
        assert [(await client.call_tool("count", {})).text for _ in range(3)] == ["1", "2", "3"]
        assert (await client.call_tool("step", {})).text == "stepped"
    assert heard == [(1.0, 2.0, None)]
    assert not seated()


async def test_a_guest_hears_of_the_first_wish_and_of_the_last() -> None:
    stay = guests.component(Path(__file__).parent / "seated" / "stay.js")
    async with (
        asyncio.timeout(DEADLINE),
        around(source(stay)) as gateway,
        Client(gateway) as one,
        Client(gateway) as other,
    ):

        async def wishes() -> Any:
            return json.loads((await one.call_tool("wishes", {})).text)

        await one.list_resources()
        async with one.listen(uris=["note://a"]):
            assert await wishes() == ["+note://a"]
            async with other.listen(uris=["note://a"]):
                assert await wishes() == ["+note://a"]
            assert await wishes() == ["+note://a"]
        while await wishes() != ["+note://a", "-note://a"]:
            await asyncio.sleep(0.01)


async def test_wishes_of_a_caller_reach_its_own_instance() -> None:
    stay = guests.component(Path(__file__).parent / "seated" / "stay.js")
    async with asyncio.timeout(DEADLINE), around(source(stay, "caller")) as gateway:
        wanted = msgspec.Raw(b'{"resourceSubscriptions": ["note://a"]}')

        def listen(subject: str) -> asyncio.Task[Any]:
            request = Request("subscriptions/listen", {"notifications": wanted}, caller=Caller(subject))
            return asyncio.ensure_future(gateway.handle(request))

        async def wishes(subject: str) -> list[str]:
            request = Request("tools/call", {"name": msgspec.Raw(b'"wishes"')}, caller=Caller(subject))
            text = (await gateway.handle(request)).value["content"][0]["text"]
            found: list[str] = json.loads(text)
            return found

        async def until(subject: str, *expected: str) -> None:
            while await wishes(subject) != [*expected]:
                await asyncio.sleep(0.01)

        ann, bob = listen("ann"), listen("bob")
        await until("ann", "+note://a")
        await until("bob", "+note://a")
        bob.cancel()
        await until("bob", "+note://a", "-note://a")
        assert await wishes("ann") == ["+note://a"]
        ann.cancel()
        await until("ann", "+note://a", "-note://a")


async def test_it_needs_the_mode(stay: Path) -> None:
    policy = PolicyTable(isolation="shared")
    async with asyncio.timeout(DEADLINE), WasmSource("stay", stay, policy, peers.cache() / "compiled") as found:
        with pytest.raises(ConfigError):
            await found.catalog(Request("catalog"))


async def test_it_is_for_those_that_could_stay(tmp_path: Path) -> None:
    policy = PolicyTable(serve_mode="reentrant")
    async with asyncio.timeout(DEADLINE), WasmSource("hand", tools(tmp_path), policy, tmp_path) as found:
        with pytest.raises(ConfigError, match="is for components that export wasi:mcp/handlers"):
            await found.catalog(Request("catalog"))


async def test_a_trap_or_a_limit_costs_its_instance_only(stay: Path) -> None:
    async with asyncio.timeout(DEADLINE), around(source(stay, cpu_time=0.2)) as gateway, Client(gateway) as client:
        for name, error in (("fail", ProtocolError), ("spin", TimedOut)):
            assert (await client.call_tool("count", {})).text == "1"
            assert (await client.call_tool("count", {})).text == "2"
            with pytest.raises(error):
                await client.call_tool(name, {})
        assert (await client.call_tool("count", {})).text == "1"
    assert not seated()


async def test_each_caller_its_own(stay: Path) -> None:
    counts: dict[str, list[str]] = {}
    for isolation in ("call", "caller", "shared"):
        found = source(stay, isolation)  # type: ignore[arg-type]
        async with asyncio.timeout(DEADLINE), around(found) as gateway:
            for subject in ("ann", "bob", "ann"):
                request = Request("tools/call", {"name": b'"count"'}, caller=Caller(subject))  # type: ignore[dict-item]
                said = json.loads((await gateway.handle(request)).raw)["content"][0]["text"]
                counts.setdefault(isolation, []).append(said)
        assert not seated()
    assert counts == {"call": ["1", "1", "1"], "caller": ["1", "1", "2"], "shared": ["1", "2", "3"]}


async def test_a_call_that_is_given_up_ends_its_guest(stay: Path) -> None:
    found = source(stay)
    async with asyncio.timeout(DEADLINE), around(found) as gateway, Client(gateway) as client:
        await client.list_tools()
        endless = asyncio.create_task(client.call_tool("spin", {}))
        assert found.pool is not None
        while not any(ticket.instance for ticket in found.pool.running):
            await asyncio.sleep(0.01)
        endless.cancel()
        await asyncio.wait([endless])
        assert (await client.call_tool("count", {})).text == "1"
    assert not seated()
