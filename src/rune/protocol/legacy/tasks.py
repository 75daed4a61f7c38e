"""Core tasks of 2025-11-25 against the tasks extension of 2026-07-28: the same states under other names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from rune.protocol.jsonrpc import read_object
from rune.protocol.legacy.members import Members, as_members, as_text, drop_meta, encode
from rune.protocol.modern import SERVER_KEY, SUBSCRIPTION_KEY

RELATED: Final = "io.modelcontextprotocol/related-task"

_NULL: Final = msgspec.Raw(b"null")
_RENAMED: Final = {"ttlMs": "ttl", "pollIntervalMs": "pollInterval"}
_TASK: Final = ("taskId", "status", "statusMessage", "createdAt", "lastUpdatedAt", *_RENAMED)
_DETAILS: Final = ("resultType", "inputRequests", "result", "error")


def task_of(members: Mapping[str, Any]) -> Members:
    """The core Task in a flat task of the extension. A failed one says why, if it can."""
    task = {_RENAMED.get(key, key): members[key] for key in _TASK if key in members}
    task.setdefault("ttl", _NULL)
    error = None if "statusMessage" in task else as_members(members.get("error", b""))
    message = None if error is None else as_text(error.get("message"))
    if message:
        task["statusMessage"] = message
    return task


def create_result(raw: bytes) -> bytes:
    """A CreateTaskResult of the extension (flat) as that of 2025-11-25 (with `task`)."""
    members = read_object(raw)
    return encode({**_rest(members), "task": task_of(members)})


def get_result(raw: bytes) -> bytes:
    """The answer to tasks/get, which answers tasks/cancel too at 2025-11-25."""
    members = read_object(raw)
    return encode({**_rest(members), **task_of(members)})


def list_result(tasks: Iterable[bytes], next_cursor: str | None = None) -> bytes:
    """The answer to tasks/list from flat tasks of the extension, which has no such method."""
    result: dict[str, Any] = {"tasks": [task_of(read_object(raw)) for raw in tasks]}
    if next_cursor is not None:
        result["nextCursor"] = next_cursor
    return encode(result)


def related(raw: bytes, task_id: str) -> bytes:
    """The answer to tasks/result: the result of the task, marked as belonging to it."""
    members: Members = dict(read_object(raw))
    meta = as_members(members.get("_meta", b"{}")) or {}
    members["_meta"] = {**meta, RELATED: {"taskId": task_id}}
    return encode(members)


def unrelated(raw: bytes) -> bytes:
    """The answer to tasks/result as the plain result of the call: the extension marks it nowhere."""
    members: Members = dict(read_object(raw))
    drop_meta(members, RELATED)
    return encode(members)


def related_task(params: Mapping[str, msgspec.Raw]) -> str | None:
    """The task that a message belongs to, if it says so."""
    meta = as_members(params.get("_meta", b"")) or {}
    related = as_members(meta.get(RELATED, b"")) or {}
    return as_text(related.get("taskId"))


def upgrade_create(raw: bytes) -> bytes:
    """A CreateTaskResult of 2025-11-25 as that of the extension."""
    members: Members = dict(read_object(raw))
    task = read_object(members.pop("task", b""))
    return encode({"resultType": "task", **members, **_upgraded(task)})


def upgrade_get(raw: bytes) -> bytes:
    """The answer of 2025-11-25 to tasks/get as that of the extension, still without result, error and questions."""
    return encode({"resultType": "complete", **_upgraded(read_object(raw))})


def _upgraded(task: Mapping[str, Any]) -> Members:
    names = {old: new for new, old in _RENAMED.items()}
    return {"ttlMs": _NULL, **{names.get(key, key): value for key, value in task.items()}}


def _rest(members: Mapping[str, Any]) -> Members:
    """What is in a result besides the task: foreign members and `_meta` without the keys of 2026-07-28."""
    rest = {key: value for key, value in members.items() if key not in _TASK and key not in _DETAILS}
    drop_meta(rest, SERVER_KEY, SUBSCRIPTION_KEY)
    return rest
