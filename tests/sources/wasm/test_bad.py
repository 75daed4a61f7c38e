"""Guests of wasi:mcp that misbehave, in C and in Python: whatever one call does, the next one is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from rune import Client
from rune.build import around
from rune.config.policy import LimitsTable, PolicyTable
from rune.config.sizes import Size
from rune.errors import RuneError
from rune.sources.wasm.component import WasmSource
from tests import guests
from tests.rig import ROOT
from tests.sizes import LONG

DEADLINE: Final = 120
SOURCES: Final = {
    "c": Path(__file__).with_name("guests") / "bad.c",
    "python": ROOT / "tests" / "conformance" / "everything_wasi.py",
}
POLICY: Final = PolicyTable(environment={"BAD": "1"}, limits=LimitsTable(memory=Size(64 << 20), cpu_time=1.0))
ENDS: Final = ("trap", "loop", "memory", "flood")
"""What ends the call, whatever it was."""
WHY: Final = {
    "trap": "unreachable", "loop": "limits.cpu-time", "memory": "unreachable", "flood": "limits.output",
    "utf8": "invalid utf-8",
}  # fmt: skip
"""What is said of it in C, where no interpreter stands between."""


@pytest.fixture(params=SOURCES if LONG else ["c"])
async def bad(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, Client]]:
    """The language of a guest, and its client."""
    path = guests.component(SOURCES[request.param])
    source = WasmSource("bad", path, POLICY, guests.compiled() / "wasm")
    async with around(source) as gateway, Client(gateway) as client:
        yield request.param, client


async def tool(client: Client, how: str) -> str:
    result = await client.call_tool(how, {})
    if result.get("isError"):
        raise RuneError(result.text)
    return result.text


async def resource(client: Client, how: str) -> str:
    return str((await client.read_resource(f"bad://{how}"))["contents"])


async def prompt(client: Client, how: str) -> str:
    return str((await client.get_prompt(how, {}))["messages"])


async def completion(client: Client, how: str) -> str:
    return str((await client.complete({"type": "ref/prompt", "name": "good"}, {"name": "x", "value": how})).suggestions)


HANDLERS: Final[dict[str, Any]] = {"tool": tool, "resource": resource, "prompt": prompt, "completion": completion}


@pytest.mark.parametrize("handler", HANDLERS)
async def test_whatever_a_handler_does_the_next_call_is_answered(bad: tuple[str, Client], handler: str) -> None:
    language, client = bad
    ask = HANDLERS[handler]
    async with asyncio.timeout(DEADLINE):
        await ask(client, "good")
        with pytest.raises(RuneError, match="slow down"):
            await ask(client, "err")
        for how in ENDS + (("broken", "leave") if language == "python" else ("utf8",)):
            with pytest.raises(RuneError) as caught:
                await ask(client, how)
            assert caught.value.message, how
            if language == "c":
                assert WHY[how] in caught.value.message
            assert await ask(client, "good"), how
        assert "frozen" in await ask(client, "late")
        assert "called already" in await ask(client, "twice")


async def test_what_a_handler_registers_or_serves_late_changes_no_list(bad: tuple[str, Client]) -> None:
    _, client = bad
    async with asyncio.timeout(DEADLINE):
        before = await client.list_tools()
        await client.call_tool("late", {})
        await client.call_tool("twice", {})
        assert await client.list_tools() == before
