"""Plugins that keep something, in gateways as people run them: two processes, both eras, several clients."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tests.rig import rig
from tests.wire.client import text_of, word
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

ERAS = (MODERN, "2025-11-25")
TOOLS = """
import json

from rune import Context, Server

server = Server("counting")
calls = []


@server.tool(annotations={"readOnlyHint": True})
async def look(what: str) -> str:
    calls.append(what)
    return f"{what} {len(calls)}"


@server.tool
async def headers(ctx: Context) -> str:
    return json.dumps({key.decode(): value.decode() for key, value in (ctx.request.headers or {}).items()})
"""
CONFIG = """
[server]
store = "sqlite:store.db"

[sources.counting]
python = "tools.py"
prefix = ""

[[plugins]]
use = "rate_limiter"
hooks = ["tool_pre_invoke"]
conditions = [{ tools = ["look"] }]
config = { by_user = "9/h", shared = true }

[[plugins]]
use = "cache"

[[plugins]]
use = "metadata_filter"
config = { headers = { remove = ["X-Secret-*"] } }
"""


async def clients(stack, url):
    """One client of each era."""
    found = []
    for revision in ERAS:
        client = HttpClient(url, revision)
        stack.push_async_callback(client.close)
        if not client.modern:
            await client.initialize()
        found.append(client)
    return found


async def test_two_gateways_with_one_store_have_one_limit_and_a_cache_each(tmp_path):
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "rune.toml").write_text(CONFIG)
    config = str(tmp_path / "rune.toml")
    async with AsyncExitStack() as stack:
        servers = [stack.enter_context(rig("--config", config, cwd=tmp_path)) for _ in range(2)]
        found = [client for server in servers for client in await clients(stack, server.url)]
        what = word()
        results = await asyncio.gather(*(client.tool("look", what=what) for client in found for _ in range(4)))
        refused = [result["content"][0]["text"] for result in results if result.get("isError")]
        assert len(results) - len(refused) == 9
        assert set(refused) == {"blocked by rate_limiter: too many requests: 0.0025 per second, 9 at once"}
        assert {text_of(result).split()[0] for result in results if not result.get("isError")} == {what}
        for client in found:
            exchange = await client.open(
                "tools/call", {"name": "headers", "arguments": {}}, headers={"X-Secret-Id": what, "X-Open": what}
            )
            seen = text_of(await exchange.result())
            assert "x-secret-id" not in seen
            # Older clients' headers belong to their sessions; tools do not see them.
            assert (f'"x-open": "{what}"' in seen) == client.modern
        for server in servers:
            assert "Traceback" not in server.said


async def test_a_limit_outlives_a_restart_and_what_is_cached_does_not(tmp_path):
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "rune.toml").write_text(CONFIG.replace("9/h", "3/h"))
    texts = []
    for _ in range(2):
        async with AsyncExitStack() as stack:
            server = stack.enter_context(rig("--config", str(tmp_path / "rune.toml"), cwd=tmp_path))
            one, other = await clients(stack, server.url)
            for client in (one, other):
                texts.append((await client.tool("look", what="a"))["content"][0]["text"])
    assert texts[:3] == ["a 1", texts[1], "a 1"]
    assert "too many requests" in texts[3]
