"""Tasks in a file: they resolve in another process, survive a kill, and hear what other processes want from them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rune.tasks import LEASE, Record
from tests.rig import Rig, config, rig
from tests.wire.client import ALL, META, TASKS, Refused, text_of, word
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

TOOLS = Path(__file__).parent.parent / "wire" / "tools.py"
DECLARED = {META + "clientCapabilities": {**ALL, "extensions": {TASKS: {}}}}
TERMINAL = ("completed", "failed", "cancelled")


class House:
    """Servers that share one store, and a client for each."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.store = folder / "store" / "rune.db"
        self._path = config(folder, TOOLS, [f'store = "sqlite:{self.store}"'])
        self._stack = stack
        self.clients: list[HttpClient] = []

    def server(self) -> Rig:
        """One more."""
        return self._stack.enter_context(rig("--config", str(self._path)))

    def client(self, server: Rig) -> HttpClient:
        self.clients.append(HttpClient(server.url, MODERN))
        return self.clients[-1]

    def age(self, seconds: float) -> None:
        """Let time pass for the tasks in the store, as far as their signs of life go."""
        with sqlite3.connect(self.store) as store:
            for key, data in store.execute("select key, value from entries where key like 'task/%'").fetchall():
                record = msgspec.msgpack.decode(data, type=Record)
                record.alive -= seconds
                store.execute("update entries set value = ? where key = ?", (msgspec.msgpack.encode(record), key))
        store.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path, stack)


async def ask(client: HttpClient, method: str, **params: Any) -> dict[str, Any]:
    return await client.request(method, params, meta=DECLARED)


async def begin(client: HttpClient, name: str, **arguments: Any) -> str:
    """The id of the task that a call has become."""
    id: str = (await client.request("tools/call", {"name": name, "arguments": arguments}, meta=DECLARED))["taskId"]
    return id


async def until(client: HttpClient, id: str, *status: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while (task := await ask(client, "tasks/get", taskId=id))["status"] not in status:
            await asyncio.sleep(0.01)
    return task


Run = Callable[[House], Awaitable[None]]


async def closed(house: House, run: Run) -> None:
    """Run something and close its clients."""
    try:
        await run(house)
    finally:
        for client in house.clients:
            await client.close()


async def test_a_task_resolves_in_another_process_right_after_the_answer(house: House) -> None:
    async def run(house: House) -> None:
        one, two = house.client(house.server()), house.client(house.server())
        for _ in range(20):
            key = word()
            id = await begin(one, "later", key=key, text=key)
            assert (await ask(two, "tasks/get", taskId=id))["status"] == "working"
            await one.text("mark", key=key, what="go")
            assert text_of((await until(two, id, *TERMINAL))["result"]) == key

    await closed(house, run)


async def test_what_another_process_wants_reaches_the_body(house: House) -> None:
    async def run(house: House) -> None:
        one, two = house.client(house.server()), house.client(house.server())
        said = word()
        id = await begin(one, "later_ask", question=word())
        task = await until(two, id, "input_required")
        (question,) = task["inputRequests"]
        with pytest.raises(Refused) as refused:
            await ask(two, "tasks/update", taskId=id, inputResponses={question: {"action": "maybe"}})
        assert refused.value.code == -32602
        await ask(
            two, "tasks/update", taskId=id, inputResponses={question: {"action": "accept", "content": {"a": said}}}
        )
        assert text_of((await until(two, id, *TERMINAL))["result"]) == f"accept:{said}"
        key = word()
        id = await begin(one, "later", key=key, text="x")
        assert await one.text("marked", key=key, what="started", seconds=5) == "true"
        await ask(two, "tasks/cancel", taskId=id)
        assert await one.text("marked", key=key, what="cancelled", seconds=5) == "true"
        assert (await until(two, id, *TERMINAL))["status"] == "cancelled"

    await closed(house, run)


async def test_news_of_a_task_reach_who_listens_in_its_process(house: House) -> None:
    async def run(house: House) -> None:
        one = house.client(house.server())
        key = word()
        id = await begin(one, "later", key=key, text="x")
        exchange = await one.open("subscriptions/listen", {"notifications": {"taskIds": [id]}}, meta=DECLARED)
        assert (await exchange.next())["params"]["notifications"] == {"taskIds": [id]}
        await one.text("mark", key=key, what="go")
        while (await exchange.next("notifications/tasks"))["params"]["status"] != "completed":
            pass
        await one.drop(exchange)

    await closed(house, run)


async def test_after_a_kill_what_was_done_is_there_and_the_rest_has_failed(house: House) -> None:
    async def run(house: House) -> None:
        first = house.server()
        one = house.client(first)
        done_key, open_key = word(), word()
        done = await begin(one, "later", key=done_key, text=done_key)
        await one.text("mark", key=done_key, what="go")
        await until(one, done, "completed")
        interrupted = await begin(one, "later", key=open_key, text=open_key)
        asking = await begin(one, "later_ask", question=word())
        await until(one, asking, "input_required")
        first.kill()
        two = house.client(house.server())
        assert text_of((await ask(two, "tasks/get", taskId=done))["result"]) == done_key
        # As long as it may still live somewhere, nothing is said about its end.
        assert (await ask(two, "tasks/get", taskId=interrupted))["status"] == "working"
        house.age(LEASE + 1)
        for id in (interrupted, asking):
            task = await ask(two, "tasks/get", taskId=id)
            assert task["status"] == "failed"
            assert task["error"]["code"] == -32603
            assert "died" in task["error"]["message"]
            # Terminal is terminal.
            await ask(two, "tasks/cancel", taskId=id)
            await ask(two, "tasks/update", taskId=id, inputResponses={"k1": {"action": "accept"}})
            assert (await ask(two, "tasks/get", taskId=id))["status"] == "failed"

    await closed(house, run)


async def test_a_server_that_stops_says_what_became_of_its_tasks(house: House) -> None:
    async def run(house: House) -> None:
        first = house.server()
        one = house.client(first)
        key = word()
        id = await begin(one, "later", key=key, text="x")
        await one.text("marked", key=key, what="started", seconds=5)
        assert await asyncio.to_thread(first.stop) == 0
        task = await ask(house.client(house.server()), "tasks/get", taskId=id)
        assert task["status"] in ("failed", "cancelled")
        assert "stop" in task.get("statusMessage", "") + str(task.get("error"))

    await closed(house, run)


async def test_a_question_outlives_a_restart_where_the_tool_replays(house: House) -> None:
    """The key ring is in the store, and a replayed body keeps nothing in its process."""

    async def run(house: House) -> None:
        first = house.server()
        params = {"name": "ask_again", "arguments": {"question": word(), "field": "f"}}
        one = house.client(first)
        asked = await one.request("tools/call", params)
        (question,) = asked["inputRequests"]
        first.kill()
        answers = {
            "inputResponses": {question: {"action": "accept", "content": {"f": "x"}}},
            "requestState": asked["requestState"],
        }
        result = await house.client(house.server()).request("tools/call", {**params, **answers})
        assert text_of(result) == "accept:x"

    await closed(house, run)


async def test_the_store_is_readable_by_its_owner_only(house: House) -> None:
    house.server()
    assert house.store.stat().st_mode & 0o077 == 0
