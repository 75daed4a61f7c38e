"""Whose question is whose: with servers of the official SDK behind `rune serve`, and several clients in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from tests.bridge.conftest import Come
from tests.bridge.house import House, visiting
from tests.wire.client import ALL, WAIT, Client, Refused, text_of, word
from tests.wire.duplex import DuplexClient
from tests.wire.schemas import MODERN

pytestmark = pytest.mark.asyncio(loop_scope="session")

ERAS = [MODERN, "2025-11-25"]
SHARED = ["old-stdio", "old-sse"]
Visit = Callable[..., Awaitable[Client]]


@pytest_asyncio.fixture(loop_scope="session")
async def visit(home: House) -> AsyncIterator[Visit]:
    """`await visit(revision, capabilities)`: one more client on HTTP, of its own."""
    async with AsyncExitStack() as stack:

        async def visit(revision: str, capabilities: dict[str, Any] | None = None) -> Client:
            return await stack.enter_async_context(visiting(home, "http", revision, capabilities))

        yield visit


def call(source: str, name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"name": f"{source}_{name}", "arguments": arguments}


def accept(value: str) -> dict[str, Any]:
    return {"action": "accept", "content": {"value": value}}


async def form(client: Client, source: str, name: str, value: str, **arguments: Any) -> tuple[str, list[str]]:
    """What a tool that asks says in the end, and the messages that this client was shown."""
    answers = {"elicitation/create": lambda _: accept(value)}
    result, asked = await client.converse("tools/call", call(source, name, **arguments), answers)
    return text_of(result), [question["params"]["message"] for question in asked]


@pytest.mark.parametrize("source", ["old-stdio", "old-http", "old-sse", "new-stdio", "new-http"])
async def test_many_callers_at_once_see_their_own_questions_only(visit: Visit, source: str) -> None:
    clients = [await visit(revision) for revision in (MODERN, "2025-11-25", MODERN, "2025-06-18")]
    messages, values = [[word() for _ in clients] for _ in range(2)]
    found = await asyncio.gather(
        *(
            form(client, source, "form", value, message=message)
            for client, value, message in zip(clients, values, messages, strict=True)
        )
    )
    assert found == [(f"accept:{value}", [message]) for value, message in zip(values, messages, strict=True)]


@pytest.mark.parametrize("source", SHARED)
@pytest.mark.parametrize("revision", ERAS)
async def test_an_answer_may_come_while_others_are_asked(visit: Visit, source: str, revision: str) -> None:
    """Both wait for their users; the one who was asked first answers last."""
    first, second = await visit(MODERN), await visit(revision)
    message, value = word(), word()
    params = call(source, "form", message=message)
    waiting = await first.request("tools/call", params)
    assert waiting["resultType"] == "input_required"
    assert await form(second, source, "form", "other", message="other") == ("accept:other", ["other"])
    (key,) = waiting["inputRequests"]
    given = {"inputResponses": {key: accept(value)}, "requestState": waiting["requestState"]}
    assert text_of(await first.request("tools/call", {**params, **given})) == f"accept:{value}"


async def test_somebody_else_cannot_answer_a_question_of_mine(visit: Visit) -> None:
    """The state of one call is of no use for another one."""
    mine, other = await visit(MODERN), await visit(MODERN)
    params = call("old-stdio", "form", message=word())
    waiting = await mine.request("tools/call", params)
    (key,) = waiting["inputRequests"]
    forged = {**call("old-stdio", "form", message=word()), "inputResponses": {key: accept("stolen")}}
    with pytest.raises(Refused) as refused:
        await other.request("tools/call", {**forged, "requestState": waiting["requestState"]})
    assert refused.value.code == -32602


@pytest.mark.parametrize("source", ["old-stdio", "old-http", "old-sse"])
async def test_roots_that_are_asked_for_at_the_start_belong_to_nobody(come: Come, source: str) -> None:
    client = await come("http", MODERN, ALL)
    result, asked = await client.converse("tools/call", call(source, "roots_seen"), {})
    assert asked == []
    # A server of this SDK asks on the GET stream, and loses what it says before that stands.
    assert set(text_of(result).split("|")) <= ({"none", ""} if source == "old-http" else {"none"})


@pytest.mark.parametrize("source", ["old-stdio", "old-http", "old-sse"])
@pytest.mark.parametrize("revision", ERAS)
async def test_a_question_on_the_stream_of_no_call_goes_to_the_only_call(
    visit: Visit, source: str, revision: str
) -> None:
    """On HTTP that is the GET stream of the session."""
    # A set of capabilities that nobody else has: a session, or a process, of its own.
    client = await visit(revision, {"elicitation": {}, "sampling": {"context": {}}})
    message, value = word(), word()
    assert await form(client, source, "stray", value, message=message) == (f"accept:{value}", [message])


async def test_a_question_on_the_stream_of_no_call_goes_to_nobody_when_there_are_two(visit: Visit, home: House) -> None:
    declared = {"elicitation": {}, "roots": {}}
    one, two = await visit(MODERN, declared), await visit(MODERN, declared)
    key = word()
    busy = await one.open("tools/call", call("old-http", "hang", key=key))
    await home.marks.seen(f"{key}.started")
    result = await two.request("tools/call", call("old-http", "stray", message=word()))
    assert text_of(result) == "decline:None"
    home.marks.set(f"{key}.go")
    assert text_of(await busy.result()) == key
    assert busy.frames == []


@pytest.mark.parametrize("source", ["old-stdio", "old-http", "old-sse"])
@pytest.mark.parametrize("revision", ERAS)
async def test_questions_outside_of_any_call_are_answered_by_the_gateway(
    visit: Visit, home: House, source: str, revision: str
) -> None:
    client, key = await visit(revision), word()
    assert text_of(await client.request("tools/call", call(source, "stray_later", key=key))) == "asked"
    form, sampled, roots, ping = (await home.marks.seen(f"{key}.told")).splitlines()
    assert '"action":"decline"' in form
    assert sampled.startswith("refused:")
    assert '"roots":[]' in roots
    assert ping == "{}"
    assert client.inbox.empty()


@pytest.mark.parametrize("source", ["old-stdio", "old-http", "old-sse"])
async def test_a_question_that_is_taken_back(visit: Visit, home: House, source: str) -> None:
    """A legacy client is told so; a modern one finds the answer without it."""
    old, new = await visit("2025-11-25"), await visit(MODERN)
    key, message = word(), word()
    exchange = await old.open("tools/call", call(source, "withdraw", key=key, message=message))
    question = await exchange.next("elicitation/create")
    assert question["params"]["message"] == message
    home.marks.set(f"{key}.go")
    note = await exchange.next("notifications/cancelled")
    assert note["params"]["requestId"] == question["id"]
    assert text_of(await exchange.result()) == "on my own"

    key = word()
    params = call(source, "withdraw", key=key, message=message)
    first = await new.request("tools/call", params)
    home.marks.set(f"{key}.go")
    # An answer that meets a server of this SDK in the very moment of giving up would end it.
    await home.marks.seen(f"{key}.back")
    (name,) = first["inputRequests"]
    given = {"inputResponses": {name: accept("too late")}, "requestState": first["requestState"]}
    assert text_of(await new.request("tools/call", {**params, **given})) == "on my own"


@pytest.mark.parametrize("source", ["old-stdio", "old-http", "old-sse", "new-http"])
@pytest.mark.parametrize("revision", ERAS)
async def test_who_does_not_want_to_visit_a_page_is_not_asked_again(visit: Visit, source: str, revision: str) -> None:
    client, key = await visit(revision), word()
    exchange = client.converse(
        "tools/call", call(source, "visit", key=key), {"elicitation/create": lambda _: {"action": "decline"}}
    )
    if source.startswith("old"):
        with pytest.raises(Refused) as refused:
            await exchange
        assert "not visited" in refused.value.message
    else:
        assert text_of((await exchange)[0]) == "stay out"


@pytest.mark.parametrize("source", SHARED)
@pytest.mark.parametrize("wire", ["http", "stdio"])
async def test_a_client_that_vanishes_ends_its_call(
    home: House, come: Come, visit: Visit, wire: str, source: str
) -> None:
    """A modern one by closing its stream, any by its connection; what it has left is cancelled at the server."""
    key = word()
    if wire == "http":
        client = await visit(MODERN)
        exchange = await client.open("tools/call", call(source, "hang", key=key))
        await home.marks.seen(f"{key}.started")
        await client.close()
        assert exchange.response is None
    else:
        async with visiting(home, "stdio", "2025-11-25") as client:
            assert isinstance(client, DuplexClient)
            async with asyncio.timeout(WAIT):
                while f"{source}_hang" not in {t["name"] for t in (await client.request("tools/list"))["tools"]}:
                    await asyncio.sleep(0.05)
            exchange = await client.open("tools/call", call(source, "hang", key=key))
            await home.marks.seen(f"{key}.started")
    await home.marks.seen(f"{key}.cancelled")
