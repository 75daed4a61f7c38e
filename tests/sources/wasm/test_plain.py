"""Components without MCP: their functions are tools."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rune.errors import ConfigError
from rune.request import Request
from rune.sources.wasm.component import WasmSource
from tests.sources.wasm.conftest import Open
from tests.sources.wasm.wat import component

DEADLINE = 60


async def test_exports_are_tools_with_schemas(opened: Open, plain: Path) -> None:
    async with asyncio.timeout(DEADLINE), opened(plain) as client:
        tools = {tool["name"]: tool for tool in await client.list_tools()}
        assert set(tools) == {"echo", "bytes", "whole_add", "whole_divide"}
        number = {"type": "integer", "minimum": 0, "maximum": 4294967295}
        assert tools["whole_divide"]["inputSchema"] == {
            "type": "object", "properties": {"a": number, "b": number}, "required": ["a", "b"],
            "additionalProperties": False,
        }  # fmt: skip
        assert tools["whole_divide"]["outputSchema"]["properties"]["result"] == number
        answer = await client.call_tool("whole_add", {"a": 4294967295, "b": 2})
        assert answer["structuredContent"] == {"result": 1}
        assert (await client.call_tool("echo", {"text": "é ✓ 𝄞"}))["structuredContent"] == {"result": "é ✓ 𝄞"}
        assert (await client.call_tool("bytes", {"data": "AP8Q"}))["structuredContent"] == {"result": "AP8Q"}


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("whole_add", {"a": 1}, "missing: b"),
        ("whole_add", {"a": 1, "b": 2, "c": 3}, "unknown: c"),
        ("whole_add", {"a": 1, "b": -1}, "expected an integer from 0 to 4294967295"),
        ("whole_add", {"a": 1, "b": True}, "expected an integer"),
        ("echo", {"text": 1}, "expected a string"),
        ("bytes", {"data": "no base64!"}, "expected base64"),
        ("whole_divide", {"a": 1, "b": 0}, "by zero"),
    ],
)
async def test_what_cannot_be_is_said(opened: Open, plain: Path, tool: str, arguments: Any, said: str) -> None:
    async with asyncio.timeout(DEADLINE), opened(plain) as client:
        answer = await client.call_tool(tool, arguments)
        assert answer["isError"] and said in answer["content"][0]["text"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\0asm\x01\0\0\0", "a core module, not a component"),
        (b"text", "no WebAssembly"),
        (b"", "no WebAssembly"),
    ],
)
def test_what_is_no_component_is_refused_at_once(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "x.wasm"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=why):
        WasmSource("x", path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('(component (import "other:host/thing@1.0.0" (instance (export "f" (func)))))', "other:host/thing"),
        ("(component)", "no function to offer"),
    ],
)
async def test_what_cannot_run_says_why(tmp_path: Path, text: str, why: str) -> None:
    async with asyncio.timeout(DEADLINE), WasmSource("x", component(tmp_path, text), cache=tmp_path) as source:
        with pytest.raises(ConfigError, match=why):
            await source.catalog(Request("catalog"))


async def test_a_broken_file_says_that_it_cannot_be_compiled(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "half.wasm"
    path.write_bytes(plain.read_bytes()[:500])
    async with asyncio.timeout(DEADLINE), WasmSource("half", path, cache=tmp_path) as source:
        with pytest.raises(ConfigError, match="cannot be compiled"):
            await source.catalog(Request("catalog"))
