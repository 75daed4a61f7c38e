"""Tasks of MCP servers behind the gateway: in both eras, for their owner alone, from any process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rune.client.http import endpoint
from rune.errors import ProtocolError, RuneError, Unavailable
from rune.gateway import Gateway
from rune.protocol.methods import MODERN, NEWEST_LEGACY, TASKS
from rune.request import Request
from rune.seal import Seal
from rune.source import Item, Target
from rune.sources.upstream.gate import Terms
from rune.sources.upstream.source import Upstream
from rune.store import MemoryStore, Store
from rune.taskids import TaskIds
from rune.tasks import Tasks
from rune.view import Mount
from tests.client import fakes
from tests.client.fakes import Carried, Message, Notes, Wires
from tests.serving import rune

DEADLINE = 60.0
KNOWN = {"extensions": {TASKS: {}}, "elicitation": {}}
RELATED = "io.modelcontextprotocol/related-task"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with rune("tests/conformance/everything.py") as server:
        yield server.url


@asynccontextmanager
async def process(store: Store, url: str, revision: str) -> AsyncIterator[Gateway]:
    """What one process of a gateway holds: `store` is what it shares with others."""
    seal = await Seal.load(store)
    source = Upstream("up", endpoint("up", url), terms=Terms(revision=revision))
    async with Tasks(store) as tasks:
        source.keep_tasks(tasks, TaskIds(seal))
        async with Gateway([Mount(source, "up_")], seal=seal, tasks=tasks) as gateway:
            yield gateway


@pytest.fixture
async def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(params=[MODERN, NEWEST_LEGACY])
async def gateway(request: pytest.FixtureRequest, url: str, store: Store) -> AsyncIterator[Gateway]:
    async with process(store, url, request.param) as made:
        yield made


async def ask(gateway: Gateway, method: str, caller: str = "ann", **params: Any) -> Message:
    request = fakes.ask(method, params, capabilities=KNOWN, caller=caller)
    async with asyncio.timeout(DEADLINE):
        return (await gateway.handle(request)).value


async def start(gateway: Gateway, tool: str, **arguments: Any) -> str:
    made = await ask(gateway, "tools/call", name=f"up_{tool}", arguments=arguments)
    assert made["resultType"] == "task", made
    return str(made["taskId"])


async def until(gateway: Gateway, id: str, status: str) -> Message:
    async with asyncio.timeout(DEADLINE):
        while (task := await ask(gateway, "tasks/get", taskId=id))["status"] != status:
            assert task["taskId"] == id
            await asyncio.sleep(0.02)
    return task


async def refused(gateway: Gateway, method: str, caller: str = "ann", **params: Any) -> int:
    with pytest.raises(RuneError) as caught:
        await ask(gateway, method, caller, **params)
    return caught.value.code


async def test_a_task_from_birth_to_death(gateway: Gateway) -> None:
    id = await start(gateway, "slow_compute", seconds=0.3, label="sums")
    assert (await ask(gateway, "tasks/get", taskId=id))["taskId"] == id
    task = await until(gateway, id, "completed")
    assert task["result"]["content"][0]["text"] == "Computed sums in 0.3 s"
    assert RELATED not in json.dumps(task)
    assert [each["taskId"] for each in (await ask(gateway, "tasks/list"))["tasks"]] == [id]


async def test_a_tool_error_completes_a_task_and_a_protocol_error_fails_it(gateway: Gateway) -> None:
    task = await until(gateway, await start(gateway, "failing_job"), "completed")
    assert task["result"]["isError"] is True
    task = await until(gateway, await start(gateway, "protocol_error_job"), "failed")
    assert task["error"]["code"] == -32603 and "breaks on purpose" in task["error"]["message"]


async def test_a_task_is_its_callers_alone(gateway: Gateway) -> None:
    id = await start(gateway, "slow_compute", seconds=30)
    for method in ("tasks/get", "tasks/cancel"):
        assert await refused(gateway, method, "bob", taskId=id) == -32602
    assert await refused(gateway, "tasks/update", "bob", taskId=id, inputResponses={}) == -32602
    assert (await ask(gateway, "tasks/list", "bob"))["tasks"] == []
    assert (await ask(gateway, "tasks/get", taskId=id))["status"] == "working"
    await ask(gateway, "tasks/cancel", taskId=id)
    await until(gateway, id, "cancelled")


async def test_a_task_asks_and_goes_on_with_the_answers(gateway: Gateway) -> None:
    id = await start(gateway, "confirm_delete", filename="a.txt")
    task = await until(gateway, id, "input_required")
    ((key, question),) = task["inputRequests"].items()
    assert (key, question["method"]) == ("confirm", "elicitation/create")
    answers = {key: {"action": "accept", "content": {"confirm": True}}}
    await ask(gateway, "tasks/update", taskId=id, inputResponses=answers)
    assert (await until(gateway, id, "completed"))["result"]["content"][0]["text"] == "a.txt deleted"


async def test_news_come_under_the_id_that_the_listener_knows(gateway: Gateway) -> None:
    id = await start(gateway, "slow_compute", seconds=1)
    heard = {name: Notes() for name in ("ann", "bob")}
    listens = []
    for name, emit in heard.items():
        params = {"notifications": {"taskIds": [id]}}
        request = fakes.ask("subscriptions/listen", params, capabilities=KNOWN, caller=name, emit=emit)
        listens.append(asyncio.create_task(gateway.handle(request)))
    async with asyncio.timeout(DEADLINE):
        while not any(params.get("status") == "completed" for params in heard["ann"].params):
            heard["ann"].came.clear()
            await heard["ann"].came.wait()
    assert heard["ann"].params[0] == {"notifications": {"taskIds": [id]}}
    assert {params["taskId"] for params in heard["ann"].params[1:]} == {id}
    assert heard["bob"].params == [{"notifications": {}}]
    for listen in listens:
        listen.cancel()
    await asyncio.wait(listens)


@pytest.mark.parametrize("revision", [MODERN, NEWEST_LEGACY])
async def test_another_process_knows_the_task(url: str, store: Store, revision: str) -> None:
    async with process(store, url, revision) as one, process(store, url, revision) as two:
        id = await start(one, "confirm_delete", filename="b.txt")
        assert await refused(two, "tasks/get", "bob", taskId=id) == -32602
        await until(two, id, "input_required")
        answers = {"confirm": {"action": "accept", "content": {"confirm": True}}}
        await ask(two, "tasks/update", taskId=id, inputResponses=answers)
        assert (await until(two, id, "completed"))["result"]["content"][0]["text"] == "b.txt deleted"
        id = await start(one, "slow_compute", seconds=30)
        await ask(two, "tasks/cancel", taskId=id)
        await until(one, id, "cancelled")
    async with process(MemoryStore(), url, revision) as stranger:
        assert await refused(stranger, "tasks/get", taskId=id) == -32602


async def test_clients_that_know_no_tasks_get_none(gateway: Gateway) -> None:
    params = {"name": "up_slow_compute", "arguments": {"seconds": 0}}
    assert (await gateway.handle(fakes.ask("tools/call", params))).kind == "complete"
    with pytest.raises(ProtocolError) as caught:
        await gateway.handle(fakes.ask("tools/call", {"name": "up_failing_job", "arguments": {}}))
    assert caught.value.code == -32021
    assert caught.value.data == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    with pytest.raises(ProtocolError) as caught:
        await gateway.handle(fakes.ask("tasks/get", {"taskId": "x"}))
    assert caught.value.code == -32021


# --- servers that do it their own way --------------------------------------------------------------------------------

TOOL = Item("t", b'{"name":"t","execution":{"taskSupport":"optional"}}')
CORE = {"tools": {}, "tasks": {"requests": {"tools": {"call": {}}}}}
CREATED = {"taskId": "own-1", "status": "working", "createdAt": "2026-01-01T00:00:00Z", "ttl": 5000, "pollInterval": 20}


class Older:
    """A server with core tasks, each of whose answers a test may replace."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.heard: list[Message] = []
        self.came = asyncio.Event()

    def __call__(self, carried: Carried, message: Message) -> None:
        self.heard.append(message)
        self.carried = carried
        self.came.set()
        key = message.get("method", "answer").replace("/", "_")
        answer = self.answers.get(key, {"task": CREATED} if key == "tools_call" else None)
        if callable(answer):
            answer(carried, message)
        elif answer is not None and "id" in message:
            carried.answer(message, answer)

    async def wait_for(self, method: str, number: int = 1) -> Message:
        async with asyncio.timeout(DEADLINE):
            while len(found := [each for each in self.heard if each.get("method") == method]) < number:
                self.came.clear()
                await self.came.wait()
        return found[number - 1]


@asynccontextmanager
async def behind(server: fakes.Server) -> AsyncIterator[tuple[Upstream, Tasks]]:
    source = Upstream("up", Wires(server, "up"))
    async with Tasks(MemoryStore()) as tasks:
        source.keep_tasks(tasks, TaskIds(Seal()))
        async with source:
            yield source, tasks


def call(source: Upstream, *, capabilities: Message = KNOWN, **params: Any) -> Request:
    request = fakes.ask("tools/call", {"name": "t", **params}, capabilities=capabilities)
    request.target = Target(source, "t", TOOL)
    return request


async def created(source: Upstream, **params: Any) -> Message:
    async with asyncio.timeout(DEADLINE):
        return (await source.handle(call(source, **params))).value


async def ended(tasks: Tasks, id: str) -> Message:
    async with asyncio.timeout(DEADLINE):
        while True:
            task = (await tasks.handle(fakes.ask("tasks/get", {"taskId": id}, capabilities=KNOWN))).value
            if task["status"] not in ("working", "input_required"):
                return task
            await asyncio.sleep(0.01)


async def test_ours_takes_over_what_the_server_says_of_its_own() -> None:
    older = Older(tasks_result={"content": [], "_meta": {RELATED: {"taskId": "own-1"}, "a": 1}})
    async with behind(fakes.legacy(older, capabilities=CORE)) as (source, tasks):
        task = await created(source, task={"ttl": 9})
        assert (task["ttlMs"], task["pollIntervalMs"]) == (5000, 20)
        assert "own-1" not in json.dumps(task)
        assert (await ended(tasks, task["taskId"]))["result"] == {
            "resultType": "complete", "content": [], "_meta": {"a": 1},
        }  # fmt: skip
    sent = await older.wait_for("tools/call")
    assert sent["params"]["task"] == {"ttl": 9}
    assert (await older.wait_for("tasks/result"))["params"] == {"taskId": "own-1"}


async def test_a_server_may_answer_at_once() -> None:
    older = Older(tools_call={"content": [], "structuredContent": 7})
    async with behind(fakes.legacy(older, capabilities=CORE)) as (source, _):
        assert await created(source) == {"resultType": "complete", "content": [], "structuredContent": 7}


async def test_a_refused_task_is_a_refused_call() -> None:
    older = Older(tools_call=lambda carried, message: carried.refuse(message, -32602, "no such name"))
    async with behind(fakes.legacy(older, capabilities=CORE)) as (source, _):
        with pytest.raises(ProtocolError, match="no such name"):
            await created(source)


async def test_a_server_without_tasks_is_never_asked_for_one() -> None:
    older = Older(tools_call={"content": []})
    async with behind(fakes.legacy(older)) as (source, _):
        await created(source, task={})
    assert "task" not in (await older.wait_for("tools/call"))["params"]


@pytest.mark.parametrize("make", [fakes.modern, lambda server: fakes.legacy(server, capabilities=CORE)])
async def test_a_task_without_an_id_is_an_error(make: Any) -> None:
    broken = {"resultType": "task", "status": "working", "task": {"status": "working"}}
    async with behind(make(Older(tools_call=broken))) as (source, _):
        with pytest.raises(Unavailable, match="up: answered with a task that has no id"):
            await created(source)


async def test_an_answer_that_comes_too_early_is_asked_for_again() -> None:
    results = iter([lambda c, m: c.refuse(m, -32602, "not yet"), lambda c, m: c.answer(m, {"content": []})])
    older = Older(
        tasks_result=lambda carried, message: next(results)(carried, message),
        tasks_get={**CREATED, "status": "working"},
    )
    async with behind(fakes.legacy(older, capabilities=CORE)) as (source, tasks):
        assert (await ended(tasks, (await created(source))["taskId"]))["status"] == "completed"


@pytest.mark.parametrize(("status", "seen"), [("cancelled", "cancelled"), ("failed", "failed")])
async def test_what_became_of_it_there_is_what_became_of_ours(status: str, seen: str) -> None:
    older = Older(
        tasks_result=lambda carried, message: carried.refuse(message, -32000, "it broke"),
        tasks_get={**CREATED, "status": status},
    )
    async with behind(fakes.legacy(older, capabilities=CORE)) as (source, tasks):
        task = await ended(tasks, (await created(source))["taskId"])
        assert task["status"] == seen
        assert task.get("error") == (None if seen == "cancelled" else {"code": -32000, "message": "it broke"})


async def test_a_server_that_dies_fails_its_tasks() -> None:
    older = Older(tasks_result=lambda carried, message: carried.die())
    async with behind(fakes.legacy(older, capabilities=CORE)) as (source, tasks):
        task = await ended(tasks, (await created(source))["taskId"])
        assert task["status"] == "failed" and "exited 1" in task["error"]["message"]


async def test_who_cancels_ours_cancels_it_there() -> None:
    older = Older()
    async with behind(fakes.legacy(older, capabilities=CORE)) as (source, tasks):
        id = (await created(source))["taskId"]
        await older.wait_for("tasks/result")
        await tasks.handle(fakes.ask("tasks/cancel", {"taskId": id}, capabilities=KNOWN))
        assert (await older.wait_for("tasks/cancel"))["params"] == {"taskId": "own-1"}
        assert (await ended(tasks, id))["status"] == "cancelled"


async def test_what_the_server_says_on_the_way_is_the_status_message() -> None:
    older = Older()
    async with behind(fakes.legacy(older, capabilities=CORE)) as (source, tasks):
        id = (await created(source))["taskId"]
        await older.wait_for("tasks/result")
        for params in ({"taskId": "own-1", "statusMessage": "half way"}, {"taskId": "other"}, [], {"taskId": 1}):
            older.carried.say({"method": "notifications/tasks/status", "params": params})
        async with asyncio.timeout(DEADLINE):
            while True:
                task = (await tasks.handle(fakes.ask("tasks/get", {"taskId": id}, capabilities=KNOWN))).value
                if task.get("statusMessage") == "half way":
                    break
                await asyncio.sleep(0.01)


async def test_a_question_of_a_task_is_its_own_and_any_other_the_calls() -> None:
    """On a stream that all calls share, a question of a task says which it belongs to."""
    older = Older()
    form = {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}
    async with behind(fakes.legacy(older, capabilities=CORE)) as (source, tasks):
        id = (await created(source))["taskId"]
        await older.wait_for("tasks/result")
        older.answers["tools_call"] = lambda carried, message: None
        plain = asyncio.create_task(source.handle(call(source, capabilities={"elicitation": {}})))
        await older.wait_for("tools/call", 2)
        related = {**form, "_meta": {RELATED: {"taskId": "own-1"}, "rune/key": "sure"}}
        asked = {"a": related, "b": {**form, "_meta": {RELATED: {"taskId": "another"}}}, "c": form}
        for number, params in asked.items():
            older.carried.say({"id": number, "method": "elicitation/create", "params": params})
        async with asyncio.timeout(DEADLINE):
            while not any(message.get("id") == "b" for message in older.heard):
                older.came.clear()
                await older.came.wait()
            assert (await plain).kind == "input_required"
            while True:
                task = (await tasks.handle(fakes.ask("tasks/get", {"taskId": id}, capabilities=KNOWN))).value
                if task["status"] == "input_required":
                    break
                await asyncio.sleep(0.01)
        assert list(task["inputRequests"]) == ["sure"]
        said = {message["id"]: message.get("result") for message in older.heard if message.get("id") in ("a", "b", "c")}
        assert said == {"b": {"action": "decline"}}
        answers = {"sure": {"action": "cancel"}}
        update = {"taskId": id, "inputResponses": answers}
        await tasks.handle(fakes.ask("tasks/update", update, capabilities=KNOWN))
        async with asyncio.timeout(DEADLINE):
            while not any(message.get("id") == "a" for message in older.heard):
                older.came.clear()
                await older.came.wait()
        answer = next(message for message in older.heard if message.get("id") == "a")["result"]
        assert answer == {"action": "cancel", "_meta": {RELATED: {"taskId": "own-1"}}}


async def test_errors_about_a_task_speak_of_the_id_that_was_asked_for() -> None:
    def serve(carried: Carried, message: Message) -> None:
        if message["method"] == "tools/call":
            carried.answer(message, {"resultType": "task", **CREATED})
        elif message["method"].startswith("tasks/"):
            carried.refuse(message, -32602, f"unknown task: {message['params']['taskId']}")

    async with behind(fakes.modern(serve)) as (source, _):
        id = (await created(source))["taskId"]
        request = fakes.ask("tasks/get", {"taskId": id}, capabilities=KNOWN)
        request.target = Target(source, "own-1")
        with pytest.raises(ProtocolError, match=f"^unknown task: {id}$"):
            await source.handle(request)
