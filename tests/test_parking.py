"""Calls that wait for answers: rounds, owners, bounds, expiry, cancellation, replay, leaving for a task."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from rune.asking import Asking, Rest, check_answer
from rune.errors import ProtocolError, Unavailable
from rune.parking import Parking, replay
from rune.request import SILENT, Caller, Emit, Note, Request, Result
from rune.source import Target

FORM = {"method": "elicitation/create", "params": {"message": "?"}}
MODEL = {"method": "sampling/createMessage", "params": {}}
ROOTS = {"method": "roots/list", "params": {}}
YES = {"action": "accept", "content": {"x": 1}}


def ask(
    state: dict[str, Any] | None = None,
    answers: dict[str, Any] | None = None,
    *,
    who: str = "ann",
    name: str = "t",
    emit: Emit = SILENT,
) -> Request:
    request = Request("tools/call", {"name": Raw(msgspec.json.encode(name))}, caller=Caller(who), emit=emit)
    request.state = state or {}
    if answers is not None:
        request.answers = {key: Raw(msgspec.json.encode(value)) for key, value in answers.items()}
    return request


async def two_rounds(asking: Asking) -> Result:
    first = await asking.ask({"a": FORM})
    second = await asking.ask({"b": FORM})
    return Result.of({"got": [first["a"], second["b"]]})


async def once(asking: Asking) -> Result:
    answers = await asking.ask({"a": FORM})
    return Result.of({"got": answers["a"]})


def keys(result: Result) -> list[str]:
    assert result.kind == "input_required"
    return list(result.value.get("inputRequests", {}))


async def refused(call: Awaitable[Result]) -> None:
    with pytest.raises(ProtocolError) as caught:
        await call
    assert caught.value.code == -32602
    assert caught.value.data == {"reason": "invalid_request_state"}


async def test_a_call_goes_on_with_the_answers() -> None:
    parking = Parking("w1")
    result = await parking.call(ask(), "s", two_rounds)
    assert keys(result) == ["a"]
    assert result.state["s"]["worker"] == "w1"
    assert len(parking) == 1
    result = await parking.call(ask(result.state, {"a": YES, "other": 1}), "s", two_rounds)
    assert keys(result) == ["b"]
    result = await parking.call(ask(result.state, {"b": {"action": "decline"}}), "s", two_rounds)
    assert result.value["got"] == [YES, {"action": "decline"}]
    assert len(parking) == 0


async def test_a_call_that_asks_nothing_is_never_parked() -> None:
    async def body(asking: Asking) -> Result:
        return Result.of({"x": 1})

    async def breaks(asking: Asking) -> Result:
        raise ProtocolError(-5, "broken")

    parking = Parking()
    assert (await parking.call(ask(), "s", body)).value["x"] == 1
    with pytest.raises(ProtocolError, match="broken"):
        await parking.call(ask(), "s", breaks)
    assert len(parking) == 0
    await parking.close()


async def test_only_the_owner_may_go_on() -> None:
    parking = Parking()
    ann = await parking.call(ask(), "s", once)
    bob = await parking.call(ask(who="bob"), "s", once)
    await refused(parking.call(ask(ann.state, {"a": YES}, who="bob"), "s", once))
    await refused(parking.call(ask(ann.state, {"a": YES}, name="other"), "s", once))
    await refused(parking.call(ask({"z": ann.state["s"]}, {"a": YES}), "z", once))
    await refused(parking.call(ask({"s": "no object"}, {"a": YES}), "s", once))
    await refused(parking.call(ask({"s": {"call": "0" * 32, "round": 0}}, {"a": YES}), "s", once))
    answer = {"action": "accept", "content": {"who": "bob"}}
    assert (await parking.call(ask(bob.state, {"a": answer}, who="bob"), "s", once)).value["got"] == answer
    assert (await parking.call(ask(ann.state, {"a": YES}), "s", once)).value["got"] == YES


async def test_a_target_is_what_the_call_is_about() -> None:
    parking = Parking()
    first = ask(name="exposed_one")
    first.target = Target(None, "one")  # type: ignore[arg-type]
    result = await parking.call(first, "s", once)
    retry = ask(result.state, {"a": YES}, name="exposed_one")
    retry.target = Target(None, "two")  # type: ignore[arg-type]
    await refused(parking.call(retry, "s", once))
    retry.target = first.target
    assert (await parking.call(retry, "s", once)).kind == "complete"


async def test_missing_answers_are_asked_again_and_partial_ones_kept() -> None:
    async def body(asking: Asking) -> Result:
        answers = await asking.ask({"a": FORM, "m": MODEL, "r": ROOTS})
        return Result.of({"got": list(answers)})

    parking = Parking()
    first = await parking.call(ask(), "s", body)
    again = await parking.call(ask(first.state, {"wrong": YES}), "s", body)
    assert keys(again) == ["a", "m", "r"]
    again = await parking.call(ask(again.state), "s", body)
    assert keys(again) == ["a", "m", "r"]
    part = await parking.call(ask(again.state, {"m": {"content": {"type": "text", "text": "x"}}}), "s", body)
    assert keys(part) == ["a", "r"]
    done = await parking.call(ask(part.state, {"a": YES, "r": {"roots": []}}), "s", body)
    assert done.value["got"] == ["a", "m", "r"]


async def test_malformed_answers_are_refused_and_the_call_stays() -> None:
    parking = Parking()
    first = await parking.call(ask(), "s", once)
    for answer in (12345, {"action": "maybe"}, {"action": "accept", "content": [1]}):
        with pytest.raises(ProtocolError, match=r"params\.inputResponses\.a") as caught:
            await parking.call(ask(first.state, {"a": answer}), "s", once)
        assert caught.value.code == -32602
    assert (await parking.call(ask(first.state, {"a": YES}), "s", once)).kind == "complete"


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (MODEL, b'{"content":"text"}'),
        (ROOTS, b'{"roots":{}}'),
        (FORM, b'{"action":"\xff"}'),
        (FORM, b"{"),
        (ROOTS, b"[]"),
    ],
)
def test_answers_must_fit_their_question(question: dict[str, Any], answer: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_answer("k", question, Raw(answer))
    assert caught.value.code == -32602


def test_answers_to_other_kinds_only_have_to_be_objects() -> None:
    check_answer("k", {"method": "other"}, Raw(b"{}"))


async def test_an_old_round_resumes_nothing() -> None:
    parking = Parking()
    first = await parking.call(ask(), "s", two_rounds)
    second = await parking.call(ask(first.state, {"a": YES}), "s", two_rounds)
    replayed = await parking.call(
        ask(first.state, {"a": {"action": "cancel"}, "b": {"action": "cancel"}}), "s", two_rounds
    )
    assert replayed.value == second.value
    assert replayed.state == second.state
    done = await parking.call(ask(second.state, {"b": YES}), "s", two_rounds)
    assert done.value["got"] == [YES, YES]
    await refused(parking.call(ask(second.state, {"b": YES}), "s", two_rounds))


async def test_two_retries_of_one_round_at_once() -> None:
    go = asyncio.Event()

    async def body(asking: Asking) -> Result:
        await asking.ask({"a": FORM})
        await go.wait()
        return Result.of({})

    parking = Parking()
    first = await parking.call(ask(), "s", body)
    one = asyncio.create_task(parking.call(ask(first.state, {"a": YES}), "s", body))
    await asyncio.sleep(0)
    await refused(parking.call(ask(first.state, {"a": YES}), "s", body))
    go.set()
    assert (await one).kind == "complete"


async def test_questions_asked_together_make_one_round() -> None:
    async def body(asking: Asking) -> Result:
        found = await asyncio.gather(asking.ask({"a": FORM}), asking.ask({"b": FORM}))
        return Result.of({"got": [list(each) for each in found]})

    parking = Parking()
    first = await parking.call(ask(), "s", body)
    assert keys(first) == ["a", "b"]
    part = await parking.call(ask(first.state, {"b": YES}), "s", body)
    assert keys(part) == ["a"]
    assert (await parking.call(ask(part.state, {"a": YES}), "s", body)).value["got"] == [["a"], ["b"]]


async def test_a_key_cannot_be_open_twice() -> None:
    async def body(asking: Asking) -> Result:
        await asyncio.gather(asking.ask({"a": FORM}), asking.ask({"a": FORM}))
        return Result.of({})

    with pytest.raises(ValueError, match="'a' is open already"):
        await Parking().call(ask(), "s", body)


@pytest.mark.parametrize("again", [False, True])
async def test_answers_that_come_before_their_question_are_taken_once(again: bool) -> None:
    parking = Parking()

    def call(request: Request) -> Awaitable[Result]:
        return replay(request, "s", two_rounds) if again else parking.call(request, "s", two_rounds)

    first = await call(ask(answers={"a": YES, "other": 1}))
    assert keys(first) == ["b"]
    assert (await call(ask(first.state, {"b": YES}))).value["got"] == [YES, YES]
    assert (await call(ask(answers={"a": YES, "b": YES}))).value["got"] == [YES, YES]
    with pytest.raises(ProtocolError, match="must be an object"):
        await call(ask(answers={"a": 1}))
    assert len(parking) == 0


async def test_a_body_may_give_up_waiting() -> None:
    async def body(asking: Asking) -> Result:
        try:
            await asyncio.wait_for(asking.ask({"a": FORM}), 0.01)
        except TimeoutError:
            over.set()
        return Result.of({"late": True})

    over = asyncio.Event()
    parking = Parking()
    first = await parking.call(ask(), "s", body)
    await asyncio.wait_for(over.wait(), 30)
    # It has ended while nobody waited: the result is kept for the retry.
    assert (await parking.call(ask(first.state, {"a": YES}), "s", body)).value == {
        "resultType": "complete",
        "late": True,
    }
    assert len(parking) == 0


async def test_bounds_per_caller_and_in_total() -> None:
    parking = Parking(per_caller=1, total=2)
    ann = await parking.call(ask(), "s", once)
    newer = await parking.call(ask(), "s", once)
    assert len(parking) == 1, "the oldest call of a caller gives way to its newest"
    with pytest.raises(ProtocolError):
        await parking.call(ask(ann.state, {"a": YES}), "s", once)
    await parking.call(ask(who="bob"), "s", once)
    with pytest.raises(Unavailable, match=r"limit total"):
        await parking.call(ask(who="cid"), "s", once)
    await parking.call(ask(newer.state, {"a": YES}), "s", once)
    assert keys(await parking.call(ask(who="cid"), "s", once)) == ["a"]
    await parking.close()
    assert len(parking) == 0


async def test_calls_expire_and_their_bodies_are_cancelled() -> None:
    cancelled = asyncio.Event()

    async def body(asking: Asking) -> Result:
        try:
            return await once(asking)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    parking = Parking(ttl=0.01)
    first = await parking.call(ask(), "s", body)
    await asyncio.wait_for(cancelled.wait(), 30)
    assert len(parking) == 0
    await refused(parking.call(ask(first.state, {"a": YES}), "s", body))


async def test_a_client_that_goes_away_cancels_its_call() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def body(asking: Asking) -> Result:
        await asking.ask({"a": FORM})
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("never")

    parking = Parking()
    first = await parking.call(ask(), "s", body)
    retry = asyncio.create_task(parking.call(ask(first.state, {"a": YES}), "s", body))
    await asyncio.wait_for(started.wait(), 30)
    retry.cancel()
    with pytest.raises(asyncio.CancelledError):
        await retry
    await asyncio.wait_for(cancelled.wait(), 30)
    assert len(parking) == 0


async def test_closing_cancels_what_is_parked_and_what_runs() -> None:
    started = asyncio.Event()

    async def runs(asking: Asking) -> Result:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError("never")

    parking = Parking()
    first = await parking.call(ask(), "s", once)
    running = asyncio.create_task(parking.call(ask(), "s", runs))
    await asyncio.wait_for(started.wait(), 30)
    await parking.close()
    with pytest.raises(Unavailable, match="the call was cancelled"):
        await running
    await refused(parking.call(ask(first.state, {"a": YES}), "s", once))


class Heard(Emit):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.released = 0
        self.rooms = 0

    def __call__(self, note: Note) -> None:
        self.notes.append(note.method)

    async def room(self) -> None:
        self.rooms += 1

    def release(self) -> None:
        self.released += 1


async def test_notes_go_to_the_request_that_is_open() -> None:
    between = asyncio.Event()

    async def body(asking: Asking) -> Result:
        asking.emit(Note("one"))

        async def later() -> None:
            await between.wait()
            asking.emit(Note("nobody hears this"))

        task = asyncio.create_task(later())
        await asking.ask({"a": FORM})
        await task
        asking.emit(Note("two"))
        await asking.emit.room()
        asking.emit.release()
        return Result.of({})

    parking = Parking()
    heard_first, heard_second = Heard(), Heard()
    first = await parking.call(ask(emit=heard_first), "s", body)
    between.set()
    await asyncio.sleep(0.01)
    await parking.call(ask(first.state, {"a": YES}, emit=heard_second), "s", body)
    assert heard_first.notes == ["one"]
    assert heard_second.notes == ["two"]
    assert (heard_second.rooms, heard_second.released, heard_first.released) == (1, 1, 0)


# --- replay ----------------------------------------------------------------------------------------------------------


async def test_replay_runs_again_with_the_recorded_answers() -> None:
    runs = 0

    async def body(asking: Asking) -> Result:
        nonlocal runs
        runs += 1
        return await two_rounds(asking)

    first = await replay(ask(), "s", body)
    assert keys(first) == ["a"]
    second = await replay(ask(first.state, {"a": YES, "b": {"action": "cancel"}}), "s", body)
    assert keys(second) == ["b"]
    assert second.state["s"]["answers"] == {"a": YES}
    again = await replay(ask(second.state, {"a": {"action": "cancel"}}), "s", body)
    assert again.value == second.value
    done = await replay(ask(again.state, {"b": YES}), "s", body)
    assert done.value["got"] == [YES, YES]
    assert runs == 4


async def test_replay_refuses_what_is_malformed() -> None:
    first = await replay(ask(), "s", once)
    with pytest.raises(ProtocolError, match="must be an object"):
        await replay(ask(first.state, {"a": 12345}), "s", once)
    await refused(replay(ask({"s": ["odd"]}), "s", once))
    await refused(replay(ask({"s": {"answers": 1}}), "s", once))


async def test_replay_leaves_no_body_behind() -> None:
    ended = asyncio.Event()

    async def body(asking: Asking) -> Result:
        try:
            return await once(asking)
        finally:
            ended.set()

    assert keys(await replay(ask(), "s", body)) == ["a"]
    assert ended.is_set()

    async def hangs(asking: Asking) -> Result:
        ended.clear()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError("never")

    call = asyncio.create_task(replay(ask(), "s", hangs))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended.is_set()


async def test_a_replayed_body_that_cancels_itself() -> None:
    async def body(asking: Asking) -> Result:
        raise asyncio.CancelledError

    with pytest.raises(Unavailable):
        await replay(ask(), "s", body)


# --- leaving for a task ----------------------------------------------------------------------------------------------


class Handle:
    id = "task-1"

    async def ask(self, questions: dict[str, Any]) -> dict[str, Raw]:
        raise NotImplementedError

    async def status(self, message: str) -> None:
        raise NotImplementedError


async def start(asking: Asking, made: list[Rest]) -> Result:
    async def make_task(request: Request, rest: Rest) -> Result:
        made.append(rest)
        return Result.of({"answers": list(request.answers or {})}, "task")

    await asking.ask({"a": FORM})
    handle = await asking.detach(make_task)
    return Result.of({"id": handle.id})


@pytest.mark.parametrize("again", [False, True])
async def test_ask_first_and_go_on_as_a_task(again: bool) -> None:
    made: list[Rest] = []
    parking = Parking()

    async def body(asking: Asking) -> Result:
        return await start(asking, made)

    def call(request: Request) -> Awaitable[Result]:
        return replay(request, "s", body) if again else parking.call(request, "s", body)

    first = await call(ask())
    task = await call(ask(first.state, {"a": YES}))
    assert task.kind == "task"
    assert task.value["answers"] == ["a"]
    assert len(parking) == 0
    assert (await made[0](Handle())).value["id"] == "task-1"


async def test_a_task_that_is_cancelled_cancels_the_body() -> None:
    cancelled = asyncio.Event()
    made: list[Rest] = []

    async def body(asking: Asking) -> Result:
        await start(asking, made)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("never")

    parking = Parking()
    first = await parking.call(ask(), "s", body)
    await parking.call(ask(first.state, {"a": YES}), "s", body)
    running = asyncio.ensure_future(made[0](Handle()))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cancelled.is_set()


async def test_a_task_that_cannot_be_made_ends_the_call() -> None:
    ended = asyncio.Event()

    async def fails(request: Request, rest: Rest) -> Result:
        raise Unavailable("too many tasks")

    async def body(asking: Asking) -> Result:
        try:
            await asking.detach(fails)
        finally:
            ended.set()
        raise AssertionError("never")

    with pytest.raises(Unavailable, match="too many tasks"):
        await Parking().call(ask(), "s", body)
    await asyncio.wait_for(ended.wait(), 30)
