"""The server under test: its tools do what their arguments say, so that no expected value is written down twice."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from rune import Context, Server, ToolError

server = Server("wire")

PATIENCE = 30.0
_marks: defaultdict[tuple[str, str], asyncio.Event] = defaultdict(asyncio.Event)


@dataclass
class Point:
    """Somewhere."""

    x: float
    y: float


@server.tool
async def echo(text: str) -> str:
    """Give it back."""
    return text


@server.tool
async def point(x: float, y: float) -> Point:
    """Structured output."""
    return Point(x, y)


@server.tool
async def fail(message: str) -> str:
    """A tool error."""
    raise ToolError(message)


@server.tool
async def crash(message: str) -> str:
    """An error that nobody foresaw."""
    raise LookupError(message)


# --- what it tells on the way ----------------------------------------------------------------------------------------


@server.tool
async def steps(count: int, message: str, ctx: Context) -> str:
    """Report progress in `count` steps."""
    for number in range(1, count + 1):
        await ctx.progress(number, count, f"{message} {number}")
        await asyncio.sleep(0)
    return message


@server.tool
async def logs(lines: list[tuple[str, str]], logger: str, ctx: Context) -> str:
    """Write log lines of these levels."""
    for level, text in lines:
        await ctx.log(level, {"text": text}, logger)
    return str(len(lines))


@server.tool
async def chunks(words: list[str]) -> AsyncIterator[str]:
    """Yield the words, one by one."""
    for word in words:
        yield word


# --- what it asks ----------------------------------------------------------------------------------------------------


@server.tool
async def ask_name(question: str, field: str, ctx: Context) -> str:
    """Ask the user by a form with one field."""
    form = {"type": "object", "properties": {field: {"type": "string"}}, "required": [field]}
    answer = await ctx.elicit(question, form)
    return f"{answer.action}:{(answer.content or {}).get(field)}"


@server.tool(replay=True)
async def ask_again(question: str, field: str, ctx: Context) -> str:
    """The same, keeping nothing between the rounds."""
    form = {"type": "object", "properties": {field: {"type": "string"}}, "required": [field]}
    answer = await ctx.elicit(question, form)
    return f"{answer.action}:{(answer.content or {}).get(field)}"


@server.tool
async def ask_model(prompt: str, ctx: Context) -> str:
    """Ask the client's model."""
    return (await ctx.sample(prompt, max_tokens=10)).text


@server.tool
async def ask_roots(ctx: Context) -> list[str]:
    """Ask the client for its folders."""
    return [root.uri for root in await ctx.roots()]


@server.tool
async def ask_all(question: str, prompt: str, ctx: Context) -> str:
    """Ask three things at once."""
    answers = await ctx.ask({"form": ctx.form(question), "model": ctx.sampling(prompt), "roots": ctx.folders()})
    return f"{answers['form'].action}|{answers['model'].text}|{','.join(root.uri for root in answers['roots'])}"


@server.tool
async def ask_rounds(questions: list[str], ctx: Context) -> str:
    """Ask one thing after the other, with progress between."""
    said = []
    for number, question in enumerate(questions, 1):
        await ctx.progress(number, len(questions))
        answer = await ctx.elicit(question, {"type": "object", "properties": {"a": {"type": "string"}}})
        said.append((answer.content or {}).get("a", answer.action))
    return "|".join(said)


@server.prompt
async def asking_prompt(topic: str, ctx: Context) -> str:
    """A prompt that asks first."""
    answer = await ctx.elicit(f"What about {topic}?", {"type": "object", "properties": {"a": {"type": "string"}}})
    return f"{topic}: {(answer.content or {}).get('a')}"


@server.resource("asking://{topic}")
async def asking_resource(topic: str, ctx: Context) -> str:
    """A resource that asks first."""
    answer = await ctx.elicit(f"What about {topic}?", {"type": "object", "properties": {"a": {"type": "string"}}})
    return f"{topic}: {(answer.content or {}).get('a')}"


# --- what it waits for -----------------------------------------------------------------------------------------------


@server.tool
async def hang(key: str, ctx: Context) -> str:
    """Wait until it is let go, and note down how it ends."""
    _marks[key, "started"].set()
    try:
        await ctx.progress(1)
        async with asyncio.timeout(PATIENCE):
            await _marks[key, "go"].wait()
        await ctx.progress(2)
    except asyncio.CancelledError:
        _marks[key, "cancelled"].set()
        raise
    finally:
        _marks[key, "ended"].set()
    return key


@server.tool
async def mark(key: str, what: str) -> str:
    """Let something go."""
    _marks[key, what].set()
    return key


@server.tool
async def marked(key: str, what: str, seconds: float) -> bool:
    """Whether something happens in time."""
    try:
        async with asyncio.timeout(seconds):
            await _marks[key, what].wait()
    except TimeoutError:
        return False
    return True


@server.tool
async def let_poll(key: str, ctx: Context) -> str:
    """Let the client go, and finish for when it comes back."""
    _marks[key, "started"].set()
    ctx.release()
    async with asyncio.timeout(PATIENCE):
        await _marks[key, "go"].wait()
    return key


# --- tasks -----------------------------------------------------------------------------------------------------------


@server.tool(task="optional")
async def later(key: str, text: str, ctx: Context) -> str:
    """Answer when it is let go, as a task where the client knows them."""
    _marks[key, "started"].set()
    try:
        async with asyncio.timeout(PATIENCE):
            await _marks[key, "go"].wait()
    except asyncio.CancelledError:
        _marks[key, "cancelled"].set()
        raise
    await ctx.progress(1, 1, f"{key} goes on")
    return text


@server.tool(task="required")
async def later_ask(question: str, ctx: Context) -> str:
    """Ask the user from within a task."""
    answer = await ctx.elicit(question, {"type": "object", "properties": {"a": {"type": "string"}}})
    return f"{answer.action}:{(answer.content or {}).get('a')}"


@server.tool(task="optional")
async def later_fail(message: str, ctx: Context) -> str:
    """A task that ends in a tool error."""
    raise ToolError(message)


# --- lists that change -----------------------------------------------------------------------------------------------


@server.tool
async def offer(name: str, schema: dict[str, Any], meta: dict[str, Any]) -> str:
    """Add a tool with this definition, which gives its arguments back."""

    async def offered(**arguments: Any) -> dict[str, Any]:
        return arguments

    server.add_tool(offered, name=name, input_schema=schema, meta=meta, output_schema={"type": "object"})
    return name


@server.tool
async def withdraw(name: str) -> str:
    """Take it away again."""
    server.remove_tool(name)
    return name


@server.tool
async def flicker(kind: str, name: str) -> str:
    """Add and remove a prompt or a resource."""

    async def offered() -> str:
        return name

    if kind == "prompts":
        server.add_prompt(offered, name=name)
        server.remove_prompt(name)
    else:
        server.add_resource(name, offered)
        server.remove_resource(name)
    return name


@server.tool
async def touch(uri: str, times: int = 1) -> str:
    """Say that a resource has changed."""
    for _ in range(times):
        server.resource_updated(uri)
    return uri


# --- resources and prompts -------------------------------------------------------------------------------------------


def _plain(text: str) -> Any:
    async def body() -> str:
        return text

    return body


for _number in range(7):
    server.add_resource(f"page://{_number}", _plain(f"resource {_number}"), name=f"r{_number}", mime_type="text/plain")
    server.add_prompt(_plain(f"prompt {_number}"), name=f"p{_number}")


@server.resource("note://{id}")
async def note(id: str) -> str | None:
    """A note that says its own name."""
    return None if id == "none" else f"note {id}"


for _kind in ("a", "b", "c"):

    @server.resource(_kind + "://{id}", name=f"template {_kind}")
    async def template(id: str) -> str:
        return id


@server.prompt
async def greet(name: str) -> str:
    """Say hello."""
    return f"Hello {name}"


@server.completion("greet", "name")
async def complete_name(value: str, others: dict[str, str]) -> list[str]:
    """Names that start like this."""
    return [value + end for end in others.get("ends", "x,y").split(",")]


@server.completion("note://{id}", "id")
async def complete_id(value: str) -> list[str]:
    """More than a hundred of them."""
    return [f"{value}{number}" for number in range(150)]
