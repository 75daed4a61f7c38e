"""Core tasks of 2025-11-25 for legacy clients, on top of the tasks extension that Rune speaks inside."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rune.errors import ProtocolError
from rune.protocol import jsonrpc
from rune.protocol.legacy import results
from rune.protocol.legacy import tasks as shapes
from rune.protocol.methods import NEWEST_LEGACY, TASKS
from rune.request import Params, Request

if TYPE_CHECKING:
    from rune.server.legacy.session import Call, Session

TERMINAL: Final = ("completed", "failed", "cancelled")
POLL: Final = 0.1


def allowed(method: str, revision: str) -> bool:
    """Tasks came with the last legacy revision."""
    return not method.startswith("tasks/") or revision == NEWEST_LEGACY


def concerns(method: str, params: Params, revision: str) -> bool:
    """Whether a request is one about tasks, or a call that wants to become one."""
    return revision == NEWEST_LEGACY and (method.startswith("tasks/") or (method == "tools/call" and "task" in params))


async def answer(session: Session, request: Request, call: Call) -> bytes:
    """Answer it in the shapes of that revision."""
    request = request.replace(meta=_declaring(request))
    match request.method:
        case "tools/call":
            result = await session.call(request, call)
            if result.kind == "task":
                return shapes.create_result(result.raw)
            return results.downgrade_result(request.method, result.raw, session.revision)
        case "tasks/cancel":
            await session.call(request, call)
            return await _get(session, request, call)
        case "tasks/list":
            records = (await session.call(request, call)).value["tasks"]
            return shapes.list_result(jsonrpc.encode(record) for record in records)
        case "tasks/result":
            return await _result(session, request, call)
        case _:
            return await _get(session, request, call)


def _declaring(request: Request) -> Any:
    """The client's capabilities, with the extension that its `task` parameter stands for."""
    capabilities = request.capabilities
    extensions = {**capabilities.get("extensions", {}), TASKS: {}}
    raw = msgspec.Raw(jsonrpc.encode({**capabilities, "extensions": extensions}))
    return msgspec.structs.replace(request.meta, capabilities=raw)


def _as(request: Request, method: str, **params: Any) -> Request:
    task = {"taskId": request.params["taskId"]} if "taskId" in request.params else {}
    raw = {key: msgspec.Raw(jsonrpc.encode(value)) for key, value in params.items()}
    return request.replace(method=method, params={**task, **raw}, id=None)


async def _get(session: Session, request: Request, call: Call) -> bytes:
    return shapes.get_result((await session.call(_as(request, "tasks/get"), call)).raw)


async def _result(session: Session, request: Request, call: Call) -> bytes:
    """Blocks until the task is over, asking the client on the way (tasks/result of 2025-11-25)."""
    id = request.text("taskId")
    asked: set[str] = set()
    while True:
        task = (await session.call(_as(request, "tasks/get"), call)).value
        status = task["status"]
        if status == "completed":
            raw = jsonrpc.encode(task["result"])
            return shapes.related(results.downgrade_result("tools/call", raw, session.revision), id)
        if status in TERMINAL:
            error = task.get("error") or {"code": -32603, "message": f"task {id} was cancelled"}
            raise ProtocolError(error["code"], error["message"], data=error.get("data"))
        pending = {key: value for key, value in task.get("inputRequests", {}).items() if key not in asked}
        if pending:
            asked |= pending.keys()
            answers = await session.ask(pending, call, {shapes.RELATED: {"taskId": id}})
            await session.call(_as(request, "tasks/update", inputResponses=answers), call)
        else:
            await asyncio.sleep(POLL)
