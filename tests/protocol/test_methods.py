"""The table of methods against the official schemas."""

from __future__ import annotations

import pytest

from rune.protocol.methods import LEGACY, LOG_LEVELS, METHODS, MODERN, MODERN_METHODS, NEWEST_LEGACY, REVISIONS

TASK_METHODS = {"tasks/get", "tasks/update", "tasks/cancel"}


def client_requests(known) -> dict[str, dict]:
    """Method -> definition of every request that a client may send."""
    names = [option["$ref"].rsplit("/", 1)[1] for option in known["ClientRequest"]["anyOf"]]
    return {known[name]["properties"]["method"]["const"]: known[name] for name in names}


def test_revisions_are_in_order():
    assert sorted(REVISIONS) == list(REVISIONS)
    assert max(LEGACY) == NEWEST_LEGACY
    assert set(REVISIONS) == LEGACY | {MODERN}


@pytest.mark.parametrize("revision", sorted(LEGACY))
def test_every_legacy_request_is_in_the_table(revision, definitions):
    assert set(client_requests(definitions(revision))) <= {name for name, row in METHODS.items() if row.legacy}


def test_no_legacy_method_is_made_up(definitions):
    every = {name for revision in LEGACY for name in client_requests(definitions(revision))}
    assert {name for name, row in METHODS.items() if row.legacy} == every


def test_modern_methods_are_those_of_the_schema_and_of_the_tasks_extension(definitions):
    assert set(MODERN_METHODS) == set(client_requests(definitions(MODERN))) | TASK_METHODS
    assert {name for name, row in METHODS.items() if row.modern} == set(MODERN_METHODS)


def test_key_is_a_required_parameter(definitions):
    known = definitions(MODERN)
    for name, request in client_requests(known).items():
        params = known[request["properties"]["params"]["$ref"].rsplit("/", 1)[1]]
        key = METHODS[name].key
        # wire.md §7.1: Mcp-Name mirrors these three, and taskId.
        assert key == {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(name)
        assert key is None or key in params["required"]
    assert {METHODS[name].key for name in TASK_METHODS} == {"taskId"}


def test_cacheable_and_asking_methods_are_those_of_the_schema(definitions):
    known = definitions(MODERN)
    for name, request in client_requests(known).items():
        title = next(key for key, value in known.items() if value is request)
        response = known.get(title.replace("Request", "ResultResponse"))
        if response is None:
            continue
        result = response["properties"]["result"]
        options = [option["$ref"].rsplit("/", 1)[1] for option in result.get("anyOf", [result])]
        complete = known[next(option for option in options if option != "InputRequiredResult")]
        assert METHODS[name].asks == ("InputRequiredResult" in options), name
        assert METHODS[name].cacheable == ("ttlMs" in complete["required"]), name
        members = METHODS[name].members
        assert members is None or members in complete["required"]
        assert (members is not None) == ("nextCursor" in complete["properties"])


def test_log_levels_are_those_of_the_schema(definitions):
    assert set(LOG_LEVELS) == set(definitions(MODERN)["LoggingLevel"]["enum"])
    assert LOG_LEVELS.index("debug") < LOG_LEVELS.index("warning") < LOG_LEVELS.index("emergency")
