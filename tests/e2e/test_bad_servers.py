"""One dead, hanging, flooding or lying server never harms the others: each kind of trouble, a good server beside it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.peers import free_port
from tests.rig import ROOT, RUNE, Rig, rig
from tests.serving import foreign
from tests.wire.client import Client, word
from tests.wire.schemas import MODERN

SCRIPT = Path(__file__).with_name("badservers.py")
DEADLINE = 90.0
TIMEOUT = 2
SLOWEST = 5.0
CALLS = 6
MEBIBYTE = 1 << 20

SILENT = r"no answer to tools/call in time|busy, no call before this one ended in time"
RIGHT = ""
LATE = f"{SILENT}|"
STDIO = {
    "dead": r"exited 1 after [\d.]+ s\n  stderr: no configuration",
    "crash": r"exited 7 after [\d.]+ s\n  stderr: the disk is on fire",
    "deaf": SILENT,
    "ids": SILENT,
    "json": SILENT + "|no JSON-RPC",
    "shapes": "result",
    "endless": r"sent a line of more than \d+ bytes",
    "notes": LATE,
    "announce": LATE,
    "noise": LATE,
    "nothing": LATE,
    "stderr": RIGHT,
    "twice": RIGHT,
    "large": LATE,
}
HTTP = {
    "hang": SILENT,
    "drip": SILENT,
    "huge": "longer than",
    "page": "no JSON-RPC",
    "broken": "no JSON-RPC",
    "fails": "status 500",
    "cuts": "lost|cut|closed",
    "stream": SILENT,
    "head": "valid HTTP|header|too",
}
"""What a call says in the end; nothing where it is answered, and rightly. Who pours out too much may be late."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    port = free_port()
    with foreign([sys.executable, str(SCRIPT), "http", str(port)], port):
        lines = ["[sources.good]", f'command = ["{RUNE}", "serve", "--stdio", "{ROOT}/bench/echo.py"]']
        for kind in STDIO:
            lines += [f"[sources.{kind}]", f'command = ["{sys.executable}", "{SCRIPT}", "{kind}"]']
            lines.append(f"timeout = {TIMEOUT}")
        for kind in HTTP:
            lines += [f"[sources.h{kind}]", f'url = "http://127.0.0.1:{port}/{kind}/mcp"', f"timeout = {TIMEOUT}"]
        path = tmp_path_factory.mktemp("bad") / "rune.toml"
        path.write_text("\n".join([*lines, ""]))
        with rig("--config", str(path)) as found:
            yield found
            assert "Traceback" not in found.said, found.said


class Guest:
    """A client of many connections; `good` uses the good server on and on and keeps what was slowest."""

    def __init__(self, server: Rig, session: aiohttp.ClientSession) -> None:
        self._url = server.url
        self._session = session
        self._speaker = Client(MODERN)
        self.slowest = 0.0

    async def call(self, name: str, text: str) -> dict[str, Any]:
        message = self._speaker.message("tools/call", {"name": name, "arguments": {"text": text}})
        headers = {
            "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call", "Mcp-Name": name, "Content-Type": "application/json",
        }  # fmt: skip
        async with self._session.post(self._url, data=json.dumps(message), headers=headers) as response:
            answer: dict[str, Any] = json.loads(await response.read())
        assert answer["id"] == message["id"]
        return answer

    async def tools(self) -> list[str]:
        message = self._speaker.message("tools/list")
        headers = {
            "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/list", "Content-Type": "application/json",
        }  # fmt: skip
        async with self._session.post(self._url, data=json.dumps(message), headers=headers) as response:
            return [tool["name"] for tool in json.loads(await response.read())["result"]["tools"]]

    async def good(self, until: asyncio.Event) -> None:
        """Right answers, twenty at least, until something has happened."""
        count = 0
        while count < 20 or not until.is_set():
            text, began = word(), asyncio.get_running_loop().time()
            answer = await self.call("good_echo", text)
            assert answer["result"]["content"] == [{"type": "text", "text": text}], answer
            self.slowest = max(self.slowest, asyncio.get_running_loop().time() - began)
            count += 1
            await asyncio.sleep(0.01)

    async def bad(self, source: str, expected: str) -> None:
        text = word()
        answer = await self.call(f"{source}_act", text)
        if "result" in answer and answer["result"].get("content"):
            assert re.search(f"^(?:{expected})$", "") or source == "shapes", answer
            assert answer["result"]["content"] in ([{"type": "text", "text": text}], 7), answer
        elif "error" in answer:
            assert expected and answer["error"]["message"].startswith(f"{source}: "), answer
            assert re.search(expected, answer["error"]["message"]), answer


def children(server: Rig, kind: str) -> list[int]:
    own = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(pid) for pid in own if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[2:3] == [kind.encode()]]


@pytest.mark.parametrize("source", [*STDIO, *(f"h{kind}" for kind in HTTP)])
async def test_the_others_do_not_notice(server: Rig, source: str) -> None:
    kind = source if source in STDIO else source[1:]
    expected = STDIO[kind] if source in STDIO else HTTP[kind]
    async with asyncio.timeout(DEADLINE), aiohttp.ClientSession() as session:
        guest = Guest(server, session)
        over = asyncio.Event()
        if source != "dead":
            while f"{source}_act" not in await guest.tools():
                await asyncio.sleep(0.1)
        await guest.good(_set())
        before = server.rss
        async with asyncio.TaskGroup() as group:
            group.create_task(guest.good(over))
            if source == "dead":
                answer = await guest.call("dead_act", "x")
                assert answer["error"]["code"] == -32602, "nothing is known of it"
            else:
                await asyncio.gather(*(guest.bad(source, expected) for _ in range(CALLS)))
            over.set()
        assert guest.slowest < SLOWEST, f"{guest.slowest:.2f} s"
        grown = (server.rss - before) / MEBIBYTE
        assert grown < 150, f"{grown:.0f} MB more than before"
    for pid in children(server, kind):
        os.kill(pid, signal.SIGKILL)


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
