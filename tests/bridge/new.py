"""An upstream of the modern era on the official SDK 2.x: `new.py stdio`, or `new.py http PORT`.

Run by the interpreter of that SDK. What a test wants to know of it besides answers is in files below MARKS.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import uvicorn
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPDeprecationWarning

warnings.simplefilter("ignore", MCPDeprecationWarning)
marks = Path(os.environ["MARKS"])
who = os.environ["WHO"]
bus = InMemorySubscriptionBus()
FORM = {"type": "object", "properties": {"value": {"type": "string"}}, "required": ["value"]}


def form(message: str) -> Any:
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=FORM))


def model(prompt: str) -> Any:
    message = types.SamplingMessage(role="user", content=types.TextContent(text=prompt))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=9))


def ask(questions: dict[str, Any], state: str | None = None) -> Any:
    return types.InputRequiredResult(input_requests=questions, request_state=state)


def said(answer: Any) -> str:
    """What the user has said to a form."""
    return f"{answer.action}:{(answer.content or {}).get('value')}"


async def call_tool(context: Any, params: Any) -> Any:
    answer = await TOOLS[params.name](params.arguments or {}, context, params)
    if isinstance(answer, str):
        return types.CallToolResult(content=[types.TextContent(text=answer)])
    return answer


async def echo(given: dict[str, Any], context: Any, params: Any) -> Any:
    return str(given["text"]) * given.get("times", 1)


async def one_form(given: dict[str, Any], context: Any, params: Any) -> Any:
    if params.input_responses is None:
        return ask({"q": form(given["message"])}, "s:" + given["message"])
    assert params.request_state == "s:" + given["message"], params.request_state
    return said(params.input_responses["q"])


async def forms(given: dict[str, Any], context: Any, params: Any) -> Any:
    state = json.loads(params.request_state or "[]")
    if params.input_responses is not None:
        state.append(said(params.input_responses[f"q{len(state)}"]))
    if len(state) < len(given["messages"]):
        return ask({f"q{len(state)}": form(given["messages"][len(state)])}, json.dumps(state))
    return "|".join(state)


async def one_model(given: dict[str, Any], context: Any, params: Any) -> Any:
    if params.input_responses is None:
        return ask({"m": model(given["prompt"])})
    return params.input_responses["m"].content.text


async def folders(given: dict[str, Any], context: Any, params: Any) -> Any:
    if params.input_responses is None:
        return ask({"r": types.ListRootsRequest()})
    return ",".join(str(root.uri) for root in params.input_responses["r"].roots)


async def several(given: dict[str, Any], context: Any, params: Any) -> Any:
    if params.input_responses is None:
        return ask({"q": form(given["message"]), "m": model(given["prompt"]), "r": types.ListRootsRequest()})
    found = params.input_responses
    return f"{said(found['q'])}|{found['m'].content.text}|{','.join(str(root.uri) for root in found['r'].roots)}"


async def steps(given: dict[str, Any], context: Any, params: Any) -> Any:
    if (context.meta or {}).get("progress_token") is None:
        return "nobody asked"
    for number in range(1, given["count"] + 1):
        await context.session.report_progress(number, given["count"], f"step {number}")
    return "done"


async def logs(given: dict[str, Any], context: Any, params: Any) -> Any:
    for level, text in given["lines"]:
        await context.session.send_log_message(level, {"text": text}, given["logger"], context.request_id)
    return "done"


async def hang(given: dict[str, Any], context: Any, params: Any) -> Any:
    (marks / f"{given['key']}.started").touch()
    try:
        while not (marks / f"{given['key']}.go").exists():
            await anyio.sleep(0.02)
    except anyio.get_cancelled_exc_class():
        (marks / f"{given['key']}.cancelled").touch()
        raise
    return given["key"]


async def change(given: dict[str, Any], context: Any, params: Any) -> Any:
    kinds = {"tools": ToolsListChanged, "prompts": PromptsListChanged, "resources": ResourcesListChanged}
    await bus.publish(kinds[given["kind"]]())
    return "done"


async def touch(given: dict[str, Any], context: Any, params: Any) -> Any:
    await bus.publish(ResourceUpdated(given["uri"]))
    return "done"


async def visit(given: dict[str, Any], context: Any, params: Any) -> Any:
    if params.input_responses is None:
        pages = (
            types.ElicitRequestURLParams(message=f"visit {number}", url=f"https://example.org/{given['key']}/{number}")
            for number in range(2)
        )
        return ask({f"u{number}": types.ElicitRequest(params=page) for number, page in enumerate(pages)})
    answers = {answer.action for answer in params.input_responses.values()}
    return "welcome" if answers == {"accept"} else "stay out"


async def greedy(given: dict[str, Any], context: Any, params: Any) -> Any:
    """Asks without looking at what the client can do."""
    return ask({"q": form("may I?")}, "x")


async def pid(given: dict[str, Any], context: Any, params: Any) -> Any:
    return str(os.getpid())


TOOLS: dict[str, Any] = {
    "echo": echo, "form": one_form, "forms": forms, "model": one_model, "folders": folders, "several": several,
    "steps": steps, "logs": logs, "hang": hang, "change": change, "touch": touch, "visit": visit, "greedy": greedy,
    "pid": pid,
}  # fmt: skip


async def list_tools(context: Any, params: Any) -> Any:
    tools = [types.Tool(name=name, input_schema={"type": "object"}) for name in TOOLS]
    return types.ListToolsResult(tools=tools)


async def list_resources(context: Any, params: Any) -> Any:
    return types.ListResourcesResult(resources=[types.Resource(uri=f"note://{who}", name="one")])


async def read_resource(context: Any, params: Any) -> Any:
    text = types.TextResourceContents(uri=params.uri, text=f"text of {params.uri}")
    return types.ReadResourceResult(contents=[text])


async def list_prompts(context: Any, params: Any) -> Any:
    return types.ListPromptsResult(prompts=[types.Prompt(name="ask")])


async def get_prompt(context: Any, params: Any) -> Any:
    if params.input_responses is None:
        return ask({"q": form(f"prompt {(params.arguments or {}).get('topic')}")})
    content = types.TextContent(text=said(params.input_responses["q"]))
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=content)])


async def complete(context: Any, params: Any) -> Any:
    name = getattr(params.ref, "name", None) or params.ref.uri
    arguments = (params.context and params.context.arguments) or {}
    values = [f"{name}/{params.argument.value}/{arguments.get('a')}"]
    return types.CompleteResult(completion=types.Completion(values=values))


async def set_level(context: Any, params: Any) -> Any:
    return types.EmptyResult()


async def subscribe(context: Any, params: Any) -> Any:
    return types.EmptyResult()


server: Server[Any] = Server(
    "new", version="2", on_list_tools=list_tools, on_call_tool=call_tool, on_list_resources=list_resources,
    on_read_resource=read_resource, on_list_prompts=list_prompts, on_get_prompt=get_prompt, on_completion=complete,
    on_set_logging_level=set_level, on_subscribe_resource=subscribe, on_unsubscribe_resource=subscribe,
    on_subscriptions_listen=ListenHandler(bus),
)  # fmt: skip


async def on_stdio() -> None:
    changes = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options(changes))


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        anyio.run(on_stdio)
    else:
        app = server.streamable_http_app()
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", timeout_graceful_shutdown=1)
