"""Every era in front of every era, over stdio and HTTP on both sides, with servers that are not ours."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.bridge.conftest import Pair
from tests.bridge.house import House
from tests.wire.client import META, Answers, Client, Refused, text_of, word
from tests.wire.duplex import DuplexClient

pytestmark = pytest.mark.asyncio(loop_scope="session")

MEGABYTES = 5 * 2**20


def call(pair: Pair, name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"name": f"{pair.source}_{name}", "arguments": arguments}


def accept(value: str) -> dict[str, Any]:
    return {"action": "accept", "content": {"value": value}}


def speech(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": {"type": "text", "text": text}, "model": word()}


Told = tuple[str, list[dict[str, Any]]]


async def converse(client: Client, pair: Pair, name: str, answers: Answers, /, **arguments: Any) -> Told:
    result, asked = await client.converse("tools/call", call(pair, name, **arguments), answers)
    return text_of(result), asked


async def test_a_plain_call(pair: Pair, asked: Client) -> None:
    text = word() + ' "\\\u2028\u00e9\U0001f600'
    assert text_of(await asked.request("tools/call", call(pair, "echo", text=text))) == text


@pytest.mark.parametrize("action", ["accept", "decline", "cancel"])
async def test_one_question(pair: Pair, asked: Client, action: str) -> None:
    message, value = word(), word()
    answer = accept(value) if action == "accept" else {"action": action}
    text, questions = await converse(asked, pair, "form", {"elicitation/create": lambda _: answer}, message=message)
    assert text == f"{action}:{value if action == 'accept' else None}"
    assert [question["params"]["message"] for question in questions] == [message]
    assert questions[0]["params"]["requestedSchema"]["required"] == ["value"]


async def test_one_question_after_the_other(pair: Pair, asked: Client) -> None:
    messages = [word(), word(), word()]
    answers: Answers = {"elicitation/create": lambda params: accept(params["message"][::-1])}
    text, questions = await converse(asked, pair, "forms", answers, messages=messages)
    assert text == "|".join(f"accept:{message[::-1]}" for message in messages)
    assert [question["params"]["message"] for question in questions] == messages


async def test_sampling(pair: Pair, asked: Client) -> None:
    prompt, said = word(), word()
    text, questions = await converse(
        asked, pair, "model", {"sampling/createMessage": lambda _: speech(said)}, prompt=prompt
    )
    assert text == said
    assert questions[0]["params"]["messages"][0]["content"] in (
        {"type": "text", "text": prompt},
        [{"type": "text", "text": prompt}],
    )
    assert questions[0]["params"]["maxTokens"] == 9


async def test_roots(pair: Pair, asked: Client) -> None:
    uris = [f"file:///{word()}" for _ in range(2)]
    roots = {"roots": [{"uri": uri, "name": word()} for uri in uris]}
    text, questions = await converse(asked, pair, "folders", {"roots/list": lambda _: roots})
    assert text == ",".join(uris)
    assert len(questions) == 1


async def test_several_questions_at_once(pair: Pair, asked: Client) -> None:
    value, said, uri = word(), word(), f"file:///{word()}"
    answers: Answers = {
        "elicitation/create": lambda _: accept(value),
        "sampling/createMessage": lambda _: speech(said),
        "roots/list": lambda _: {"roots": [{"uri": uri}]},
    }
    params = call(pair, "several", message=word(), prompt=word())
    if asked.modern:
        # In one round: the user sees them together.
        first = await asked.request("tools/call", params)
        questions = list(first["inputRequests"].values())
        given = {key: answers[each["method"]](each.get("params", {})) for key, each in first["inputRequests"].items()}
        state = {key: first[key] for key in ("requestState",) if key in first}
        result = await asked.request("tools/call", {**params, "inputResponses": given, **state})
    else:
        result, questions = await asked.converse("tools/call", params, answers)
    assert sorted(question["method"] for question in questions) == sorted(answers)
    assert text_of(result) == f"accept:{value}|{said}|{uri}"


async def test_a_prompt_that_asks(pair: Pair, asked: Client) -> None:
    topic, value = word(), word()
    params = {"name": f"{pair.source}_ask", "arguments": {"topic": topic}}
    result, questions = await asked.converse("prompts/get", params, {"elicitation/create": lambda _: accept(value)})
    assert result["messages"][0]["content"]["text"] == f"accept:{value}"
    assert questions[0]["params"]["message"] == f"prompt {topic}"


async def test_who_cannot_be_asked_is_not_asked(pair: Pair, mute: Client) -> None:
    """The SDK of the older era does not look before it asks: the gateway refuses in the place of the client."""
    for name, arguments in (("form", {"message": word()}), ("model", {"prompt": word()})):
        exchange = await mute.open("tools/call", call(pair, name, **arguments))
        response = await exchange.done()
        assert "error" in response or response["result"].get("isError"), response
        assert exchange.frames == []


async def test_pages_to_visit(pair: Pair, asked: Client) -> None:
    """Older servers refuse with -32042 until somebody has been there."""
    key = word()
    text, questions = await converse(
        asked, pair, "visit", {"elicitation/create": lambda _: {"action": "accept"}}, key=key
    )
    assert text == "welcome"
    shown = [question["params"] for question in questions]
    assert [(each["mode"], each["url"]) for each in shown] == [
        ("url", f"https://example.org/{key}/{number}") for number in range(2)
    ]
    if asked.modern:
        assert not any("elicitationId" in each for each in shown)
    else:
        assert len({each["elicitationId"] for each in shown}) == 2


async def test_progress(pair: Pair, asked: Client) -> None:
    token = random.choice([word(), random.randrange(2**31)])
    exchange = await asked.open("tools/call", call(pair, "steps", count=5), meta={"progressToken": token})
    assert text_of(await exchange.result()) == "done"
    notes = exchange.notes("notifications/progress")
    assert [(note["progressToken"], note["progress"], note["total"], note["message"]) for note in notes] == [
        (token, number, 5, f"step {number}") for number in range(1, 6)
    ]
    exchange = await asked.open("tools/call", call(pair, "steps", count=5))
    assert text_of(await exchange.result()) == "nobody asked"
    assert exchange.frames == []


async def test_the_log_level_of_each_call(pair: Pair, mute: Client) -> None:
    logger = word()
    lines = [[level, word()] for level in ("debug", "info", "warning", "error")]
    for start, level in ((2, "warning"), (0, "debug"), (3, "error")):
        meta = {META + "logLevel": level} if mute.modern else {}
        if not mute.modern:
            await mute.request("logging/setLevel", {"level": level})
        exchange = await mute.open("tools/call", call(pair, "logs", lines=lines, logger=logger), meta=meta)
        assert text_of(await exchange.result()) == "done"
        assert exchange.notes("notifications/message") == [
            {"level": level, "logger": logger, "data": {"text": text}} for level, text in lines[start:]
        ]
    if mute.modern:
        exchange = await mute.open("tools/call", call(pair, "logs", lines=lines, logger=logger))
        await exchange.result()
        assert exchange.frames == []
    else:
        await mute.request("logging/setLevel", {"level": "info"})


async def test_a_call_that_is_taken_back(pair: Pair, asked: Client, home: House) -> None:
    key = word()
    exchange = await asked.open("tools/call", call(pair, "hang", key=key))
    await home.marks.seen(f"{key}.started")
    await asked.cut(exchange)
    await home.marks.seen(f"{key}.cancelled")
    assert text_of(await asked.request("tools/call", call(pair, "echo", text=key))) == key
    assert exchange.response is None
    if isinstance(asked, DuplexClient):
        asked.connection.forget(exchange)


@pytest.mark.parametrize("kind", ["tools", "prompts", "resources"])
async def test_a_list_that_has_changed(pair: Pair, mute: Client, kind: str) -> None:
    method = f"notifications/{kind}/list_changed"
    if mute.modern:
        listen = await mute.open("subscriptions/listen", {"notifications": {f"{kind}ListChanged": True}})
        ack = await listen.next()
        assert ack["params"]["notifications"] == {f"{kind}ListChanged": True}
        await mute.request("tools/call", call(pair, "change", kind=kind))
        assert (await listen.next())["method"] == method
        await mute.cut(listen)
    else:
        await mute.hear()
        await mute.request("tools/call", call(pair, "change", kind=kind))
        await mute.heard(method)


async def test_a_resource_that_has_changed(pair: Pair, mute: Client) -> None:
    uri, other = f"note://{pair.source}", f"note://{pair.source}/{word()}"
    method = "notifications/resources/updated"
    if mute.modern:
        listen = await mute.open("subscriptions/listen", {"notifications": {"resourceSubscriptions": [uri]}})
        assert (await listen.next())["params"]["notifications"] == {"resourceSubscriptions": [uri]}
        for each in (other, uri):
            await mute.request("tools/call", call(pair, "touch", uri=each))
        note = await listen.next(method)
        await mute.cut(listen)
    else:
        await mute.hear()
        assert await mute.request("resources/subscribe", {"uri": uri}) == {}
        for each in (other, uri):
            await mute.request("tools/call", call(pair, "touch", uri=each))
        note = await mute.heard(method)
        assert await mute.request("resources/unsubscribe", {"uri": uri}) == {}
    assert note["params"]["uri"] == uri


async def test_completion(pair: Pair, mute: Client) -> None:
    value, other = word(), word()
    for ref, name in (
        ({"type": "ref/prompt", "name": f"{pair.source}_ask"}, "ask"),
        ({"type": "ref/resource", "uri": f"note://{pair.source}"}, f"note://{pair.source}"),
    ):
        params = {"ref": ref, "argument": {"name": "topic", "value": value}, "context": {"arguments": {"a": other}}}
        found = await mute.request("completion/complete", params)
        assert found["completion"]["values"] == [f"{name}/{value}/{other}"]


async def test_five_megabytes(pair: Pair, asked: Client) -> None:
    text = word()
    times = MEGABYTES // len(text) + 1
    found = text_of(await asked.request("tools/call", call(pair, "echo", text=text, times=times)))
    assert found == text * times


async def test_reading(pair: Pair, asked: Client) -> None:
    uri = f"note://{pair.source}"
    found = await asked.request("resources/read", {"uri": uri})
    assert [(each["uri"], each["text"]) for each in found["contents"]] == [(uri, f"text of {uri}")]


async def test_errors_keep_their_code(pair: Pair, asked: Client) -> None:
    with pytest.raises(Refused) as refused:
        await asked.request("tools/call", {"name": f"{pair.source}_no_such_tool", "arguments": {}})
    assert refused.value.code == -32602
