"""Questions and answers across the eras."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.errors import INVALID_PARAMS, ProtocolError
from rune.protocol.legacy import questions
from rune.protocol.legacy.questions import ELICIT, ROOTS, SAMPLE
from rune.protocol.legacy.tasks import RELATED
from rune.protocol.methods import LEGACY, MODERN

REVISIONS = sorted(LEGACY)
TEXT = {"type": "text", "text": "hi"}
IMAGE = {"type": "image", "data": "AAAA", "mimeType": "image/png"}
AUDIO = {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"}
USE = {"type": "tool_use", "id": "1", "name": "t", "input": {}}
RESULT = {"type": "tool_result", "toolUseId": "1", "content": [TEXT]}


def down(method: str, params: Any, revision: str, **options: Any) -> Any:
    found = questions.downgrade_question({"method": method, "params": params}, revision, **options)
    if found is not None:
        assert found["method"] == method
    return None if found is None else found.get("params")


def form(properties: Any, **more: Any) -> dict[str, Any]:
    return {"message": "m", "requestedSchema": {"type": "object", "properties": properties, **more}}


def sample(*contents: Any, **more: Any) -> dict[str, Any]:
    return {"maxTokens": 5, "messages": [{"role": "user", "content": content} for content in contents], **more}


def as_request(question: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, **question}


# --- any question ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ElicitRequest", "CreateMessageRequest", "ListRootsRequest"])
@pytest.mark.parametrize("revision", REVISIONS)
@settings(max_examples=30)
@given(data=st.data())
def test_any_question_is_valid_or_cannot_be_asked(name, revision, data, instances, check):
    question = data.draw(instances(name))
    found = questions.downgrade_question(question, revision, "e1")
    if found is None:
        assert revision < "2025-11-25"
        return
    check(revision, name, as_request(found))
    back = questions.upgrade_question(found["method"], found.get("params"))
    assert back is not None
    check(MODERN, name, back)


@pytest.mark.parametrize("name", ["ElicitResult", "CreateMessageResult", "ListRootsResult"])
@settings(max_examples=30)
@given(data=st.data())
def test_any_answer_is_valid_in_the_era_of_tools(name, data, instances, check):
    method = {"ElicitResult": ELICIT, "CreateMessageResult": SAMPLE, "ListRootsResult": ROOTS}[name]
    answer = data.draw(instances(name))
    old = questions.downgrade_answer(method, answer, "2025-11-25")
    if "structuredContent" not in str(answer):
        check("2025-11-25", name, old)
    check(MODERN, name, questions.upgrade_answer(method, {**old, "_meta": {RELATED: {"taskId": "t"}}}))


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    "question",
    [
        {},
        {"method": "ping", "params": {}},
        {"method": ELICIT},
        {"method": ELICIT, "params": []},
        {"method": SAMPLE, "params": None},
        {"method": SAMPLE, "params": {}},
        {"method": SAMPLE, "params": {"messages": [5]}},
        {"method": 5, "params": {}},
    ],
)
def test_what_is_no_question_cannot_be_asked(question, revision):
    assert questions.downgrade_question(question, revision) is None


# --- roots -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("question", [{"method": ROOTS}, {"method": ROOTS, "params": {"_meta": {"a": 1}}}])
def test_roots_are_asked_for_without_params(question, revision, check):
    found = questions.downgrade_question(question, revision)
    assert found == {"method": ROOTS}
    check(revision, "ListRootsRequest", as_request(found))


# --- elicitation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26"])
def test_nothing_can_be_elicited_before_2025_06_18(revision):
    assert down(ELICIT, form({}), revision) is None


@pytest.mark.parametrize("mode", [{}, {"mode": "form"}])
def test_a_form(mode):
    params = {
        **form({"a": {"type": "string", "default": "x"}}, required=["a"], **{"$schema": "s"}),
        **mode,
        "foreign": 1,
    }
    assert down(ELICIT, params, "2025-11-25") == params
    expected = {**form({"a": {"type": "string", "default": "x"}}, required=["a"]), "foreign": 1}
    assert down(ELICIT, params, "2025-06-18") == expected


def test_a_url_needs_an_id_at_2025_11_25(check):
    params = {"mode": "url", "message": "m", "url": "https://example.com/1"}
    assert down(ELICIT, params, "2025-11-25", elicitation_id="e7") == {**params, "elicitationId": "e7"}
    assert down(ELICIT, params, "2025-11-25") == {**params, "elicitationId": "https://example.com/1"}
    assert down(ELICIT, params, "2025-06-18") is None
    check("2025-11-25", "ElicitRequest", as_request({"method": ELICIT, "params": down(ELICIT, params, "2025-11-25")}))


MULTIPLE = {"type": "array", "items": {"type": "string", "enum": ["a"]}}


def test_a_multiple_choice_is_left_out_or_makes_the_form_impossible():
    fields = {"a": MULTIPLE, "b": {"type": "boolean"}}
    assert down(ELICIT, form(fields), "2025-06-18") == form({"b": {"type": "boolean"}})
    assert down(ELICIT, form(fields, required=["b"]), "2025-06-18") == form({"b": {"type": "boolean"}}, required=["b"])
    assert down(ELICIT, form(fields, required=["a"]), "2025-06-18") is None
    assert down(ELICIT, form(fields), "2025-11-25") == form(fields)


def test_the_titles_of_a_choice_stood_beside_it(check):
    titled = {"type": "string", "description": "d", "oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]}
    expected = form({"c": {"type": "string", "description": "d", "enum": ["a", "b"], "enumNames": ["A", "b"]}})
    assert down(ELICIT, form({"c": titled}), "2025-06-18") == expected
    check("2025-06-18", "ElicitRequest", {"method": ELICIT, "params": expected})


@pytest.mark.parametrize(
    "definition", [{"type": "string", "oneOf": 5}, {"type": "string", "oneOf": [5]}, {"oneOf": [{}]}]
)
def test_a_choice_that_is_none_stays(definition):
    assert down(ELICIT, form({"c": definition}), "2025-06-18") == form({"c": definition})


@pytest.mark.parametrize(
    "params",
    [
        {"message": "m"},
        {"message": "m", "requestedSchema": 5},
        {"message": "m", "requestedSchema": {}},
        form(5),
        form({}, required=5),
        form({"a": 5}, required=["a"]),
        {**form({}), "mode": "foreign"},
    ],
)
def test_a_form_that_is_none_cannot_be_asked(params):
    assert down(ELICIT, params, "2025-06-18") is None


# --- sampling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_plain_request_to_a_model(revision, check):
    params = sample(TEXT, IMAGE, systemPrompt="s", foreign=1)
    assert down(SAMPLE, params, revision) == params
    check(revision, "CreateMessageRequest", as_request({"method": SAMPLE, "params": params}))


TOOL = {"name": "t", "inputSchema": {"type": "object", "properties": {"a": True}}, "outputSchema": {"type": "array"}}


def test_tools_in_sampling_from_2025_11_25(check):
    params = sample([TEXT, USE], {**RESULT, "structuredContent": [1]}, tools=[TOOL], toolChoice={"mode": "auto"})
    found = down(SAMPLE, params, "2025-11-25")
    check("2025-11-25", "CreateMessageRequest", as_request({"method": SAMPLE, "params": found}))
    assert found["messages"][0]["content"] == [TEXT, USE]
    assert found["messages"][1]["content"] == RESULT
    assert found["tools"] == [{"name": "t", "inputSchema": {"type": "object", "properties": {"a": {}}}}]
    kept = {**RESULT, "structuredContent": {"a": 1}}
    assert down(SAMPLE, sample(kept), "2025-11-25") == sample(kept)


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18"])
def test_tools_in_sampling_before(revision):
    params = sample(TEXT, tools=[TOOL], toolChoice={"mode": "auto"})
    assert down(SAMPLE, params, revision) == sample(TEXT)
    assert down(SAMPLE, sample(TEXT, tools=[TOOL], toolChoice={"mode": "required"}), revision) is None
    assert down(SAMPLE, sample(TEXT, [TEXT, USE]), revision) is None
    assert down(SAMPLE, sample(RESULT), revision) is None


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18"])
def test_several_blocks_become_several_messages(revision):
    assert down(SAMPLE, sample([TEXT, IMAGE], TEXT), revision) == sample(TEXT, IMAGE, TEXT)
    assert down(SAMPLE, sample([]), revision) == sample()
    assert down(SAMPLE, sample("text"), revision) == sample("text")


def test_audio_in_sampling_from_2025_03_26():
    assert down(SAMPLE, sample(AUDIO), "2024-11-05") is None
    assert down(SAMPLE, sample(AUDIO), "2025-03-26") == sample(AUDIO)


# --- the other direction ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        (ROOTS, None, {"method": ROOTS}),
        (ROOTS, {"_meta": {"progressToken": 1}}, {"method": ROOTS}),
        (ELICIT, {**form({}), "_meta": {}, "task": {"ttl": 1}}, {"method": ELICIT, "params": form({})}),
        (
            ELICIT,
            {"mode": "url", "message": "m", "url": "https://a", "elicitationId": "e"},
            {"method": ELICIT, "params": {"mode": "url", "message": "m", "url": "https://a"}},
        ),
        (SAMPLE, {**sample(TEXT), "_meta": {}, "task": {}}, {"method": SAMPLE, "params": sample(TEXT)}),
        (SAMPLE, None, None),
        (ELICIT, [], None),
        ("ping", {}, None),
        ("tasks/get", {"taskId": "t"}, None),
    ],
)
def test_a_request_of_a_legacy_server(method, params, expected, check):
    found = questions.upgrade_question(method, params)
    assert found == expected
    if found is not None:
        check(MODERN, "InputRequest", found)


@pytest.mark.parametrize(
    ("method", "answer", "expected"),
    [
        (
            ELICIT,
            {"action": "accept", "content": {"a": 1}, "_meta": {"x": 1}},
            {"action": "accept", "content": {"a": 1}},
        ),
        (ELICIT, {"action": "decline", "content": None}, {"action": "decline"}),
        (ROOTS, {"roots": [], "_meta": {"x": 1}}, {"roots": []}),
        (SAMPLE, {"model": "m", "_meta": {RELATED: {"taskId": "t"}, "x": 1}}, {"model": "m", "_meta": {"x": 1}}),
        (SAMPLE, {"model": "m", "_meta": {RELATED: {"taskId": "t"}}}, {"model": "m"}),
        (SAMPLE, {"model": "m", "_meta": 5}, {"model": "m"}),
    ],
)
def test_an_answer_of_a_legacy_client(method, answer, expected):
    assert questions.upgrade_answer(method, answer) == expected


@pytest.mark.parametrize("answer", [None, 5, [], "accept"])
def test_an_answer_must_be_an_object(answer):
    with pytest.raises(ProtocolError, match="must be an object") as caught:
        questions.upgrade_answer(ELICIT, answer)
    assert caught.value.code == INVALID_PARAMS


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (TEXT, TEXT),
        ([TEXT], TEXT),
        ([IMAGE], IMAGE),
        ([TEXT, IMAGE, TEXT], {"type": "text", "text": "hi\nhi"}),
        ([IMAGE, AUDIO], IMAGE),
        ([5, 6], 5),
        ([], {"type": "text", "text": ""}),
    ],
)
def test_the_answer_of_a_model_to_a_legacy_server(content, expected):
    answer = {"role": "assistant", "model": "m", "content": content}
    assert questions.downgrade_answer(SAMPLE, answer, "2025-06-18") == {**answer, "content": expected}
    assert questions.downgrade_answer(SAMPLE, answer, "2025-11-25") == answer


def test_other_answers_pass_as_they_are():
    answer = {"action": "accept", "content": {"a": ["x"]}}
    assert questions.downgrade_answer(ELICIT, answer, "2025-06-18") is answer
