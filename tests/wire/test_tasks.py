"""Calls that answer later: the tasks extension of the modern era, the core tasks of 2025-11-25."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
import pytest_asyncio

from tests.wire.client import ALL, META, TASKS, Client, Refused, text_of, word
from tests.wire.conftest import KINDS, Connect
from tests.wire.duplex import DuplexClient
from tests.wire.schemas import MODERN, check_task

pytestmark = pytest.mark.asyncio(loop_scope="session")

DECLARED: Mapping[str, Any] = {META + "clientCapabilities": {**ALL, "extensions": {TASKS: {}}}}
TERMINAL = ("completed", "failed", "cancelled")


@pytest_asyncio.fixture(params=[kind for kind in KINDS if kind.revision == "2025-11-25"], ids=str, loop_scope="session")
async def core(request: pytest.FixtureRequest, connect: Connect) -> Client:
    """A client of the one revision with core tasks."""
    return await connect(*request.param)


# --- the extension ---------------------------------------------------------------------------------------------------


async def begin(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    """A call that has become a task."""
    result = await client.request("tools/call", {"name": name, "arguments": arguments}, meta=DECLARED)
    assert result["resultType"] == "task"
    return result


async def ask(client: Client, method: str, **params: Any) -> dict[str, Any]:
    return await client.request(method, params, meta=DECLARED)


async def until(client: Client, id: str, *status: str) -> dict[str, Any]:
    """The task in one of these states."""
    async with asyncio.timeout(30):
        while (task := await ask(client, "tasks/get", taskId=id))["status"] not in status:
            await asyncio.sleep(0.01)
    return task


async def test_a_task_from_birth_to_death(modern: Client) -> None:
    key, text = word(), word()
    created = await begin(modern, "later", key=key, text=text)
    id = created["taskId"]
    # It resolves at once.
    task = await ask(modern, "tasks/get", taskId=id)
    assert task["status"] == "working"
    await modern.text("mark", key=key, what="go")
    task = await until(modern, id, *TERMINAL)
    assert task["status"] == "completed"
    assert text_of(task["result"]) == text
    assert task["statusMessage"] == f"{key} goes on"
    assert "related-task" not in str(task)
    assert task["createdAt"] == created["createdAt"]
    assert await ask(modern, "tasks/cancel", taskId=id) | {"_meta": 0} == {"resultType": "complete", "_meta": 0}
    assert (await ask(modern, "tasks/get", taskId=id))["status"] == "completed"


async def test_a_tool_error_completes_a_task(modern: Client) -> None:
    message = word()
    task = await until(modern, (await begin(modern, "later_fail", message=message))["taskId"], *TERMINAL)
    assert task["status"] == "completed"
    assert task["result"]["isError"] is True
    assert message in str(task["result"])


async def test_clients_without_the_extension_get_no_task(modern: Client) -> None:
    key, text = word(), word()
    exchange = await modern.start("later", key=key, text=text)
    assert await modern.text("marked", key=key, what="started", seconds=5) == "true"
    await modern.text("mark", key=key, what="go")
    assert text_of(await exchange.result()) == text
    for call in (("tools/call", {"name": "later_ask", "arguments": {"question": "?"}}), ("tasks/get", {"taskId": "x"})):
        with pytest.raises(Refused) as refused:
            await modern.request(*call)
        assert refused.value.code == -32021
        assert refused.value.data == {"requiredCapabilities": {"extensions": {TASKS: {}}}}


async def test_a_task_that_is_cancelled(modern: Client) -> None:
    key = word()
    id = (await begin(modern, "later", key=key, text="x"))["taskId"]
    assert await modern.text("marked", key=key, what="started", seconds=5) == "true"
    await ask(modern, "tasks/cancel", taskId=id)
    assert await modern.text("marked", key=key, what="cancelled", seconds=5) == "true"
    assert (await until(modern, id, *TERMINAL))["status"] == "cancelled"
    await ask(modern, "tasks/cancel", taskId=id)


async def test_a_task_that_asks(modern: Client) -> None:
    question, said = word(), word()
    id = (await begin(modern, "later_ask", question=question))["taskId"]
    task = await until(modern, id, "input_required")
    ((key, wanted),) = task["inputRequests"].items()
    assert wanted["method"] == "elicitation/create"
    assert wanted["params"]["message"] == question
    for wrong in ({"action": "maybe"}, [], {"action": "accept", "content": []}):
        with pytest.raises(Refused) as refused:
            await ask(modern, "tasks/update", taskId=id, inputResponses={key: wrong})
        assert refused.value.code == -32602
    with pytest.raises(Refused):
        await ask(modern, "tasks/update", taskId=id, inputResponses=[])
    await ask(modern, "tasks/update", taskId=id, inputResponses={word(): {"action": "accept"}})
    assert (await ask(modern, "tasks/get", taskId=id))["status"] == "input_required"
    await ask(modern, "tasks/update", taskId=id, inputResponses={key: {"action": "accept", "content": {"a": said}}})
    task = await until(modern, id, *TERMINAL)
    assert text_of(task["result"]) == f"accept:{said}"
    await ask(modern, "tasks/update", taskId=id, inputResponses={key: {"action": "decline"}})


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_unknown_tasks(modern: Client, method: str) -> None:
    for id in (word(), "task-" + "0" * 32, "", "tasks/anonymous"):
        with pytest.raises(Refused) as refused:
            await ask(modern, method, taskId=id, inputResponses={})
        assert refused.value.code == -32602
    for params in ({}, {"taskId": None}):
        with pytest.raises(Refused) as refused:
            await ask(modern, method, **params)
        assert refused.value.code in (-32602, -32020)


async def test_a_task_belongs_to_its_caller_whatever_the_connection(connect: Connect) -> None:
    one, two = await connect("http", MODERN), await connect("ws", MODERN)
    key, text = word(), word()
    id = (await begin(one, "later", key=key, text=text))["taskId"]
    await two.text("mark", key=key, what="go")
    assert text_of((await until(two, id, "completed"))["result"]) == text


async def test_news_of_tasks_come_by_listen(modern: Client) -> None:
    key, other = word(), word()
    id = (await begin(modern, "later", key=key, text="x"))["taskId"]
    unheard = (await begin(modern, "later", key=other, text="x"))["taskId"]
    exchange = await modern.open("subscriptions/listen", {"notifications": {"taskIds": [id, word()]}}, meta=DECLARED)
    ack = await exchange.next()
    assert ack["params"]["notifications"] == {"taskIds": [id]}
    await modern.text("mark", key=other, what="go")
    await until(modern, unheard, "completed")
    await modern.text("mark", key=key, what="go")
    seen = []
    while not seen or seen[-1]["status"] not in TERMINAL:
        note = (await exchange.next("notifications/tasks"))["params"]
        check_task({name: value for name, value in note.items() if name != "_meta"})
        seen.append(note)
    assert {note["taskId"] for note in seen} == {id}
    assert seen[-1]["status"] == "completed"
    assert text_of(seen[-1]["result"]) == "x"
    await modern.cut(exchange)


async def test_without_the_extension_nothing_is_heard_of_tasks(modern: Client) -> None:
    id = (await begin(modern, "later", key=word(), text="x"))["taskId"]
    exchange = await modern.open("subscriptions/listen", {"notifications": {"taskIds": [id]}})
    assert (await exchange.next())["params"]["notifications"] == {}
    await modern.cut(exchange)
    await ask(modern, "tasks/cancel", taskId=id)


# --- core tasks of 2025-11-25 ----------------------------------------------------------------------------------------


async def begin_core(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    """The task of a call that wants to be one."""
    result = await client.request("tools/call", {"name": name, "arguments": arguments, "task": {"ttl": 60_000}})
    task: dict[str, Any] = result["task"]
    return task


async def test_core_tasks(core: Client) -> None:
    key, text = word(), word()
    tool = next(tool for tool in await every_tool(core) if tool["name"] == "later_ask")
    assert tool["execution"] == {"taskSupport": "required"}
    id = (await begin_core(core, "later", key=key, text=text))["taskId"]
    assert (await core.request("tasks/get", {"taskId": id}))["status"] == "working"
    assert id in [task["taskId"] for task in (await core.request("tasks/list"))["tasks"]]
    waiting = await core.open("tasks/result", {"taskId": id})
    await core.text("mark", key=key, what="go")
    result = await waiting.result()
    assert text_of(result) == text
    assert result["_meta"][META + "related-task"] == {"taskId": id}
    assert (await core.request("tasks/get", {"taskId": id}))["status"] == "completed"


async def every_tool(client: Client) -> list[dict[str, Any]]:
    found, params = [], {}
    while True:
        result = await client.request("tools/list", params)
        found += result["tools"]
        if "nextCursor" not in result:
            return found
        params = {"cursor": result["nextCursor"]}


async def test_a_core_task_that_asks(core: Client) -> None:
    said = word()
    id = (await begin_core(core, "later_ask", question=word()))["taskId"]
    result, asked = await core.converse(
        "tasks/result", {"taskId": id}, {"elicitation/create": lambda _: {"action": "accept", "content": {"a": said}}}
    )
    assert text_of(result) == f"accept:{said}"
    assert asked[0]["params"]["_meta"][META + "related-task"] == {"taskId": id}


async def test_a_core_task_that_is_cancelled(core: Client) -> None:
    key = word()
    id = (await begin_core(core, "later", key=key, text="x"))["taskId"]
    assert await core.text("marked", key=key, what="started", seconds=5) == "true"
    assert (await core.request("tasks/cancel", {"taskId": id}))["status"] == "cancelled"
    with pytest.raises(Refused):
        await core.request("tasks/result", {"taskId": id})


async def test_core_tasks_without_the_parameter(core: Client) -> None:
    with pytest.raises(Refused) as refused:
        await core.tool("later_ask", question="?")
    assert refused.value.code == -32601
    with pytest.raises(Refused) as refused:
        await core.request("tasks/get", {"taskId": word()})
    assert refused.value.code == -32602


async def test_older_revisions_have_no_tasks(connect: Connect) -> None:
    for wire, revision in (("http", "2025-06-18"), ("stdio", "2024-11-05")):
        client = await connect(wire, revision)
        for method in ("tasks/get", "tasks/list", "tasks/result", "tasks/cancel"):
            with pytest.raises(Refused) as refused:
                await client.request(method, {"taskId": "x"})
            assert refused.value.code == -32601
        key = word()
        exchange = await client.open(
            "tools/call", {"name": "later", "arguments": {"key": key, "text": key}, "task": {}}
        )
        assert await client.text("marked", key=key, what="started", seconds=5) == "true"
        await client.text("mark", key=key, what="go")
        assert text_of(await exchange.result()) == key
        assert isinstance(client, DuplexClient) or exchange.status == 200
