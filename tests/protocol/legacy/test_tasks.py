"""Core tasks of 2025-11-25 against the extension."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.protocol.legacy import tasks
from rune.protocol.modern import SERVER_KEY, SUBSCRIPTION_KEY

REVISION = "2025-11-25"
encode, decode = msgspec.json.encode, msgspec.json.decode

TASK: dict[str, Any] = {
    "taskId": "t1",
    "status": "working",
    "statusMessage": "busy",
    "createdAt": "2026-11-20T10:00:00Z",
    "lastUpdatedAt": "2026-11-20T10:00:01Z",
    "ttlMs": 60000,
    "pollIntervalMs": 500,
}
CORE: dict[str, Any] = {
    "taskId": "t1",
    "status": "working",
    "statusMessage": "busy",
    "createdAt": "2026-11-20T10:00:00Z",
    "lastUpdatedAt": "2026-11-20T10:00:01Z",
    "ttl": 60000,
    "pollInterval": 500,
}
STATUSES = ["working", "input_required", "completed", "failed", "cancelled"]


def test_the_states_are_those_of_the_schema(definitions):
    assert set(definitions(REVISION)["TaskStatus"]["enum"]) == set(STATUSES)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("ttl", [None, 0, 60000])
def test_a_created_task(status, ttl, check):
    raw = encode({"resultType": "task", **TASK, "status": status, "ttlMs": ttl})
    result = decode(tasks.create_result(raw))
    check(REVISION, "CreateTaskResult", result)
    assert result == {"task": {**CORE, "status": status, "ttl": ttl}}


def test_foreign_members_of_a_created_task_stay():
    meta = {SERVER_KEY: {"name": "a", "version": "1"}, SUBSCRIPTION_KEY: 5}
    raw = encode({"resultType": "task", **TASK, "_meta": {**meta, "com.example/a": 1}, "foreign": 1})
    assert decode(tasks.create_result(raw)) == {"task": CORE, "foreign": 1, "_meta": {"com.example/a": 1}}
    assert decode(tasks.create_result(encode({**TASK, "_meta": meta}))) == {"task": CORE}


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"inputRequests": {"a": {"method": "roots/list"}}},
        {"result": {"content": []}},
        {"pollIntervalMs": 1},
    ],
)
def test_a_task_that_is_looked_up(details, check):
    result = decode(tasks.get_result(encode({"resultType": "complete", **TASK, **details})))
    check(REVISION, "GetTaskResult", result)
    check(REVISION, "CancelTaskResult", result)
    assert result == {**CORE, **({"pollInterval": 1} if "pollIntervalMs" in details else {})}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"error": {"code": -32603, "message": "no disk"}}, "no disk"),
        ({"error": {"code": -32603, "message": "no disk"}, "statusMessage": "known"}, "known"),
        ({"error": {"code": -32603}}, None),
        ({"error": "text"}, None),
        ({"error": {"message": 5}}, None),
        ({}, None),
    ],
)
def test_a_failed_task_says_why(extra, message):
    task = {key: value for key, value in TASK.items() if key != "statusMessage"}
    result = decode(tasks.get_result(encode({**task, "status": "failed", **extra})))
    assert result.get("statusMessage") == message
    assert "error" not in result


def test_a_task_without_ttl_lives_without_limit(check):
    task = {key: value for key, value in TASK.items() if key not in ("ttlMs", "pollIntervalMs")}
    result = decode(tasks.get_result(encode(task)))
    check(REVISION, "GetTaskResult", result)
    assert result["ttl"] is None


@pytest.mark.parametrize("cursor", [None, "", "next"])
def test_a_list_of_tasks(cursor, check):
    result = decode(tasks.list_result([encode(TASK), encode({**TASK, "taskId": "t2", "error": {}})], cursor))
    check(REVISION, "ListTasksResult", result)
    assert result["tasks"] == [CORE, {**CORE, "taskId": "t2"}]
    assert result.get("nextCursor") == cursor
    assert decode(tasks.list_result([])) == {"tasks": []}


@pytest.mark.parametrize("meta", [None, {}, {"com.example/a": 1}])
def test_the_result_of_a_task_names_it(meta, check):
    value = {"content": [{"type": "text", "text": "a"}], **({} if meta is None else {"_meta": meta})}
    result = decode(tasks.related(encode(value), "t1"))
    check(REVISION, "CallToolResult", result)
    assert result == {**value, "_meta": {**(meta or {}), tasks.RELATED: {"taskId": "t1"}}}
    assert decode(tasks.related(b'{"_meta":5}', "t1")) == {"_meta": {tasks.RELATED: {"taskId": "t1"}}}


@given(
    st.fixed_dictionaries(
        {
            "taskId": st.text(),
            "status": st.sampled_from(STATUSES),
            "createdAt": st.text(),
            "lastUpdatedAt": st.text(),
            "ttlMs": st.none() | st.integers(0, 10**12),
        },
        optional={"statusMessage": st.text(), "pollIntervalMs": st.integers(0, 10**6)},
    )
)
def test_a_task_survives_the_way_there_and_back(task):
    created = {"resultType": "task", **task}
    assert decode(tasks.upgrade_create(tasks.create_result(encode(created)))) == created
    found = {"resultType": "complete", **task}
    assert decode(tasks.upgrade_get(tasks.get_result(encode(found)))) == found


def test_a_task_of_an_upstream_without_anything():
    assert decode(tasks.upgrade_create(b'{"_meta":{"a":1}}')) == {
        "resultType": "task",
        "_meta": {"a": 1},
        "ttlMs": None,
    }
    assert decode(tasks.upgrade_get(b"{}")) == {"resultType": "complete", "ttlMs": None}
