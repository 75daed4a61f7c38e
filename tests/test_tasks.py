"""Tasks over a store: from the first answer to the end, in this process and from another one, for their owner alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rune import tasks as module
from rune.errors import ProtocolError, RuneError, Unavailable
from rune.protocol.methods import TASKS
from rune.protocol.modern import Meta
from rune.request import Caller, Emit, Note, Request, Result
from rune.store import MemoryStore, Store
from rune.stores.redis import RedisStore
from rune.stores.sqlite import SqliteStore
from rune.tasks import LEASE, Running, Tasks

DECLARED = Meta(capabilities=msgspec.Raw(msgspec.json.encode({"extensions": {TASKS: {}}})))
QUESTION = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": {"type": "object"}}}
DONE = Result.of({"content": [{"type": "text", "text": "done"}]})


def ask(method: str, subject: str = "ann", **params: object) -> Request:
    raw = {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in params.items()}
    return Request(method, raw, caller=Caller(subject), meta=DECLARED)


CALL = ask("tools/call", name="slow")


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = MemoryStore()
    if request.param == "sqlite":
        made = SqliteStore(tmp_path / "store.db")
    elif request.param == "redis":
        server = request.getfixturevalue("redis")
        server.ask("FLUSHALL")
        made = RedisStore(server.url)
    async with made:
        yield made


@pytest.fixture
async def tasks(store: Store) -> AsyncIterator[Tasks]:
    async with Tasks(store) as made:
        yield made


async def get(tasks: Tasks, id: str, subject: str = "ann") -> dict[str, object]:
    return (await tasks.handle(ask("tasks/get", subject, taskId=id))).value


async def until(tasks: Tasks, id: str, status: str) -> dict[str, object]:
    async with asyncio.timeout(30):
        while (task := await get(tasks, id))["status"] != status:
            await asyncio.sleep(0.01)
    return task


async def done(running: Running) -> Result:
    return DONE


async def forever(running: Running) -> Result:
    await asyncio.Event().wait()
    return DONE


async def test_a_task_is_in_the_store_when_its_answer_is_there(tasks: Tasks, store: Store) -> None:
    made = await tasks.create(CALL, "demo", forever, ttl_ms=5000, poll_ms=7)
    value = made.value
    assert made.kind == value["resultType"] == "task"
    assert value["status"] == "working" and value["ttlMs"] == 5000 and value["pollIntervalMs"] == 7
    assert datetime.fromisoformat(value["createdAt"]) <= datetime.fromisoformat(value["lastUpdatedAt"])
    async with Tasks(store) as other:
        assert (await get(other, value["taskId"]))["status"] == "working"


async def test_a_task_that_completes(tasks: Tasks) -> None:
    id = (await tasks.create(CALL, "demo", done)).value["taskId"]
    task = await until(tasks, id, "completed")
    assert task["result"] == DONE.value
    assert task["resultType"] == "complete" and "error" not in task


@pytest.mark.parametrize(
    ("error", "wire"),
    [
        (ProtocolError(-7, "no", data={"x": 1}), {"code": -7, "message": "no", "data": {"x": 1}}),
        (RuneError("no"), {"code": -32603, "message": "no"}),
        (KeyError("oops"), {"code": -32603, "message": "slow: KeyError: 'oops'"}),
    ],
)
async def test_a_task_that_fails(tasks: Tasks, error: Exception, wire: dict[str, object]) -> None:
    async def fails(running: Running) -> Result:
        raise error

    id = (await tasks.create(CALL, "demo", fails)).value["taskId"]
    task = await until(tasks, id, "failed")
    assert task["error"] == wire and "result" not in task


async def test_cancel(tasks: Tasks) -> None:
    id = (await tasks.create(CALL, "demo", forever)).value["taskId"]
    assert (await tasks.handle(ask("tasks/cancel", taskId=id))).value == {"resultType": "complete"}
    assert (await get(tasks, id))["status"] == "cancelled"
    assert (await tasks.handle(ask("tasks/cancel", taskId=id))).value == {"resultType": "complete"}


async def test_status_messages(tasks: Tasks) -> None:
    go = asyncio.Event()

    async def talks(running: Running) -> Result:
        await running.status("half way")
        await go.wait()
        return DONE

    id = (await tasks.create(CALL, "demo", talks)).value["taskId"]
    async with asyncio.timeout(30):
        while (await get(tasks, id)).get("statusMessage") != "half way":
            await asyncio.sleep(0.01)
    go.set()
    await until(tasks, id, "completed")


async def answer(tasks: Tasks, id: str, **answers: object) -> Result:
    return await tasks.handle(ask("tasks/update", taskId=id, inputResponses=answers))


def accept(**content: object) -> dict[str, object]:
    return {"action": "accept", "content": content}


async def test_questions_are_answered_one_after_the_other(tasks: Tasks) -> None:
    async def asks(running: Running) -> Result:
        first = await running.ask({"a": QUESTION, "b": QUESTION})
        again = await running.ask({"a": QUESTION})
        return Result.of(
            {"content": [], "structuredContent": [bytes(raw).decode() for raw in (*first.values(), *again.values())]}
        )

    id = (await tasks.create(CALL, "demo", asks)).value["taskId"]
    assert (await until(tasks, id, "input_required"))["inputRequests"] == {"a": QUESTION, "b": QUESTION}
    await answer(tasks, id, b=accept(n=2), unknown={"ignored": True})
    task = await get(tasks, id)
    assert task["status"] == "input_required" and task["inputRequests"] == {"a": QUESTION}
    for wrong in (5, {"action": "perhaps"}, {}):
        with pytest.raises(ProtocolError) as caught:
            await answer(tasks, id, a=wrong)
        assert caught.value.code == -32602
    await answer(tasks, id, a=accept(n=1))
    async with asyncio.timeout(30):
        while (task := await get(tasks, id)).get("inputRequests") != {"a_2": QUESTION}:
            await asyncio.sleep(0.01)
    await answer(tasks, id, a_2=accept(n=3))
    result = (await until(tasks, id, "completed"))["result"]
    assert isinstance(result, dict)
    assert [msgspec.json.decode(text)["content"]["n"] for text in result["structuredContent"]] == [1, 2, 3]


async def test_answers_must_be_an_object(tasks: Tasks) -> None:
    id = (await tasks.create(CALL, "demo", forever)).value["taskId"]
    with pytest.raises(ProtocolError) as caught:
        await tasks.handle(ask("tasks/update", taskId=id, inputResponses=[1]))
    assert caught.value.code == -32602


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_nobody_else_knows_a_task(tasks: Tasks, method: str) -> None:
    id = (await tasks.create(CALL, "demo", forever)).value["taskId"]
    for request in (ask(method, "bob", taskId=id), ask(method, taskId="task-unknown"), ask(method)):
        with pytest.raises(RuneError) as caught:
            await tasks.handle(request)
        assert caught.value.code == -32602
    assert (await get(tasks, id))["status"] == "working"
    assert not await tasks.owned(id, Caller("bob"))
    assert await tasks.owned(id, Caller("ann"))


async def test_a_client_must_declare_the_extension(tasks: Tasks) -> None:
    with pytest.raises(ProtocolError) as caught:
        await tasks.handle(Request("tasks/get", {"taskId": msgspec.Raw(b'"x"')}, caller=Caller("ann")))
    assert caught.value.code == -32021
    assert caught.value.data == {"requiredCapabilities": {"extensions": {TASKS: {}}}}


async def test_unknown_methods(tasks: Tasks) -> None:
    with pytest.raises(ProtocolError) as caught:
        await tasks.handle(ask("tasks/else"))
    assert caught.value.code == -32601


async def test_each_caller_lists_its_own(tasks: Tasks) -> None:
    mine = [(await tasks.create(CALL, "demo", done)).value["taskId"] for _ in range(3)]
    theirs = (await tasks.create(ask("tools/call", "bob", name="slow"), "demo", done)).value["taskId"]
    for subject, ids in (("ann", mine), ("bob", [theirs]), ("eve", [])):
        value = (await tasks.handle(ask("tasks/list", subject))).value
        assert [task["taskId"] for task in value["tasks"]] == ids


class Heard(Emit):
    def __init__(self) -> None:
        self.notes: asyncio.Queue[Note] = asyncio.Queue()

    def __call__(self, note: Note) -> None:
        self.notes.put_nowait(note)


async def test_listeners_hear_what_they_asked_for_in_any_process(store: Store) -> None:
    go = asyncio.Event()

    async def body(running: Running) -> Result:
        await go.wait()
        return DONE

    async with Tasks(store) as here, Tasks(store) as there:
        id = (await here.create(CALL, "demo", body)).value["taskId"]
        other = (await here.create(CALL, "demo", body)).value["taskId"]
        listening = []
        for tasks in (here, there):
            listen = ask("subscriptions/listen", notifications={"taskIds": [id]})
            listen.emit = Heard()
            listening.append((listen.emit, asyncio.create_task(tasks.listen(listen))))
        await asyncio.sleep(0.1)
        go.set()
        await until(here, other, "completed")
        for heard, task in listening:
            async with asyncio.timeout(30):
                note = await heard.notes.get()
            assert note.method == "notifications/tasks"
            value = msgspec.json.decode(note.params)
            assert value["taskId"] == id and value["result"] == DONE.value
            task.cancel()
            await asyncio.wait([task])
            assert heard.notes.empty()


async def test_another_process_reaches_the_body(store: Store) -> None:
    async def asks(running: Running) -> Result:
        answers = await running.ask({"name": QUESTION})
        return Result.of({"content": [], "structuredContent": msgspec.json.decode(answers["name"])})

    async with Tasks(store) as here, Tasks(store) as there:
        id = (await here.create(CALL, "demo", asks)).value["taskId"]
        await until(there, id, "input_required")
        await answer(there, id, name=accept(name="Ann"))
        result = (await until(there, id, "completed"))["result"]
        assert isinstance(result, dict) and result["structuredContent"] == accept(name="Ann")

        id = (await here.create(CALL, "demo", forever)).value["taskId"]
        await there.handle(ask("tasks/cancel", taskId=id))
        await until(there, id, "cancelled")


async def test_a_task_whose_process_died_has_failed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Tasks(store)
    id = (await here.create(CALL, "demo", forever)).value["taskId"]
    later = time.time() + LEASE + 1
    monkeypatch.setattr(module.time, "time", lambda: later)
    async with Tasks(store) as there:
        task = await get(there, id)
        assert task["status"] == "failed"
        assert task["error"] == {"code": -32603, "message": "slow: the server that ran this task has died"}
        assert (await get(there, id))["status"] == "failed"
    await here.__aexit__()


async def test_a_running_task_shows_signs_of_life(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE", 0.06)
    async with Tasks(store) as here, Tasks(store) as there:
        id = (await here.create(CALL, "demo", forever)).value["taskId"]
        for _ in range(10):
            await asyncio.sleep(0.03)
            assert (await get(there, id))["status"] == "working"


async def test_stopping_ends_what_runs(store: Store) -> None:
    async with Tasks(store) as here:
        id = (await here.create(CALL, "demo", forever)).value["taskId"]
    async with Tasks(store) as there:
        task = await get(there, id)
    assert task["status"] == "cancelled" and task["statusMessage"] == "the server was stopped"


async def test_tasks_are_bounded(store: Store) -> None:
    async with Tasks(store, limit=2) as few:
        for _ in range(2):
            await few.create(CALL, "demo", forever)
        with pytest.raises(ProtocolError, match="2 tasks are running already"):
            await few.create(CALL, "demo", forever)


async def test_tasks_expire(tasks: Tasks) -> None:
    id = (await tasks.create(CALL, "demo", done, ttl_ms=1)).value["taskId"]
    async with asyncio.timeout(30):
        while True:
            try:
                await get(tasks, id)
            except RuneError:
                break
            await asyncio.sleep(0.01)
    kept = (await tasks.create(CALL, "demo", done, ttl_ms=None)).value
    assert kept["ttlMs"] is None
    await until(tasks, kept["taskId"], "completed")


class Broken(MemoryStore):
    """Away while `away` is set."""

    away = False

    async def set(self, key: str, value: bytes, **how: Any) -> bool:
        if self.away:
            raise Unavailable("store: away")
        return await super().set(key, value, **how)


async def test_what_is_done_while_the_store_is_away_is_written_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE", 0.03)
    async with Broken() as store, Tasks(store) as here, Tasks(store) as there:
        go = asyncio.Event()

        async def body(running: Running) -> Result:
            await go.wait()
            return DONE

        id = (await here.create(CALL, "s", body)).value["taskId"]
        store.away = True
        with pytest.raises(Unavailable):
            await here.create(CALL, "s", body)
        go.set()
        # Where it ran it is known.
        assert (await until(here, id, "completed"))["result"] == DONE.value
        store.away = False
        assert (await until(there, id, "completed"))["result"] == DONE.value
        async with asyncio.timeout(30):
            while here._running:
                await asyncio.sleep(0.01)
