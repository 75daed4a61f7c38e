"""What proves to a server who we are: asked before each exchange, over every header, tried again when refused."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rune.client.calls import PROOFS, under
from rune.client.client import Connection
from rune.client.http import endpoint
from rune.client.websocket import websocket
from rune.errors import NeedsAuth, Unavailable
from tests.client.fakes import DISCOVERED, call
from tests.client.web import legacy, modern, result, serving

DEADLINE = 30.0


class Proofs:
    """Gives one proof after the other; the next one when the last was refused, as long as there are some."""

    def __init__(self, *proofs: str, name: str = "Authorization") -> None:
        self.proofs = list(proofs)
        self.name = name
        self.asked: list[tuple[str, str]] = []
        self.heard: list[tuple[int, str | None]] = []

    def now(self, method, url):
        return None

    async def headers(self, method, url):
        self.asked.append((method, url))
        return {self.name: self.proofs[0]} if self.proofs else {}

    async def refused(self, proof, status, headers):
        assert proof == {self.name: self.proofs[0]}
        self.heard.append((status, headers.get("WWW-Authenticate")))
        self.proofs.pop(0)
        return bool(self.proofs)


def guarded(good: str, status: int = 401):
    async def serve(site, request, message):
        if request.headers.get("Authorization") != good:
            return web.Response(status=status, headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'})
        return await modern()(site, request, message)

    return serve


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_proof_is_replaced_and_the_call_made_again(status):
    auth = Proofs("Bearer old", "Bearer new")
    async with asyncio.timeout(DEADLINE), serving(guarded("Bearer new", status)) as site:
        async with Connection(endpoint("web", site.url, auth=auth)) as peer:
            assert (await peer.handle(call())).kind == "complete"
        assert auth.heard == [(status, 'Bearer error="insufficient_scope"')]
        assert auth.asked == [("POST", site.url)] * 3


async def test_nothing_more_to_prove_with_is_a_sign_in():
    async with asyncio.timeout(DEADLINE), serving(guarded("Bearer new")) as site:
        with pytest.raises(NeedsAuth, match=r"web: wants a sign-in first \(401\)"):
            await Connection(endpoint("web", site.url, auth=Proofs("Bearer old"))).__aenter__()
        assert len(site.heard) == 1


async def test_a_server_that_refuses_everything_is_not_asked_for_ever():
    auth = Proofs(*["Bearer old"] * 50)
    async with asyncio.timeout(DEADLINE), serving(guarded("Bearer new")) as site:
        with pytest.raises(NeedsAuth):
            await Connection(endpoint("web", site.url, auth=auth)).__aenter__()
        assert len(site.heard) == PROOFS


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
async def test_no_other_header_stands_beside_the_proof(name):
    auth = Proofs("Bearer stored")
    async with asyncio.timeout(DEADLINE), serving(guarded("Bearer stored")) as site:
        async with Connection(endpoint("web", site.url, headers={name: "Bearer configured"}, auth=auth)) as peer:
            # Whoever sets headers of a call or of the connection, and however they are spelled.
            peer._wire.headers[name] = "Bearer of the era"
            await peer.handle(call())
        for headers, _ in site.heard:
            assert headers["authorization"] == "Bearer stored"


def test_a_name_in_other_letters_is_the_same_name():
    assert under({"authorization": "a", "DPOP": "b", "X": "c"}, {"Authorization": "d", "DPoP": "e"}) == {
        "X": "c", "Authorization": "d", "DPoP": "e",
    }  # fmt: skip


async def test_the_stream_of_an_older_server_and_its_end_are_proved_too():
    auth = Proofs("Bearer stored")
    async with asyncio.timeout(DEADLINE), serving(legacy()) as site:
        opened = asyncio.Event()

        async def get(request):
            assert request.headers["Authorization"] == "Bearer stored"
            opened.set()
            return web.Response(status=405)

        site.get = get
        async with Connection(endpoint("web", site.url, auth=auth), capabilities={"sampling": {}}):
            await opened.wait()
        assert all(headers["authorization"] == "Bearer stored" for headers, _ in site.heard)
        assert site.deletes[0]["authorization"] == "Bearer stored"


# --- WebSocket -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def sockets(good: str, status: int = 401):
    tried = []

    async def upgrade(request):
        tried.append(request.headers.get("Authorization"))
        if tried[-1] != good:
            return web.Response(status=status, headers={"WWW-Authenticate": "Bearer"})
        socket = web.WebSocketResponse(protocols=("mcp",))
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(result(json.loads(message.data), DISCOVERED).text)
        return socket

    app = web.Application()
    app.router.add_get("/mcp", upgrade)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/mcp")).replace("http", "ws"), tried
    finally:
        await server.close()


async def test_a_websocket_is_proved_when_it_is_opened():
    auth = Proofs("Bearer old", "Bearer new")
    async with asyncio.timeout(DEADLINE), sockets("Bearer new") as (url, tried):
        async with Connection(websocket("web", url, auth=auth)) as peer:
            assert not peer.legacy
        assert tried == ["Bearer old", "Bearer new"]
        assert auth.heard == [(401, "Bearer")]


@pytest.mark.parametrize(
    ("status", "auth", "error", "text"),
    [
        (401, None, NeedsAuth, "web: wants a sign-in first"),
        (401, Proofs("Bearer old"), NeedsAuth, "web: wants a sign-in first"),
        (403, Proofs("Bearer old"), Unavailable, r"web: no WebSocket there \(status 403\)"),
        (404, Proofs("Bearer old"), Unavailable, r"web: no WebSocket there \(status 404\)"),
    ],
)
async def test_a_websocket_that_is_refused_says_why(status, auth, error, text):
    async with asyncio.timeout(DEADLINE), sockets("Bearer new", status) as (url, tried):
        with pytest.raises(error, match=text):
            await Connection(websocket("web", url, auth=auth)).__aenter__()
        assert len(tried) == 1
