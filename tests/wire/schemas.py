"""The official JSON schemas as the judge of every frame that the server sends."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

MODERN: Final = "2026-07-28"
LEGACY: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")

FOLDER: Final = Path(__file__).parent.parent / "protocol" / "schema"

RESULTS: Final = {
    "initialize": "InitializeResult",
    "server/discover": "DiscoverResult",
    "tools/list": "ListToolsResult",
    "tools/call": "CallToolResult",
    "resources/list": "ListResourcesResult",
    "resources/templates/list": "ListResourceTemplatesResult",
    "resources/read": "ReadResourceResult",
    "prompts/list": "ListPromptsResult",
    "prompts/get": "GetPromptResult",
    "completion/complete": "CompleteResult",
    "subscriptions/listen": "SubscriptionsListenResult",
    "ping": "EmptyResult",
    "logging/setLevel": "EmptyResult",
    "resources/subscribe": "EmptyResult",
    "resources/unsubscribe": "EmptyResult",
}
CORE_TASKS: Final = {
    "tasks/get": "GetTaskResult",
    "tasks/result": "GetTaskPayloadResult",
    "tasks/list": "ListTasksResult",
    "tasks/cancel": "CancelTaskResult",
}

_STATUS: Final = {"enum": ["working", "input_required", "completed", "failed", "cancelled"]}
_TASK: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["taskId", "status", "createdAt", "lastUpdatedAt", "ttlMs"],
    "properties": {
        "taskId": {"type": "string", "minLength": 16},
        "status": _STATUS,
        "statusMessage": {"type": "string"},
        "createdAt": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"},
        "lastUpdatedAt": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"},
        "ttlMs": {"type": ["integer", "null"], "minimum": 0},
        "pollIntervalMs": {"type": "integer", "minimum": 0},
        # What an earlier draft of the extension had, and what belongs to the multi round trip.
        "task": False,
        "ttl": False,
        "pollInterval": False,
        "requestState": False,
    },
    "allOf": [
        {
            "if": {"properties": {"status": {"const": "input_required"}}},
            "else": {"properties": {"inputRequests": False}},
        },
        {"if": {"properties": {"status": {"const": "completed"}}}, "else": {"properties": {"result": False}}},
        {"if": {"properties": {"status": {"const": "failed"}}}, "else": {"properties": {"error": False}}},
    ],
}
"""The flat Task of the tasks extension, which has no official schema (wire.md, section 13)."""


def result_schema(kind: str) -> dict[str, Any]:
    """A task as a result of the extension."""
    return {"allOf": [_TASK, {"required": ["resultType"], "properties": {"resultType": {"const": kind}}}]}


@cache
def _schema(revision: str) -> tuple[str, dict[str, Any]]:
    schema = json.loads((FOLDER / revision / "schema.json").read_text("utf-8"))
    return ("$defs" if "$defs" in schema else "definitions"), schema


@cache
def _validator(revision: str, name: str) -> Any:
    key, schema = _schema(revision)
    return jsonschema_rs.validator_for({"$schema": schema["$schema"], "$ref": f"#/{key}/{name}", key: schema[key]})


def has(revision: str, name: str) -> bool:
    """Whether a revision has a type of this name."""
    key, schema = _schema(revision)
    return name in schema[key]


def check(revision: str, name: str, value: Any) -> None:
    """Fail unless a value is an instance of a type of a revision."""
    _raise(_validator(revision, name), f"{name} of {revision}", value)


def check_task(value: Any, kind: str | None = None) -> None:
    """Fail unless a value is a task of the extension, of this resultType where it is a result."""
    _raise(jsonschema_rs.validator_for(_TASK if kind is None else result_schema(kind)), "Task", value)


def _raise(validator: Any, what: str, value: Any) -> None:
    errors = [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(value)]
    assert not errors, f"{what}: {errors[:3]}\n{json.dumps(value)[:1500]}"


def check_frame(revision: str, frame: Any, method: str | None = None) -> None:
    """Judge one frame from the server; `method` is that of the request which a response answers."""
    assert frame.get("jsonrpc") == "2.0", frame
    if "method" in frame:
        _check_message(revision, frame)
    elif "error" in frame:
        # An id that could not be read is left out, which the schemas before the newest two have no word for.
        if "id" not in frame and revision < "2025-11-25":
            frame = {**frame, "id": 0}
        name = "JSONRPCErrorResponse" if has(revision, "JSONRPCErrorResponse") else "JSONRPCError"
        check(revision, name, frame)
    else:
        name = "JSONRPCResultResponse" if has(revision, "JSONRPCResultResponse") else "JSONRPCResponse"
        check(revision, name, frame)
        if method is not None:
            _check_result(revision, method, frame["result"])


def _check_message(revision: str, frame: Any) -> None:
    if "id" in frame:
        assert revision != MODERN, f"a server sends no requests in this revision: {frame}"
        check(revision, "JSONRPCRequest", frame)
        check(revision, "ServerRequest", frame)
    elif revision == MODERN and frame["method"] == "notifications/tasks":
        check_task({key: value for key, value in frame["params"].items() if key != "_meta"})
    else:
        check(revision, "JSONRPCNotification", frame)
        check(revision, "ServerNotification", frame)


def _check_result(revision: str, method: str, result: Any) -> None:
    if revision == MODERN:
        assert result.get("resultType") in ("complete", "input_required", "task"), result
        assert "io.modelcontextprotocol/serverInfo" in result["_meta"], result
        if method == "tasks/get":
            check_task(result, "complete")
            return
        if result["resultType"] == "task":
            check_task(result, "task")
            return
        if result["resultType"] == "input_required":
            check(revision, "InputRequiredResult", result)
            return
        if method == "subscriptions/listen":
            check(revision, "SubscriptionsListenResult", result)
            return
        check(revision, RESULTS.get(method, "EmptyResult"), result)
        return
    for key in ("resultType", "ttlMs", "cacheScope", "inputRequests", "requestState"):
        assert key not in result, f"{key} is a word of {MODERN}: {result}"
    if method == "tools/call" and "task" in result and "content" not in result:
        check(revision, "CreateTaskResult", result)
    else:
        check(revision, {**RESULTS, **CORE_TASKS}[method], result)
