"""MCP servers as sources: they start late, die, come back, lie and change, and nobody else is harmed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
from collections.abc import Awaitable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from rune.client.duplex import command
from rune.client.http import endpoint
from rune.errors import NotFound, ProtocolError, RuneError, TimedOut, Unavailable
from rune.parking import Parking
from rune.request import Request, Result
from rune.seal import Seal
from rune.source import EVERYTHING, Catalog, Item, Target
from rune.sources.upstream.gate import Terms
from rune.sources.upstream.source import Upstream
from rune.store import MemoryStore
from rune.taskids import TaskIds
from rune.tasks import Tasks
from tests import peers
from tests.client import fakes, web
from tests.client.fakes import Carried, Message, Notes, Wires, ask, call

DEADLINE = 60.0
TOOL = {"name": "t", "inputSchema": {"type": "object"}, "vendor": {"a": 1.50}}


async def bounded(awaitable: Awaitable[Any]) -> Any:
    async with asyncio.timeout(DEADLINE):
        return await awaitable


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)


class Lists:
    """A server with a few lists that can be changed; tools/call says how often the server was started."""

    def __init__(self) -> None:
        self.tools: list[Any] = [TOOL]
        self.pages = 1
        self.ttl = 0
        self.calls: list[Message] = []
        self.listens: list[Message] = []
        self.deadly: set[str] = set()
        self.silent: set[str] = set()

    def __call__(self, carried: Carried, message: Message) -> None:
        method = message.get("method", "")
        self.calls.append(message)
        if method in self.deadly:
            carried.die()
        elif method in self.silent or "id" not in message:
            return
        elif method == "tools/list":
            page = int(message["params"].get("cursor", 0))
            value: Message = {"tools": [self.tools[page]] if self.pages > 1 else self.tools}
            if page + 1 < self.pages:
                value["nextCursor"] = str(page + 1)
            carried.answer(message, {"resultType": "complete", "ttlMs": self.ttl, "cacheScope": "public", **value})
        elif method == "resources/list":
            value = {"resources": [{"uri": "x:1", "name": "one"}, {"name": "no uri"}]}
            carried.answer(message, {"resultType": "complete", "ttlMs": 9, "cacheScope": "public", **value})
        elif method == "resources/templates/list":
            carried.refuse(message, -32601)
        elif method == "prompts/list":
            carried.refuse(message, -32603, "prompts are broken")
        elif method == "subscriptions/listen":
            self.listens.append(message)
            mark = {"io.modelcontextprotocol/subscriptionId": message["id"]}
            params = {"notifications": message["params"]["notifications"], "_meta": mark}
            carried.say({"method": "notifications/subscriptions/acknowledged", "params": params})
        elif method in ("tools/call", "resources/read"):
            carried.answer(message, {"resultType": "complete", "content": [], "params": message["params"]})
        else:
            carried.answer(message, {"resultType": "complete"})

    def count(self, method: str) -> int:
        return sum(message.get("method") == method for message in self.calls)


def upstream(server: Any, **options: Any) -> tuple[Upstream, Wires]:
    wires = Wires(server, "up")
    return Upstream("up", wires, **options), wires


def catalog_request() -> Request:
    return ask("catalog")


@asynccontextmanager
async def entered(server: Any, **options: Any):
    source, wires = upstream(server, **options)
    async with source:
        yield source, wires


# --- catalog ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [fakes.modern, fakes.legacy])
async def test_definitions_come_byte_for_byte_and_broken_lists_hide_nothing(make):
    async with entered(make(Lists())) as (source, _):
        catalog = await bounded(source.catalog(catalog_request()))
    assert [json.loads(item.raw) for item in catalog.tools] == [TOOL]
    assert catalog.tools[0].raw == json.dumps(TOOL).encode()
    assert [item.name for item in catalog.resources] == ["x:1"]
    assert catalog.prompts == catalog.templates == ()
    assert catalog.list_changed
    assert catalog.subscribe
    assert catalog.reads
    assert catalog.logging


async def test_ttl_and_scope_are_the_strictest_of_the_parts():
    lists = Lists()
    lists.ttl = 5000
    async with entered(fakes.modern(lists)) as (source, _):
        catalog = await bounded(source.catalog(catalog_request()))
        assert (catalog.ttl, catalog.scope) == (9, "public")
        assert catalog.instructions == "be kind"
        assert catalog.completions


async def test_all_pages_are_read():
    lists = Lists()
    lists.tools = [{"name": f"t{number}", "inputSchema": {"type": "object"}} for number in range(7)]
    lists.pages = 7
    async with entered(fakes.modern(lists)) as (source, _):
        catalog = await bounded(source.catalog(catalog_request()))
    assert [item.name for item in catalog.tools] == [f"t{number}" for number in range(7)]


async def test_a_cursor_that_never_ends_does():
    def serve(carried: Carried, message: Message) -> None:
        if message.get("method") == "tools/list":
            carried.answer(message, {"resultType": "complete", "tools": [TOOL, 5, {"name": 7}], "nextCursor": "again"})
        elif "id" in message:
            carried.refuse(message, -32601)

    async with entered(fakes.modern(serve)) as (source, _):
        catalog = await bounded(source.catalog(catalog_request()))
    assert [item.name for item in catalog.tools] == ["t"]


async def test_the_same_object_again_means_that_nothing_has_changed():
    lists = Lists()
    async with entered(fakes.modern(lists)) as (source, _):
        first = await bounded(source.catalog(catalog_request()))
        await asyncio.sleep(0.02)
        assert await bounded(source.catalog(catalog_request())) is first
        assert lists.count("tools/list") == 2
        lists.tools = [TOOL, {**TOOL, "name": "u"}]
        second = await bounded(source.catalog(catalog_request()))
        assert [item.name for item in second.tools] == ["t", "u"]


async def test_a_ttl_is_kept():
    lists = Lists()
    async with entered(fakes.modern(lists)) as (source, _):
        source._first.shelf._fresh_until = 0
        await bounded(source.catalog(catalog_request()))
        source._first.shelf._fresh_until = asyncio.get_running_loop().time() + 100
        lists.tools = []
        assert (await bounded(source.catalog(catalog_request()))).tools
        assert lists.count("tools/list") == 1


async def test_list_changed_of_an_older_server_is_noticed_and_passed_on():
    lists = Lists()
    async with entered(fakes.legacy(lists)) as (source, wires):
        await bounded(source.catalog(catalog_request()))
        await bounded(source.catalog(catalog_request()))
        assert lists.count("tools/list") == 1, "an older server on stdio says when something changes"
        heard = Notes()
        source.listeners.add(EVERYTHING, heard)
        lists.tools = []
        wires.last.say({"method": "notifications/tools/list_changed"})
        assert [note.method for note in heard.notes] == ["notifications/tools/list_changed"]
        assert (await bounded(source.catalog(catalog_request()))).tools == ()
        assert len(heard.notes) == 1


async def test_a_start_is_not_waited_for_and_its_catalog_is_announced(monkeypatch):
    monkeypatch.setattr("rune.sources.upstream.shelf.FIRST_WAIT", 0.05)
    release = asyncio.Event()
    serve = fakes.modern(Lists())

    def slow(carried: Carried, message: Message) -> None:
        async def later() -> None:
            await release.wait()
            serve(carried, message)

        tasks.append(asyncio.create_task(later()))

    tasks: list[asyncio.Task[None]] = []
    async with entered(slow) as (source, _):
        heard = Notes()
        source.listeners.add(EVERYTHING, heard)
        with pytest.raises(Unavailable, match="up: still starting"):
            await bounded(source.catalog(catalog_request()))
        assert source.status()["state"] == "starting"
        release.set()
        await bounded(heard.came.wait())
        assert (await bounded(source.catalog(catalog_request()))).tools
        assert source.status()["ok"]


async def test_a_slow_list_is_answered_from_the_last_one(monkeypatch):
    monkeypatch.setattr("rune.sources.upstream.shelf.FRESH_WAIT", 0.05)
    lists = Lists()
    async with entered(fakes.modern(lists)) as (source, _):
        first = await bounded(source.catalog(catalog_request()))
        lists.silent.add("tools/list")
        assert await bounded(source.catalog(catalog_request())) is first
        began = asyncio.get_running_loop().time()
        assert await bounded(source.catalog(catalog_request())) is first
        assert asyncio.get_running_loop().time() - began < 0.04, "one wait is enough"


# --- calls -----------------------------------------------------------------------------------------------------------


async def test_a_call_goes_out_under_the_name_of_the_server():
    async with entered(fakes.modern(Lists())) as (source, _):
        for method, key in (("tools/call", "name"), ("resources/read", "uri")):
            request = ask(method, {key: "exposed_t"})
            request.target = Target(source, "t", Item("t", b"{}"))
            result = await bounded(source.handle(request))
            assert result.value["params"][key] == "t"


async def test_tasks_are_not_declared_where_nobody_could_find_them_again():
    extensions = {"io.modelcontextprotocol/tasks": {}, "io.modelcontextprotocol/ui": {"mimeTypes": []}}
    key = "io.modelcontextprotocol/clientCapabilities"
    async with entered(fakes.modern(Lists())) as (source, _):
        result = await bounded(source.handle(call(capabilities={"extensions": extensions, "roots": {}})))
        declared = result.value["params"]["_meta"][key]
        assert declared == {"extensions": {"io.modelcontextprotocol/ui": {"mimeTypes": []}}, "roots": {}}
    async with entered(fakes.modern(Lists())) as (source, _), Tasks(MemoryStore()) as tasks:
        source.keep_tasks(tasks, TaskIds(Seal()))
        result = await bounded(source.handle(call(capabilities={"extensions": extensions})))
        assert result.value["params"]["_meta"][key] == {"extensions": extensions}


async def test_callers_who_can_be_asked_get_connections_of_their_own():
    lists = Lists()
    lists.silent.add("tools/call")
    async with entered(fakes.legacy(lists)) as (source, wires):
        await bounded(source.handle(ask("tools/list")))
        elicit, both = {"elicitation": {}}, {"elicitation": {}, "sampling": {}}
        tasks = [
            asyncio.create_task(source.handle(call(capabilities=declared, caller=name)))
            for name, declared in (("a", {}), ("b", elicit), ("c", elicit), ("d", both))
        ]
        await until(lambda: lists.count("tools/call") == 4)
        shakes = [m["params"]["capabilities"] for m in _initial(wires)]
        assert sorted(map(json.dumps, shakes)) == sorted(map(json.dumps, [{}, elicit, elicit, both]))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        lists.silent.clear()
        await bounded(source.handle(call(capabilities=elicit)))
        assert len(wires.made) == 5, "the server may still be at what the others have given up, and ask about it"
        for carried in wires.made:
            for message in carried.heard:
                if message.get("method") == "tools/call":
                    carried.refuse(message, 0, "cancelled")
        for _ in range(3):
            await bounded(source.handle(call(capabilities=elicit)))
        assert len(wires.made) == 5, "an idle one is used again"
    assert all(carried.closed for carried in wires.made)


def _initial(wires: Wires) -> list[Message]:
    return [m for carried in wires.made for m in carried.heard if m.get("method") == "initialize"]


async def test_the_number_of_connections_is_bounded_and_the_others_wait_for_their_turn():
    lists = Lists()
    lists.silent.add("tools/call")
    async with entered(fakes.legacy(lists), terms=Terms(children=2)) as (source, wires):
        kinds = [{"roots": {}}] * 4 + [{"sampling": {}}]
        tasks = [asyncio.create_task(source.handle(call(capabilities=kind))) for kind in kinds]
        for done in range(len(tasks)):
            await until(lambda done=done: lists.count("tools/call") == min(done + 2, len(tasks)))
            assert len([carried for carried in wires.made if not carried.ended]) <= 3
            message = next(
                message for message in lists.calls if message.get("method") == "tools/call" and message["id"]
            )
            carried = next(each for each in wires.made if message in each.heard)
            answered, message["id"] = dict(message), None
            carried.answer(answered, {"content": []})
            await until(lambda done=done: sum(task.done() for task in tasks) == done + 1)
        assert {task.result().kind for task in tasks} == {"complete"}


async def test_who_waits_for_a_turn_in_vain_is_told_why():
    lists = Lists()
    lists.silent.add("tools/call")
    async with entered(fakes.legacy(lists), terms=Terms(children=1)) as (source, _):
        first = asyncio.create_task(source.handle(call(capabilities={"roots": {}})))
        await until(lambda: lists.count("tools/call") == 1)
        late = call(capabilities={"roots": {}})
        late.deadline = asyncio.get_running_loop().time() + 0.05
        with pytest.raises(Unavailable, match="up: 1 calls wait for answers of their users") as caught:
            await bounded(source.handle(late))
        assert caught.value.hint == "raise children of up in the config"
        # Calls in which nobody can be asked are not held up.
        lists.silent.clear()
        assert (await bounded(source.handle(call()))).kind == "complete"
        first.cancel()


async def test_share_caller_keeps_the_connections_of_two_callers_apart():
    lists = Lists()
    async with entered(fakes.legacy(lists), terms=Terms(share="caller")) as (source, wires):
        for caller in ("a", "b", "a", "b"):
            for declared in ({}, {"roots": {}}):
                await bounded(source.handle(call(caller=caller, capabilities=declared, name=caller)))
        served = [
            {message["params"]["name"] for message in carried.heard if message.get("method") == "tools/call"}
            for carried in wires.made
        ]
        assert served == [set(), {"a"}, {"a"}, {"b"}, {"b"}]


def asking_for_roots(carried: Carried, message: Message) -> None:
    """A server that answers a call with the roots it has asked for."""
    if message.get("method") == "tools/call":
        carried.waiting = message
        carried.say({"id": "q", "method": "roots/list"})
    elif "method" not in message:
        carried.answer(carried.waiting, {"content": [], "roots": message["result"]["roots"]})


async def test_the_answer_to_a_question_needs_no_turn():
    """All connections wait for answers: one that had to wait for a connection first would never come."""

    async with entered(fakes.legacy(asking_for_roots), terms=Terms(children=1, concurrency=1)) as (source, _):
        request = call(capabilities={"roots": {}})
        first = await bounded(source.handle(request))
        waiting = asyncio.create_task(source.handle(call(capabilities={"roots": {}})))
        await asyncio.sleep(0.01)
        ((key, _),) = first.value["inputRequests"].items()
        again = call(capabilities={"roots": {}})
        again.answers, again.state = {key: msgspec.Raw(b'{"roots":[]}')}, first.state
        assert (await bounded(source.handle(again))).value["roots"] == []
        assert (await bounded(waiting)).kind == "input_required"


async def test_roots_of_the_config_are_told_to_who_asks_outside_of_a_call():
    told: list[Any] = []

    def serve(carried: Carried, message: Message) -> None:
        if message.get("method") == "tools/list":
            carried.say({"id": "r", "method": "roots/list"})
            carried.answer(message, {"tools": [TOOL]})
        elif "method" not in message:
            told.append(message["result"])
        elif "id" in message:
            carried.refuse(message, -32601)

    async with entered(fakes.legacy(serve), terms=Terms(roots=("file:///srv",))) as (source, wires):
        await bounded(source.catalog(catalog_request()))
        await until(lambda: told)
        assert told == [{"roots": [{"uri": "file:///srv"}]}]
        assert _initial(wires)[0]["params"]["capabilities"] == {"roots": {}}


async def test_a_question_of_an_older_server_is_answered_by_its_caller():
    parking = Parking()
    async with entered(fakes.legacy(asking_for_roots), parking=parking) as (source, _):
        request = call(capabilities={"roots": {}})
        first = await bounded(source.handle(request))
        assert first.kind == "input_required"
        assert len(parking) == 1
        ((key, _),) = first.value["inputRequests"].items()
        again = call(capabilities={"roots": {}})
        again.answers, again.state = {key: msgspec.Raw(b'{"roots":[{"uri":"file:///x"}]}')}, first.state
        assert (await bounded(source.handle(again))).value["roots"] == [{"uri": "file:///x"}]
    await parking.close()


# --- death -----------------------------------------------------------------------------------------------------------


async def test_a_call_that_dies_with_the_server_says_so_and_the_next_one_works():
    lists = Lists()
    async with entered(fakes.modern(lists)) as (source, wires):
        await bounded(source.catalog(catalog_request()))
        lists.deadly.add("tools/call")
        with pytest.raises(Unavailable, match=r"^up: exited 1 after 0.4 s"):
            await bounded(source.handle(call()))
        assert lists.count("tools/call") == 1, "a tool is never called twice"
        lists.deadly.clear()
        assert (await bounded(source.handle(call()))).kind == "complete"
        assert len(wires.made) == 2
        assert wires.made[0].closed


async def test_what_only_reads_is_asked_again_after_a_death():
    lists = Lists()

    async with entered(fakes.modern(lists)) as (source, wires):
        await bounded(source.catalog(catalog_request()))
        first = wires.last
        lists.silent.add("resources/read")
        task = asyncio.create_task(source.handle(ask("resources/read", {"uri": "x:1"})))
        await until(lambda: lists.count("resources/read") == 1)
        lists.silent.clear()
        first.die()
        assert (await bounded(task)).kind == "complete"


async def test_a_call_after_a_quiet_death_starts_the_server_again():
    async with entered(fakes.modern(Lists())) as (source, wires):
        first = await bounded(source.catalog(catalog_request()))
        wires.last.die("was killed by SIGKILL after 3.0 s")
        assert source.status()["state"] == "failed"
        assert await bounded(source.catalog(catalog_request())) is first, "its tools stay listed"
        assert (await bounded(source.handle(call()))).kind == "complete"
        assert source.status()["ok"]


async def test_a_server_that_dies_again_and_again_is_started_less_and_less_often():
    starts: list[float] = []

    def serve(carried: Carried, message: Message) -> None:
        starts.append(asyncio.get_running_loop().time())
        carried.last_words = ["JIRA_API_TOKEN not set"]
        carried.die("exited 1 after 0.1 s")

    source, _ = upstream(serve)
    errors = set()
    for _ in range(200):
        with pytest.raises(Unavailable) as caught:
            await bounded(source.handle(call()))
        errors.add(str(caught.value))
    assert len(starts) <= 3, "two messages, the probe and the handshake, of one start"
    assert errors == {"up: exited 1 after 0.1 s\n  stderr: JIRA_API_TOKEN not set"}
    assert source.status() == {
        "name": "up",
        "ok": False,
        "state": "failed",
        "error": "up: exited 1 after 0.1 s\n  stderr: JIRA_API_TOKEN not set",
        "hint": None,
        "stderr": "JIRA_API_TOKEN not set",
    }
    await source.__aexit__()


async def test_a_server_that_could_not_start_is_tried_again_until_it_has_shown_its_tools(monkeypatch):
    monkeypatch.setattr("rune.client.life.FIRST_DELAY", 0.01)
    serve = fakes.modern(Lists())
    starts: list[Carried] = []

    def flaky(carried: Carried, message: Message) -> None:
        if carried not in starts:
            starts.append(carried)
        if len(starts) <= 2:
            carried.die()
        else:
            serve(carried, message)

    async with entered(flaky) as (source, _):
        heard = Notes()
        source.listeners.add(EVERYTHING, heard)
        await bounded(heard.came.wait())
        assert (await bounded(source.catalog(catalog_request()))).tools


async def test_a_hanging_server_fails_its_callers_in_time_and_nobody_else():
    async with entered(lambda carried, message: None, terms=Terms(timeout=0.1)) as (source, _):
        source._pool.first._start_timeout = 0.1
        async with entered(fakes.modern(Lists())) as (healthy, _):
            results = await bounded(
                asyncio.gather(source.handle(call()), healthy.handle(call()), return_exceptions=True)
            )
    assert isinstance(results[0], RuneError)
    assert str(results[0]).startswith("up: ")
    assert isinstance(results[1], Result)


async def test_a_request_does_not_wait_longer_than_its_deadline_for_a_start():
    async with entered(lambda carried, message: None) as (source, _):
        request = call()
        request.deadline = asyncio.get_running_loop().time() + 0.05
        with pytest.raises(TimedOut, match="up: still starting"):
            await bounded(source.handle(request))


async def test_errors_of_the_server_are_passed_on_and_are_no_death():
    def serve(carried: Carried, message: Message) -> None:
        carried.refuse(message, -32602, "unknown tool", {"x": 1})

    async with entered(fakes.modern(serve)) as (source, wires):
        with pytest.raises(ProtocolError, match="unknown tool"):
            await bounded(source.handle(call()))
        with pytest.raises(NotFound):
            await bounded(source.handle(ask("resources/read", {"uri": "x:9"})))
        assert len(wires.made) == 1


# --- listen ----------------------------------------------------------------------------------------------------------


def listen(source: Upstream, emit: Notes, **wanted: Any) -> asyncio.Task[Result]:
    return asyncio.create_task(source.handle(ask("subscriptions/listen", {"notifications": wanted}, emit=emit)))


async def test_one_listen_towards_the_server_for_all_who_listen_here():
    lists = Lists()
    async with entered(fakes.modern(lists)) as (source, wires):
        await bounded(source.catalog(catalog_request()))
        one, two = Notes(), Notes()
        first = listen(source, one, toolsListChanged=True, resourceSubscriptions=["x:1"])
        await until(lambda: len(lists.listens) == 1)
        second = listen(source, two, resourceSubscriptions=["x:1", "x:2"])
        await until(lambda: len(lists.listens) == 2)
        await until(lambda: lists.count("notifications/cancelled") == 1 and one.notes and two.notes)
        wanted = lists.listens[-1]["params"]["notifications"]
        assert wanted == {"toolsListChanged": True, "resourceSubscriptions": ["x:1", "x:2"]}
        mark = {"io.modelcontextprotocol/subscriptionId": lists.listens[-1]["id"]}
        wires.last.say({"method": "notifications/tools/list_changed", "params": {"_meta": mark}})
        for uri in ("x:1", "x:2"):
            wires.last.say({"method": "notifications/resources/updated", "params": {"uri": uri, "_meta": mark}})
        assert [note.method.rsplit("/", 1)[1] for note in one.notes] == ["acknowledged", "list_changed", "updated"]
        assert [params.get("uri") for params in two.params] == [None, "x:1", "x:2"]
        third = listen(source, Notes(), toolsListChanged=True)
        await asyncio.sleep(0.02)
        assert len(lists.listens) == 2, "nothing new was wished for"
        for task in (first, second, third):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await until(lambda: lists.count("notifications/cancelled") >= 3)
        assert source._first.hearing._ear is None


async def test_a_listen_at_an_older_server_hears_each_change_once():
    lists = Lists()
    async with entered(fakes.legacy(lists)) as (source, wires):
        await bounded(source.catalog(catalog_request()))
        heard = Notes()
        task = listen(source, heard, toolsListChanged=True, resourceSubscriptions=["x:1"])
        await bounded(heard.came.wait())
        assert lists.count("resources/subscribe") == 1
        wires.last.say({"method": "notifications/tools/list_changed"})
        wires.last.say({"method": "notifications/resources/updated", "params": {"uri": "x:1"}})
        wires.last.say({"method": "notifications/resources/updated", "params": {"uri": "x:2"}})
        assert [note.method.rsplit("/", 1)[1] for note in heard.notes] == ["acknowledged", "list_changed", "updated"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: lists.count("resources/unsubscribe") == 1)


async def test_a_listen_survives_the_death_of_the_server(monkeypatch):
    lists = Lists()
    real = asyncio.sleep
    async with entered(fakes.modern(lists)) as (source, wires):
        await bounded(source.catalog(catalog_request()))
        heard = Notes()
        task = listen(source, heard, toolsListChanged=True)
        await until(lambda: len(lists.listens) == 1)
        monkeypatch.setattr("rune.sources.upstream.hearing.asyncio.sleep", lambda delay: real(min(delay, 0.01)))
        lists.tools = []
        wires.last.die()
        await until(lambda: len(lists.listens) == 2)
        await until(lambda: len(heard.notes) == 2)
        assert [note.method.rsplit("/", 1)[1] for note in heard.notes] == ["acknowledged", "list_changed"]
        assert not task.done()
        task.cancel()


# --- over HTTP -------------------------------------------------------------------------------------------------------


async def test_a_url_that_comes_back_is_looked_at_anew():
    async with web.serving(web.modern()) as site:
        source = Upstream("up", endpoint("up", site.url))
        assert (await bounded(source.handle(call()))).kind == "complete"
        port = int(site.url.rsplit(":", 1)[1].split("/")[0])
    try:
        with pytest.raises(Unavailable, match="up: "):
            await bounded(source.handle(call()))
        assert source.status()["state"] == "failed"
        with pytest.raises(Unavailable, match=f"up: cannot connect to 127.0.0.1:{port}"):
            await bounded(source.handle(call()))
        async with web.serving(web.legacy(), port=port):
            source._pool.first.retry_at = 0.0
            assert (await bounded(source.handle(call()))).kind == "complete"
            assert source._pool.first.connection.legacy
            await source.__aexit__()
    finally:
        await source.__aexit__()


# --- real ones -------------------------------------------------------------------------------------------------------


async def test_the_time_server_of_the_official_sdk():
    source = Upstream("time", command("time", peers.time_server()))
    async with source:
        # It may take longer to start than a list waits.
        await until(lambda: source._pool.first.connection)
        catalog: Catalog = await bounded(source.catalog(catalog_request()))
        assert {item.name for item in catalog.tools} == {"get_current_time", "convert_time"}
        assert not source._pool.first.connection.legacy
        result = await bounded(source.handle(call("get_current_time", {"timezone": "UTC"})))
        assert result.value["structuredContent"]["timezone"] == "UTC"
        pid = source._pool.first.connection._wire._carrier.pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: source.status()["state"] == "failed")
        assert "was killed by SIGKILL" in source.status()["error"]
        again = await bounded(source.handle(call("get_current_time", {"timezone": "UTC"})))
        assert again.kind == "complete"


@pytest.mark.parametrize("wire", ["stdio", "http"])
async def test_the_everything_server_of_npm(wire):
    argv = peers.everything_server()
    async with _everything(argv, wire) as reach, Upstream("ev", reach) as source:
        await until(lambda: source._pool.first.connection)
        catalog = await bounded(source.catalog(catalog_request()))
        assert {"echo", "get-sum"} <= {item.name for item in catalog.tools}
        assert catalog.templates
        assert catalog.prompts
        assert source._pool.first.connection.legacy
        notes = Notes()
        request = call("trigger-long-running-operation", {"duration": 0.2, "steps": 2}, token="mine", emit=notes)
        result = await bounded(source.handle(request))
        assert "completed" in result.value["content"][0]["text"]
        assert [params["progressToken"] for params in notes.params] == ["mine", "mine"]
        sums = await bounded(asyncio.gather(*(source.handle(call("get-sum", {"a": n, "b": 1})) for n in range(20))))
        assert [f"{n} and 1 is {n + 1}" in sums[n].value["content"][0]["text"] for n in range(20)] == [True] * 20
        asked = await bounded(source.handle(call("get-roots-list", capabilities={"roots": {}})))
        assert asked.kind in ("complete", "input_required")


@asynccontextmanager
async def _everything(argv: list[str], wire: str):
    if wire == "stdio":
        yield command("ev", argv)
        return
    port = peers.free_port()
    process = await asyncio.create_subprocess_exec(
        *argv,
        "streamableHttp",
        env={"PORT": str(port), "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await peers.listening(port)
        yield endpoint("ev", f"http://127.0.0.1:{port}/mcp")
    finally:
        process.terminate()
        await process.wait()


async def test_a_flood_on_stdout_and_stderr_harms_nobody():
    code = textwrap.dedent(
        """
        import sys, json, threading
        def flood():
            while True: print("noise " * 100, file=sys.stderr)
        threading.Thread(target=flood, daemon=True).start()
        for line in sys.stdin:
            message = json.loads(line)
            for n in range(20000):
                print('{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":%d}}' % n)
            value = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}, "content": []}
            print(json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": value}), flush=True)
        """
    )
    source = Upstream("flood", command("flood", [sys.executable, "-c", code]))
    async with source, entered(fakes.modern(Lists())) as (healthy, _):
        flooded = asyncio.create_task(source.handle(call()))
        for _ in range(50):
            assert (await bounded(healthy.handle(call()))).kind == "complete"
        assert (await bounded(flooded)).kind == "complete"
        assert len(source.status()["stderr"].split("\n")) <= 20


async def test_a_child_that_is_still_starting_does_not_outlive_its_source(tmp_path):
    mark = tmp_path / "pid"
    code = f"import os, time, pathlib; pathlib.Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(60)"
    async with Upstream("slow", command("slow", [sys.executable, "-c", code])):
        await until(lambda: mark.exists() and mark.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


async def test_a_closed_source_starts_nothing():
    source, wires = upstream(fakes.modern(Lists()))
    async with source:
        await bounded(source.handle(call()))
    with pytest.raises(Unavailable, match="up: closed"):
        await bounded(source.handle(call()))
    assert len(wires.made) == 1


async def test_nothing_is_left_after_many_cancelled_and_killed_calls():
    lists = Lists()
    lists.silent.add("tools/call")
    before = len(asyncio.all_tasks())
    async with entered(fakes.legacy(lists)) as (source, wires):
        for number in range(100):
            task = asyncio.create_task(source.handle(call(capabilities={"roots": {}} if number % 2 else {})))
            await until(lambda number=number: lists.count("tools/call") > number)
            if number % 10 == 9:
                wires.last.die()
                await asyncio.wait((task,))
                assert task.exception() is not None
                source._pool.first.worked()
                for pool in source._pool._others.values():
                    for life in pool:
                        life.worked()
                        life.retry_at = 0
            else:
                task.cancel()
                await asyncio.wait((task,))
        lives = list(source._pool)
        assert all(not life.connection._calls.flying for life in lives if life.connection)
        assert all(life.users == 0 for life in lives)
    await until(lambda: len(asyncio.all_tasks()) <= before)
    assert all(carried.closed for carried in wires.made)
