"""Calls without end through three servers that are killed again and again, by clients that cancel and run away: no
wrong answer, and nothing is left behind. The seed is fixed; RUNE_LONG=1 makes 200,000 calls of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from rune.build import build
from rune.config.files import read_toml
from rune.errors import RuneError
from tests.client.fakes import call as request_for
from tests.peers import free_port
from tests.rig import RUNE, Rig, rig, settled
from tests.sizes import LONG
from tests.wire.client import META

CALLS = 200_000 if LONG else 3_000
KILLS = CALLS // 1000
"""Of each server on stdio; the one on HTTP dies a tenth as often, for its start takes long."""
WORKERS = 12
SEED = 20261125
DEADLINE = 3600.0 if LONG else 180.0
TOOLS = Path(__file__).with_name("soaktools.py")
OLD = Path(__file__).with_name("soakserver.py")
SOURCES = ("web", "old", "new")
GONE = re.compile(
    r"^(web|old|new): (was killed by SIGKILL|cannot connect|the connection was lost|still starting|not ready|"
    r"answered with status 503)",
    re.MULTILINE,
)
"""What a call may say when its server was killed; anything else is a fault."""


class Web:
    """The server on HTTP, which comes back on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._stack = ExitStack()
        self.server: Rig

    def start(self) -> None:
        self.server = self._stack.enter_context(rig("--port", str(self.port), str(TOOLS)))

    def kill(self) -> None:
        self.server.kill()

    def close(self) -> None:
        self._stack.close()


def config(folder: Path, port: int) -> Path:
    path = folder / "rune.toml"
    path.write_text(
        f"""
        [sources.web]
        url = "http://127.0.0.1:{port}/mcp"
        [sources.old]
        command = ["{sys.executable}", "{OLD}"]
        [sources.new]
        command = ["{RUNE}", "serve", "--stdio", "{TOOLS}"]
        """
    )
    return path


@pytest.fixture
def web() -> Iterator[Web]:
    found = Web()
    try:
        found.start()
        yield found
    finally:
        found.close()


def children(pid: int) -> dict[str, int]:
    """The processes below one, by what they are."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):
            words = Path(f"/proc/{child}/cmdline").read_bytes().decode()
            kind = "old" if str(OLD) in words else "new" if "--stdio" in words else words
            found[kind] = int(child)
    return found


class Tally:
    """What came of the calls of all workers."""

    def __init__(self) -> None:
        self.left = CALLS
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0

    @property
    def done(self) -> int:
        return CALLS - max(self.left, 0)


class Worker:
    """One client with one connection at a time, of the newer or the older revision."""

    def __init__(self, number: int, server: Rig, tally: Tally) -> None:
        self._random = random.Random(f"{SEED} {number}")
        self._legacy = number % 3 == 2
        self._number = number
        self._server = server
        self._tally = tally
        self._count = 0
        self._session: str | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> None:
        while self._tally.take() and not self._tally.faults:
            source = self._random.choice(SOURCES)
            kind = self._random.choices(("echo", "report", "slow", "cancel", "leave"), (88, 4, 2, 4, 2))[0]
            await self._ready()
            if kind in ("cancel", "leave"):
                await self._give_up(source, kind)
            else:
                await self._ask(source, kind)
            self._tally.counts[f"{source} {kind}"] += 1
        self._cut()

    async def _ready(self) -> None:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        if self._legacy and self._session is None:
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "s", "version": "1"}}
            self._writer.write(self._post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
            head, _ = await self._answer()
            self._session = head["mcp-session-id"]

    def _cut(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    def _message(self, source: str, tool: str) -> tuple[dict[str, Any], str]:
        self._count += 1
        text = f"{self._number}-{self._count}-{self._random.randrange(1 << 60):x}"
        params: dict[str, Any] = {"name": f"{source}_{tool}", "arguments": {"text": text}}
        meta: dict[str, Any] = {} if tool == "echo" else {"progressToken": f"p{text}"}
        if not self._legacy:
            meta |= {META + "protocolVersion": "2026-07-28", META + "clientCapabilities": {}}
        if meta:
            params["_meta"] = meta
        return {"jsonrpc": "2.0", "id": self._count, "method": "tools/call", "params": params}, text

    def _post(self, message: dict[str, Any]) -> bytes:
        body = json.dumps(message).encode()
        extra = ""
        if self._legacy and self._session is not None:
            extra = f"Mcp-Session-Id: {self._session}\r\nMCP-Protocol-Version: 2025-11-25\r\n"
        elif not self._legacy:
            name = message["params"]["name"]
            extra = f"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {name}\r\n"
        return (
            f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{extra}"
            f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    async def _ask(self, source: str, tool: str) -> None:
        message, text = self._message(source, tool)
        assert self._writer is not None
        self._writer.write(self._post(message))
        _, answers = await self._answer()
        *notes, answer = answers
        if any(note.get("params", {}).get("message") != text for note in notes if "progress" in note["method"]):
            self._fault(f"progress of somebody else: {notes}")
        elif answer["id"] != message["id"]:
            self._fault(f"an answer to somebody else: {answer}")
        elif "error" in answer:
            error = answer["error"]["message"]
            self._tally.counts["errors"] += 1
            if GONE.match(error) is None:
                self._fault(f"{source} {tool}: {error}")
            # It comes back in its own time, and calls that fail at once are cheap.
            await asyncio.sleep(0.05)
        elif answer["result"]["content"] != [{"type": "text", "text": text}]:
            self._fault(f"asked for {text}: {answer}")

    def _fault(self, text: str) -> None:
        self._tally.faults.append(text)

    async def _answer(self) -> tuple[dict[str, str], list[dict[str, Any]]]:
        """The head and the messages of one HTTP response."""
        async with asyncio.timeout(90):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            if "content-length" in fields:
                data = await self._reader.readexactly(int(fields["content-length"]))
            else:
                data = b"".join([part async for part in self._chunks()])
        if "event-stream" not in fields["content-type"]:
            return fields, [json.loads(data)]
        lines = [line[5:] for line in data.decode().splitlines() if line.startswith("data:") and line[5:].strip()]
        return fields, [json.loads(line) for line in lines]

    async def _chunks(self) -> Any:
        while size := int(await self._reader.readline(), 16):
            yield await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)

    async def _give_up(self, source: str, kind: str) -> None:
        """Cancel a call, or leave in the middle of a message."""
        message, _ = self._message(source, "slow")
        data = self._post(message)
        assert self._writer is not None
        self._writer.write(data if kind == "cancel" else data[: self._random.randrange(1, len(data))])
        await asyncio.sleep(self._random.random() * 0.06)
        if self._legacy and kind == "cancel":
            # Leaving is no cancellation in the older revisions: it has to be said.
            self._cut()
            await self._ready()
            params = {"requestId": message["id"]}
            self._writer.write(self._post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
            async with asyncio.timeout(90):
                await self._reader.readuntil(b"\r\n\r\n")
        self._cut()


async def killer(server: Rig, web: Web, tally: Tally) -> None:
    """Kills are spread over the calls, not over the time."""
    chance = random.Random(SEED)
    for kill in range(1, KILLS + 1):
        while tally.done < kill * CALLS // (KILLS + 1) and not tally.faults:
            await asyncio.sleep(0.005)
        for source in ("old", "new"):
            pid = children(server.process.pid).get(source)
            if pid is not None and chance.random() < 0.9:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                tally.counts[f"{source} killed"] += 1
        if kill % 10 == 1:
            web.kill()
            tally.counts["web killed"] += 1
            await asyncio.to_thread(web.start)


async def watch(server: Rig, tally: Tally, sizes: list[int]) -> None:
    """The memory of the gateway, once for each twentieth of the calls."""
    for part in range(1, 21):
        while tally.done < part * CALLS // 20 and not tally.faults:
            await asyncio.sleep(0.01)
        sizes.append(server.rss)


async def test_no_wrong_answer_and_nothing_left_behind(web: Web, tmp_path: Path) -> None:
    tally, sizes = Tally(), list[int]()
    with rig("--config", str(config(tmp_path, web.port))) as server:
        async with asyncio.timeout(DEADLINE):
            await ready(server)
            await asyncio.sleep(0.5)
            descriptors, threads, began = server.descriptors, server.threads, time.monotonic()
            async with asyncio.TaskGroup() as group:
                group.create_task(killer(server, web, tally))
                group.create_task(watch(server, tally, sizes))
                for number in range(WORKERS):
                    group.create_task(Worker(number, server, tally).run())
            seconds = time.monotonic() - began
            assert not tally.faults, tally.faults[:5]
            await ready(server)
        errors, kills = tally.counts["errors"], sum(n for key, n in tally.counts.items() if key.endswith("killed"))
        figures = f"{CALLS} calls in {seconds:.0f} s, {kills} kills, {errors} errors; RSS {[s >> 20 for s in sizes]} MB"
        print(figures)
        assert kills >= KILLS
        # While the server on HTTP starts, all calls to it fail.
        assert errors < CALLS * 0.05 + 150 * tally.counts["web killed"], figures
        # Each caller keeps a connection at each server at most, and those of the test are gone.
        assert settled(lambda: server.descriptors, descriptors + WORKERS), f"{server.descriptors}, {descriptors} before"
        assert server.threads <= threads + 1
        kids = children(server.process.pid)
        assert kids.keys() - {"old", "new"} == {key for key in kids if "rune-orphans" in key}, kids
        assert len(kids) == 3, kids
        warm = max(sizes[4:8])
        assert sizes[-1] <= warm * 1.05 + (4 << 20), figures
        pids = list(kids.values())
    assert settled(lambda: sum(Path(f"/proc/{pid}").exists() for pid in pids), 0), pids


async def ready(server: Rig) -> None:
    """Until each server has answered once more."""
    for source in SOURCES:
        for _ in range(600):
            tally = Tally()
            worker = Worker(0, server, tally)
            await worker._ready()
            await worker._ask(source, "echo")
            worker._cut()
            if not tally.counts["errors"] and not tally.faults:
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError(f"{source} does not come back: {tally.faults}")


# --- from inside -----------------------------------------------------------------------------------------------------


async def test_no_task_is_left_in_the_loop(web: Web, tmp_path: Path) -> None:
    """The same upstreams in the loop of this test, where tasks can be counted."""
    chance = random.Random(SEED)
    before = asyncio.all_tasks()
    async with asyncio.timeout(DEADLINE), build(read_toml(config(tmp_path, web.port), {})) as gateway, gateway:
        await settle(gateway, before)
        quiet = len(asyncio.all_tasks())
        for round in range(40):
            calls = [
                asyncio.create_task(
                    gateway.handle(request_for(f"{source}_{tool}", {"text": f"{round} {source} {tool}"}))
                )
                for source in SOURCES
                for tool in ("echo", "slow", "report")
            ]
            await asyncio.sleep(chance.random() * 0.03)
            if round % 10 == 5:
                for source in ("old", "new"):
                    with suppress(ProcessLookupError):
                        os.kill(children(os.getpid())[source], signal.SIGKILL)
            for call in calls:
                if chance.random() < 0.3:
                    call.cancel()
            await asyncio.wait(calls)
            for call in calls:
                if not call.cancelled() and call.exception() is None:
                    text = call.result().value["content"][0]["text"]
                    assert text in {f"{round} {s} {t}" for s in SOURCES for t in ("echo", "slow", "report")}
        await settle(gateway, before)
        async with asyncio.timeout(30):
            while len(asyncio.all_tasks()) > quiet:
                await asyncio.sleep(0.02)
    async with asyncio.timeout(30):
        while {task for task in asyncio.all_tasks() - before if not task.done()}:
            await asyncio.sleep(0.02)
    assert children(os.getpid()).keys() & {"old", "new"} == set()


async def settle(gateway: Any, before: set[asyncio.Task[Any]]) -> None:
    """Each server has answered a call."""
    for source in SOURCES:
        for _ in range(600):
            try:
                result = await gateway.handle(request_for(f"{source}_echo", {"text": source}))
            except RuneError:
                await asyncio.sleep(0.1)
                continue
            assert result.value["content"][0]["text"] == source
            break
        else:
            raise AssertionError(source)
