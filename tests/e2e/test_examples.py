"""Each example does what its first lines say."""

from __future__ import annotations

import asyncio
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from rune import Client, NotFound, Server
from rune.build import load_server
from rune.config.files import read_toml

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def load(name: str) -> Server:
    return load_server(EXAMPLES / name, name)


def test_every_example_is_tested_here() -> None:
    found = {path.name for path in EXAMPLES.glob("*.py")}
    assert found == set(re.findall(r'load\("(\w+\.py)"\)', Path(__file__).read_text()))


async def test_notes() -> None:
    async with asyncio.timeout(30), Client(load("notes.py")) as client:
        async with client.listen(uris=["note://one"]) as changes:
            assert (await client.call_tool("write", {"name": "one", "text": "first"})).text == "note://one"
            change = await anext(changes)
            assert change.params["uri"] == "note://one"
        assert (await client.read_resource("note://one")).text == "first"
        with pytest.raises(NotFound, match="no note two"):
            await client.read_resource("note://two")
        ref = {"type": "ref/resource", "uri": "note://{name}"}
        assert (await client.complete(ref, {"name": "name", "value": "w"})).suggestions == ["welcome"]
        assert (await client.get_prompt("summarize", {"name": "one"})).text.endswith("first")


async def test_booking() -> None:
    asked: list[dict[str, Any]] = []

    def answer(question: dict[str, Any]) -> dict[str, Any] | None:
        asked.append(question)
        return {"name": "Anna", "seats": 4} if len(asked) == 1 else None

    steps: list[str | None] = []
    async with asyncio.timeout(30), Client(load("booking.py"), elicitation=answer) as client:
        assert (await client.call_tool("book", {"day": "friday"})).text == "friday: 4 seats for Anna"
        assert asked[0]["message"] == "A table on friday: who comes?"
        assert (await client.call_tool("book", {"day": "saturday"})).is_error
        cooked = await client.call_tool("cook", {"dish": "soup"}, progress=lambda *step: steps.append(step[2]))
        assert cooked.text == "soup is ready"
        assert steps == ["soup: 3 min left", "soup: 2 min left", "soup: 1 min left"]


def test_the_demo_gateway() -> None:
    """What `make run` serves; the Makefile installs the server that it names."""
    config = read_toml(EXAMPLES / "demo/rune.toml", {})
    demo, clock = config.sources
    assert Path(demo.place).is_file()
    assert demo.prefix == ""
    makefile = (EXAMPLES.parent / "Makefile").read_text()
    assert "TIME := $(VENV)/time" in makefile
    assert clock.command == ("../../.venv/time/bin/mcp-server-time",)
    assert f"pip install -q --disable-pip-version-check {Path(clock.command[0]).name}" in makefile
    assert "--config examples/demo/rune.toml" in makefile
    assert tomllib.loads((EXAMPLES / "demo/rune.toml").read_text())["server"]["name"] == "rune-demo"
