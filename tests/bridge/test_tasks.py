"""The row of tasks: every era in front of every era; behind the gateway a server of ours, and one of npm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests import peers
from tests.bridge.house import House, Marks, offering, table, visiting
from tests.rig import ROOT, RUNE, rig
from tests.sizes import LONG
from tests.wire.client import ALL, META, TASKS, Client, Refused, text_of, word
from tests.wire.schemas import MODERN

pytestmark = pytest.mark.asyncio(loop_scope="session")

OURS = ("new", "old")
EXTENSION = {"extensions": {TASKS: {}}}
WIRES = ("http", "stdio") if LONG else ("http",)
PAIRS = [(wire, revision, source) for wire in WIRES for revision in (MODERN, "2025-11-25") for source in (*OURS, "npm")]
WAIT = 30.0


@pytest.fixture(scope="session")
def task_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One server twice, the second time in its older revision, and the everything server."""
    folder = tmp_path_factory.mktemp("tasks")
    ours = [RUNE, "serve", "--stdio", str(ROOT / "tests" / "wire" / "tools.py")]
    tables = [
        table("new", {"command": ours}),
        table("old", {"command": ours, "protocol": "2025-11-25"}),
        table("npm", {"command": peers.everything_server()}),
    ]
    path: Path = folder / "rune.toml"
    path.write_text("\n".join(tables))
    with rig("--config", str(path)) as server:
        yield House(server, path, Marks(folder))


class Row:
    """A client in front of a server."""

    def __init__(self, client: Client, source: str) -> None:
        self.client = client
        self.source = source

    def call(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        return {"name": f"{self.source}_{name}", "arguments": arguments}

    async def tool(self, name: str, /, **arguments: Any) -> str:
        """On the connection that the tasks are on: one that cannot be asked."""
        meta = {META + "clientCapabilities": EXTENSION} if self.client.modern else {}
        return text_of(await self.client.request("tools/call", self.call(name, **arguments), meta=meta))

    async def ask(self, method: str, capabilities: Any = EXTENSION, **params: Any) -> dict[str, Any]:
        meta = {META + "clientCapabilities": capabilities} if self.client.modern else {}
        return await self.client.request(method, params, meta=meta)

    async def begin(self, name: str, capabilities: Any = EXTENSION, /, **arguments: Any) -> str:
        """The id of a call that has become a task."""
        params = self.call(name, **arguments)
        if self.client.modern:
            created = await self.ask("tools/call", capabilities, **params)
            assert created["resultType"] == "task"
        else:
            created = (await self.ask("tools/call", **params, task={"ttl": 60_000}))["task"]
        return str(created["taskId"])

    async def shown(self, name: str) -> None:
        """An older client sees that a tool can be a task, as soon as the gateway has looked at its server that way."""
        async with asyncio.timeout(WAIT):
            while not self.client.modern:
                tools = (await self.client.request("tools/list"))["tools"]
                if any("execution" in tool for tool in tools if tool["name"] == f"{self.source}_{name}"):
                    return
                await asyncio.sleep(0.05)

    async def until(self, id: str, *status: str, capabilities: Any = EXTENSION) -> dict[str, Any]:
        async with asyncio.timeout(WAIT):
            while (task := await self.ask("tasks/get", capabilities, taskId=id))["status"] not in status:
                await asyncio.sleep(0.05)
        return task


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rows(task_house: House) -> AsyncIterator[dict[Any, Row]]:
    async with AsyncExitStack() as stack:
        found = {}
        for wire in WIRES:
            for revision in (MODERN, "2025-11-25"):
                for declared in ({}, ALL):
                    client = await stack.enter_async_context(visiting(task_house, wire, revision, declared))
                    await offering(client, ["new", "old", "npm"])
                    for source in ("new", "old", "npm"):
                        found[wire, revision, source, bool(declared)] = Row(client, source)
        yield found


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """Every client in front of every server."""
    found: tuple[str, str, str] = request.param
    return found


async def test_a_task_from_birth_to_death(rows: dict[Any, Row], pair: tuple[str, str, str]) -> None:
    row = rows[*pair, False]
    if row.source == "npm":
        id = await row.begin("simulate-research-query", topic=word(), ambiguous=False)
    else:
        key, text = word(), word()
        id = await row.begin("later", key=key, text=text)
        assert (await row.ask("tasks/get", taskId=id))["status"] == "working"
        await row.tool("mark", key=key, what="go")
    task = await row.until(id, "completed", "failed", "cancelled")
    assert task["status"] == "completed", task
    result = task["result"] if row.client.modern else await row.ask("tasks/result", taskId=id)
    assert text_of(result) == text if row.source != "npm" else "esearch" in text_of(result)


async def test_a_task_that_is_cancelled(rows: dict[Any, Row], pair: tuple[str, str, str]) -> None:
    row = rows[*pair, False]
    if row.source == "npm":
        id = await row.begin("simulate-research-query", topic=word(), ambiguous=False)
        await row.ask("tasks/cancel", taskId=id)
    else:
        key = word()
        id = await row.begin("later", key=key, text="x")
        assert await row.tool("marked", key=key, what="started", seconds=WAIT) == "true"
        await row.ask("tasks/cancel", taskId=id)
        assert await row.tool("marked", key=key, what="cancelled", seconds=WAIT) == "true"
    assert (await row.until(id, "cancelled", "completed", "failed"))["status"] == "cancelled"


async def test_a_task_that_asks(rows: dict[Any, Row], pair: tuple[str, str, str]) -> None:
    row, said = rows[*pair, True], word()
    if row.source == "npm":
        return
    able = {**ALL, **EXTENSION}
    await row.shown("later_ask")
    id = await row.begin("later_ask", able, question=word())
    answer = {"action": "accept", "content": {"a": said}}
    if row.client.modern:
        task = await row.until(id, "input_required", capabilities=able)
        ((key, question),) = task["inputRequests"].items()
        assert question["method"] == "elicitation/create"
        await row.ask("tasks/update", able, taskId=id, inputResponses={key: answer})
        result = (await row.until(id, "completed", "failed", capabilities=able))["result"]
    else:
        result, asked = await row.client.converse(
            "tasks/result", {"taskId": id}, {"elicitation/create": lambda _: answer}
        )
        assert len(asked) == 1
    assert text_of(result) == f"accept:{said}"


async def test_a_task_of_nobody(rows: dict[Any, Row], pair: tuple[str, str, str]) -> None:
    with pytest.raises(Refused) as refused:
        await rows[*pair, False].ask("tasks/get", taskId=word())
    assert refused.value.code == -32602
