"""Tools, prompts and resources that ask the user or the client: one body, both eras."""

from __future__ import annotations

import base64
import random
from typing import Any

import pytest

from tests.wire.client import META, Answers, Client, Refused, text_of, word
from tests.wire.conftest import Connect

pytestmark = pytest.mark.asyncio(loop_scope="session")

ASK = ("ask_name", "ask_again")


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def accept(**content: Any) -> dict[str, Any]:
    return {"action": "accept", "content": content}


def nobody() -> Answers:
    """Answers for a client that is not asked at all."""
    return {}


def elicits(client: Client) -> bool:
    """Whether the revision knows elicitation."""
    return client.revision >= "2025-06-18"


@pytest.mark.parametrize("name", ASK)
async def test_an_accepted_form(client: Client, name: str) -> None:
    question, field, said = word(), word(), word()
    if not elicits(client):
        with pytest.raises(Refused):
            await client.converse("tools/call", call(name, question=question, field=field), nobody())
        return
    result, asked = await client.converse(
        "tools/call",
        call(name, question=question, field=field),
        {"elicitation/create": lambda _: accept(**{field: said})},
    )
    assert text_of(result) == f"accept:{said}"
    assert len(asked) == 1
    assert asked[0]["params"]["message"] == question
    assert asked[0]["params"]["requestedSchema"]["properties"] == {field: {"type": "string"}}


@pytest.mark.parametrize("name", ASK)
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_user_who_does_not_want_to(client: Client, name: str, action: str) -> None:
    if elicits(client):
        result, _ = await client.converse(
            "tools/call",
            call(name, question=word(), field=word()),
            {"elicitation/create": lambda _: {"action": action}},
        )
        assert text_of(result) == f"{action}:None"


async def test_sampling(client: Client) -> None:
    prompt, said = word(), word()
    answer = {"role": "assistant", "content": {"type": "text", "text": said}, "model": word()}
    result, asked = await client.converse(
        "tools/call", call("ask_model", prompt=prompt), {"sampling/createMessage": lambda _: answer}
    )
    assert text_of(result) == said
    assert prompt in str(asked[0]["params"]["messages"])


async def test_roots(client: Client) -> None:
    uris = [f"file:///{word()}" for _ in range(random.randrange(4))]
    result, asked = await client.converse(
        "tools/call", call("ask_roots"), {"roots/list": lambda _: {"roots": [{"uri": uri} for uri in uris]}}
    )
    assert [block["text"] for block in result["content"]][-1:] == [str(result["content"][0]["text"])]
    assert all(uri in text_of(result) for uri in uris)
    assert [question["method"] for question in asked] == ["roots/list"]


async def test_several_questions_at_once(client: Client) -> None:
    if not elicits(client):
        return
    said, uri = word(), f"file:///{word()}"
    result, asked = await client.converse(
        "tools/call",
        call("ask_all", question=word(), prompt=word()),
        {
            "elicitation/create": lambda _: {"action": "accept", "content": {}},
            "sampling/createMessage": lambda _: {
                "role": "assistant",
                "content": {"type": "text", "text": said},
                "model": "m",
            },
            "roots/list": lambda _: {"roots": [{"uri": uri}]},
        },
    )
    assert text_of(result) == f"accept|{said}|{uri}"
    assert len(asked) == 3


async def test_several_rounds(client: Client) -> None:
    if not elicits(client):
        return
    questions = [word() for _ in range(4)]
    result, asked = await client.converse(
        "tools/call",
        call("ask_rounds", questions=questions),
        {"elicitation/create": lambda params: accept(a=params["message"][::-1])},
        meta={"progressToken": word()},
    )
    assert text_of(result) == "|".join(question[::-1] for question in questions)
    assert [question["params"]["message"] for question in asked] == questions


async def test_prompts_and_resources_may_ask_too(client: Client) -> None:
    if not elicits(client):
        return
    topic, said = word(), word()
    answers: Answers = {"elicitation/create": lambda _: accept(a=said)}
    result, _ = await client.converse("prompts/get", {"name": "asking_prompt", "arguments": {"topic": topic}}, answers)
    assert result["messages"][0]["content"]["text"] == f"{topic}: {said}"
    result, _ = await client.converse("resources/read", {"uri": f"asking://{topic}"}, answers)
    assert result["contents"][0]["text"] == f"{topic}: {said}"


@pytest.mark.parametrize(
    ("name", "missing"), [("ask_name", "elicitation"), ("ask_model", "sampling"), ("ask_roots", "roots")]
)
@pytest.mark.parametrize("wire", ["http", "ws", "memory"])
@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
async def test_what_the_client_did_not_declare_is_not_asked(
    connect: Connect, wire: str, revision: str, name: str, missing: str
) -> None:
    others = {key: {} for key in ("elicitation", "sampling", "roots") if key != missing}
    client = await connect(wire, revision, others)
    arguments = {"ask_name": {"question": "?", "field": "f"}, "ask_model": {"prompt": "?"}, "ask_roots": {}}[name]
    with pytest.raises(Refused) as refused:
        await client.request("tools/call", call(name, **arguments))
    assert refused.value.code == -32021
    assert refused.value.data["requiredCapabilities"].keys() == {missing}
    if client.modern and wire == "http":
        assert refused.value.status == 400


async def test_a_legacy_client_that_refuses_to_sample(legacy: Client) -> None:
    error = Refused({"code": -1, "message": word()})
    with pytest.raises(Refused) as refused:
        await legacy.converse("tools/call", call("ask_model", prompt="?"), {"sampling/createMessage": lambda _: error})
    assert error.message in refused.value.message
    if elicits(legacy):
        result, _ = await legacy.converse(
            "tools/call", call("ask_name", question="?", field="f"), {"elicitation/create": lambda _: error}
        )
        assert text_of(result) == "cancel:None"


# --- requestState ----------------------------------------------------------------------------------------------------


async def asked(client: Client, **arguments: Any) -> dict[str, Any]:
    result = await client.request("tools/call", call(**arguments))
    assert result["resultType"] == "input_required"
    assert len(result["inputRequests"]) == 1
    return result


def retry(result: dict[str, Any], answer: Any, **arguments: Any) -> dict[str, Any]:
    """The params of the retry of a call with one question."""
    (key,) = result["inputRequests"]
    return {**call(**arguments), "inputResponses": {key: answer}, "requestState": result["requestState"]}


async def refused(client: Client, params: dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as found:
        await client.request("tools/call", params)
    assert found.value.code == -32602
    return found.value


@pytest.mark.parametrize("name", ASK)
async def test_a_state_that_was_tampered_with(modern: Client, name: str) -> None:
    arguments = {"name": name, "question": word(), "field": word()}
    first = await asked(modern, **arguments)
    good = retry(first, accept(**{arguments["field"]: "x"}), **arguments)
    state = good["requestState"]
    position = random.randrange(len(state))
    changed = state[:position] + random.choice([c for c in "AZaz09" if c != state[position]]) + state[position + 1 :]
    for bad in (
        state + "-TAMPERED",
        state + "=",
        state + "\n",
        state[:-1],
        "",
        changed,
        word(),
        base64.b64encode(b"{}").decode(),
        7,
        None,
        {},
    ):
        error = await refused(modern, {**good, "requestState": bad})
        if isinstance(bad, str):
            assert error.data == {"reason": "invalid_request_state"}
    assert text_of(await modern.request("tools/call", good)) == "accept:x"


@pytest.mark.parametrize("name", ASK)
async def test_a_state_is_good_for_its_own_request_only(modern: Client, name: str) -> None:
    arguments = {"name": name, "question": word(), "field": word()}
    first = await asked(modern, **arguments)
    good = retry(first, accept(**{arguments["field"]: "x"}), **arguments)
    other = {**arguments, "question": word()}
    await refused(modern, {**good, "arguments": {"question": other["question"], "field": other["field"]}})
    await refused(modern, {**good, "name": ASK[name == ASK[0]]})
    await refused(modern, {**good, word(): 1})
    with pytest.raises(Refused) as found:
        await modern.request(
            "prompts/get", {"name": "asking_prompt", "arguments": {"topic": "x"}, "requestState": good["requestState"]}
        )
    assert found.value.code == -32602
    # The order of the members and what is in _meta do not matter.
    reordered = {**good, "arguments": dict(reversed(good["arguments"].items()))}
    assert text_of(await modern.request("tools/call", reordered, meta={"x/y": 1})) == "accept:x"


@pytest.mark.parametrize("name", ASK)
async def test_wrong_answers(modern: Client, name: str) -> None:
    field = word()
    arguments = {"name": name, "question": word(), "field": field}
    first = await asked(modern, **arguments)
    for answer in ({"action": "maybe"}, {}, [], "accept", None, 7, {"action": "accept", "content": []}):
        await refused(modern, retry(first, answer, **arguments))
    good = retry(first, accept(**{field: "x"}), **arguments)
    for responses in ([], "x", 7, {str(n): {"action": "cancel"} for n in range(300)}):
        await refused(modern, {**good, "inputResponses": responses})
    # No answer and answers to nothing: it is asked again.
    for responses in ({}, {word(): accept()}):
        again = await modern.request("tools/call", {**good, "inputResponses": responses})
        assert again["resultType"] == "input_required"
        assert list(again["inputRequests"].values()) == list(first["inputRequests"].values())
        good["requestState"] = again["requestState"]
    extra = {**good["inputResponses"], word(): {"action": "nonsense"}}
    assert text_of(await modern.request("tools/call", {**good, "inputResponses": extra})) == "accept:x"


async def test_an_answered_call_cannot_be_answered_again(modern: Client) -> None:
    arguments = {"name": "ask_name", "question": word(), "field": "f"}
    good = retry(await asked(modern, **arguments), accept(f="x"), **arguments)
    assert text_of(await modern.request("tools/call", good)) == "accept:x"
    await refused(modern, good)


async def test_an_old_round_is_not_answered_again(modern: Client) -> None:
    """Its answer counts once; what is open now is asked now."""
    params = call("ask_rounds", questions=["one", "two"])
    first = await modern.request("tools/call", params)
    (key,) = first["inputRequests"]
    retry = {**params, "inputResponses": {key: accept(a="1")}, "requestState": first["requestState"]}
    second = await modern.request("tools/call", retry)
    (other,) = second["inputRequests"]
    assert second["inputRequests"][other]["params"]["message"] == "two"
    for answers in ({key: accept(a="changed")}, {other: accept(a="from an old round")}):
        again = await modern.request("tools/call", {**retry, "inputResponses": answers})
        assert again["inputRequests"] == second["inputRequests"]
    last = {**params, "inputResponses": {other: accept(a="2")}, "requestState": second["requestState"]}
    assert text_of(await modern.request("tools/call", last)) == "1|2"


async def test_state_travels_between_connections(connect: Connect) -> None:
    one, two = await connect("http", "2026-07-28"), await connect("ws", "2026-07-28")
    arguments = {"name": "ask_name", "question": word(), "field": "f"}
    good = retry(await asked(one, **arguments), accept(f="x"), **arguments)
    assert text_of(await two.request("tools/call", good)) == "accept:x"


async def test_capabilities_are_those_of_each_request(modern: Client) -> None:
    arguments = call("ask_roots")
    with pytest.raises(Refused) as found:
        await modern.request("tools/call", arguments, meta={META + "clientCapabilities": {"sampling": {}}})
    assert found.value.code == -32021
    assert (await modern.request("tools/call", arguments))["resultType"] == "input_required"
