"""The public client: any target, questions answered, results pleasant, errors that say what happened."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from rune import Client, Context, ProtocolError, Request, Result, Server, TimedOut, Unavailable
from rune.connect import SyncClient
from rune.errors import ConfigError
from rune.request import Note
from tests import peers
from tests.client import web as fakeweb
from tests.client.fakes import DISCOVERED

DEADLINE = 30.0


async def bounded(awaitable):
    async with asyncio.timeout(DEADLINE):
        return await awaitable


def make_server() -> Server:
    server = Server("demo")

    @server.tool
    async def add(a: int, b: int) -> int:
        "Add two numbers."
        return a + b

    @server.tool
    async def greet(ctx: Context) -> str:
        await ctx.progress(1, 2, "half")
        await ctx.log("warning", "careful")
        answer = await ctx.elicit("who?", {"type": "object", "properties": {"name": {"type": "string"}}})
        return f"hello {answer.content['name']}" if answer.action == "accept" else answer.action

    @server.tool
    async def slow() -> str:
        await asyncio.sleep(60)
        return "late"

    @server.resource("demo://{name}")
    async def page(name: str) -> str:
        return f"page {name}"

    @server.prompt
    async def ask(topic: str) -> str:
        return f"tell me about {topic}"

    return server


TOOLS = """
from rune import Server
server = Server("filed")

@server.tool
async def add(a: int, b: int) -> int:
    return a + b
"""

OLD = textwrap.dedent(
    """
    import json, sys
    def say(**message): print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        method, id = message.get("method"), message.get("id")
        if method == "initialize":
            say(id=id, result={"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {}})
        elif method == "tools/list":
            tool = {"name": "add", "inputSchema": {"type": "object"}}
            if "cursor" in message["params"]:
                say(id=id, result={"tools": [{**tool, "name": "ask"}]})
            else:
                say(id=id, result={"tools": [tool], "nextCursor": ""})
        elif method == "tools/call" and message["params"]["name"] == "ask":
            call = id
            say(id="q", method="sampling/createMessage", params={"messages": [], "maxTokens": 9})
        elif method == "tools/call":
            arguments = message["params"]["arguments"]
            total = arguments["a"] + arguments["b"]
            say(id=id, result={"content": [{"type": "text", "text": str(total)}], "structuredContent": total})
        elif method is None:
            say(id=call, result={"content": [message["result"]["content"]]})
        elif id is not None:
            say(id=id, error={"code": -32601, "message": "no"})
    """
)


async def anything(request: Request) -> Result:
    """A handler is a target too."""
    return Result.of({"content": [{"type": "text", "text": f"{request.method} by a handler"}], "structuredContent": 3})


@asynccontextmanager
async def socket_server():
    """One WebSocket at /mcp that speaks 2026-07-28; its tool `add` adds, `die` hangs up."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("mcp",))
        await socket.prepare(request)
        async for frame in socket:
            assert frame.type is WSMsgType.TEXT
            message = json.loads(frame.data)
            value: Any = DISCOVERED
            if message["method"] == "tools/list":
                value = {"resultType": "complete", "tools": [{"name": "add", "inputSchema": {"type": "object"}}]}
            elif message["method"] == "tools/call":
                if message["params"]["name"] == "die":
                    break
                value = {"resultType": "complete", "content": [], "structuredContent": 3}
            await socket.send_json({"jsonrpc": "2.0", "id": message["id"], "result": value})
        return socket

    app = web.Application()
    app.router.add_get("/mcp", serve)
    server = TestServer(app)
    await server.start_server()
    try:
        yield f"ws://127.0.0.1:{server.port}/mcp"
    finally:
        await server.close()


@asynccontextmanager
async def url_server():
    async def serve(site, request, message):
        if message["method"] == "tools/list":
            return fakeweb.result(message, {"resultType": "complete", "tools": [{"name": "add"}], "ttlMs": 0})
        return fakeweb.result(message, {"resultType": "complete", "content": [], "structuredContent": 3})

    async with fakeweb.serving(fakeweb.modern(serve)) as site:
        yield site.url


# --- targets ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def target_of(kind: str, folder):
    path = folder / "tools.py"
    path.write_text(TOOLS)
    match kind:
        case "server":
            yield make_server()
        case "file":
            yield str(path)
        case "path":
            yield path
        case "mcp.json":
            old = folder / "old.py"
            old.write_text(OLD)
            (folder / "mcp.json").write_text(
                json.dumps({"mcpServers": {"old": {"command": sys.executable, "args": [str(old)]}}})
            )
            yield str(folder / "mcp.json")
        case "command":
            yield [sys.executable, "-c", OLD]
        case "url":
            async with url_server() as url:
                yield url
        case "websocket":
            async with socket_server() as url:
                yield url


@pytest.mark.parametrize("kind", ["server", "file", "path", "mcp.json", "command", "url", "websocket"])
async def test_every_target_lists_and_calls(kind, tmp_path):
    async with target_of(kind, tmp_path) as target, Client(target) as client:
        names = [tool["name"] for tool in await bounded(client.list_tools())]
        add = "old_add" if kind == "mcp.json" else "add"
        assert add in names
        result = await bounded(client.call_tool(add, {"a": 1, "b": 2}))
        assert result.structured == 3
        assert not result.is_error
        assert result["structuredContent"] == 3
        assert json.loads(result.raw) == result


async def test_a_handler_is_a_target_too():
    async with Client(anything) as client:
        assert (await client.call_tool("x")).text == "tools/call by a handler"


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        ("http://127.0.0.1:1/mcp", Unavailable, "127.0.0.1: cannot connect"),
        ("ws://127.0.0.1:1/mcp", Unavailable, "127.0.0.1: cannot connect"),
        (["rune-no-such-command"], Unavailable, "rune-no-such-command: command not found"),
        ([sys.executable, "-c", "import sys; sys.exit('no token')"], Unavailable, "no token"),
        ([], ConfigError, "an empty command"),
        ("nothing.py", ConfigError, "nothing.py: no such file"),
        (7, ConfigError, "nothing to connect to"),
    ],
)
async def test_a_target_that_cannot_be_reached_says_why(target, error, text):
    client = Client(target)
    with pytest.raises(error, match=text):
        await bounded(client.__aenter__())


async def test_a_client_that_is_not_connected_says_so():
    client = Client(make_server())
    with pytest.raises(Unavailable, match="not connected"):
        await client.list_tools()
    with pytest.raises(Unavailable, match="not connected"):
        client.listen(tools=True)
    with pytest.raises(TypeError, match="no option colour"):
        Client(make_server(), colour="red")


# --- methods ---------------------------------------------------------------------------------------------------------


async def test_resources_prompts_and_discovery():
    async with Client(make_server()) as client:
        assert (await client.discover())["resultType"] == "complete"
        templates = await client.list_resource_templates()
        assert [template["uriTemplate"] for template in templates] == ["demo://{name}"]
        assert await client.list_resources() == []
        page = await client.read_resource("demo://one")
        assert page.text == "page one"
        assert page.contents[0]["uri"] == "demo://one"
        assert [prompt["name"] for prompt in await client.list_prompts()] == ["ask"]
        prompt = await client.get_prompt("ask", {"topic": "owls"})
        assert prompt.text == "tell me about owls"
        assert prompt.messages[0]["role"] == "user"


async def test_all_pages_are_followed():
    async with Client([sys.executable, "-c", OLD]) as client:
        assert [tool["name"] for tool in await bounded(client.list_tools())] == ["add", "ask"]


async def test_errors_are_raised_and_failed_tools_are_results():
    server = make_server()

    @server.tool
    async def broken() -> str:
        raise ValueError("out of milk")

    async with Client(server) as client:
        assert (await client.call_tool("broken")).is_error
        with pytest.raises((ProtocolError, Exception), match="nope"):
            await client.call_tool("nope")


async def test_a_call_has_a_time_limit():
    async with Client(make_server()) as client:
        with pytest.raises(TimedOut, match="tools/call"):
            await bounded(client.call_tool("slow", timeout=0.05))
        assert (await client.call_tool("add", {"a": 1, "b": 1})).structured == 2


# --- questions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ({"name": "Bob"}, "hello Bob"),
        ({"action": "accept", "content": {"name": "Eve"}}, "hello Eve"),
        (None, "decline"),
        ({"action": "cancel"}, "cancel"),
    ],
)
async def test_an_elicitation_is_answered(reply, text):
    asked, progress, logs = [], [], []

    async def answer(params):
        asked.append(params["message"])
        return reply

    client = Client(
        make_server(),
        elicitation=answer,
        on_progress=lambda *told: progress.append(told),
        on_log=lambda *told: logs.append(told[:2]),
    )
    async with client:
        assert (await bounded(client.call_tool("greet"))).text == text
    assert asked == ["who?"]
    assert progress == [(1, 2, "half")]
    assert logs == [("warning", "careful")]


async def test_two_clients_of_one_server_answer_their_own_questions():
    async def run(name: str) -> str:
        async def answer(params):
            await asyncio.sleep(0)
            return {"name": name}

        async with Client(server, elicitation=answer) as client:
            results = await asyncio.gather(*(client.call_tool("greet") for _ in range(5)))
            return {result.text for result in results}.pop()

    server = make_server()
    async with Client(server):
        assert await bounded(asyncio.gather(run("a"), run("b"))) == ["hello a", "hello b"]


async def test_sampling_and_roots_are_answered_in_mid_call():
    async with Client([sys.executable, "-c", OLD], sampling=lambda params: "sampled") as client:
        assert (await bounded(client.call_tool("ask"))).text == "sampled"


async def test_what_is_not_offered_is_an_error_of_the_server():
    async def rude(request: Request) -> Result:
        return Result.ask({"k": {"method": "roots/list"}})

    async with Client(rude) as client:
        with pytest.raises(ProtocolError, match="roots/list, which this client does not offer"):
            await client.call_tool("x")
    async with Client(rude, roots=["/tmp", "file:///x", {"uri": "file:///y", "name": "y"}]) as client:
        with pytest.raises(ProtocolError, match="asked more than"):
            await client.call_tool("x")


async def test_roots_and_state_come_back_as_they_were():
    seen: list[Request] = []

    async def serve(request: Request) -> Result:
        seen.append(request)
        if len(seen) == 1:
            return Result.ask({"k": {"method": "roots/list"}}, {"layer": {"secret": 1}})
        if len(seen) == 2:
            return Result.ask({}, {"layer": 2})
        return Result.of({"content": []})

    async def roots():
        return ["file:///x"]

    async with Client(serve, roots=roots) as client:
        await client.call_tool("x", {"a": 1})
    assert json.loads(bytes(seen[1].answers["k"])) == {"roots": [{"uri": "file:///x"}]}
    assert [request.state for request in seen] == [{}, {"layer": {"secret": 1}}, {"layer": 2}]
    assert seen[2].answers is None
    assert len({request.id for request in seen}) == 3
    assert all(json.loads(bytes(request.params["arguments"])) == {"a": 1} for request in seen)


async def test_a_callback_that_fails_harms_nothing(caplog):
    async def serve(request: Request) -> Result:
        request.emit(Note("notifications/progress", b'{"progress":1}'))
        return Result.of({"content": []})

    def bad(*told: object) -> None:
        raise ValueError("mine")

    async with Client(serve) as client:
        await client.call_tool("x", progress=bad)
    assert "the callback failed" in caplog.text


# --- listen ----------------------------------------------------------------------------------------------------------


async def test_changes_are_heard():
    server = make_server()
    async with Client(server) as client, client.listen(tools=True) as notes:

        @server.tool
        async def fresh() -> str:
            return "new"

        note = await bounded(anext(notes))
        assert note.method == "notifications/tools/list_changed"
        assert "fresh" in [tool["name"] for tool in await client.list_tools()]


async def test_a_listen_that_is_refused_or_ends():
    async def refuse(request: Request) -> Result:
        raise ProtocolError(-32601, "no listening here")

    async def end(request: Request) -> Result:
        request.emit(Note("notifications/subscriptions/acknowledged"))
        request.emit(Note("notifications/tools/list_changed"))
        return Result.of({})

    async with Client(refuse) as client:
        with pytest.raises(ProtocolError, match="no listening here"):
            await bounded(client.listen(tools=True).__aenter__())
    async with Client(end) as client:
        assert [note.method async for note in client.listen(tools=True)] == ["notifications/tools/list_changed"]


# --- WebSocket -------------------------------------------------------------------------------------------------------


async def test_a_websocket_that_hangs_up_fails_its_calls():
    async with socket_server() as url, Client(url) as client:
        with pytest.raises(Unavailable, match="the WebSocket was closed"):
            await bounded(client.call_tool("die"))
        with pytest.raises(Unavailable, match="the WebSocket was closed"):
            await bounded(client.call_tool("add"))


async def test_a_url_that_is_no_websocket():
    async with url_server() as url:
        with pytest.raises(Unavailable, match="no WebSocket there"):
            await bounded(Client(url.replace("http", "ws")).__aenter__())


# --- without asyncio -------------------------------------------------------------------------------------------------


def test_the_sync_twin():
    async def answer(params):
        return {"name": "Sync"}

    with SyncClient(make_server(), elicitation=answer, timeout=10) as client:
        assert "add" in [tool["name"] for tool in client.list_tools()]
        assert client.call_tool("add", {"a": 2, "b": 2}).structured == 4
        assert client.call_tool("greet").text == "hello Sync"
        assert client.read_resource("demo://x").text == "page x"
        assert client.get_prompt("ask", {"topic": "y"}).text == "tell me about y"
        assert client.list_resources() == []
        assert len(client.list_resource_templates()) == len(client.list_prompts()) == 1
        assert client.discover() == client.request("server/discover")
    with pytest.raises(Unavailable, match="not connected"):
        client.list_tools()
    with pytest.raises(Unavailable, match="command not found"), SyncClient(["rune-no-such-command"]):
        pass


# --- a real one ------------------------------------------------------------------------------------------------------


async def test_the_time_server_of_the_official_sdk():
    async with Client(peers.time_server()) as client:
        result = await bounded(client.call_tool("get_current_time", {"timezone": "UTC"}))
        assert result.structured["timezone"] == "UTC"
        assert (await bounded(client.discover()))["supportedVersions"] == ["2026-07-28"]


async def test_the_everything_server_asks_and_is_answered():
    def answer(params):
        return {"name": "Ada"}

    async with Client(peers.everything_server(), elicitation=answer, sampling=lambda _: "42", roots=["/tmp"]) as client:
        assert "Ada" in (await bounded(client.call_tool("trigger-elicitation-request"))).text
        sampled = await bounded(client.call_tool("trigger-sampling-request", {"prompt": "x", "maxTokens": 5}))
        assert "42" in sampled.text
        ref = {"type": "ref/prompt", "name": "completable-prompt"}
        completion = await bounded(client.complete(ref, {"name": "department", "value": "E"}))
        assert completion.suggestions == ["Engineering"]
