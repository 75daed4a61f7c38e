"""An upstream of the older era on the official SDK 1.x: `old.py stdio`, or `old.py http|sse PORT`.

Run by the interpreter of that SDK. What a test wants to know of it besides answers is in files below MARKS.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import anyio
import mcp.types as types
import uvicorn
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.lowlevel import server as lowlevel
from mcp.server.session import ServerSession
from mcp.server.sse import SseServerTransport
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import UrlElicitationRequiredError
from pydantic import AnyUrl
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, Route

FORM = {"type": "object", "properties": {"value": {"type": "string"}}, "required": ["value"]}
server: Server[Any] = Server("old", version="1")
marks = Path(os.environ["MARKS"])
who = os.environ["WHO"]
subscribed: defaultdict[str, list[Any]] = defaultdict(list)


def tool(name: str) -> types.Tool:
    return types.Tool(name=name, inputSchema={"type": "object"})


NAMES = [
    "echo",
    "form",
    "forms",
    "model",
    "folders",
    "several",
    "steps",
    "logs",
    "hang",
    "change",
    "touch",
    "visit",
    "stray",
    "stray_later",
    "pid",
    "poll",
    "drop_stream",
    "withdraw",
    "roots_seen",
    "ask_ping",
]


@server.list_tools()
async def list_tools() -> list[types.Tool]:
    return [tool(name) for name in NAMES]


async def form(message: str, related: Any) -> str:
    answer = await server.request_context.session.elicit_form(message, FORM, related)
    return f"{answer.action}:{(answer.content or {}).get('value')}"


async def model(prompt: str, related: Any) -> str:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    answer = await server.request_context.session.create_message([message], max_tokens=9, related_request_id=related)
    return answer.content.text


async def folders(related: Any) -> str:
    """The SDK's own `list_roots` names no request; this one goes to the stream of the call."""
    answer = await server.request_context.session.send_request(
        types.ServerRequest(types.ListRootsRequest()), types.ListRootsResult, metadata=relation(related)
    )
    return ",".join(str(root.uri) for root in answer.roots)


def relation(related: Any) -> Any:
    from mcp.shared.message import ServerMessageMetadata  # noqa: PLC0415

    return ServerMessageMetadata(related_request_id=related)


@server.call_tool(validate_input=False)
async def call_tool(name: str, arguments: dict[str, Any]) -> Any:
    context = server.request_context
    text = await TOOLS[name](arguments, context.request_id, context.session)
    return [types.TextContent(type="text", text=text)]


async def echo(given: dict[str, Any], id: Any, session: Any) -> str:
    return str(given["text"]) * given.get("times", 1)


async def forms(given: dict[str, Any], id: Any, session: Any) -> str:
    return "|".join([await form(message, id) for message in given["messages"]])


async def several(given: dict[str, Any], id: Any, session: Any) -> str:
    return "|".join(await asyncio.gather(form(given["message"], id), model(given["prompt"], id), folders(id)))


async def steps(given: dict[str, Any], id: Any, session: Any) -> str:
    meta = server.request_context.meta
    token = meta.progressToken if meta is not None else None
    if token is None:
        return "nobody asked"
    for number in range(1, given["count"] + 1):
        await session.send_progress_notification(token, number, given["count"], f"step {number}", str(id))
    return "done"


async def logs(given: dict[str, Any], id: Any, session: Any) -> str:
    for level, text in given["lines"]:
        await session.send_log_message(level, {"text": text}, given["logger"], id)
    return "done"


async def hang(given: dict[str, Any], id: Any, session: Any) -> str:
    (marks / f"{given['key']}.started").touch()
    try:
        while not (marks / f"{given['key']}.go").exists():
            await anyio.sleep(0.02)
    except anyio.get_cancelled_exc_class():
        (marks / f"{given['key']}.cancelled").touch()
        raise
    return str(given["key"])


async def change(given: dict[str, Any], id: Any, session: Any) -> str:
    await {
        "tools": session.send_tool_list_changed,
        "prompts": session.send_prompt_list_changed,
        "resources": session.send_resource_list_changed,
    }[given["kind"]]()
    return "done"


async def touch(given: dict[str, Any], id: Any, session: Any) -> str:
    for each in subscribed[given["uri"]]:
        await each.send_resource_updated(AnyUrl(given["uri"]))
    return "done"


async def visit(given: dict[str, Any], id: Any, session: Any) -> str:
    """Wants a page to be visited first, once per key."""
    mark = marks / f"{given['key']}.visited"
    if mark.exists():
        return "welcome"
    mark.touch()
    raise UrlElicitationRequiredError(
        [
            types.ElicitRequestURLParams(
                mode="url", message=f"visit {number}", url=f"https://example.org/{given['key']}/{number}",
                elicitationId=f"{given['key']}-{number}",
            )
            for number in range(2)
        ]
    )  # fmt: skip


async def stray(given: dict[str, Any], id: Any, session: Any) -> str:
    """Asks on the stream that belongs to no call."""
    return await form(given["message"], None)


async def stray_later(given: dict[str, Any], id: Any, session: Any) -> str:
    """Asks when the call is over, and writes down what it was told."""
    outcome = marks / f"{given['key']}.told"

    async def ask() -> None:
        said = []
        for question in (
            lambda: session.elicit_form("now?", FORM),
            lambda: session.create_message(
                [types.SamplingMessage(role="user", content=types.TextContent(type="text", text="?"))], max_tokens=1
            ),
            session.list_roots,
            session.send_ping,
        ):
            try:
                said.append((await question()).model_dump_json(exclude_none=True))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test reads it
                said.append(f"refused: {error}")
        outcome.write_text("\n".join(said))

    later.append(asyncio.create_task(ask()))
    return "asked"


async def withdraw(given: dict[str, Any], id: Any, session: Any) -> str:
    """Asks, and takes the question back before anybody has answered."""
    number = session._request_id
    task = asyncio.create_task(form(given["message"], id))
    while not (marks / f"{given['key']}.go").exists():
        await asyncio.sleep(0.02)
    note = types.CancelledNotification(params=types.CancelledNotificationParams(requestId=number, reason="too late"))
    await session.send_notification(types.ServerNotification(note), id)
    task.cancel()
    await asyncio.wait([task])
    (marks / f"{given['key']}.back").touch()
    return "on my own"


async def poll(given: dict[str, Any], id: Any, session: Any) -> str:
    """Ends the stream of its own call; the answer is there when the client comes back for it."""
    close = server.request_context.close_sse_stream
    assert close is not None, "only with an event store"
    await close()
    await anyio.sleep(0.2)
    return str(given["text"])


async def drop_stream(given: dict[str, Any], id: Any, session: Any) -> str:
    """Cuts the GET stream of the session, and says something while it is gone."""
    close = server.request_context.close_standalone_sse_stream
    assert close is not None, "only with an event store"
    await session.send_resource_updated(AnyUrl(given["uri"]))
    await anyio.sleep(0.1)
    await close()
    await session.send_tool_list_changed()
    return "done"


async def pid(given: dict[str, Any], id: Any, session: Any) -> str:
    return str(os.getpid())


async def roots_seen(given: dict[str, Any], id: Any, session: Any) -> str:
    """What was answered to roots/list before any call."""
    return "|".join(at_start)


async def ask_ping(given: dict[str, Any], id: Any, session: Any) -> str:
    await session.send_ping()
    return "pong"


async def one_form(given: dict[str, Any], id: Any, session: Any) -> str:
    return await form(given["message"], id)


async def one_model(given: dict[str, Any], id: Any, session: Any) -> str:
    return await model(given["prompt"], id)


async def one_folders(given: dict[str, Any], id: Any, session: Any) -> str:
    return await folders(id)


later: list[Any] = []
at_start: list[str] = []
TOOLS: dict[str, Any] = {
    **{name: globals()[name] for name in NAMES if name not in ("form", "model", "folders")},
    "form": one_form, "model": one_model, "folders": one_folders,
}  # fmt: skip


class Session(ServerSession):
    """Asks for the roots at once, as servers do that look after a folder."""

    async def _received_notification(self, notification: types.ClientNotification) -> None:
        await super()._received_notification(notification)
        capabilities = self.client_params and self.client_params.capabilities
        if isinstance(notification.root, types.InitializedNotification) and capabilities and capabilities.roots:
            later.append(asyncio.create_task(self.look()))

    async def look(self) -> None:
        roots = (await self.list_roots()).roots
        at_start.append(",".join(str(root.uri) for root in roots) or "none")


lowlevel.ServerSession = Session  # type: ignore[attr-defined, misc]


@server.list_resources()
async def list_resources() -> list[types.Resource]:
    return [types.Resource(uri=AnyUrl(f"note://{who}"), name="one")]


@server.read_resource()
async def read_resource(uri: AnyUrl) -> str:
    return f"text of {uri}"


@server.subscribe_resource()
async def subscribe(uri: AnyUrl) -> None:
    subscribed[str(uri)].append(server.request_context.session)


@server.unsubscribe_resource()
async def unsubscribe(uri: AnyUrl) -> None:
    subscribed[str(uri)].remove(server.request_context.session)


@server.list_prompts()
async def list_prompts() -> list[types.Prompt]:
    return [types.Prompt(name="ask")]


@server.get_prompt()
async def get_prompt(name: str, arguments: dict[str, str] | None) -> types.GetPromptResult:
    said = await form(f"prompt {(arguments or {}).get('topic')}", server.request_context.request_id)
    content = types.TextContent(type="text", text=said)
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=content)])


@server.completion()
async def complete(ref: Any, argument: Any, context: Any) -> types.Completion:
    name = getattr(ref, "name", None) or str(ref.uri)
    return types.Completion(values=[f"{name}/{argument.value}/{((context and context.arguments) or {}).get('a')}"])


@server.set_logging_level()
async def set_level(level: str) -> None:
    (marks / f"level.{level}").touch()


def options() -> Any:
    changes = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
    found = server.create_initialization_options(changes)
    found.capabilities.resources.subscribe = True
    return found


class Events(EventStore):
    """All events, by number."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self.events.append((stream_id, message))
        return str(len(self.events) - 1)

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        stream = self.events[int(last_event_id)][0]
        for number, (each, message) in enumerate(self.events):
            if number > int(last_event_id) and each == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


async def on_stdio() -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, options())


def streamable() -> Starlette:
    server.create_initialization_options = lambda *_, **__: INITIAL  # type: ignore[method-assign]
    manager = StreamableHTTPSessionManager(server, event_store=Events(), retry_interval=50)
    return Starlette(routes=[Mount("/mcp", app=manager.handle_request)], lifespan=lambda _: manager.run())


def sse() -> Starlette:
    transport = SseServerTransport("/messages/")

    async def stream(request: Any) -> Response:
        async with transport.connect_sse(request.scope, request.receive, request._send) as (read, write):
            await server.run(read, write, INITIAL)
        return Response()

    return Starlette(
        routes=[Route("/sse", endpoint=stream), Mount("/messages/", app=transport.handle_post_message)],
    )


INITIAL = options()

if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        anyio.run(on_stdio)
    else:
        app = {"http": streamable, "sse": sse}[sys.argv[1]]()
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", timeout_graceful_shutdown=1)
