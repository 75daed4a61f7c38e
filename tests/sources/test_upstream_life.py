"""Asleep, starting, ready, failed: servers that are started when they are needed, and what they may cost meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rune.client.duplex import Duplex, command
from rune.client.life import HOPELESS_DELAY, LAST_DELAY, PATIENCE, Life
from rune.errors import TimedOut, Unavailable
from rune.request import Note
from rune.source import EVERYTHING
from rune.sources.upstream.disk import Disk
from rune.sources.upstream.gate import Gate, Terms
from rune.sources.upstream.source import Upstream
from tests.client import fakes
from tests.client.fakes import Carried, Message, Notes, Wires, ask, call

DEADLINE = 60.0
TOOL = {"name": "t", "inputSchema": {"type": "object"}}


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)


class Server:
    """Lists one tool; a call is answered at once, or when it is released."""

    def __init__(self) -> None:
        self.tools: list[Message] = [TOOL]
        self.holds = False
        self.held: list[tuple[Carried, Message]] = []
        self.cancelled = 0

    def __call__(self, carried: Carried, message: Message) -> None:
        method = message.get("method", "")
        if method == "tools/list":
            listed = {"resultType": "complete", "tools": self.tools, "ttlMs": 0, "cacheScope": "public"}
            carried.answer(message, listed)
        elif method == "tools/call" and self.holds:
            self.held.append((carried, message))
        elif method == "tools/call":
            carried.answer(message, {"resultType": "complete", "content": [], "name": message["params"]["name"]})
        elif method == "notifications/cancelled":
            self.cancelled += 1
        elif "id" in message:
            carried.refuse(message, -32601)

    def release(self, count: int = 1) -> None:
        for _ in range(count):
            carried, message = self.held.pop(0)
            carried.answer(message, {"resultType": "complete", "content": []})


@asynccontextmanager
async def entered(server: Any, disk: Disk | None = None, **terms: Any):
    wires = Wires(server, "up")
    source = Upstream("up", wires, terms=Terms(**terms))
    if disk is not None:
        source.keep(disk)
    async with asyncio.timeout(DEADLINE), source:
        yield source, wires


async def names(source: Upstream) -> list[str]:
    return [item.name for item in (await source.catalog(ask("catalog"))).tools]


# --- sleep -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [fakes.modern, fakes.legacy])
async def test_without_use_it_sleeps_is_still_listed_and_wakes_with_the_next_call(make):
    async with entered(make(Server()), idle=0.1) as (source, wires):
        assert await names(source) == ["t"]
        assert (await source.handle(call())).kind == "complete"
        assert source.status()["state"] == "ready"
        await until(lambda: source.status()["state"] == "asleep")
        assert source.status()["ok"] and source.status()["error"] is None
        await until(lambda: wires.last.closed)
        assert await names(source) == ["t"]
        assert len(wires.made) == 1, "a list wakes nobody"
        results = await asyncio.gather(*(source.handle(call()) for _ in range(20)))
        assert {result.kind for result in results} == {"complete"}
        assert len(wires.made) == 2, "one start for all who wait"
        assert source.status()["state"] == "ready"


async def test_a_call_under_way_keeps_it_awake():
    server = Server()
    async with entered(fakes.modern(server), idle=0.05) as (source, wires):
        await names(source)
        server.holds = True
        task = asyncio.create_task(source.handle(call()))
        await until(lambda: server.held)
        await asyncio.sleep(0.2)
        assert source.status()["state"] == "ready"
        server.release()
        assert (await task).kind == "complete"
        await until(lambda: source.status()["state"] == "asleep")
        assert len(wires.made) == 1


async def test_a_question_that_waits_for_its_user_keeps_it_awake():
    def serve(carried: Carried, message: Message) -> None:
        if message.get("method") == "tools/call":
            carried.say({"id": "q", "method": "roots/list"})
        else:
            Server()(carried, message)

    async with entered(fakes.legacy(serve), idle=0.05) as (source, wires):
        assert (await source.handle(call(capabilities={"roots": {}}))).kind == "input_required"
        asked = wires.last
        await asyncio.sleep(0.2)
        assert not asked.closed


async def test_whoever_listens_for_lists_does_not_keep_it_awake_and_hears_what_changed_meanwhile():
    server = Server()
    async with entered(fakes.modern(server), idle=0.1) as (source, _):
        await names(source)
        heard = Notes()
        listening = asyncio.create_task(
            source.handle(ask("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, emit=heard))
        )
        await source.handle(call())
        await until(lambda: source.status()["state"] == "asleep")
        server.tools = [TOOL, {**TOOL, "name": "u"}]
        assert await names(source) == ["t"]
        await source.handle(call())
        changed = "notifications/tools/list_changed"
        await until(lambda: [note.method for note in heard.notes].count(changed) == 1)
        assert await names(source) == ["t", "u"]
        listening.cancel()


async def test_the_next_one_starts_when_the_last_one_has_ended():
    """Two of the same command may want the same file."""
    order: list[str] = []

    class Slow(Carried):
        async def open(self, *ears: Any) -> None:
            order.append("open")
            await super().open(*ears)

        async def close(self) -> None:
            await asyncio.sleep(0.1)
            order.append("closed")
            await super().close()

    source = Upstream("up", lambda: Duplex(Slow(fakes.modern(Server()), "up")), terms=Terms(idle=0.05))
    async with asyncio.timeout(DEADLINE), source:
        await names(source)
        await until(lambda: source.status()["state"] == "asleep")
        await source.handle(call())
        assert order == ["open", "closed", "open"]


async def test_it_sleeps_not_unless_it_was_told_to():
    async with entered(fakes.modern(Server())) as (source, _):
        await names(source)
        await source.handle(call())
        assert source._pool.first._doze is None


# --- last catalogs after a restart -----------------------------------------------------------------------------------


async def test_a_dead_server_is_listed_after_a_restart(tmp_path):
    kept = Disk(tmp_path, "up", "it")
    async with entered(fakes.modern(Server()), kept) as (source, _):
        assert await names(source) == ["t"]

    def dead(carried: Carried, message: Message) -> None:
        carried.die("exited 1 after 0.1 s")

    async with entered(dead, kept) as (source, _):
        assert await names(source) == ["t"]
        with pytest.raises(Unavailable, match="up: exited 1"):
            await source.handle(call())
        assert source.status()["state"] == "failed"
    async with entered(dead, Disk(tmp_path, "up", "another credential")) as (source, _):
        with pytest.raises(Unavailable):
            await names(source)


async def test_a_sleeper_is_not_started_to_be_listed_after_a_restart(tmp_path):
    kept = Disk(tmp_path, "up", "it")
    async with entered(fakes.modern(Server()), kept, idle=60.0) as (source, wires):
        assert await names(source) == ["t"]
    async with entered(fakes.modern(Server()), kept, idle=60.0) as (source, wires):
        assert await names(source) == ["t"]
        assert source.status()["state"] == "asleep" and source.status()["ok"]
        await asyncio.sleep(0.05)
        assert wires.made == []
        assert (await source.handle(call())).kind == "complete"


async def test_an_old_catalog_does_not_keep_a_sleeper_asleep(tmp_path, monkeypatch):
    kept = Disk(tmp_path, "up", "it")
    server = Server()
    async with entered(fakes.modern(server), kept, idle=60.0) as (source, _):
        await names(source)
    monkeypatch.setattr("rune.sources.upstream.shelf.TRUSTED", 0.0)
    server.tools = []
    async with entered(fakes.modern(server), kept, idle=60.0) as (source, _):
        await until(lambda: source.status()["state"] == "ready")
        await until(lambda: source._first.shelf._catalog.tools == ())


async def test_a_changed_server_is_listed_as_it_is_now(tmp_path):
    """Whoever changes a server and starts the gateway again does not want to see what it was."""
    kept = Disk(tmp_path, "up", "it")
    server = Server()
    async with entered(fakes.modern(server), kept) as (source, _):
        await names(source)
    server.tools = [{**TOOL, "name": "u"}]
    async with entered(fakes.modern(server), kept) as (source, _):
        heard = Notes()
        source.listeners.add(EVERYTHING, heard)
        assert await names(source) == ["u"]
        assert [note.method for note in heard.notes] == ["notifications/tools/list_changed"]
    async with entered(lambda carried, message: None, kept) as (source, _):
        source._first.shelf._wait_until = asyncio.get_running_loop().time()
        assert await names(source) == ["u"], "the newest one was kept"


# --- back-off --------------------------------------------------------------------------------------------------------


async def test_starts_that_fail_become_rare_and_are_spread():
    delays: dict[int, set[float]] = {}
    life = Life("up", None)  # type: ignore[arg-type]
    now = asyncio.get_running_loop().time()
    for failures in range(1, PATIENCE + 5):
        for _ in range(20):
            life._note(Unavailable("no"), failures)
            delays.setdefault(failures, set()).add(life.retry_at - now)
    assert max(delays[1]) <= 0.6
    assert all(min(delays[number + 1]) > max(delays[number]) * 1.1 for number in range(1, 6))
    assert min(delays[PATIENCE]) >= LAST_DELAY * 0.7
    assert max(delays[PATIENCE]) <= LAST_DELAY + 1
    assert min(delays[PATIENCE + 1]) >= HOPELESS_DELAY * 0.7, "six starts an hour, for ever"
    assert all(len(found) > 10 for found in delays.values()), "not in step with others"
    assert "tried again in" in life.outlook


# --- health ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [fakes.modern, fakes.legacy])
async def test_a_server_that_answers_nothing_any_more_is_started_anew(make, monkeypatch):
    monkeypatch.setattr("rune.client.client.PROBE_TIMEOUT", 0.3)
    deaf: set[Carried] = set()
    serve = make(Server())

    def sometimes(carried: Carried, message: Message) -> None:
        if carried not in deaf:
            serve(carried, message)

    async with entered(sometimes, timeout=0.2) as (source, wires):
        await names(source)
        deaf.add(wires.last)
        for _ in range(2):
            with pytest.raises(TimedOut, match="up: no answer to tools/call in time"):
                await source.handle(call())
        await until(lambda: source.status()["state"] == "failed" or len(wires.made) > 1)
        assert (await source.handle(call())).kind == "complete"
        assert len(wires.made) == 2
        await until(lambda: wires.made[0].closed)


async def test_an_answer_may_take_as_long_as_the_source_says_and_no_longer_than_the_client_waits():
    server = Server()
    async with entered(fakes.modern(server), timeout=0.2) as (source, _):
        await names(source)
        server.holds = True
        clock = asyncio.get_running_loop().time
        for patience in (60.0, 0.1):
            request, began = call(), clock()
            request.deadline = began + patience
            with pytest.raises(TimedOut, match="up: no answer to tools/call in time"):
                await source.handle(request)
            assert request.deadline - began <= min(patience, 0.3)


async def test_a_server_that_is_only_slow_is_left_alone(monkeypatch):
    monkeypatch.setattr("rune.client.client.PROBE_TIMEOUT", 5.0)
    server = Server()
    async with entered(fakes.modern(server), timeout=0.1) as (source, wires):
        await names(source)
        server.holds = True
        for _ in range(4):
            with pytest.raises(TimedOut):
                await source.handle(call())
        await until(lambda: source._pool.first._check is None)
        assert source.status()["state"] == "ready"
        assert len(wires.made) == 1
        assert server.cancelled == 4


async def test_a_process_that_is_stopped_is_replaced(monkeypatch):
    monkeypatch.setattr("rune.client.client.PROBE_TIMEOUT", 1.0)
    code = """
import json, os, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        value = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}, "pid": os.getpid()}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": value}), flush=True)
"""
    async with Upstream("up", command("up", [sys.executable, "-c", code]), terms=Terms(timeout=1.5)) as source:
        first = (await source.handle(call())).value["pid"]
        os.kill(first, signal.SIGSTOP)
        for _ in range(2):
            with pytest.raises(TimedOut):
                await source.handle(call())
        await until(lambda: source.status()["state"] == "failed")
        assert (await source.handle(call())).value["pid"] != first
    assert not Path(f"/proc/{first}").exists()


# --- how much at once ------------------------------------------------------------------------------------------------


async def test_calls_beyond_the_bound_wait_and_those_beyond_the_queue_are_refused_at_once():
    server = Server()
    async with entered(fakes.modern(server), concurrency=3, queue=4) as (source, _):
        await names(source)
        server.holds = True
        tasks = [asyncio.create_task(source.handle(call(str(number)))) for number in range(7)]
        await until(lambda: len(server.held) == 3)
        with pytest.raises(Unavailable, match=r"^up: busy, 4 calls wait already$") as caught:
            await source.handle(call())
        assert "concurrency" in caught.value.hint
        for expected in ("3", "4", "5", "6"):
            server.release()
            await until(lambda: len(server.held) == 3)
            assert server.held[-1][1]["params"]["name"] == expected, "in the order of arrival"
        server.release(3)
        assert {result.kind for result in await asyncio.gather(*tasks)} == {"complete"}
        server.holds = False
        assert (await source.handle(call())).kind == "complete"
        assert source._pool._gate.free == 3


async def test_who_waits_in_line_may_leave_and_has_a_deadline():
    server = Server()
    async with entered(fakes.modern(server), concurrency=1, queue=10) as (source, _):
        await names(source)
        server.holds = True
        first = asyncio.create_task(source.handle(call()))
        await until(lambda: server.held)
        late = call()
        late.deadline = asyncio.get_running_loop().time() + 0.05
        with pytest.raises(TimedOut, match="up: busy, no call before this one ended in time"):
            await source.handle(late)
        gone = asyncio.create_task(source.handle(call()))
        last = asyncio.create_task(source.handle(call("last")))
        await until(lambda: source._pool._gate.waiting == 2)
        gone.cancel()
        server.release()
        await first
        await until(lambda: server.held)
        assert server.held[0][1]["params"]["name"] == "last"
        server.release()
        await last
        assert source._pool._gate.free == 1


async def test_a_place_that_was_given_to_somebody_who_leaves_is_not_lost():
    gate = Gate("up", Terms(concurrency=1, queue=5))
    gate.free -= 1
    waiting = [asyncio.create_task(gate.wait(None)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.leave()
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    await asyncio.wait_for(waiting[1], DEADLINE)
    gate.leave()
    await asyncio.wait_for(waiting[2], DEADLINE)
    gate.leave()
    assert (gate.free, gate.waiting) == (1, 0)


async def test_a_server_that_dies_under_many_calls_gives_all_places_back():
    server = Server()
    async with entered(fakes.modern(server), concurrency=2, queue=100) as (source, wires):
        await names(source)
        server.holds = True
        tasks = [asyncio.create_task(source.handle(call())) for _ in range(20)]
        await until(lambda: len(server.held) == 2)
        server.holds = False
        wires.last.die()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(result, Unavailable) for result in results) == 2
        assert source._pool._gate.free == 2


# --- floods of announcements -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [fakes.modern, fakes.legacy])
async def test_announcements_without_end_are_heard_now_and_then(make):
    server = Server()
    async with entered(make(server)) as (source, _):
        await names(source)
        heard = Notes()
        source.listeners.add(EVERYTHING, heard)
        shelf = source._first.shelf
        for _ in range(1000):
            shelf.noted(Note("notifications/tools/list_changed", b"{}"))
        assert len(heard.notes) == 1
        await until(lambda: len(heard.notes) == 2)
        await until(lambda: not shelf._quiet)
        assert len(heard.notes) == 2, "the last one counts, the others are the same"


async def test_noise_and_answers_to_nothing_make_the_reader_pause(monkeypatch):
    monkeypatch.setattr("rune.client.duplex.UNASKED", (50, 50))

    def serve(carried: Carried, message: Message) -> None:
        for number in range(30):
            carried.say({"method": "notifications/message", "params": {"level": "info", "data": number}})
            carried.say({"id": 10_000 + number, "result": {}})
            carried.say(b"noise")
        Server()(carried, message)

    async with entered(fakes.modern(serve)) as (source, wires):
        assert (await source.handle(call())).kind == "complete"
        assert wires.last.held and max(wires.last.held) < 10
    async with entered(fakes.modern(Server())) as (source, wires):
        for _ in range(200):
            await source.handle(call())
        assert wires.last.held == [], "answers that were asked for cost nothing"
