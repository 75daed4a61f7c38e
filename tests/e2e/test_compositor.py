"""examples/mcp-compositor: components and a server of others behind one endpoint, the same over every wire."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests import guests
from tests.e2e.test_wasm_guide import visit
from tests.peers import time_server
from tests.rig import ROOT, RUNE
from tests.serving import rune
from tests.sizes import LONG
from tests.wire.duplex import Connection, DuplexClient, SocketLink

FOLDER: Final = ROOT / "examples" / "mcp-compositor"
DEADLINE: Final = 60
MODERN: Final = "2026-07-28"
TOOLS: Final = {"words_count_words", "words_echo", "dice_roll", "time_get_current_time", "time_convert_time"}
ZONES: Final = {"source_timezone": "UTC", "time": "16:30", "target_timezone": "Asia/Tokyo"}
CALLS: Final = {
    "words_count_words": ({"text": "a few words"}, "^3$"),
    "dice_roll": ({"sides": 1}, "a die with 1 sides does not roll"),
    "time_convert_time": (ZONES, "T01:30:00"),
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example as its README leaves it."""
    folder = tmp_path_factory.mktemp("compositor")
    shutil.copy(FOLDER / "rune.toml", folder)
    built = re.findall(r"^rune wasm build \.\./(\S+) -o (\S+)$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert len(built) == 2
    for source, made in built:
        shutil.copy(guests.served(ROOT / "examples" / source), folder / made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNE_CACHE_DIR", str(guests.compiled()))
        patch.setenv("PATH", os.pathsep.join([str(Path(time_server()[0]).parent), os.environ["PATH"]]))
        yield folder / "rune.toml"


@pytest.fixture(scope="module")
def url(config: Path) -> Iterator[str]:
    with rune("--config", str(config)) as server:
        yield server.url


def check(name: str, seen: dict[str, Any]) -> None:
    assert set(seen["tools"]) == TOOLS
    assert re.search(CALLS[name][1], "".join(seen["text"])), seen
    assert seen["error"] is (name == "dice_roll")


@pytest.mark.parametrize("name", CALLS if LONG else ["time_convert_time"])
def test_over_http_for_the_official_sdk(url: str, name: str) -> None:
    check(name, visit(MODERN, url, name, CALLS[name][0]))


def test_over_stdio_for_the_official_sdk(config: Path) -> None:
    command = json.dumps([RUNE, "serve", "--stdio", "--config", str(config)])
    check("time_convert_time", visit("legacy", command, "time_convert_time", ZONES))


async def test_over_websocket_all_at_once(url: str) -> None:
    async with asyncio.timeout(DEADLINE):
        client = DuplexClient(Connection(await SocketLink.open(url.replace("http", "ws", 1))), MODERN)
        try:
            listed: set[str] = set()
            while listed != TOOLS:
                listed = {tool["name"] for tool in (await client.request("tools/list"))["tools"]}
            results = await asyncio.gather(
                *(
                    client.request("tools/call", {"name": name, "arguments": given})
                    for name, (given, _) in CALLS.items()
                )
            )
            for name, result in zip(CALLS, results, strict=True):
                text = [block["text"] for block in result["content"]]
                check(name, {"tools": listed, "text": text, "error": result.get("isError", False)})
            # Resources and prompts of a component come along.
            templates = (await client.request("resources/templates/list"))["resourceTemplates"]
            assert [each["name"] for each in templates] == ["faces"]
            prompts = (await client.request("prompts/list"))["prompts"]
            assert [each["name"] for each in prompts] == ["dice_game"]
        finally:
            await client.close()
