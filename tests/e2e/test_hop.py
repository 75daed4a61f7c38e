"""`rune serve URL` between a client and a server that are not ours: what a hop keeps apart and intact."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager

import aiohttp

from tests.net.wires import answer, raw
from tests.serving import rune

DEADLINE = 60.0
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
LASTING = 3_600_000


def result(message, value):
    body = {"jsonrpc": "2.0", "id": message["id"], "result": {"resultType": "complete", **value}}
    return json.dumps(body, separators=(",", ":")).encode()


class Site:
    """An upstream made of bytes: `tool` answers a call, everything else is as it should be."""

    def __init__(self, tool) -> None:
        self.tool = tool
        self.calls = 0

    async def __call__(self, site, reader, writer):
        while await self.request(site, reader):
            if not await self.reply(self.message, writer):
                return
            await writer.drain()

    async def request(self, site, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        site.heads.append(head)
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        self.message = json.loads(await reader.readexactly(length))
        return True

    async def reply(self, message, writer):
        lasting = {"ttlMs": LASTING, "cacheScope": "public"}
        if message["method"] == "server/discover":
            value = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, **lasting}
        elif message["method"] == "tools/list":
            value = {"tools": [{"name": "echo", "inputSchema": SCHEMA}], **lasting}
        else:
            self.calls += 1
            return await self.tool(message, writer)
        writer.write(answer(result(message, value), b"Content-Type: application/json"))
        return True


def echoed(message, text=None):
    text = message["params"]["arguments"]["text"] if text is None else text
    return answer(result(message, {"content": [{"type": "text", "text": text}]}), b"Content-Type: application/json")


@asynccontextmanager
async def gateway(tool):
    """A gateway as a process, and what its upstream sees."""
    site = Site(tool)
    async with raw(site) as upstream:
        with rune(upstream.url) as server:
            async with aiohttp.ClientSession() as session, asyncio.timeout(DEADLINE):
                yield site, upstream, Caller(session, server.url)


class Caller:
    """Calls the tool and says what came back."""

    def __init__(self, session, url) -> None:
        self.session = session
        self.url = url
        self.ids = 0

    async def call(self, text, timeout=DEADLINE):
        self.ids += 1
        id = self.ids
        params = {"name": "echo", "arguments": {"text": text}, "_meta": META}
        headers = {
            "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call", "Mcp-Name": "echo",
        }  # fmt: skip
        message = {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}
        async with self.session.post(
            self.url, json=message, headers=headers, timeout=aiohttp.ClientTimeout(timeout)
        ) as response:
            found = await response.json()
        assert found["id"] == id
        return found

    async def text(self, text, **options):
        return (await self.call(text, **options))["result"]["content"][0]["text"]


async def test_one_connection_serves_all_calls_one_after_the_other():
    async def tool(message, writer):
        writer.write(echoed(message))
        return True

    async with gateway(tool) as (site, upstream, caller):
        for number in range(60):
            assert await caller.text(f"text {number}") == f"text {number}"
        assert site.calls == 60
        # One for all calls; the catalog may have been read on another one at the very start.
        assert upstream.accepted <= 2


async def test_nobody_gets_what_is_somebody_elses_when_callers_leave_and_connections_break():
    rng = random.Random(5)

    async def tool(message, writer):
        chance = rng.random()
        await asyncio.sleep(rng.random() * 0.01)
        data = echoed(message)
        if chance < 0.08:
            writer.write(data[: rng.randrange(len(data))])
            return False
        if chance < 0.16:
            # More than was asked for: it must not become the answer of the next one.
            writer.write(data + echoed(message, "poison"))
            return True
        for start in range(0, len(data), 50):
            writer.write(data[start : start + 50])
        return True

    counts = {"right": 0, "error": 0, "left": 0}

    async def one(caller, text):
        try:
            found = await caller.call(text, timeout=0.012 if rng.random() < 0.15 else DEADLINE)
        except TimeoutError:
            counts["left"] += 1
            return
        if "error" in found:
            assert "web" in found["error"]["message"] or "connection was lost" in found["error"]["message"]
            counts["error"] += 1
            return
        assert found["result"]["content"][0]["text"] == text
        counts["right"] += 1

    async with gateway(tool) as (_, upstream, caller):
        for start in range(0, 400, 20):
            await asyncio.gather(*(one(caller, f"text of {number}") for number in range(start, start + 20)))
        assert counts["right"] > 100 and counts["error"] and counts["left"]
        assert await caller.text("still there") == "still there"
        assert upstream.accepted - upstream.closed <= 21


async def test_a_megabyte_passes_byte_for_byte():
    pieces = ["x", "ü", r"\n", r"\"_meta\":", r'\u0000"},{"type":"text","text":"']

    async def tool(message, writer):
        piece = pieces[int(message["params"]["arguments"]["text"])]
        text = piece * ((1 << 20) // len(piece))
        content = f'"content":[{{"type":"text","text":"{text}"}}],"other":[1,2.50,1e3],"resultType":"complete"'
        body = f'{{"jsonrpc":"2.0","id":{message["id"]},"result":{{{content}}}}}'
        writer.write(answer(body.encode(), b"Content-Type: application/json"))
        return True

    async with gateway(tool) as (_, _, caller):
        for number, piece in [*enumerate(pieces)] * 2:
            found = (await caller.call(str(number)))["result"]
            text = piece * ((1 << 20) // len(piece))
            assert found["content"] == json.loads(f'[{{"type":"text","text":"{text}"}}]')
            assert found["other"] == [1, 2.5, 1000.0]
            assert "io.modelcontextprotocol/serverInfo" in found["_meta"]


async def test_a_server_that_answers_no_http_breaks_its_own_call_and_no_other():
    broken = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 30_000,
        b"SSH-2.0-nothing\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{"jsonrpc":"2.0","id":1,"result":{"a":"b"',
    ]

    async def tool(message, writer):
        text = message["params"]["arguments"]["text"]
        if text.isdigit():
            writer.write(broken[int(text)])
            return False
        writer.write(echoed(message))
        return True

    async with gateway(tool) as (_, _, caller):
        for number in range(len(broken)):
            found, fine = await asyncio.gather(caller.call(str(number)), caller.text("fine"))
            assert found["error"]["message"].startswith("127-0-0-1")
            assert fine == "fine"
        for number in range(len(broken)):
            assert "error" in await caller.call(str(number))
        assert await caller.text("fine") == "fine", "nobody waits for what others have met"
