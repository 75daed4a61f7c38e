"""Parked calls: bodies that wait for an answer from the user while no request of theirs is open.

A body runs as a task of its own. When it asks, its request is answered with the questions; the retry, which names it in
its sealed state, brings the answers and waits on. Sources that can ask hand their calls to `Parking.call`, or to
`replay` when the body shall run again from the start instead.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from rune.asking import Asking, MakeTask, TaskHandle, check_answer
from rune.errors import INVALID_PARAMS, ProtocolError, Unavailable
from rune.request import SILENT, Request, Result
from rune.source import Source, Target

_decode = msgspec.json.Decoder().decode
_GRACE: Final = 2.0


class Parked(Asking):
    """A call that can wait: it has an owner, an id and a time when it ends."""

    def __init__(self, parking: Parking, request: Request, source: str) -> None:
        super().__init__(request)
        self.id = os.urandom(16).hex()
        self.source = source
        self.owner = request.caller.subject
        self.about = _about(request)
        self.target = request.target
        self.attended = False
        self.timer: asyncio.TimerHandle | None = None
        self._parking = parking

    def _admit(self) -> None:
        self._parking.admit(self)


class Parking:
    """All parked calls of one process, bounded per caller, in total and in time. `worker` names the process."""

    def __init__(
        self, worker: str | None = None, *, per_caller: int = 64, total: int = 1024, ttl: float = 300.0
    ) -> None:
        self.worker = os.urandom(4).hex() if worker is None else worker
        self.per_caller = per_caller
        self.total = total
        self.ttl = ttl
        self._calls: dict[str, Parked] = {}
        self._owners: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Result]] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def __bool__(self) -> bool:
        """An empty one is one all the same."""
        return True

    async def call(self, request: Request, source: str, body: Callable[[Parked], Awaitable[Result]]) -> Result:
        """Start a call of `source`, or go on with the one that the state of the request names.

        Raises:
            ProtocolError: -32602 for a state that is not this caller's, is over or was used, and for malformed answers.
        """
        entry = request.state.get(source)
        if entry is None:
            parked = Parked(self, request, source)
            task = parked.start(body)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            parked = self._resume(request, source, entry)
            if parked.round != entry.get("round"):
                # An old round again: what is open now is asked now, and nothing is answered twice.
                return self._question(parked)
            parked.feed(request.answers or {})
            parked.request, parked.emit.target = request, request.emit
        return await self._attend(parked)

    def waiting(self, request: Request) -> Target | None:
        """What the call is about that a retry goes on with; its source may have been replaced since it began."""
        for entry in request.state.values():
            call = self._calls.get(str(entry.get("call"))) if isinstance(entry, dict) else None
            if call is not None and call.owner == request.caller.subject:
                return call.target
        return None

    def busy(self, source: Source) -> set[asyncio.Task[Result]]:
        """The calls of a source that wait for an answer."""
        calls = [call for call in self._calls.values() if call.target is not None and call.target.source is source]
        return {call.task for call in calls if call.task is not None}

    async def close(self) -> None:
        """Cancel all calls and wait, for a bounded time, until they are gone."""
        tasks = tuple(self._tasks)
        for parked in tuple(self._calls.values()):
            self._forget(parked)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_GRACE)

    def admit(self, parked: Parked) -> None:
        """Make room for a call that is about to wait.

        Raises:
            Unavailable: naming the limit.
        """
        if parked.id in self._calls:
            return
        if self._owners[parked.owner] >= self.per_caller and not self._evict(parked.owner):
            raise Unavailable(f"{self.per_caller} calls of this caller wait for answers already (limit per_caller)")
        if len(self._calls) >= self.total:
            raise Unavailable(f"{self.total} calls wait for answers already (limit total)")
        self._calls[parked.id] = parked
        self._owners[parked.owner] += 1

    def _evict(self, owner: str) -> bool:
        """End the oldest call of this caller that nobody attends: its client has most likely given it up."""
        oldest = next((call for call in self._calls.values() if call.owner == owner and not call.attended), None)
        if oldest is not None:
            self._expire(oldest)
        return oldest is not None

    def _resume(self, request: Request, source: str, entry: Any) -> Parked:
        parked = self._calls.get(str(entry.get("call"))) if isinstance(entry, dict) else None
        if (
            parked is None
            or parked.owner != request.caller.subject
            or parked.source != source
            or parked.about != _about(request)
            or parked.attended
        ):
            raise invalid_state()
        return parked

    async def _attend(self, parked: Parked) -> Result:
        """Stay with a call until it has something to say to its open request."""
        task = parked.task
        assert task is not None, "a parked call has a body"
        if parked.timer is not None:
            parked.timer.cancel()
            parked.timer = None
        parked.attended = True
        try:
            await parked.turn(task)
        except asyncio.CancelledError:
            # The client has gone: nobody will ever answer.
            self._forget(parked)
            task.cancel()
            raise
        finally:
            parked.attended = False
        if task.done():
            self._forget(parked)
            return _outcome(task)
        if leaving := parked.take_leave():
            self._forget(parked)
            return await _leave(parked, task, *leaving)
        parked.emit.target = SILENT
        parked.timer = asyncio.get_running_loop().call_later(self.ttl, self._expire, parked)
        return self._question(parked)

    def _question(self, parked: Parked) -> Result:
        entry = {"call": parked.id, "worker": self.worker, "round": parked.round}
        result = Result.ask(parked.questions(), {parked.source: entry})
        result.abandon = partial(self._expire, parked)
        result.moved = parked.moved = asyncio.get_running_loop().create_future()
        return result

    def _expire(self, parked: Parked) -> None:
        self._forget(parked)
        if parked.task is not None:
            parked.task.cancel()

    def _forget(self, parked: Parked) -> None:
        if parked.timer is not None:
            parked.timer.cancel()
            parked.timer = None
        if self._calls.pop(parked.id, None) is not None:
            self._owners[parked.owner] -= 1
            if not self._owners[parked.owner]:
                del self._owners[parked.owner]


class Replayed(Asking):
    """A body that runs again from the start in each round, with the answers that it has had so far."""

    def __init__(self, request: Request, answers: dict[str, Any], asked: Mapping[str, Any]) -> None:
        super().__init__(request)
        self.answers = answers
        for key, answer in (request.answers or {}).items():
            if key in asked:
                check_answer(key, {"method": asked[key]}, answer)
                self.answers[key] = _decode(answer)

    async def ask(self, questions: Mapping[str, Mapping[str, Any]]) -> dict[str, msgspec.Raw]:
        """Answer from the record, or ask and end this run."""
        for key in self._early.keys() & questions.keys():
            check_answer(key, questions[key], self._early[key])
            self.answers[key] = _decode(self._early.pop(key))
        known = {key: msgspec.Raw(msgspec.json.encode(self.answers[key])) for key in questions if key in self.answers}
        rest = {key: question for key, question in questions.items() if key not in known}
        return known | (await super().ask(rest) if rest else {})


async def replay(request: Request, source: str, body: Callable[[Replayed], Awaitable[Result]]) -> Result:
    """Run a body with the answers recorded in the state of the request; when it asks for more, ask the client.

    Nothing is kept here between the rounds, so that a retry may land in any process.
    """
    entry = request.state.get(source) or {}
    if not isinstance(entry, dict) or not isinstance(entry.get("answers", {}), dict):
        raise invalid_state()
    asking = Replayed(request, dict(entry.get("answers", {})), entry.get("asked", {}))
    task = asking.start(body)
    left = False
    try:
        await asking.turn(task)
        if task.done():
            return _outcome(task)
        if leaving := asking.take_leave():
            left = True
            return await _leave(asking, task, *leaving)
        questions = asking.questions()
        asked = {key: question["method"] for key, question in questions.items()}
        return Result.ask(questions, {source: {"answers": asking.answers, "asked": asked}})
    finally:
        if not left and not task.done():
            asking.emit.target = SILENT
            task.cancel()
            await asyncio.wait([task], timeout=_GRACE)


async def _leave(
    asking: Asking, task: asyncio.Task[Result], make_task: MakeTask, ready: asyncio.Future[TaskHandle]
) -> Result:
    """Answer the open request with a task that is the rest of the body."""
    asking.emit.target = SILENT

    async def rest(handle: TaskHandle) -> Result:
        if not ready.done():
            ready.set_result(handle)
        return await task

    try:
        return await make_task(asking.request, rest)
    except BaseException:
        task.cancel()
        raise


def _outcome(task: asyncio.Task[Result]) -> Result:
    if task.cancelled():
        raise Unavailable("the call was cancelled")
    return task.result()


def invalid_state() -> ProtocolError:
    """The refusal of a requestState: the same for all reasons, so that nobody learns about others' calls."""
    return ProtocolError(INVALID_PARAMS, "invalid or expired requestState", data={"reason": "invalid_request_state"})


def _about(request: Request) -> tuple[str, str]:
    """What a call is about: a retry must be about the same."""
    if request.target is not None:
        return request.method, request.target.name
    raw = request.params.get("name") or request.params.get("uri") or b""
    return request.method, bytes(raw).decode("utf-8", "replace")
