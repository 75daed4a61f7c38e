"""Each function of wasi:mcp/runtime, asked for what the host must refuse, by guests in C and in JavaScript."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from rune import Client
from rune.build import around
from rune.errors import ProtocolError
from rune.sources.wasm.component import WasmSource
from tests import guests

DEADLINE: Final = 60
HERE: Final = Path(__file__).with_name("guests")
SOURCES: Final = {"c": HERE / "wrong.c", "javascript": HERE / "proposal.js"}
FROZEN: Final = "serve() was called, what is registered is frozen"
REFUSED: Final = {
    "register-server again": "register-server: it was called already",
    "register-server late": f"register-server: {FROZEN}",
    "register-tools double": "tool odd is there twice",
    "register-tools nameless": "a tool without name",
    "register-tools broken": "tool odd: input-schema is no JSON",
    "register-tools string": 'inputSchema must be a JSON Schema with "type": "object"',
    "register-tools late": f"register-tools: {FROZEN}",
    "register-resources double": "resource odd://a is there twice",
    "register-resources nameless": "a resource without uri",
    "register-resources late": f"register-resources: {FROZEN}",
    "register-resource-templates double": "template odd://{a} is there twice",
    "register-resource-templates nameless": "a template without uriTemplate",
    "register-resource-templates late": f"register-resource-templates: {FROZEN}",
    "register-prompts double": "prompt odd is there twice",
    "register-prompts nameless": "a prompt without name",
    "register-prompts late": f"register-prompts: {FROZEN}",
    "serve twice": "serve: it was called already",
    "send-notification early": "nobody listens before a call",
    "send-notification cancelled": "a server has asked nothing",
    "log broken": "log: data is no JSON",
    "log broken late": "log: data is no JSON",
    "report-progress early": "no call is being answered",
}
FUNCTIONS: Final = {
    "register-server", "register-tools", "register-resources", "register-resource-templates", "register-prompts",
    "serve", "send-notification", "log", "report-progress",
}  # fmt: skip


@cache
def built(language: str) -> Path:
    """Built and compiled, however long that takes."""
    return guests.served(SOURCES[language])


def source(language: str) -> WasmSource:
    return WasmSource(language, built(language), cache=guests.compiled() / "wasm")


@cache
def heard(language: str) -> dict[str, Any]:
    """What a guest was told before it served, and in a call afterwards; and its lists."""

    async def visit() -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE), around(source(language)) as gateway, Client(gateway) as client:
            tools = {tool["name"]: tool["description"] for tool in await client.list_tools()}
            after = (await client.call_tool("after", {})).text
            lists = [*tools, *(each["uri"] for each in await client.list_resources())]
            lists += [each["uriTemplate"] for each in await client.list_resource_templates()]
            lists += [each["name"] for each in await client.list_prompts()]
            return {**json.loads(tools["before"]), **json.loads(after), "lists": lists}

    return asyncio.run(visit())


@pytest.mark.parametrize("language", SOURCES)
@pytest.mark.parametrize("cell", REFUSED)
def test_a_cell(language: str, cell: str) -> None:
    assert REFUSED[cell] in heard(language)[cell]


@pytest.mark.parametrize("language", SOURCES)
def test_what_was_refused_is_not_listed(language: str) -> None:
    told = heard(language)
    assert {"before", "after"} < set(told["lists"])
    assert not [name for name in told["lists"] if name.startswith(("odd", "late")) or not name]
    assert {cell for cell in told if cell != "lists"} == {*REFUSED, "report-progress taken"}


def test_the_table_has_nine_functions() -> None:
    assert {cell.split()[0] for cell in REFUSED} == FUNCTIONS


@pytest.mark.parametrize("function", sorted(FUNCTIONS - {"serve"}))
async def test_what_is_no_utf_8_ends_the_guest_that_says_it(function: str) -> None:
    """Only C can."""
    async with asyncio.timeout(DEADLINE), around(source("c")) as gateway, Client(gateway) as client:
        with pytest.raises(ProtocolError, match="the guest failed: invalid utf-8"):
            await client.call_tool(function, {})
        assert FROZEN in (await client.call_tool("after", {})).text
