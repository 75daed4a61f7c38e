"""Servers that show another side to other clients: by what these can do, and by the revision that they speak."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rune.client.duplex import command
from rune.errors import NotFound
from rune.gateway import Gateway
from rune.request import Request, Result
from rune.source import EVERYTHING
from rune.sources.upstream.gate import Terms
from rune.sources.upstream.source import Upstream
from rune.view import Mount
from tests import peers
from tests.client import fakes
from tests.client.fakes import Carried, Message, Notes, Wires

DEADLINE = 60.0
ELICIT, SAMPLE, ROOTS = {"elicitation": {}}, {"sampling": {}}, {"roots": {}}


class Sided:
    """A server with one tool for all, and one more for each thing that its client can do. It speaks the older
    revisions; the newest too where it is `dual`."""

    def __init__(self, *, dual: bool = False, older: bool = True) -> None:
        self.dual = dual
        self.older = older
        self.told: dict[Carried, list[str]] = {}
        self.calls: list[tuple[Carried, Message]] = []

    def __call__(self, carried: Carried, message: Message) -> None:
        method = message.get("method", "")
        if method == "initialize" and not self.older:
            carried.refuse(message, -32022, "too old", {"supported": ["2026-07-28"]})
        elif method == "initialize":
            self.told[carried] = sorted(message["params"]["capabilities"])
            capabilities = {"tools": {"listChanged": True}, "resources": {"subscribe": True}}
            info = {"name": "sided", "version": "1"}
            revision = message["params"]["protocolVersion"]
            carried.answer(message, {"protocolVersion": revision, "capabilities": capabilities, "serverInfo": info})
        elif method == "server/discover" and self.dual:
            carried.answer(message, fakes.DISCOVERED)
        elif method == "server/discover":
            carried.refuse(message, -32601)
        elif method == "tools/list":
            names = ["plain", *self.told.get(carried, ["modern"])]
            carried.answer(message, {"tools": [{"name": name, "inputSchema": {}} for name in names]})
        elif method == "tools/call":
            self.calls.append((carried, message))
            carried.answer(message, {"content": [], "structuredContent": self.told.get(carried, ["modern"])})
        elif "id" in message:
            carried.answer(message, {})


@asynccontextmanager
async def behind(server: fakes.Server, **terms: Any) -> AsyncIterator[tuple[Gateway, Upstream, Wires]]:
    wires = Wires(server, "up")
    source = Upstream("up", wires, terms=Terms(**terms))
    async with asyncio.timeout(DEADLINE), Gateway([Mount(source)]) as gateway:
        yield gateway, source, wires


def ask(method: str, capabilities: Message, *, older: bool = False, **params: Any) -> Request:
    request = fakes.ask(method, params, capabilities=capabilities)
    request.older = older
    return request


async def tools(gateway: Gateway, capabilities: Message, *, older: bool = False) -> list[str]:
    listed: Result = await gateway.handle(ask("tools/list", capabilities, older=older))
    return [tool["name"] for tool in listed.value["tools"]]


async def told(gateway: Gateway, capabilities: Message, *, older: bool = False, name: str = "plain") -> Any:
    request = ask("tools/call", capabilities, older=older, name=name, arguments={})
    return (await gateway.handle(request)).value["structuredContent"]


# --- what clients can do ---------------------------------------------------------------------------------------------


async def test_each_client_sees_what_an_older_server_offers_to_one_that_can_do_the_same():
    async with behind(Sided()) as (gateway, _, wires):
        for number in range(2):
            assert await tools(gateway, {}) == ["plain"]
            assert await tools(gateway, ELICIT) == ["plain", "elicitation"]
            assert await tools(gateway, {**ELICIT, **SAMPLE}) == ["plain", "elicitation", "sampling"]
            assert len(wires.made) == 3, number
        assert await told(gateway, ELICIT, name="elicitation") == ["elicitation"]
        with pytest.raises(NotFound, match="unknown tool: elicitation"):
            await told(gateway, {}, name="elicitation")
        assert await told(gateway, {}) == []


async def test_the_same_said_in_another_way_is_the_same_side():
    async with behind(Sided()) as (gateway, _, wires):
        for capabilities in (ELICIT, {"elicitation": {"form": {}}}, {"elicitation": {"form": {}, "later": {}}}):
            assert await tools(gateway, capabilities) == ["plain", "elicitation"]
        assert len(wires.made) == 2


async def test_clients_of_a_newer_server_share_one_view():
    async with behind(Sided(dual=True)) as (gateway, _, wires):
        first = await gateway.handle(ask("tools/list", {}))
        assert await gateway.handle(ask("tools/list", ELICIT)) is first
        assert len(wires.made) == 1


async def test_a_change_of_one_side_is_seen_there():
    sided = Sided()
    async with behind(sided) as (gateway, _, wires):
        emits = {name: Notes() for name in ("plain", "elicit")}
        listens = []
        for name, capabilities in (("plain", {}), ("elicit", ELICIT)):
            await tools(gateway, capabilities)
            request = ask("subscriptions/listen", capabilities, notifications={"toolsListChanged": True})
            request.emit = emits[name]
            listens.append(asyncio.create_task(gateway.handle(request)))
        while not all(emit.notes for emit in emits.values()):
            await asyncio.sleep(0.01)
        sided.told[wires.last].append("more")
        wires.last.say({"method": "notifications/tools/list_changed"})
        while len(emits["elicit"].notes) < 2:
            await asyncio.sleep(0.01)
        assert emits["elicit"].notes[1].method == "notifications/tools/list_changed"
        assert await tools(gateway, ELICIT) == ["plain", "elicitation", "more"]
        assert await tools(gateway, {}) == ["plain"]
        assert len(emits["plain"].notes) == 1
        for listen in listens:
            listen.cancel()
        await asyncio.wait(listens)


async def test_a_side_that_cannot_be_had_is_served_by_the_first(monkeypatch):
    sided = Sided()
    async with behind(sided) as (gateway, _, _):
        assert await tools(gateway, {}) == ["plain"]
        make = Wires.__call__

        def refusing(self: Wires) -> Any:
            wire = make(self)
            self.last.refuses_to_start = True
            return wire

        monkeypatch.setattr(Wires, "__call__", refusing)
        assert await tools(gateway, ELICIT) == ["plain"]
        assert await told(gateway, ELICIT) == []


async def test_listens_go_on_when_a_side_has_to_make_room():
    sided = Sided()
    async with behind(sided, children=2) as (gateway, source, _):
        emits, listens = [Notes(), Notes()], []

        async def listen(capabilities: Message, emit: Notes) -> None:
            request = ask("subscriptions/listen", capabilities, notifications={"toolsListChanged": True})
            request.emit = emit
            listens.append(asyncio.create_task(gateway.handle(request)))
            await emit.came.wait()

        await tools(gateway, ELICIT)
        await listen(ELICIT, emits[0])
        assert await tools(gateway, SAMPLE) == ["plain", "sampling"]
        # Nobody listens to sampling: it goes first.
        assert await tools(gateway, ROOTS) == ["plain", "roots"]
        assert {facet for _, facet in source._sides} == {"", '{"elicitation":{}}', '{"roots":{}}'}
        await listen(ROOTS, emits[1])
        # Somebody listens to both: the eldest goes.
        assert await tools(gateway, {**ELICIT, **ROOTS}) == ["plain", "elicitation", "roots"]
        assert {facet for _, facet in source._sides} == {"", '{"roots":{}}', '{"elicitation":{},"roots":{}}'}
        gone = next(carried for carried, can in sided.told.items() if can == ["elicitation"])
        while not gone.closed:
            await asyncio.sleep(0.01)
        assert not any(each.done() for each in listens)
        emits[0].notes.clear()
        first = next(carried for carried, can in sided.told.items() if not can)
        first.say({"method": "notifications/tools/list_changed"})
        while not emits[0].notes:
            await asyncio.sleep(0.01)
        for each in listens:
            each.cancel()
        await asyncio.wait(listens)


async def test_a_side_in_use_does_not_go():
    sided = Sided()
    waiting: list[Message] = []

    def serve(carried: Carried, message: Message) -> None:
        if message.get("method") == "tools/call" and sided.told[carried]:
            waiting.append(message)
            sided.calls.append((carried, message))
            return
        sided(carried, message)

    async with behind(serve, children=1) as (gateway, _, _):
        call = asyncio.create_task(told(gateway, ELICIT))
        while not waiting:
            await asyncio.sleep(0.01)
        assert await tools(gateway, SAMPLE) == ["plain"], "there is no room: what is offered to all is shown"
        sided.calls[0][0].answer(waiting[0], {"content": [], "structuredContent": "late"})
        assert await call == "late"


# --- which revision clients speak ------------------------------------------------------------------------------------


async def test_a_server_that_speaks_both_is_spoken_to_in_the_revision_of_the_client():
    async with behind(Sided(dual=True)) as (gateway, _, wires):
        assert await tools(gateway, ELICIT) == ["plain", "modern"]
        assert await tools(gateway, ELICIT, older=True) == ["plain", "elicitation"]
        assert await told(gateway, ELICIT) == ["modern"]
        assert await told(gateway, ELICIT, older=True) == ["elicitation"]
        assert await told(gateway, {}, older=True) == ["modern"], "nobody who could be asked anything"
        assert len(wires.made) == 2
        assert wires.last.methods()[0] == "initialize", "the era is known"


async def test_a_server_of_the_newest_revision_alone_is_asked_once():
    async with behind(Sided(dual=True, older=False)) as (gateway, _, wires):
        for _ in range(3):
            assert await tools(gateway, ELICIT, older=True) == ["plain", "modern"]
            assert await told(gateway, ELICIT, older=True) == ["modern"]
            gateway.router.changed(gateway.sources[0])
        assert sum("initialize" in carried.methods() for carried in wires.made) == 1


async def test_a_settled_revision_is_spoken_for_all():
    async with behind(Sided(dual=True), revision="2026-07-28") as (gateway, _, wires):
        assert await tools(gateway, ELICIT, older=True) == ["plain", "modern"]
        assert len(wires.made) == 1
    async with behind(Sided(dual=True), revision="2025-11-25") as (gateway, _, wires):
        assert await tools(gateway, ELICIT) == ["plain", "elicitation"]
        assert await tools(gateway, ELICIT, older=True) == ["plain", "elicitation"]
        assert len(wires.made) == 2


async def test_the_everything_server_of_npm_offers_more_to_those_who_can_more():
    wire = command("up", peers.everything_server())
    source = Upstream("up", wire)
    async with asyncio.timeout(DEADLINE), Gateway([Mount(source)]) as gateway:
        heard = Notes()
        source.listeners.add(EVERYTHING, heard)
        while "echo" not in (plain := await tools(gateway, {})):
            await heard.came.wait()
        while (more := await tools(gateway, {**ELICIT, **SAMPLE, **ROOTS})) == plain:
            await asyncio.sleep(0.05)
        assert set(plain) < set(more)
        assert any("elicitation" in name for name in set(more) - set(plain)), more
        assert await tools(gateway, {}) == plain
