"""What arrives before the result: progress, log lines, chunks."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.wire.client import META, Client, Refused, text_of, word

pytestmark = pytest.mark.asyncio(loop_scope="session")

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
PROGRESS = "notifications/progress"
MESSAGE = "notifications/message"


def params(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


@pytest.mark.parametrize("number", [False, True])
async def test_progress_comes_in_order_with_the_token_that_was_sent(client: Client, number: bool) -> None:
    token: Any = random.randrange(10**9) if number else word()
    text, count = word(), random.randrange(3, 9)
    exchange = await client.open(
        "tools/call", params("steps", count=count, message=text), meta={"progressToken": token}
    )
    assert text_of(await exchange.result()) == text
    notes = exchange.notes(PROGRESS)
    assert [note["progress"] for note in notes] == list(range(1, count + 1))
    assert {note["total"] for note in notes} == {count}
    assert all(note["progressToken"] == token and type(note["progressToken"]) is type(token) for note in notes)
    if client.revision >= "2025-03-26":
        assert [note["message"] for note in notes] == [f"{text} {number}" for number in range(1, count + 1)]
    else:
        assert not any("message" in note for note in notes)


async def test_no_progress_for_those_who_did_not_ask(client: Client) -> None:
    exchange = await client.open("tools/call", params("steps", count=3, message=word()))
    await exchange.result()
    assert exchange.frames == []


async def test_two_calls_at_once_keep_their_own_progress(client: Client) -> None:
    words = [word(), word()]
    exchanges = [
        await client.open("tools/call", params("steps", count=5, message=each), meta={"progressToken": each})
        for each in words
    ]
    for exchange, each in zip(exchanges, words, strict=True):
        await exchange.result()
        notes = exchange.notes(PROGRESS)
        assert [note["progressToken"] for note in notes] == [each] * 5
        if client.revision >= "2025-03-26":
            assert all(note["message"].startswith(each) for note in notes)


async def test_chunks_leave_at_once_and_the_result_holds_them_all(client: Client) -> None:
    words = [word() for _ in range(6)]
    exchange = await client.open("tools/call", params("chunks", words=words), meta={"progressToken": word()})
    assert text_of(await exchange.result()) == "".join(words)
    notes = exchange.notes(PROGRESS)
    assert len(notes) == len(words)
    assert all(one["progress"] < two["progress"] for one, two in zip(notes, notes[1:], strict=False))
    if client.revision >= "2025-03-26":
        assert [note["message"] for note in notes] == words
    assert await client.text("chunks", words=words) == "".join(words)


def lines() -> list[tuple[str, str]]:
    return [(level, word()) for level in LEVELS]


async def test_log_lines_only_for_requests_that_name_a_level(modern: Client) -> None:
    sent, logger = lines(), word()
    exchange = await modern.open("tools/call", params("logs", lines=sent, logger=logger))
    await exchange.result()
    assert exchange.frames == []
    for level in random.sample(LEVELS, 3):
        exchange = await modern.open(
            "tools/call", params("logs", lines=sent, logger=logger), meta={META + "logLevel": level}
        )
        await exchange.result()
        expected = [
            {"level": each, "logger": logger, "data": {"text": text}} for each, text in sent[LEVELS.index(level) :]
        ]
        assert exchange.notes(MESSAGE) == expected


@pytest.mark.parametrize("level", ["loud", "", 7, "INFO"])
async def test_an_unknown_level_is_refused(modern: Client, level: Any) -> None:
    with pytest.raises(Refused) as refused:
        await modern.request("tools/list", meta={META + "logLevel": level})
    assert refused.value.code == -32602


async def test_legacy_clients_set_the_level_once(legacy: Client) -> None:
    sent, logger = lines(), word()
    for level in random.sample(LEVELS, 3):
        assert await legacy.request("logging/setLevel", {"level": level}) == {}
        exchange = await legacy.open("tools/call", params("logs", lines=sent, logger=logger))
        await exchange.result()
        expected = [
            {"level": each, "logger": logger, "data": {"text": text}} for each, text in sent[LEVELS.index(level) :]
        ]
        assert exchange.notes(MESSAGE) == expected
    for bad in ("loud", 7, None, {}):
        with pytest.raises(Refused) as refused:
            await legacy.request("logging/setLevel", {"level": bad})
        assert refused.value.code == -32602
    await legacy.request("logging/setLevel", {"level": "info"})
