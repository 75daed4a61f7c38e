"""What is kept belongs to its caller: tasks, parked calls, requestState, sessions."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rune import Context, Server
from rune.gateway import Gateway
from rune.protocol import jsonrpc
from rune.request import Caller
from rune.server.dispatch import Dispatcher
from rune.server.exchange import Out
from rune.server.legacy.http import LegacyHttp
from rune.server.reply import Reply
from rune.server.run import Guard
from rune.store import MemoryStore
from rune.tasks import Tasks
from rune.view import Mount
from tests.wire.client import ALL, TASKS, Client, word
from tests.wire.schemas import MODERN

ANN, BOB = Caller("ann"), Caller("bob")
SPEAKER = Client(MODERN, {**ALL, "extensions": {TASKS: {}}})


class Silent(Reply):
    """Nobody listens to what comes before the answer."""

    __slots__ = ()


@pytest.fixture
async def dispatcher() -> AsyncIterator[Dispatcher]:
    server = Server("callers")

    @server.tool
    async def ask(question: str, ctx: Context) -> str:
        return (await ctx.elicit(question)).action

    @server.tool(task="required")
    async def later(question: str, ctx: Context) -> str:
        return (await ctx.elicit(question)).action

    async with MemoryStore() as store, Tasks(store) as tasks:
        server.tasks = tasks
        async with Gateway([Mount(server)], tasks=tasks) as gateway:
            yield Dispatcher(gateway.handle, gateway.seal, {"name": "x", "version": "1"})


async def say(dispatcher: Dispatcher, caller: Caller, method: str, **params: Any) -> dict[str, Any]:
    """The response to a modern request of a caller."""
    envelope = jsonrpc.opened(json.dumps(SPEAKER.message(method, params)).encode())
    answer = await dispatcher.answer(envelope, Silent(), Guard(), caller=caller)
    assert answer is not None
    response: dict[str, Any] = json.loads(answer[0])
    return response


async def test_a_task_does_not_exist_for_another_caller(dispatcher: Dispatcher) -> None:
    created = (await say(dispatcher, ANN, "tools/call", name="later", arguments={"question": word()}))["result"]
    id = created["taskId"]
    assert (await say(dispatcher, ANN, "tasks/get", taskId=id))["result"]["taskId"] == id
    unknown = (await say(dispatcher, BOB, "tasks/get", taskId="task-" + "0" * 32))["error"]
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        error = (await say(dispatcher, BOB, method, taskId=id, inputResponses={}))["error"]
        # Not to be told from one that never was.
        assert error == {**unknown, "message": unknown["message"].replace("task-" + "0" * 32, id)}
    assert (await say(dispatcher, ANN, "tasks/get", taskId=id))["result"]["status"] in ("working", "input_required")
    await say(dispatcher, ANN, "tasks/cancel", taskId=id)


async def test_a_state_is_good_for_its_caller_only(dispatcher: Dispatcher) -> None:
    call = {"name": "ask", "arguments": {"question": word()}}
    asked = (await say(dispatcher, ANN, "tools/call", **call))["result"]
    (key,) = asked["inputRequests"]
    retry = {**call, "inputResponses": {key: {"action": "decline"}}, "requestState": asked["requestState"]}
    refused = (await say(dispatcher, BOB, "tools/call", **retry))["error"]
    assert (refused["code"], refused["data"]) == (-32602, {"reason": "invalid_request_state"})
    answered = (await say(dispatcher, ANN, "tools/call", **retry))["result"]
    assert answered["content"][0]["text"] == "decline"


async def test_a_state_that_is_too_old(dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    call = {"name": "ask", "arguments": {"question": word()}}
    asked = (await say(dispatcher, ANN, "tools/call", **call))["result"]
    (key,) = asked["inputRequests"]
    retry = {**call, "inputResponses": {key: {"action": "decline"}}, "requestState": asked["requestState"]}
    now = time.time()
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: now + 24 * 3600)
        assert (await say(dispatcher, ANN, "tools/call", **retry))["error"]["data"] == {
            "reason": "invalid_request_state"
        }
    assert (await say(dispatcher, ANN, "tools/call", **retry))["result"]["content"][0]["text"] == "decline"


class Kept(Out):
    """Keeps the response."""

    status: int = 0
    headers: dict[bytes, bytes] = {}

    async def respond(self, status: int, body: bytes, headers: Any = ()) -> None:
        self.status, self.headers = status, dict(headers)


async def test_a_session_does_not_exist_for_another_caller(dispatcher: Dispatcher) -> None:
    legacy = LegacyHttp(dispatcher)
    old = Client("2025-06-18")
    hello = {"protocolVersion": old.revision, "capabilities": {}, "clientInfo": old.info}

    async def post(message: dict[str, Any], caller: Caller, **headers: bytes) -> Kept:
        out = Kept()
        sent = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        await legacy.post(jsonrpc.opened(json.dumps(message).encode()), sent, out, caller)
        return out

    id = (await post(old.message("initialize", hello), ANN)).headers[b"mcp-session-id"]
    assert (await post(old.message("ping"), ANN, mcp_session_id=id)).status == 200
    assert (await post(old.message("ping"), BOB, mcp_session_id=id)).status == 404
    out = Kept()
    await legacy.delete({b"mcp-session-id": id}, out, BOB)
    assert out.status == 404
    batch = json.dumps([old.message("ping")]).encode()
    assert not await legacy.batch({b"mcp-session-id": id}, batch, out, BOB)
    assert len(legacy) == 1
    await legacy.close()
