"""The ASGI carrier on its own: bodies in pieces, too large, too slow, cut off; other middleware; the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rune import Server
from rune.app import Listen
from rune.app.http import asgi as make_app
from rune.gateway import Gateway
from rune.server import asgi
from rune.server.asgi import App
from rune.view import Mount

LIMIT = 2000
DEADLINE = 30.0


class Exchange:
    """One request of a server that is none: what it receives is put into a queue, what it sends is kept."""

    def __init__(self, app: App, method: str = "POST", path: str = "/mcp", **headers: str) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        known = {"host": "localhost", "content-type": "application/json", **headers}
        scope = {
            "type": "http", "method": method, "path": path, "query_string": b"",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in known.items()],
        }  # fmt: skip
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        return await self.messages.get()

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    def say(self, body: bytes, more: bool = False) -> None:
        self.messages.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})

    async def done(self) -> tuple[int, bytes]:
        async with asyncio.timeout(DEADLINE):
            await self.task
        return self.sent[0]["status"], b"".join(message.get("body", b"") for message in self.sent[1:])


def call(text: str, tool: str = "echo") -> tuple[bytes, dict[str, str]]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params = {"name": tool, "arguments": {"text": text}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}).encode()
    return body, {"mcp_protocol_version": "2026-07-28", "mcp_method": "tools/call", "mcp_name": tool}


@pytest.fixture
def started() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def app(started: asyncio.Event) -> AsyncIterator[App]:
    server = Server("demo")

    @server.tool
    async def echo(text: str) -> str:
        return text

    @server.tool
    async def hangs(text: str) -> str:
        started.set()
        await asyncio.Event().wait()
        return text

    async with Gateway([Mount(server)]) as gateway:
        yield make_app(gateway, Listen(max_body=LIMIT))


async def test_a_body_in_pieces(app: App) -> None:
    body, headers = call("in pieces")
    exchange = Exchange(app, **headers)
    for start in range(0, len(body), 40):
        exchange.say(body[start : start + 40], more=True)
    exchange.say(b"")
    status, answer = await exchange.done()
    assert status == 200
    assert json.loads(answer)["result"]["content"][0]["text"] == "in pieces"


@pytest.mark.parametrize("pieces", [1, 5])
async def test_a_body_that_is_too_large(app: App, pieces: int) -> None:
    exchange = Exchange(app)
    for piece in range(pieces):
        exchange.say(b"x" * LIMIT * 2, more=piece < pieces - 1)
    status, answer = await exchange.done()
    assert (status, b"max_body" in answer) == (413, True)
    assert (b"connection", b"close") in exchange.sent[0]["headers"]


@pytest.mark.parametrize("length", ["99999999", "many"])
async def test_a_body_that_says_that_it_is_too_large(app: App, length: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "DISCARD_TIMEOUT", 0.05)
    exchange = Exchange(app, content_length=length)
    exchange.say(b"{", more=True)
    assert (await exchange.done())[0] == 413


async def test_a_body_that_does_not_come(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "BODY_TIMEOUT", 0.05)
    nothing, half = Exchange(app), Exchange(app)
    half.say(b"{", more=True)
    assert (await nothing.done())[0] == 408
    assert (await half.done())[0] == 408


async def test_a_client_that_leaves_before_its_body_is_there(app: App) -> None:
    nothing, half = Exchange(app), Exchange(app)
    half.say(b"{", more=True)
    for exchange in (nothing, half):
        exchange.leave()
        async with asyncio.timeout(DEADLINE):
            await exchange.task
        assert not exchange.sent


async def test_a_client_that_leaves_cancels_its_call(app: App, started: asyncio.Event) -> None:
    body, headers = call("x", "hangs")
    exchange = Exchange(app, **headers)
    exchange.say(body)
    async with asyncio.timeout(DEADLINE):
        await started.wait()
        exchange.leave()
        await exchange.task
    assert not exchange.sent
    assert not app.endpoint.dispatcher.running


async def test_middleware_that_repeats_the_body_is_not_spun_with(
    app: App, started: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some middleware answers every receive with the body again instead of waiting."""
    body, headers = call("x", "hangs")
    received = 0
    real = Exchange._receive

    async def repeats(self: Exchange) -> dict[str, Any]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": body, "more_body": False} if received < 1000 else await real(self)

    monkeypatch.setattr(Exchange, "_receive", repeats)
    exchange = Exchange(app, **headers)
    async with asyncio.timeout(DEADLINE):
        await started.wait()
    await asyncio.sleep(0.2)
    assert received < 5
    exchange.task.cancel()
    await asyncio.wait([exchange.task])


async def test_other_paths_and_methods(app: App) -> None:
    for method, path, wanted in (
        ("GET", "/health", 200), ("HEAD", "/health", 200), ("GET", "/nothing", 404), ("PUT", "/mcp", 405),
        ("GET", "/mcp", 405), ("DELETE", "/mcp", 400), ("PUT", "/sse", 405),
    ):  # fmt: skip
        exchange = Exchange(app, method, path)
        exchange.say(b"")
        assert (await exchange.done())[0] == wanted, (method, path)
    foreign = Exchange(app, "GET", "/sse", host="evil.example")
    foreign.say(b"")
    assert (await foreign.done())[0] == 403


async def test_stopping_answers_what_has_not_arrived(app: App, started: asyncio.Event) -> None:
    waiting = Exchange(app)
    body, headers = call("x", "hangs")
    running = Exchange(app, **headers)
    running.say(body)
    async with asyncio.timeout(DEADLINE):
        await started.wait()
    await app.close(0.05)
    assert (await waiting.done())[0] == 503
    status, answer = await running.done()
    assert status == 200
    assert "stopping" in json.loads(answer)["error"]["message"]


async def test_lifespan(app: App) -> None:
    sent: list[str] = []
    messages = iter(("lifespan.startup", "lifespan.shutdown"))

    async def receive() -> dict[str, Any]:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
