"""Guests of rune:guest: what they answer, what they are told, and what becomes of those that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from rune import Client
from rune.build import around
from rune.config.policy import LimitsTable, PolicyTable
from rune.errors import ProtocolError, TimedOut
from rune.request import Caller, Request
from rune.sources.wasm.component import WasmSource
from tests.sources.wasm.conftest import Open

DEADLINE = 60
TEXT = [{"type": "text", "text": "é ✓ 𝄞"}]
ANSWER: dict[str, Any] = {"content": TEXT, "structuredContent": {"deep": [1, {"x": None}]}}
LIES: list[dict[str, Any]] = [
    {},
    {"content": "text"},
    {"content": [{"text": "no type"}]},
    {"content": [], "resultType": "odd"},
]


async def test_what_a_guest_answers_arrives_whole(opened: Open, hand: Path) -> None:
    async with asyncio.timeout(DEADLINE), opened(hand) as client:
        assert [tool["name"] for tool in await client.list_tools()][:2] == ["echo", "trap"]
        answer = await client.call_tool("echo", ANSWER)
        assert {key: answer[key] for key in ANSWER} == ANSWER


@pytest.mark.parametrize("lie", LIES)
async def test_an_answer_that_is_no_result_is_refused(opened: Open, hand: Path, lie: dict[str, Any]) -> None:
    async with asyncio.timeout(DEADLINE), opened(hand) as client:
        with pytest.raises(ProtocolError, match="the guest's answer is not valid"):
            await client.call_tool("echo", lie)
        assert await client.call_tool("echo", ANSWER)


async def test_an_error_of_the_guest_is_that_of_the_client(opened: Open, hand: Path) -> None:
    async with asyncio.timeout(DEADLINE), opened(hand) as client:
        with pytest.raises(ProtocolError) as caught:
            await client.call_tool("refuse", {"why": "so"})
        assert caught.value.code == -32602
        assert caught.value.message == '{"why":"so"}'


async def test_progress_reaches_the_client_of_the_call(opened: Open, hand: Path) -> None:
    heard: dict[str, list[Any]] = {"one": [], "other": []}
    async with (
        asyncio.timeout(DEADLINE),
        opened(hand, on_progress=lambda *note: heard["one"].append(note)) as one,
        opened(hand, on_progress=lambda *note: heard["other"].append(note)) as other,
    ):
        await asyncio.gather(one.call_tool("progress", {}), other.call_tool("echo", ANSWER))
    assert heard == {"one": [(1.0, 2.0, "half way")], "other": []}


async def test_a_guest_knows_who_asks(hand: Path, tmp_path: Path) -> None:
    source = WasmSource("hand", hand, cache=tmp_path)
    async with asyncio.timeout(DEADLINE), around(source) as gateway:
        for subject in ("ann", "bob"):
            told = Request("tools/call", {"name": b'"who"'}, caller=Caller(subject, frozenset({"a"})))  # type: ignore[dict-item]
            said = (await gateway.handle(told)).value["structuredContent"]
            assert said["caller"] == {"subject": subject, "scopes": ["a"]}
            assert said["method"] == "tools/call"


@pytest.mark.parametrize(
    ("tool", "why"),
    [("trap", "unreachable"), ("bomb", "limits.memory|unreachable"), ("utf", "utf-8")],
)
async def test_a_trap_costs_one_instance(opened: Open, hand: Path, tool: str, why: str) -> None:
    async with asyncio.timeout(DEADLINE), opened(hand, PolicyTable(isolation="shared")) as client:
        for _ in range(3):
            with pytest.raises(ProtocolError, match=why):
                await client.call_tool(tool, {})
            assert await client.call_tool("echo", ANSWER)


@pytest.mark.parametrize(
    ("limits", "line"),
    [(LimitsTable(cpu_time=0.1), "limits.cpu-time"), (LimitsTable(wall=0.1), "limits.wall")],
)
async def test_an_endless_loop_is_stopped(opened: Open, hand: Path, limits: LimitsTable, line: str) -> None:
    async with asyncio.timeout(DEADLINE), opened(hand, PolicyTable(limits=limits)) as client:
        with pytest.raises(TimedOut, match=line):
            await client.call_tool("spin", {})
        assert await client.call_tool("echo", ANSWER)


async def test_a_call_that_is_given_up_gives_its_place_free(hand: Path, tmp_path: Path) -> None:
    source = WasmSource("hand", hand, PolicyTable(limits=LimitsTable(concurrency=1)), tmp_path)
    async with asyncio.timeout(DEADLINE), around(source) as gateway, Client(gateway) as client:
        await client.list_tools()
        endless = asyncio.create_task(client.call_tool("spin", {}))
        pool = source.pool
        while not any(ticket.instance for ticket in pool.running):
            await asyncio.sleep(0.01)
        endless.cancel()
        await asyncio.wait([endless])
        assert await client.call_tool("echo", ANSWER)


async def test_guests_that_compute_hold_up_nobody(opened: Open, hand: Path) -> None:
    """Three compute for ever, each in a thread of its own and without the lock of the interpreter: else neither the
    fourth would be answered nor this test go on before they are stopped."""
    async with asyncio.timeout(DEADLINE), opened(hand) as client:
        endless = [asyncio.create_task(client.call_tool("spin", {})) for _ in range(3)]
        for _ in range(20):
            assert await client.call_tool("echo", ANSWER)
        assert not any(task.done() for task in endless)
        for task in endless:
            task.cancel()
        await asyncio.wait(endless)
        assert await client.call_tool("echo", ANSWER)


async def test_a_flood_is_an_error_that_names_the_limit(opened: Open, hand: Path) -> None:
    async with asyncio.timeout(DEADLINE), opened(hand) as client:
        answer = await client.call_tool("flood", {})
        assert answer["isError"] and "more than 4194304 (limits.output)" in answer["content"][0]["text"]
        assert await client.call_tool("echo", ANSWER)


async def test_who_shares_an_instance(hand: Path, tmp_path: Path) -> None:
    """The tool says how many calls its instance has had."""
    counts = {}
    for isolation in ("call", "caller", "shared"):
        source = WasmSource("hand", hand, PolicyTable(isolation=isolation, limits=LimitsTable(concurrency=1)), tmp_path)
        async with asyncio.timeout(DEADLINE), around(source) as gateway:
            for subject in ("ann", "bob", "ann"):
                request = Request("tools/call", {"name": b'"number"'}, caller=Caller(subject))  # type: ignore[dict-item]
                counts.setdefault(isolation, []).append((await gateway.handle(request)).value["structuredContent"])
    assert counts == {"call": [1, 1, 1], "caller": [1, 1, 2], "shared": [1, 2, 3]}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
async def test_what_a_guest_took_is_given_back_at_once(opened: Open, hand: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    async with asyncio.timeout(DEADLINE), opened(hand) as client:
        await client.call_tool("flood", {})
        before = resident()
        for tool in ("flood", "bomb", "flood", "bomb"):
            with contextlib.suppress(ProtocolError):
                await client.call_tool(tool, {})
        # Each of them had more than 100 MB.
        assert resident() - before < 64 << 20
