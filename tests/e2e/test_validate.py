"""`validate = true` through the front door: wrong arguments never reach the server, and no schema is ever fetched."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.rig import RUNE, Rig, rig
from tests.wire.client import Refused
from tests.wire.http import HttpClient

MODERN, LEGACY = "2026-07-28", "2025-11-25"

SERVER = """
import json, os
from rune import Server

server = Server("foreign")
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}

def offer(name, schema):
    def tool(**arguments) -> str:
        with open(os.environ["CALLS"], "a") as file:
            print(name, json.dumps(arguments), file=file)
        return f"{os.getpid()}"
    tool.__name__ = name
    server.add_tool(tool, input_schema=schema)

offer("count", SCHEMA)
offer("word", {"type": "object", "properties": {"w": {"const": "clean"}}})
offer("remote", {"type": "object", "properties": {"n": {"$ref": os.environ["REMOTE"]}}})
offer("alien", {"type": "object", "$schema": "https://example.org/dialect"})
"""

OWN = """
from rune import Server
server = Server("own")

@server.tool
async def anything(n: int) -> int:
    return n
"""


PLUGINS = """
[[plugins]]
use = "regex_filter"
config = { words = [{ search = "dirty", replace = "clean" }] }
[[plugins]]
use = "deny_list"
config = { tools = ["*_remote"] }
"""


def source(name: str, folder: Path, remote: str, *lines: str) -> str:
    return "\n".join(
        [
            f"[sources.{name}]",
            f"command = {json.dumps([RUNE, 'serve', '--stdio', str(folder / 'foreign.py')])}",
            f'env = {{ CALLS = "{folder / "calls"}", REMOTE = "{remote}" }}',
            *lines,
            "",
        ]
    )


async def there(client: Any, *names: str) -> None:
    async with asyncio.timeout(30):
        while not {tool["name"] for tool in (await client.request("tools/list"))["tools"]}.issuperset(names):
            await asyncio.sleep(0.05)


async def told(server: Rig, times: int) -> None:
    end = time.monotonic() + 30
    while server.said.count("loaded again") < times:
        assert time.monotonic() < end, server.said
        await asyncio.sleep(0.02)


async def test_wrong_arguments_stop_at_the_gateway(tmp_path: Path) -> None:
    (tmp_path / "foreign.py").write_text(SERVER)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "calls").touch()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        remote = f"http://127.0.0.1:{listener.getsockname()[1]}/n.json"
        config = tmp_path / "rune.toml"
        own, loose = '[sources.own]\npython = "own.py"\n', source("loose", tmp_path, remote, "validate = false")
        strict = source("strict", tmp_path, remote)
        profile = '[profiles.p]\ntools = ["strict_*"]\n'
        config.write_text("[server]\nvalidate = true\n" + own + loose + strict + profile)
        with rig("--config", str(config)) as server:
            clients: list[HttpClient] = []
            try:
                for url, revision in ((server.url, MODERN), (server.url, LEGACY), (f"{server.url}/p", MODERN)):
                    clients.append(client := HttpClient(url, revision))
                    if revision == LEGACY:
                        await client.initialize()
                    await there(client, "strict_count")
                    result = await client.tool("strict_count", n="1")
                    assert result["isError"] is True
                    assert result["content"] == [
                        {
                            "type": "text",
                            "text": 'invalid arguments for tool count: n: the value is not of type "integer"',
                        }
                    ]
                    assert (await client.tool("strict_count"))["isError"] is True
                    for name, why in (("remote", "nothing is fetched"), ("alien", "https://example.org/dialect")):
                        with pytest.raises(Refused) as refused:
                            await client.tool(f"strict_{name}", n=1)
                        assert refused.value.code == -32603
                        assert refused.value.message.startswith(f"strict: {name}: its inputSchema cannot be used: ")
                        assert why in refused.value.message
                assert (tmp_path / "calls").read_text() == ""
                client = clients[0]
                pid = await client.text("strict_count", n=1)
                await there(client, "loose_count")
                await client.text("loose_count", n="1")
                assert await client.text("own_anything", n=3) == "3"
                calls = (tmp_path / "calls").read_text().splitlines()
                assert calls == ['count {"n": 1}', 'count {"n": "1"}']
                # It can be turned off while the server runs on.
                config.write_text(own + loose + strict + profile)
                server.process.send_signal(signal.SIGHUP)
                await told(server, 1)
                assert await client.text("strict_count", n="1") == pid
                config.write_text(own + loose + strict.rstrip() + "\nvalidate = true\n" + profile)
                server.process.send_signal(signal.SIGHUP)
                await told(server, 2)
                assert (await client.tool("strict_count", n="1"))["isError"] is True
                assert await client.text("strict_count", n=1) == pid
                # Plugins come first: what is checked is what the server would get. What they hide is told as well.
                assert (await client.tool("strict_word", w="dirty"))["isError"] is True
                listen = await client.open("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
                await listen.next("notifications/subscriptions/acknowledged")
                with config.open("a") as file:
                    file.write(PLUGINS)
                server.process.send_signal(signal.SIGHUP)
                await listen.next("notifications/tools/list_changed")
                assert await client.text("strict_word", w="dirty") == pid
                assert (tmp_path / "calls").read_text().splitlines()[-1] == 'word {"w": "clean"}'
                listed = {tool["name"] for tool in (await client.request("tools/list"))["tools"]}
                assert "strict_word" in listed and "strict_remote" not in listed
                with pytest.raises(BlockingIOError):
                    listener.accept()
            finally:
                for client in clients:
                    await client.close()
