"""The transport of 2024-11-05 towards a server: found when a POST is refused, and bounded like every other wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rune.client.client import Connection
from rune.client.http import endpoint
from rune.errors import ProtocolError, Unavailable
from tests.client.fakes import ask, call

DEADLINE = 30.0
Message = dict[str, Any]


async def bounded(awaitable: Awaitable[Any]) -> Any:
    async with asyncio.timeout(DEADLINE):
        return await awaitable


class Site:
    """A server with `/sse` and `/messages`: `status` is what a POST of a message gets, `place` what is named for it."""

    def __init__(self) -> None:
        self.place = "/messages?s=1"
        self.heard: list[Message] = []
        self.status: Callable[[Message], int] = lambda message: 202
        self.posts = 0
        self.streams: list[web.StreamResponse] = []
        self.cut = asyncio.Event()
        self.probe = 405
        self.url = ""

    async def refuse(self, request: web.Request) -> web.StreamResponse:
        self.posts += 1
        return web.Response(status=self.probe)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.streams.append(response)
        if self.place:
            await response.write(f"event: endpoint\r\ndata: {self.place}\r\n\r\n".encode())
        await self.cut.wait()
        self.cut.clear()
        return response

    async def message(self, request: web.Request) -> web.StreamResponse:
        message = await request.json()
        self.heard.append(message)
        status = self.status(message)
        if status == 202 and "id" in message:
            answer: Message = {"content": [], "method": message["method"]}
            if message["method"] == "initialize":
                info = {"name": "old", "version": "1"}
                answer = {"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}, "serverInfo": info}
            await self.say({"id": message["id"], "result": answer})
        return web.Response(status=status)

    async def say(self, frame: Message) -> None:
        data = json.dumps({"jsonrpc": "2.0", **frame})
        await self.streams[-1].write(f"event: message\ndata: {data}\n\n".encode())


@asynccontextmanager
async def serving() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_post("/sse", site.refuse)
    app.router.add_get("/sse", site.stream)
    app.router.add_post("/messages", site.message)
    server = TestServer(app)
    await server.start_server()
    site.url = str(server.make_url("/sse"))
    try:
        yield site
    finally:
        site.cut.set()
        await server.close()


@pytest.mark.parametrize("status", [400, 404, 405])
async def test_it_is_found_when_a_post_is_refused(status: int) -> None:
    async with serving() as site:
        site.probe = status
        async with Connection(endpoint("old", site.url)) as peer:
            assert peer.legacy
            assert not peer.http, "all calls share one stream"
            results = await bounded(asyncio.gather(*(peer.handle(call(f"t{number}")) for number in range(20))))
            assert {result.value["method"] for result in results} == {"tools/call"}
        assert site.posts == 2, "the probe and the handshake"
        names = [message["params"]["name"] for message in site.heard if message["method"] == "tools/call"]
        assert names == [f"t{number}" for number in range(20)], "messages arrive in the order they were sent"


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_server_in_trouble_is_not_asked_for_another_transport(status: int) -> None:
    async with serving() as site:
        site.probe = status
        with pytest.raises(Unavailable):
            async with Connection(endpoint("old", site.url)):
                pass
        assert site.streams == []


@pytest.mark.parametrize("place", ["https://example.org/messages", "//example.org/x", "http://[", "file:///etc/passwd"])
async def test_messages_are_sent_nowhere_else(place: str) -> None:
    async with serving() as site:
        site.place = place
        with pytest.raises(Unavailable):
            async with Connection(endpoint("old", site.url)):
                pass
        assert site.heard == []


async def test_a_stream_that_names_no_place_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rune.client.legacy.sse.FIRST_EVENT", 0.1)
    async with serving() as site:
        site.place = ""
        with pytest.raises(Unavailable, match="no MCP server at this URL"):
            async with Connection(endpoint("old", site.url)):
                pass


async def test_one_refused_message_fails_one_call() -> None:
    async with serving() as site, Connection(endpoint("old", site.url)) as peer:
        site.status = lambda message: 413 if message["params"].get("name") == "big" else 202
        refused, good = await bounded(
            asyncio.gather(peer.handle(call("big")), peer.handle(call("small")), return_exceptions=True)
        )
        assert isinstance(refused, ProtocolError)
        assert "413" in str(refused)
        assert good.kind == "complete"


async def test_a_forgotten_session_ends_the_connection() -> None:
    async with serving() as site, Connection(endpoint("old", site.url)) as peer:
        lost = asyncio.Event()
        peer.on_lost = lost.set
        site.status = lambda message: 404
        with pytest.raises(Unavailable, match="forgotten this session"):
            await bounded(peer.handle(call()))
        await bounded(lost.wait())


async def test_a_stream_that_ends_fails_the_calls_on_it() -> None:
    async with serving() as site, Connection(endpoint("old", site.url)) as peer:
        site.status = lambda message: 200
        task = asyncio.create_task(peer.handle(call()))
        async with asyncio.timeout(DEADLINE):
            while "tools/call" not in [message["method"] for message in site.heard]:
                await asyncio.sleep(0.01)
        site.cut.set()
        with pytest.raises(Unavailable, match="event stream was"):
            await bounded(task)


async def test_a_question_comes_on_the_shared_stream() -> None:
    async with serving() as site:
        declared = {"roots": {}}
        async with Connection(endpoint("old", site.url), capabilities=declared) as peer:
            site.status = lambda message: 200
            task = asyncio.create_task(peer.handle(call(capabilities=declared)))
            async with asyncio.timeout(DEADLINE):
                while "tools/call" not in [message.get("method") for message in site.heard]:
                    await asyncio.sleep(0.01)
            await site.say({"id": "q", "method": "roots/list"})
            result = await bounded(task)
            assert [each["method"] for each in result.value["inputRequests"].values()] == ["roots/list"]


async def test_a_list_is_read_over_it() -> None:
    async with serving() as site, Connection(endpoint("old", site.url)) as peer:
        assert (await bounded(peer.handle(ask("tools/list")))).value["method"] == "tools/list"
