"""Personal data on every way out of a gateway as people run it: both eras, two callers at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.rig import Rig, rig
from tests.wire.client import ALL, TASKS, Client, text_of, word
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

HIDDEN = "[REDACTED]"
LEGACY = "2025-11-25"
TOOLS = """
import asyncio

from rune import Context, Server
from rune.sources.content import ResourceLink

server = Server("leaky")


@server.tool
async def progress(name: str, ctx: Context) -> str:
    await ctx.progress(1, message=f"{name}: mail {name}@example.org")
    return "done"


@server.tool
async def log(name: str, ctx: Context) -> str:
    await ctx.warning({"who": [f"{name}@example.org"], "name": name})
    return "done"


@server.tool
async def chunks(name: str, size: int):
    text = f"{name} begins. " + "Word after word. " * 20 + f"Write to {name}@example.org, call +49 30 1234567. "
    text += "And so on. " * 20 + f"Or to {name}@example.com"
    for start in range(0, len(text), size):
        yield text[start : start + size]
        await asyncio.sleep(0)


@server.tool
async def halves(name: str, ctx: Context) -> str:
    await ctx.progress(1, message=f"{name}: card 4111 1111 ")
    await ctx.progress(2, message="1111 1111 it was")
    return "done"


@server.tool(task="optional")
async def later(name: str, ctx: Context) -> str:
    return f"{name}: {name}@example.org"


@server.tool
async def ask(name: str, ctx: Context) -> str:
    answer = await ctx.elicit(f"{name}: is it {name}@example.org?", str)
    return f"{name}: {answer.content}"


@server.tool
def link(name: str) -> list[ResourceLink]:
    return [ResourceLink(f"note://{name}", name, description=f"of {name}@example.org")]


@server.resource("note://{name}")
def note(name: str) -> str:
    return f"{name} is {name}@example.org"
"""
CONFIG = """
[sources.leaky]
python = "tools.py"
prefix = ""

[[plugins]]
use = "pii_filter"
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("masking")
    (folder / "tools.py").write_text(TOOLS)
    (folder / "rune.toml").write_text(CONFIG)
    with rig("--config", str(folder / "rune.toml")) as found:
        yield found
        assert "Traceback" not in found.said, found.said


@pytest.fixture(params=[MODERN, LEGACY])
async def pair(request: pytest.FixtureRequest, gateway: Rig) -> Any:
    """Two clients of one era, each with a name that nobody else has."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(2):
            extensions = {"extensions": {TASKS: {}}} if request.param == MODERN else {}
            client = HttpClient(gateway.url, request.param, {**ALL, **extensions})
            stack.push_async_callback(client.close)
            if not client.modern:
                await client.initialize()
                await client.request("logging/setLevel", {"level": "debug"})
            found.append((client, word()))
        yield found


async def both(pair: Any, job: Any) -> None:
    """The same by both at the same time; neither may see a name of the other, nor anything that is to be masked."""
    said = await asyncio.gather(*(job(client, name) for client, name in pair))
    for text, (_, own), (_, other) in zip(said, pair, reversed(pair), strict=True):
        assert own in text
        assert other not in text
        assert "@" not in text
        assert HIDDEN in text


async def streamed(client: Client, tool: str, **arguments: Any) -> Any:
    exchange = await client.open(
        "tools/call", {"name": tool, "arguments": arguments},
        meta={"progressToken": word(), "io.modelcontextprotocol/logLevel": "debug"},
    )  # fmt: skip
    return exchange, await exchange.result()


async def test_in_a_progress_message(pair: Any) -> None:
    async def job(client: Client, name: str) -> str:
        exchange, _ = await streamed(client, "progress", name=name)
        return str([note["message"] for note in exchange.notes("notifications/progress")])

    await both(pair, job)


async def test_in_a_log_line(pair: Any) -> None:
    async def job(client: Client, name: str) -> str:
        exchange, _ = await streamed(client, "log", name=name)
        notes = exchange.notes("notifications/message")
        assert [note["data"] for note in notes] == [{"who": [HIDDEN], "name": name}]
        return str(notes)

    await both(pair, job)


@pytest.mark.parametrize("size", [1, 7, 300])
async def test_across_the_boundary_of_two_chunks(pair: Any, size: int) -> None:
    async def job(client: Client, name: str) -> str:
        exchange, result = await streamed(client, "chunks", name=name, size=size)
        notes = exchange.notes("notifications/progress")
        numbers = [note["progress"] for note in notes]
        assert numbers == sorted(set(numbers))
        text = "".join(note.get("message", "") for note in notes)
        # What came in pieces is what comes in the end.
        assert text == text_of(result)
        assert text.count(HIDDEN) == 3
        assert f"Write to {HIDDEN}, call {HIDDEN}. And" in text
        return text

    await both(pair, job)


async def test_across_two_messages_of_progress(pair: Any) -> None:
    async def job(client: Client, name: str) -> str:
        exchange, _ = await streamed(client, "halves", name=name)
        first, second = exchange.notes("notifications/progress")
        assert (first["message"], second["message"]) == (f"{name}: card 4111 1111 ", " it was")
        return f"{name} {HIDDEN}"

    await both(pair, job)


async def test_in_the_result_of_a_task(pair: Any) -> None:
    async def job(client: Client, name: str) -> str:
        params: dict[str, Any] = {"name": "later", "arguments": {"name": name}}
        if not client.modern:
            params["task"] = {"ttl": 60_000}
        made = await client.request("tools/call", params)
        id = {"taskId": made["taskId"] if client.modern else made["task"]["taskId"]}
        if not client.modern:
            return str(await client.request("tasks/result", id))
        async with asyncio.timeout(30):
            while (seen := await client.request("tasks/get", id))["status"] == "working":
                await asyncio.sleep(0.05)
        return str(seen)

    await both(pair, job)


async def test_in_a_question_and_in_its_answer(pair: Any) -> None:
    async def job(client: Client, name: str) -> str:
        answer = {"action": "accept", "content": {"value": f"{name} or {name}@example.com"}}
        result, asked = await client.converse(
            "tools/call", {"name": "ask", "arguments": {"name": name}}, {"elicitation/create": lambda _: answer}
        )
        message = asked[0]["params"]["message"]
        assert message == f"{name}: is it {HIDDEN}?"
        assert text_of(result) == f"{name}: {name} or {HIDDEN}"
        return message + text_of(result)

    await both(pair, job)


async def test_in_a_resource_behind_a_link(pair: Any) -> None:
    async def job(client: Client, name: str) -> str:
        linked = (await client.tool("link", name=name))["content"][0]
        assert (linked["uri"], linked["description"]) == (f"note://{name}", f"of {HIDDEN}")
        read = await client.request("resources/read", {"uri": linked["uri"]})
        return str(read["contents"])

    await both(pair, job)
