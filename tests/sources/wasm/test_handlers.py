"""Each handler of wasi:mcp and each way to misbehave in it, in C and in Python: the next call is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from rune import Client
from rune.build import around
from rune.config.policy import LimitsTable, PolicyTable
from rune.config.sizes import Size
from rune.errors import RuneError
from rune.request import Request, Result
from rune.sources.wasm.component import WasmSource
from tests import guests
from tests.rig import ROOT
from tests.sizes import LONG

DEADLINE: Final = 120
SOURCES: Final = {
    "c": Path(__file__).with_name("guests") / "bad.c",
    "python": ROOT / "tests" / "conformance" / "everything_wasi.py",
}
LANGUAGES: Final = tuple(SOURCES) if LONG else ("c",)
"""An interpreter takes a minute to be built and compiled."""
CPU: Final = {"c": 0.2, "python": 1.0}


class Bad(NamedTuple):
    """A guest that misbehaves, and a client of it."""

    source: WasmSource
    client: Client


@cache
def built(language: str) -> Path:
    """Built and compiled, however long that takes."""
    return guests.served(SOURCES[language])


@pytest.fixture
async def bad(language: str) -> AsyncIterator[Bad]:
    limits = LimitsTable(memory=Size(64 << 20), cpu_time=CPU[language])
    source = WasmSource(
        "bad", built(language), PolicyTable(environment={"BAD": "1"}, limits=limits), guests.compiled() / "wasm"
    )
    async with around(source) as gateway, Client(gateway) as client:
        yield Bad(source, client)


# --- the seven, by the name of the way ---


async def call_tool(bad: Bad, how: str) -> str:
    result = await bad.client.call_tool(how, {})
    if result.get("isError"):
        raise RuneError(result.text)
    return result.text


async def read_resource(bad: Bad, how: str) -> str:
    return str((await bad.client.read_resource(f"bad://{how}"))["contents"])


async def get_prompt(bad: Bad, how: str) -> str:
    return str((await bad.client.get_prompt(how, {}))["messages"])


async def handle_complete(bad: Bad, how: str) -> str:
    ref = {"type": "ref/prompt", "name": "good"}
    return str((await bad.client.complete(ref, {"name": "x", "value": how})).suggestions)


async def handle_subscribe(bad: Bad, how: str) -> str:
    return await _put(bad, lambda dialect, instance: dialect.subscribe(instance, f"bad://{how}", True))


async def handle_unsubscribe(bad: Bad, how: str) -> str:
    return await _put(bad, lambda dialect, instance: dialect.subscribe(instance, f"bye://{how}", False))


async def handle_elicit(bad: Bad, how: str) -> str:
    fields = [{"name": "said", "field-type": "string", "description": None, "required": None}]
    return await _put(bad, lambda dialect, instance: dialect.elicit(instance, how, fields))


async def _put(bad: Bad, work: Callable[[Any, Any], bytes | None]) -> str:
    """To an instance of the pool, as what listens and what asks does it."""
    dialect = (await bad.source._ready()).dialect
    made = Request("subscriptions/listen")
    return (await bad.source._ask(made, lambda instance: Result(work(dialect, instance) or b"{}"))).raw.decode()


HANDLERS: Final = {
    each.__name__.replace("_", "-"): each
    for each in (
        call_tool, read_resource, get_prompt, handle_complete, handle_subscribe, handle_unsubscribe, handle_elicit,
    )
}  # fmt: skip
ENDS: Final = {
    "err": "slow down",
    "trap": "unreachable",
    "exit": "exit",
    "raise": "ZeroDivisionError",
    "loop": "limits.cpu-time",
    "memory": "unreachable",
    "flood": "limits.output|fuel",
    "utf8": "invalid utf-8|not valid",
}
"""What ends the call in an error, and what is said of it in C, where no interpreter stands between."""
TOLD: Final = {"late": "frozen", "twice": "called already"}
"""What the guest is told, and tells."""
LIVES: Final = {"logs": ""}
"""What does no harm."""
NAMED: Final = {"exit": "leave", "raise": "broken"}
"""As the Python guest calls them."""
NONE: Final = {
    ("c", "exit"): "a guest without WASI cannot exit",
    ("c", "raise"): "C has no exceptions",
    ("python", "utf8"): "texts of Python are none but UTF-8",
    ("handle-subscribe", "flood"): "its result has no value",
    ("handle-unsubscribe", "flood"): "its result has no value",
}
"""Cells that cannot be, and why."""
CELLS: Final = [
    (language, handler, way)
    for language in LANGUAGES
    for handler in HANDLERS
    for way in (*ENDS, *TOLD, *LIVES)
    if not {(language, way), (handler, way)} & NONE.keys()
]


@pytest.mark.parametrize(("language", "handler", "way"), CELLS)
async def test_a_cell(bad: Bad, language: str, handler: str, way: str) -> None:
    ask, how = HANDLERS[handler], NAMED.get(way, way)
    async with asyncio.timeout(DEADLINE):
        await ask(bad, "good")
        try:
            said = await ask(bad, how)
        except RuneError as error:
            said = error.message
            # A handler without a value tells by an error, too.
            assert way in ENDS or "subscribe" in handler, said
            assert said
        else:
            assert way not in ENDS, said
        if language == "c" or way in ("err", *TOLD):
            assert any(part in said for part in {**ENDS, **TOLD, **LIVES}[way].split("|")), said
        before = await bad.client.list_tools()
        await ask(bad, "good")
        assert await bad.client.list_tools() == before


def test_the_table_has_seven_handlers_and_ten_ways() -> None:
    assert len(HANDLERS) == 7
    assert {"err", "trap", "exit", "loop", "memory", "flood", "logs", "utf8", "twice", "late"} <= {*ENDS, *TOLD, *LIVES}
    assert all(cell[0] in SOURCES or cell[0] in HANDLERS for cell in NONE)
