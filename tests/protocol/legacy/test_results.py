"""Results, notes and error codes across the eras; every shape is checked against the schema of its revision."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.protocol.legacy import results
from rune.protocol.methods import LEGACY, MODERN
from rune.protocol.modern import SERVER_KEY, SUBSCRIPTION_KEY

REVISIONS = sorted(LEGACY)
encode, decode = msgspec.json.encode, msgspec.json.decode

RESULTS = {
    "tools/list": "ListToolsResult",
    "tools/call": "CallToolResult",
    "resources/list": "ListResourcesResult",
    "resources/templates/list": "ListResourceTemplatesResult",
    "resources/read": "ReadResourceResult",
    "prompts/list": "ListPromptsResult",
    "prompts/get": "GetPromptResult",
    "completion/complete": "CompleteResult",
}
SERVER = {"name": "a", "version": "1"}
ICONS = [{"src": "https://example.com/i.png"}]
TEXT = {"type": "text", "text": "hello"}
LINK = {
    "type": "resource_link",
    "uri": "file:///a.txt",
    "name": "a.txt",
    "title": "A",
    "description": "the letter",
    "mimeType": "text/plain",
    "icons": ICONS,
    "annotations": {"priority": 1, "lastModified": "2026-01-01"},
    "_meta": {"a": 1},
}
AUDIO = {
    "type": "audio",
    "data": "AAAA",
    "mimeType": "audio/wav",
    "annotations": {"audience": ["user"]},
    "_meta": {"a": 1},
}


def down(method: str, value: Any, revision: str) -> Any:
    return decode(results.downgrade_result(method, encode(value), revision))


def call(revision: str, **members: Any) -> Any:
    return down("tools/call", {"resultType": "complete", **members}, revision)


# --- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(RESULTS))
@pytest.mark.parametrize("revision", REVISIONS)
@settings(max_examples=15)
@given(data=st.data())
def test_any_result_is_valid_in_any_legacy_revision_and_back(method, revision, data, instances, check):
    value = data.draw(instances(RESULTS[method]))
    old = down(method, value, revision)
    check(revision, RESULTS[method], old)
    assert not {"resultType", "ttlMs", "cacheScope"} & set(old)
    assert SERVER_KEY not in old.get("_meta", {})
    assert {key for key in value if "foreign" in key} <= set(old)
    check(MODERN, RESULTS[method], decode(results.upgrade_result(method, encode(old))))


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("method", ["tools/call", "no/such", "completion/complete"])
def test_the_modern_members_are_stripped(method, revision):
    value = {
        "resultType": "complete",
        "content": [TEXT],
        "ttlMs": 5,
        "cacheScope": "public",
        "_meta": {SERVER_KEY: SERVER, "com.example/a": {"b": [1]}},
        "foreign": {"resultType": "kept"},
    }
    expected = {"content": [TEXT], "_meta": {"com.example/a": {"b": [1]}}, "foreign": {"resultType": "kept"}}
    assert down(method, value, revision) == expected
    del value["_meta"]["com.example/a"]
    assert "_meta" not in down(method, value, revision)


@pytest.mark.parametrize("meta", [5, None, [], {"a": 1}])
def test_a_meta_that_needs_nothing_stays(meta):
    assert call("2025-11-25", content=[], _meta=meta) == {"content": [], "_meta": meta}


def test_what_is_not_read_stays_byte_for_byte():
    raw = b'{"content": [ {"type":"text", "text":"\\u00e4"} ],"x": 1.50 ,"resultType":"complete"}'
    expected = b'{"content":[ {"type":"text", "text":"\\u00e4"} ],"x":1.50}'
    assert results.downgrade_result("tools/call", raw, "2025-11-25") == expected


# --- tools/call ------------------------------------------------------------------------------------------------------


def test_a_resource_link_becomes_text_where_it_is_unknown(check):
    for revision in ("2024-11-05", "2025-03-26"):
        result = call(revision, content=[TEXT, LINK])
        check(revision, "CallToolResult", result)
        assert result["content"] == [
            TEXT,
            {
                "type": "text",
                "text": "A (text/plain): file:///a.txt\nthe letter",
                "annotations": {"priority": 1},
                "_meta": {"a": 1},
            },
        ]


@pytest.mark.parametrize(
    ("link", "text"),
    [
        ({"uri": "u:x", "name": "n"}, "n: u:x"),
        ({"uri": "u:x", "name": "n", "mimeType": "a/b"}, "n (a/b): u:x"),
        ({"uri": "u:x", "name": "", "title": 5}, "resource: u:x"),
        ({"name": "n"}, "n: "),
    ],
)
def test_the_text_of_a_link(link, text):
    assert call("2025-03-26", content=[{"type": "resource_link", **link}])["content"] == [
        {"type": "text", "text": text}
    ]


def test_a_resource_link_keeps_what_its_revision_knows(check):
    expected = {key: value for key, value in LINK.items() if key != "icons"}
    result = call("2025-06-18", content=[LINK])
    check("2025-06-18", "CallToolResult", result)
    assert result["content"] == [expected]
    assert call("2025-11-25", content=[LINK])["content"] == [LINK]


def test_audio_becomes_an_embedded_resource_at_2024_11_05(check):
    result = call("2024-11-05", content=[TEXT, AUDIO, AUDIO])
    check("2024-11-05", "CallToolResult", result)
    assert result["content"][1] == {
        "type": "resource",
        "resource": {"uri": "audio:1", "mimeType": "audio/wav", "blob": "AAAA"},
        "annotations": {"audience": ["user"]},
        "_meta": {"a": 1},
    }
    assert result["content"][2]["resource"]["uri"] == "audio:2"
    assert call("2025-03-26", content=[AUDIO])["content"] == [AUDIO]


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26"])
def test_a_type_that_is_written_with_escapes_is_found(revision):
    raw = b'{"content":[{"type":"resource\\u005flink","uri":"u:x","name":"n"}]}'
    content = decode(results.downgrade_result("tools/call", raw, revision))["content"]
    assert content == [{"type": "text", "text": "n: u:x"}]


@pytest.mark.parametrize("revision", REVISIONS)
def test_words_in_a_text_do_not_matter(revision):
    block = {"type": "text", "text": '{"type": "resource_link", "audio", "icons"}', "annotations": {"lastModified2": 1}}
    assert call(revision, content=[block])["content"] == [block]


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    "content", [5, None, ["resource_link", "audio", "icons"], [5], [{"type": 5, "a": "audio"}], {}]
)
def test_content_that_is_none_passes(content, revision):
    assert call(revision, content=content) == {"content": content}


@pytest.mark.parametrize("annotations", [{"lastModified": "x", "priority": 0}, {"priority": 0}, 5])
def test_last_modified_is_known_from_2025_06_18(annotations):
    block = {**TEXT, "annotations": annotations, "hint": "lastModified"}
    assert call("2025-06-18", content=[block])["content"] == [block]
    kept = {"priority": 0} if isinstance(annotations, dict) else annotations
    assert call("2025-03-26", content=[block])["content"] == [{**block, "annotations": kept}]


@pytest.mark.parametrize("value", [{"a": 1}, {}])
def test_structured_objects_from_2025_06_18(value):
    for revision in ("2025-06-18", "2025-11-25"):
        assert call(revision, content=[TEXT], structuredContent=value) == {
            "content": [TEXT],
            "structuredContent": value,
        }
    for revision in ("2024-11-05", "2025-03-26"):
        assert call(revision, content=[TEXT], structuredContent=value) == {"content": [TEXT]}


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("value", [[1, 2], "text", 5, True])
def test_structured_values_that_are_no_objects(value, revision, check):
    assert call(revision, content=[TEXT], structuredContent=value) == {"content": [TEXT]}
    for members in ({"content": []}, {}):
        result = call(revision, **members, structuredContent=value)
        check(revision, "CallToolResult", result)
        (block,) = result["content"]
        assert decode(block["text"]) == value
    assert call(revision, content=[], structuredContent=None) == {"content": []}


def test_a_dropped_structure_does_not_hide_a_link():
    content = call("2025-03-26", content=[LINK], structuredContent={"a": 1})["content"]
    assert content[0]["type"] == "text"


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_error_stays_an_error(revision):
    assert call(revision, content=[TEXT], isError=True) == {"content": [TEXT], "isError": True}


# --- prompts and resources -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_messages_of_a_prompt(revision, check):
    messages = [{"role": "user", "content": block} for block in (TEXT, LINK, AUDIO)]
    result = down("prompts/get", {"messages": messages, "description": "d"}, revision)
    check(revision, "GetPromptResult", result)
    kinds = [message["content"]["type"] for message in result["messages"]]
    link = "text" if revision < "2025-06-18" else "resource_link"
    assert kinds == ["text", link, "resource" if revision < "2025-03-26" else "audio"]


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    "messages", [5, [5, "audio"], [{"role": "user"}, "resource_link"], [{"content": ["audio"]}, {"x": "resource_link"}]]
)
def test_messages_that_are_none_pass(messages, revision):
    assert down("prompts/get", {"messages": messages}, revision) == {"messages": messages}
    assert down("prompts/get", {"resource_link": "audio"}, revision) == {"resource_link": "audio"}


def test_contents_pass_in_any_revision(check):
    contents = [{"uri": "a:b", "text": "t", "mimeType": "a/b", "_meta": {"a": 1}}, {"uri": "a:c", "blob": "AAAA"}]
    for revision in REVISIONS:
        result = down("resources/read", {"contents": contents, "ttlMs": 0, "cacheScope": "private"}, revision)
        check(revision, "ReadResourceResult", result)
        assert result == {"contents": contents}


# --- lists -----------------------------------------------------------------------------------------------------------

TOOL = {
    "name": "t",
    "title": "T",
    "description": "d",
    "icons": ICONS,
    "execution": {"taskSupport": "optional"},
    "annotations": {"readOnlyHint": True},
    "inputSchema": {"type": "object", "properties": {"a": {"type": "string"}}, "$anchor": "x", "$defs": {"d": True}},
    "outputSchema": {"type": "object", "properties": {"b": {"type": "integer"}}},
    "_meta": {"ui": {"resourceUri": "ui://a"}},
    "foreign": 1,
}


def one(method: str, key: str, value: Any, revision: str) -> Any:
    result = down(method, {"resultType": "complete", key: [value], "nextCursor": "n"}, revision)
    assert result["nextCursor"] == "n"
    (entry,) = result[key]
    return entry


@pytest.mark.parametrize(
    ("revision", "missing"),
    [
        ("2024-11-05", {"title", "icons", "execution", "annotations", "outputSchema"}),
        ("2025-03-26", {"title", "icons", "execution", "outputSchema"}),
        ("2025-06-18", {"icons", "execution"}),
        ("2025-11-25", set()),
    ],
)
def test_a_tool_in_a_revision(revision, missing, definitions):
    tool = one("tools/list", "tools", TOOL, revision)
    assert set(TOOL) - set(tool) == missing
    assert set(definitions(revision)["Tool"]["properties"]) <= set(tool)
    assert tool["inputSchema"] == TOOL["inputSchema"]
    assert tool["foreign"] == 1


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        (None, {"title": "T"}),
        ({"readOnlyHint": True}, {"title": "T", "readOnlyHint": True}),
        ({"title": "own"}, {"title": "own"}),
        (5, 5),
    ],
)
def test_the_title_of_a_tool_was_an_annotation_once(annotations, expected):
    tool = {
        "name": "t",
        "title": "T",
        "inputSchema": {},
        **({} if annotations is None else {"annotations": annotations}),
    }
    assert one("tools/list", "tools", tool, "2025-03-26")["annotations"] == expected


def test_a_tool_without_a_title_gets_no_annotations():
    assert one("tools/list", "tools", {"name": "t"}, "2025-03-26") == {"name": "t"}


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    "schema", [{"type": "array"}, {}, {"anyOf": []}, True, {"type": ["object"]}, {"type": "string"}]
)
def test_an_output_schema_without_an_object_at_its_root_is_dropped(schema, revision):
    assert one("tools/list", "tools", {"name": "t", "outputSchema": schema}, revision) == {"name": "t"}


def test_a_schema_stays_byte_for_byte_where_it_can():
    schema = b'{ "type":"object", "properties" : {"a": {"const":true}}, "additionalProperties": false }'
    raw = b'{"tools":[{"name":"t","inputSchema":%b}]}' % schema
    for revision in REVISIONS:
        assert schema in results.downgrade_result("tools/list", raw, revision)


@pytest.mark.parametrize("revision", REVISIONS)
def test_boolean_schemas_of_properties_become_objects(revision, check):
    schema = {"type": "object", "properties": {"a": True, "b": False, "c": {"x": [1.50]}}, "required": ["a"]}
    tool = one("tools/list", "tools", {"name": "t", "inputSchema": schema, "outputSchema": schema}, revision)
    plain = {**schema, "properties": {"a": {}, "b": {"not": {}}, "c": {"x": [1.50]}}}
    assert tool["inputSchema"] == plain
    assert tool.get("outputSchema", plain) == plain
    check(revision, "Tool", tool)


@pytest.mark.parametrize(
    "schema", [True, 5, {"properties": True}, {"a": {"properties": {"b": True}}}, [{"properties": True}]]
)
def test_schemas_that_are_none_pass(schema):
    assert one("tools/list", "tools", {"name": "t", "inputSchema": schema}, "2025-11-25")["inputSchema"] == schema


RESOURCE = {
    "uri": "a:b",
    "name": "n",
    "title": "N",
    "icons": ICONS,
    "size": 5,
    "annotations": {"lastModified": "x", "priority": 1},
    "_meta": {"a": 1},
}


@pytest.mark.parametrize(
    ("method", "key"), [("resources/list", "resources"), ("resources/templates/list", "resourceTemplates")]
)
def test_a_resource_in_a_revision(method, key):
    assert one(method, key, RESOURCE, "2025-11-25") == RESOURCE
    expected = {name: value for name, value in RESOURCE.items() if name != "icons"}
    assert one(method, key, RESOURCE, "2025-06-18") == expected
    del expected["title"]
    expected["annotations"] = {"priority": 1}
    assert one(method, key, RESOURCE, "2025-03-26") == expected
    assert one(method, key, RESOURCE, "2024-11-05") == expected


def test_a_prompt_in_a_revision():
    prompt = {"name": "p", "title": "P", "icons": ICONS, "arguments": [{"name": "a", "title": "A", "required": True}]}
    assert one("prompts/list", "prompts", prompt, "2025-11-25") == prompt
    assert one("prompts/list", "prompts", prompt, "2025-06-18") == {k: v for k, v in prompt.items() if k != "icons"}
    old = {"name": "p", "arguments": [{"name": "a", "required": True}]}
    assert one("prompts/list", "prompts", prompt, "2025-03-26") == old
    assert one("prompts/list", "prompts", {"name": "p", "arguments": 5}, "2024-11-05") == {"name": "p", "arguments": 5}


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("value", [{}, {"tools": 5}, {"tools": [5]}, {"tools": None}])
def test_lists_that_are_none_pass(value, revision):
    assert down("tools/list", value, revision) == value


# --- upwards ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["tools/call", "prompts/get", "no/such"])
def test_a_legacy_result_becomes_complete(method):
    raw = b'{ "content": [1.50] }'
    assert results.upgrade_result(method, raw) == b'{ "content": [1.50] ,"resultType":"complete"}'
    assert decode(results.upgrade_result(method, b"{}")) == {"resultType": "complete"}


@pytest.mark.parametrize(
    "value",
    [
        {"resultType": "task", "a": 1},
        {"structuredContent": {"resultType": "inner"}},
    ],
)
def test_a_legacy_result_cannot_be_anything_else(value):
    assert decode(results.upgrade_result("tools/call", encode(value))) == {**value, "resultType": "complete"}
    hidden = b'{"result\\u0054ype":"task"}'
    assert decode(results.upgrade_result("tools/call", hidden)) == {"resultType": "complete"}


@pytest.mark.parametrize("method", ["tools/list", "resources/read", "resources/templates/list", "prompts/list"])
def test_a_cacheable_result_says_how_long(method):
    assert decode(results.upgrade_result(method, b'{"x":1}')) == {
        "x": 1,
        "resultType": "complete",
        "ttlMs": 0,
        "cacheScope": "private",
    }
    kept = {"ttlMs": 5, "cacheScope": "public"}
    assert decode(results.upgrade_result(method, encode(kept))) == {**kept, "resultType": "complete"}


# --- notes -----------------------------------------------------------------------------------------------------------


def note(method: str, params: Any, revision: str) -> Any:
    found = results.downgrade_note(method, encode(params), revision)
    return None if found is None else (found[0], decode(found[1]))


NOTES = {
    "notifications/progress": ("ProgressNotification", {"progressToken": 1, "progress": 2, "total": 3}),
    "notifications/message": ("LoggingMessageNotification", {"level": "info", "data": {"a": 1}}),
    "notifications/tools/list_changed": ("ToolListChangedNotification", {}),
    "notifications/prompts/list_changed": ("PromptListChangedNotification", {}),
    "notifications/resources/list_changed": ("ResourceListChangedNotification", {}),
    "notifications/resources/updated": ("ResourceUpdatedNotification", {"uri": "a:b"}),
}


@pytest.mark.parametrize("method", sorted(NOTES))
@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("meta", [None, {}, {"com.example/a": 1}])
def test_notes_that_both_eras_know(method, revision, meta, check):
    name, params = NOTES[method]
    extra = {} if meta is None else {"_meta": {**meta, SUBSCRIPTION_KEY: "s"}}
    found = note(method, {**params, **extra}, revision)
    assert found == (method, {**params, **({"_meta": meta} if meta else {})})
    check(revision, name, {"jsonrpc": "2.0", "method": method, "params": found[1]})


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_message_of_a_progress_note(revision):
    params = {"progressToken": 1, "progress": 2, "message": "m", "_meta": {SUBSCRIPTION_KEY: 1}}
    expected = {"progressToken": 1, "progress": 2, **({"message": "m"} if revision >= "2025-03-26" else {})}
    assert note("notifications/progress", params, revision) == ("notifications/progress", expected)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    "method", ["notifications/subscriptions/acknowledged", "notifications/cancelled", "notifications/foreign"]
)
def test_notes_that_no_legacy_client_knows(method, revision):
    assert note(method, {}, revision) is None


def test_a_note_on_a_task(check):
    task = {"taskId": "t", "status": "completed", "createdAt": "a", "lastUpdatedAt": "b", "ttlMs": None}
    params = {**task, "result": {"content": []}, "_meta": {SUBSCRIPTION_KEY: 1}}
    method, found = note("notifications/tasks", params, "2025-11-25")
    check("2025-11-25", "TaskStatusNotification", {"jsonrpc": "2.0", "method": method, "params": found})
    assert found == {"taskId": "t", "status": "completed", "createdAt": "a", "lastUpdatedAt": "b", "ttl": None}
    assert note("notifications/tasks", params, "2025-06-18") is None


def test_every_legacy_note_of_a_server_is_known(definitions):
    """What Rune never sends by this way: cancellation and the end of a URL elicitation are the rim's own."""
    own = {"notifications/cancelled", "notifications/elicitation/complete", "notifications/tasks/status"}
    for revision in REVISIONS:
        known = definitions(revision)
        names = [option["$ref"].rsplit("/", 1)[1] for option in known["ServerNotification"]["anyOf"]]
        assert {known[name]["properties"]["method"]["const"] for name in names} - own == set(NOTES)


# --- error codes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "code", "data", "expected"),
    [
        ("resources/read", -32602, {"uri": "a:b"}, -32002),
        ("resources/read", -32602, {"other": 1}, -32602),
        ("resources/read", -32602, None, -32602),
        ("resources/read", -32603, {"uri": "a:b"}, -32603),
        ("tools/call", -32602, {"uri": "a:b"}, -32602),
    ],
)
def test_the_code_of_a_missing_resource(method, code, data, expected):
    assert results.downgrade_error(method, code, data) == expected


@pytest.mark.parametrize(
    ("code", "expected"), [(-32002, -32602), (-32042, -32603), (-32601, -32601), (-32000, -32000), (5, 5)]
)
def test_codes_that_a_modern_server_must_not_send(code, expected):
    assert results.upgrade_error("resources/read", code, None) == expected
