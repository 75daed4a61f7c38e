"""Older servers that ask in the middle of a call: the right caller is asked, or nobody."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from rune.errors import ProtocolError, TimedOut, Unavailable
from rune.parking import Parking
from rune.request import Request, Result
from tests.client.fakes import Carried, Message, Notes, call, connection, legacy

DEADLINE = 30.0
ALL = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
FORM = {"message": "who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}


async def bounded(awaitable):
    async with asyncio.timeout(DEADLINE):
        return await awaitable


class Asker:
    """Asks each of `questions` (method, params) in turn during a call, then answers with what it was told."""

    def __init__(self, *questions: tuple[str, Message | None], at_once: bool = False) -> None:
        self.questions = questions
        self.at_once = at_once
        self.calls: list[Message] = []
        self.told: list[Any] = []
        self.cancelled: list[Any] = []

    def __call__(self, carried: Carried, message: Message) -> None:
        match message.get("method"):
            case "tools/call":
                self.calls.append(message)
                for number in range(len(self.questions) if self.at_once else 1):
                    self.ask(carried, number)
            case "notifications/cancelled":
                self.cancelled.append(message["params"]["requestId"])
            case None:
                self.told.append(message.get("result", message.get("error")))
                if len(self.told) == len(self.questions):
                    text = json.dumps(self.told)
                    carried.answer(self.calls[0], {"content": [{"type": "text", "text": text}]})
                elif not self.at_once:
                    self.ask(carried, len(self.told))

    def ask(self, carried: Carried, number: int) -> None:
        method, params = self.questions[number]
        frame: Message = {"id": f"q{number}", "method": method}
        carried.say(frame if params is None else {**frame, "params": params})


def retry(request: Request, result: Result, answers: dict[str, Any]) -> Request:
    again = request.replace(emit=request.emit)
    again.answers = {key: msgspec.Raw(json.dumps(value).encode()) for key, value in answers.items()}
    again.state = result.state
    return again


async def test_a_question_becomes_a_result_and_the_retry_goes_on():
    asker = Asker(("elicitation/create", FORM), ("sampling/createMessage", {"messages": [], "maxTokens": 5}))
    peer, wires = connection(legacy(asker), capabilities=ALL)
    async with peer:
        request = call(capabilities=ALL)
        first = await bounded(peer.handle(request))
        assert first.kind == "input_required"
        ((key, question),) = first.value["inputRequests"].items()
        assert question == {"method": "elicitation/create", "params": FORM}
        second = await bounded(
            peer.handle(retry(request, first, {key: {"action": "accept", "content": {"name": "B"}}}))
        )
        ((key, question),) = second.value["inputRequests"].items()
        assert question["method"] == "sampling/createMessage"
        answer = {"role": "assistant", "content": {"type": "text", "text": "hm"}, "model": "m"}
        last = await bounded(peer.handle(retry(request, second, {key: answer})))
        assert last.kind == "complete"
    assert asker.told == [{"action": "accept", "content": {"name": "B"}}, answer]
    assert wires.last.methods().count("tools/call") == 1


async def test_several_questions_at_once_are_one_round():
    asker = Asker(("roots/list", None), ("elicitation/create", FORM), at_once=True)
    peer, _ = connection(legacy(asker), capabilities=ALL)
    async with peer:
        request = call(capabilities=ALL)
        result = await bounded(peer.handle(request))
        questions = result.value["inputRequests"]
        assert sorted(question["method"] for question in questions.values()) == ["elicitation/create", "roots/list"]
        answers = {
            key: {"roots": []} if question["method"] == "roots/list" else {"action": "decline"}
            for key, question in questions.items()
        }
        assert (await bounded(peer.handle(retry(request, result, answers)))).kind == "complete"
    assert asker.told == [{"roots": []}, {"action": "decline"}]


async def test_questions_that_arrive_one_after_the_other_are_one_round_under_the_keys_that_a_rune_gave_them():
    asked = [{**FORM, "_meta": {"rune/key": key}} for key in ("name", "name", "")]
    asker = Asker(*(("elicitation/create", params) for params in asked), at_once=True)

    def slowly(carried: Carried, message: Message) -> None:
        if message.get("method") != "tools/call":
            asker(carried, message)
            return
        asker.calls.append(message)
        loop = asyncio.get_running_loop()
        # Each in a read of its own.
        for number in range(len(asked)):
            loop.call_later(0.001 * number, asker.ask, carried, number)

    peer, _ = connection(legacy(slowly), capabilities=ALL)
    async with peer:
        request = call(capabilities=ALL)
        result = await bounded(peer.handle(request))
        questions = result.value["inputRequests"]
        assert list(questions) == ["name", "name-q1", "elicitation-q2"]
        assert all(question == {"method": "elicitation/create", "params": FORM} for question in questions.values())
        answers = {key: {"action": "accept", "content": {"name": key}} for key in questions}
        assert (await bounded(peer.handle(retry(request, result, answers)))).kind == "complete"
    assert [answer["content"]["name"] for answer in asker.told] == list(questions)


async def test_a_missing_answer_is_asked_for_again():
    asker = Asker(("elicitation/create", FORM))
    peer, _ = connection(legacy(asker), capabilities=ALL)
    async with peer:
        request = call(capabilities=ALL)
        first = await bounded(peer.handle(request))
        second = await bounded(peer.handle(retry(request, first, {})))
        assert second.value["inputRequests"] == first.value["inputRequests"]
        (key,) = second.value["inputRequests"]
        last = await bounded(peer.handle(retry(request, second, {key: {"action": "cancel"}})))
        assert last.kind == "complete"


async def test_somebody_else_cannot_answer():
    asker = Asker(("elicitation/create", FORM))
    peer, _ = connection(legacy(asker), capabilities=ALL)
    async with peer:
        request = call(capabilities=ALL, caller="alice")
        first = await bounded(peer.handle(request))
        (key,) = first.value["inputRequests"]
        other = retry(call(capabilities=ALL, caller="mallory"), first, {key: {"action": "accept"}})
        with pytest.raises(ProtocolError) as caught:
            await bounded(peer.handle(other))
        assert caught.value.code == -32602
    assert asker.told == []


@pytest.mark.parametrize(
    ("method", "params", "said"),
    [
        ("elicitation/create", FORM, {"action": "decline"}),
        (
            "sampling/createMessage",
            {"messages": [], "maxTokens": 1},
            {"code": -32603, "message": "nobody can be asked now"},
        ),
        ("roots/list", None, {"roots": []}),
        ("ping", None, {}),
        ("vendor/other", {}, {"code": -32601, "message": "unknown method vendor/other"}),
    ],
)
async def test_what_the_caller_did_not_declare_is_answered_here(method, params, said):
    asker = Asker((method, params))
    peer, _ = connection(legacy(asker), capabilities=ALL)
    async with peer:
        result = await bounded(peer.handle(call()))
    assert result.kind == "complete"
    assert asker.told == [said]


async def test_what_the_session_did_not_declare_is_refused():
    asker = Asker(("elicitation/create", FORM))
    peer, wires = connection(legacy(asker))
    async with peer:
        assert (await bounded(peer.handle(call(capabilities=ALL)))).kind == "complete"
    assert asker.told == [{"code": -32601, "message": "unknown method elicitation/create"}]
    handshake = next(message for message in wires.last.heard if message.get("method") == "initialize")
    assert handshake["params"]["capabilities"] == {}


async def test_with_two_calls_in_flight_nobody_is_asked():
    both = asyncio.Event()
    asked: list[Message] = []
    calls: list[Message] = []

    def serve(carried: Carried, message: Message) -> None:
        if message.get("method") == "tools/call":
            calls.append(message)
            if len(calls) == 2:
                both.set()
                carried.say({"id": "q", "method": "elicitation/create", "params": FORM})
        elif "method" not in message:
            asked.append(message["result"])
            for entry in calls:
                carried.answer(entry, {"content": []})

    peer, _ = connection(legacy(serve), capabilities=ALL)
    async with peer:
        results = await bounded(
            asyncio.gather(
                peer.handle(call(capabilities=ALL, caller="alice")), peer.handle(call(capabilities=ALL, caller="bob"))
            )
        )
    assert [result.kind for result in results] == ["complete", "complete"]
    assert asked == [{"action": "decline"}]


async def test_the_server_may_still_be_at_a_call_that_was_given_up():
    """It asks when only the call of somebody else is in flight: nobody is asked before it has answered the first."""
    calls: list[Message] = []
    told: list[Any] = []

    def serve(carried: Carried, message: Message) -> None:
        if message.get("method") == "tools/call":
            calls.append(message)
        elif "method" not in message:
            told.append(message["result"])

    peer, wires = connection(legacy(serve), capabilities=ALL)
    async with peer:
        alice = asyncio.create_task(peer.handle(call(capabilities=ALL, caller="alice")))
        while len(calls) < 1:
            await asyncio.sleep(0)
        alice.cancel()
        await asyncio.wait([alice])
        assert list(peer.ghosts) == ["alice"]
        bob = asyncio.create_task(peer.handle(call(capabilities=ALL, caller="bob")))
        while len(calls) < 2:
            await asyncio.sleep(0)
        wires.last.say({"id": "q", "method": "elicitation/create", "params": FORM})
        while not told:
            await asyncio.sleep(0)
        assert told == [{"action": "decline"}]
        assert not bob.done()
        wires.last.refuse(calls[0], 0, "cancelled")
        assert not peer.ghosts
        wires.last.say({"id": "r", "method": "elicitation/create", "params": FORM})
        assert (await bounded(bob)).kind == "input_required"


async def test_a_question_with_no_call_at_all_is_declined():
    peer, wires = connection(legacy(), capabilities=ALL)
    async with peer:
        wires.last.say({"id": 7, "method": "elicitation/create", "params": FORM})
        assert wires.last.heard[-1] == {"jsonrpc": "2.0", "id": 7, "result": {"action": "decline"}}


async def test_a_caller_who_goes_away_cancels_the_call():
    asker = Asker(("elicitation/create", FORM))
    parking = Parking(ttl=0.05)
    peer, _ = connection(legacy(asker), capabilities=ALL, parking=parking)
    async with peer:
        first = await bounded(peer.handle(call(capabilities=ALL)))
        assert first.kind == "input_required"
        async with asyncio.timeout(DEADLINE):
            while not asker.cancelled:
                await asyncio.sleep(0.01)
    assert asker.cancelled == [asker.calls[0]["id"]]
    await parking.close()


async def test_a_call_that_is_neither_answered_nor_asked_times_out_and_is_cancelled():
    heard: list[Message] = []
    peer, _ = connection(legacy(lambda carried, message: heard.append(message)), capabilities=ALL, timeout=0.05)
    async with peer:
        with pytest.raises(TimedOut, match="fake: no answer to tools/call"):
            await bounded(peer.handle(call(capabilities=ALL)))
        async with asyncio.timeout(DEADLINE):
            while [message["method"] for message in heard] != ["tools/call", "notifications/cancelled"]:
                await asyncio.sleep(0.01)


async def test_a_withdrawn_question_is_asked_no_more():
    def serve(carried: Carried, message: Message) -> None:
        if message.get("method") == "tools/call":
            carried.say({"id": 5, "method": "elicitation/create", "params": FORM})
            carried.say({"method": "notifications/cancelled", "params": {"requestId": 5}})
            carried.say({"method": "notifications/cancelled", "params": {"requestId": [5]}})
            carried.answer(message, {"content": []})

    peer, _ = connection(legacy(serve), capabilities=ALL)
    async with peer:
        assert (await bounded(peer.handle(call(capabilities=ALL)))).kind == "complete"


async def test_progress_goes_to_the_request_that_is_open_now():
    calls: list[Message] = []

    def serve(carried: Carried, message: Message) -> None:
        if message.get("method") == "tools/call":
            calls.append(message)
            progress(carried, 1)
            carried.say({"id": 1, "method": "roots/list"})
        elif "method" not in message:
            progress(carried, 2)
            carried.answer(calls[0], {"content": []})

    def progress(carried: Carried, number: int) -> None:
        token = calls[0]["params"]["_meta"]["progressToken"]
        carried.say({"method": "notifications/progress", "params": {"progressToken": token, "progress": number}})

    peer, _ = connection(legacy(serve), capabilities=ALL)
    async with peer:
        one, two = Notes(), Notes()
        first = await bounded(peer.handle(call(capabilities=ALL, token="first", emit=one)))
        (key,) = first.value["inputRequests"]
        again = retry(call(capabilities=ALL, token="second", emit=two), first, {key: {"roots": []}})
        await bounded(peer.handle(again))
    assert one.params == [{"progressToken": "first", "progress": 1}]
    assert two.params == [{"progressToken": "second", "progress": 2}]


async def test_the_death_of_the_server_ends_a_parked_call():
    asker = Asker(("elicitation/create", FORM))
    peer, wires = connection(legacy(asker), capabilities=ALL)
    async with peer:
        request = call(capabilities=ALL)
        first = await bounded(peer.handle(request))
        (key,) = first.value["inputRequests"]
        wires.last.die()
        with pytest.raises((Unavailable, ProtocolError)):
            await bounded(peer.handle(retry(request, first, {key: {"action": "accept"}})))


async def test_a_demand_to_visit_a_url_is_a_question():
    item = {"mode": "url", "elicitationId": "e1", "url": "https://x.example/sign", "message": "sign in"}
    server = legacy(lambda carried, message: carried.refuse(message, -32042, "url", {"elicitations": [item]}))
    peer, _ = connection(server, capabilities=ALL)
    async with peer:
        result = await bounded(peer.handle(call(capabilities=ALL)))
        assert result.value["inputRequests"] == {
            "url0": {
                "method": "elicitation/create",
                "params": {"mode": "url", "url": "https://x.example/sign", "message": "sign in"},
            }
        }
        with pytest.raises(ProtocolError) as caught:
            await bounded(peer.handle(call()))
        assert caught.value.code == -32603
