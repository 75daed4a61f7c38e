"""docs/tour.md shows in which order the files are entered. Here the same exchanges are made under a profiler."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

import rune
from rune import Context, Server
from rune.app import Listen, dispatcher
from rune.app.http import asgi
from rune.gateway import Gateway
from rune.protocol.methods import MODERN, TASKS
from rune.server.asgi import App
from rune.server.dispatch import Dispatcher
from rune.server.duplex import Duplex
from rune.store import MemoryStore
from rune.tasks import Tasks
from rune.view import Mount
from rune.wires.stdio import StdioWire

SOURCE: Final = f"{Path(rune.__file__).parent}{os.sep}"
PAGE: Final = Path(__file__).parent.parent / "docs" / "tour.md"
DEADLINE: Final = 30.0
LEGACY: Final = "2025-11-25"

Message = dict[str, Any]


class House(NamedTuple):
    """What a process that serves has built, without the process."""

    server: Server
    app: App
    dispatcher: Dispatcher


@asynccontextmanager
async def built() -> AsyncIterator[House]:
    server = Server("tour")

    @server.tool
    async def echo(text: str) -> str:
        return text

    @server.tool
    async def greet(ctx: Context) -> str:
        answer = await ctx.elicit("Who?", str)
        return f"hello {answer.content}"

    @server.tool(task="optional")
    async def later() -> str:
        return "done"

    async with Tasks(MemoryStore()) as tasks:
        server.tasks = tasks
        async with Gateway([Mount(server)], tasks=tasks) as gateway:
            yield House(server, asgi(gateway), dispatcher(gateway, Listen()))


@contextmanager
def traced() -> Iterator[list[str]]:
    """The files of src/rune, in the order in which this thread enters them."""
    seen: dict[str, None] = {}

    def enter(frame: Any, event: str, argument: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(SOURCE):
            seen.setdefault(path.removeprefix(SOURCE).replace(os.sep, "/"))

    found: list[str] = []
    sys.setprofile(enter)
    try:
        yield found
    finally:
        sys.setprofile(None)
        found.extend(seen)


# --- what a client sends ---------------------------------------------------------------------------------------------


class Exchange:
    """One POST to the app, from the side of the ASGI server."""

    def __init__(self, app: App, message: Message, **headers: str) -> None:
        self._app = app
        self._body: bytes | None = json.dumps(message).encode()
        named = {"host": "localhost", "content-type": "application/json", **headers}
        self._headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
        self._changed = asyncio.Event()
        self.answered: dict[bytes, bytes] = {}
        self.body = b""

    async def run(self) -> Message:
        """The answer, where it is JSON."""
        await self.serve()
        answer: Message = json.loads(self.body)
        return answer

    async def serve(self) -> None:
        scope = {"type": "http", "method": "POST", "path": "/mcp", "query_string": b"", "headers": self._headers}
        async with asyncio.timeout(DEADLINE):
            await self._app(scope, self._receive, self._send)
        # What watched the connection meanwhile has been cancelled: let it end before somebody looks.
        for _ in range(3):
            await asyncio.sleep(0)

    async def until(self, text: bytes) -> None:
        """Wait until this has been sent."""
        async with asyncio.timeout(DEADLINE):
            while text not in self.body:
                self._changed.clear()
                await self._changed.wait()

    async def _receive(self) -> Message:
        body, self._body = self._body, None
        if body is None:
            await asyncio.get_running_loop().create_future()
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: Any) -> None:
        self.answered |= dict(message.get("headers", ()))
        self.body += message.get("body", b"")
        self._changed.set()


def request(method: str, capabilities: Message | None = None, **params: Any) -> Message:
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": capabilities or {},
    }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}


def modern(house: House, method: str, capabilities: Message | None = None, **params: Any) -> Exchange:
    headers = {"mcp_protocol_version": MODERN, "mcp_method": method}
    if "name" in params:
        headers["mcp_name"] = params["name"]
    return Exchange(house.app, request(method, capabilities, **params), **headers)


def text(answer: Message) -> str:
    found: str = answer["result"]["content"][0]["text"]
    return found


# --- the tours -------------------------------------------------------------------------------------------------------


async def tour_modern(house: House) -> list[str]:
    call = {"name": "echo", "arguments": {"text": "hi"}}
    await modern(house, "tools/call", **call).run()
    exchange = modern(house, "tools/call", **call)
    with traced() as seen:
        answer = await exchange.run()
    assert text(answer) == "hi"
    return seen


async def tour_legacy(house: House) -> list[str]:
    hello = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "tour", "version": "1"}}
    shake = Exchange(house.app, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello})
    await shake.run()
    session = shake.answered[b"mcp-session-id"].decode()
    params = {"name": "echo", "arguments": {"text": "hi"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"mcp_session_id": session, "mcp_protocol_version": LEGACY}
    await Exchange(house.app, message, **headers).run()
    exchange = Exchange(house.app, message, **headers)
    with traced() as seen:
        answer = await exchange.run()
    assert text(answer) == "hi"
    return seen


CAN_BE_ASKED: Final = {"elicitation": {}}


async def tour_question(house: House) -> list[str]:
    await modern(house, "tools/call", CAN_BE_ASKED, name="greet").run()
    exchange = modern(house, "tools/call", CAN_BE_ASKED, name="greet")
    with traced() as seen:
        answer = await exchange.run()
    assert answer["result"]["resultType"] == "input_required"
    return seen


async def tour_retry(house: House) -> list[str]:
    asked = (await modern(house, "tools/call", CAN_BE_ASKED, name="greet").run())["result"]
    answers = {key: {"action": "accept", "content": {"value": "Ann"}} for key in asked["inputRequests"]}
    state = asked["requestState"]
    exchange = modern(house, "tools/call", CAN_BE_ASKED, name="greet", requestState=state, inputResponses=answers)
    with traced() as seen:
        answer = await exchange.run()
    assert text(answer) == "hello Ann"
    return seen


async def tour_list(house: House) -> list[str]:
    await modern(house, "tools/list").run()
    exchange = modern(house, "tools/list")
    with traced() as seen:
        answer = await exchange.run()
    assert [tool["name"] for tool in answer["result"]["tools"]] == ["echo", "greet", "later"]
    return seen


async def tour_listen(house: House) -> list[str]:
    await modern(house, "tools/list").run()

    async def added(text: str) -> str:
        return text

    exchange = modern(house, "subscriptions/listen", notifications={"toolsListChanged": True})
    with traced() as seen:
        serving = asyncio.create_task(exchange.serve())
        await exchange.until(b"acknowledged")
        house.server.add_tool(added)
        await exchange.until(b"list_changed")
        await house.app.close()
        await serving
    assert exchange.body.count(b"data: ") == 3
    assert b'"resultType":"complete"' in exchange.body
    return seen


async def tour_task(house: House) -> list[str]:
    capabilities = {"extensions": {TASKS: {}}}
    await modern(house, "tools/call", capabilities, name="later").run()
    exchange = modern(house, "tools/call", capabilities, name="later")
    with traced() as seen:
        answer = await exchange.run()
    assert answer["result"]["resultType"] == "task"
    return seen


async def tour_stdio(house: House) -> list[str]:
    stdin, client_out = os.pipe()
    client_in, stdout = os.pipe()
    wire = StdioWire(lambda way: Duplex(house.dispatcher, way), limit=1 << 20, stdin=stdin, stdout=stdout)
    running = asyncio.create_task(wire.run(asyncio.Event(), house.dispatcher.drain))
    answers = asyncio.StreamReader()
    reading, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(answers), os.fdopen(client_in, "rb", 0)
    )
    line = json.dumps(request("tools/call", name="echo", arguments={"text": "hi"})).encode() + b"\n"
    async with asyncio.timeout(DEADLINE):
        os.write(client_out, line)
        await answers.readline()
        with traced() as seen:
            os.write(client_out, line)
            answer = json.loads(await answers.readline())
        os.close(client_out)
        await running
    reading.close()
    os.close(stdin)
    assert text(answer) == "hi"
    return seen


TOURS: Final[dict[str, Callable[[House], Awaitable[list[str]]]]] = {
    "modern": tour_modern,
    "legacy": tour_legacy,
    "question": tour_question,
    "retry": tour_retry,
    "list": tour_list,
    "listen": tour_listen,
    "task": tour_task,
    "stdio": tour_stdio,
}


def shown() -> dict[str, list[str]]:
    """The tours of the page: name -> files."""
    blocks = re.findall(r"^```tour (\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return {name: lines.split() for name, lines in blocks}


def test_every_tour_of_the_page_is_made():
    assert list(shown()) == list(TOURS)


@pytest.mark.parametrize("name", TOURS)
async def test_the_files_are_entered_in_the_order_that_the_page_shows(name: str):
    async with built() as house:
        seen = await TOURS[name](house)
    listed = shown().get(name)
    assert listed == seen, f"```tour {name} in docs/tour.md should read:\n" + "\n".join(seen)


def test_the_first_tour_explains_each_of_its_files():
    section = PAGE.read_text("utf-8").split("\n## 2.")[0]
    told = re.findall(r"^\*\*`(.+?)`\*\*", section, re.MULTILINE)
    assert told == shown()["modern"]
