"""The handshake of the legacy revisions against discovery."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.errors import INVALID_PARAMS, INVALID_REQUEST, ProtocolError
from rune.protocol.legacy import negotiate
from rune.protocol.methods import LEGACY, MODERN, NEWEST_LEGACY, TASKS
from rune.protocol.modern import SERVER_KEY

REVISIONS = sorted(LEGACY)
ICON = {"src": "https://example.com/i.png"}
SERVER = {
    "name": "s",
    "version": "1",
    "title": "S",
    "description": "d",
    "icons": [ICON],
    "websiteUrl": "https://example.com",
}
DISCOVER = {
    "resultType": "complete",
    "supportedVersions": [MODERN],
    "capabilities": {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True},
        "prompts": {},
        "completions": {},
        "logging": {},
        "experimental": {"x": {}},
        "extensions": {TASKS: {}, "com.example/other": {}},
    },
    "instructions": "read me",
    "ttlMs": 5,
    "cacheScope": "public",
    "_meta": {SERVER_KEY: SERVER, "com.example/a": 1},
    "foreign": 1,
}


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_served_revision_is_chosen(revision):
    assert negotiate.choose(revision) == revision


@given(st.text() | st.sampled_from([MODERN, "2024-10-07", "2099-01-01"]))
def test_another_revision_gets_the_newest_of_the_era(requested):
    assert negotiate.choose(requested) == NEWEST_LEGACY


@pytest.mark.parametrize("requested", [None, 20251125, [], {}, True])
def test_a_revision_must_be_named(requested):
    with pytest.raises(ProtocolError) as caught:
        negotiate.choose(requested)
    assert caught.value.code == INVALID_PARAMS


def test_the_header_of_a_legacy_request():
    assert negotiate.header_version(None) == "2025-03-26"
    assert [negotiate.header_version(revision) for revision in REVISIONS] == REVISIONS


@pytest.mark.parametrize("value", ["", "2025-06-18 ", MODERN, "1.0"])
def test_a_header_that_names_no_served_revision(value):
    with pytest.raises(ProtocolError, match="served are 2026-07-28, 2025-11-25") as caught:
        negotiate.header_version(value)
    assert caught.value.code == INVALID_REQUEST


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_discovery_becomes_a_handshake(revision, check):
    result = negotiate.initialize_result(DISCOVER, revision)
    check(revision, "InitializeResult", result)
    assert result["protocolVersion"] == revision
    assert result["instructions"] == "read me"
    assert result["_meta"] == {"com.example/a": 1}
    assert result["foreign"] == 1
    assert not {"resultType", "ttlMs", "cacheScope", "supportedVersions"} & set(result)


@pytest.mark.parametrize(
    ("revision", "keys"),
    [
        ("2024-11-05", {"name", "version"}),
        ("2025-03-26", {"name", "version"}),
        ("2025-06-18", {"name", "version", "title"}),
        ("2025-11-25", set(SERVER)),
    ],
)
def test_server_info_of_a_revision(revision, keys, definitions):
    info = negotiate.initialize_result(DISCOVER, revision)["serverInfo"]
    assert set(info) == keys
    assert keys == set(definitions(revision)["Implementation"]["properties"])


@pytest.mark.parametrize("revision", REVISIONS)
def test_capabilities_of_a_revision(revision, definitions):
    capabilities = negotiate.initialize_result(DISCOVER, revision)["capabilities"]
    assert set(capabilities) == set(definitions(revision)["ServerCapabilities"]["properties"])


def test_core_tasks_only_where_they_exist():
    tasks = {
        revision: negotiate.initialize_result(DISCOVER, revision)["capabilities"].get("tasks") for revision in LEGACY
    }
    assert tasks.pop("2025-11-25") == {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    assert set(tasks.values()) == {None}
    without = {**DISCOVER, "capabilities": {"extensions": {}}}
    assert negotiate.initialize_result(without, "2025-11-25")["capabilities"] == {}


def test_a_nameless_server_gets_a_name(check):
    result = negotiate.initialize_result({"capabilities": {}}, "2025-11-25")
    assert result["serverInfo"] == {"name": "unknown", "version": "0"}
    assert "_meta" not in result
    check("2025-11-25", "InitializeResult", result)


@pytest.mark.parametrize("revision", REVISIONS)
@settings(max_examples=20)
@given(data=st.data())
def test_any_discovery_becomes_a_handshake_and_back(revision, data, instances, check):
    result = negotiate.initialize_result(data.draw(instances("DiscoverResult")), revision)
    check(revision, "InitializeResult", result)
    back = negotiate.discover_result(result)
    check(MODERN, "DiscoverResult", back)
    assert back["_meta"][SERVER_KEY] == result["serverInfo"]
    assert back.get("instructions") == result.get("instructions")


def test_a_handshake_becomes_a_discovery(check):
    result = negotiate.discover_result(negotiate.initialize_result(DISCOVER, "2025-11-25"))
    check(MODERN, "DiscoverResult", result)
    assert result == {
        **DISCOVER,
        "supportedVersions": ["2025-11-25"],
        "capabilities": {**DISCOVER["capabilities"], "extensions": {TASKS: {}}},
        "ttlMs": 0,
        "cacheScope": "private",
    }


@pytest.mark.parametrize(
    "tasks",
    [{}, {"requests": {}}, {"requests": {"tools": {}}}, {"requests": {"sampling": {"createMessage": {}}}}, [], 1],
)
def test_tasks_of_an_upstream_that_are_none_of_tool_calls(tasks):
    assert negotiate.discover_result({"capabilities": {"tasks": tasks}})["capabilities"] == {}


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"protocolVersion": 5, "capabilities": [], "serverInfo": "x", "_meta": 1, "instructions": 5},
        {"capabilities": {"tools": True, "extensions": [], "tasks": {"requests": {"tools": {"call": {}}}}}},
        {"serverInfo": {}, "resultType": "task", "ttlMs": "x", "cacheScope": 5},
    ],
)
def test_an_upstream_that_says_nonsense_says_nothing(broken, check):
    result = negotiate.discover_result(broken)
    check(MODERN, "DiscoverResult", result)
    assert result["resultType"] == "complete"
