"""The questions of one running body, and how their answers reach it. `parking` decides what becomes of the body."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import NoneType
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from rune.aio import spawn
from rune.errors import INVALID_PARAMS, ProtocolError
from rune.request import Relay, Request, Result

_decode = msgspec.json.Decoder().decode
_ACTIONS: Final = frozenset({"accept", "decline", "cancel"})


class TaskHandle(Protocol):
    """A task of the tasks extension from the inside."""

    @property
    def id(self) -> str: ...

    async def ask(self, questions: dict[str, Any]) -> dict[str, msgspec.Raw]: ...

    async def status(self, message: str) -> None: ...


Rest: TypeAlias = Callable[[TaskHandle], Awaitable[Result]]
MakeTask: TypeAlias = Callable[[Request, Rest], Awaitable[Result]]


class Asking:
    """The questions of one running body. `request` is the one that is open now, or was the last; `patience` the
    seconds in which further questions join a round, for bodies that run elsewhere."""

    def __init__(self, request: Request) -> None:
        self.request = request
        # A client that knows the questions may bring the answers along with its first request.
        self._early = {} if request.state else dict(request.answers or {})
        self.emit = Relay(request.emit)
        self.task: asyncio.Task[Result] | None = None
        self.round = 0
        self.patience = 0.0
        self._pending: dict[str, tuple[Mapping[str, Any], asyncio.Future[msgspec.Raw]]] = {}
        self._settled = False
        self._wake: asyncio.Future[None] | None = None
        self._leaving: tuple[MakeTask, asyncio.Future[TaskHandle]] | None = None
        self.moved: asyncio.Future[None] | None = None
        """Done when the body takes back a question of the last round."""

    async def ask(self, questions: Mapping[str, Mapping[str, Any]]) -> dict[str, msgspec.Raw]:
        """Put questions (key -> method and params) to the client and wait for all of them to be answered.

        Raises:
            Unavailable: too many calls wait already.
        """
        loop = asyncio.get_running_loop()
        self._admit()
        mine: dict[str, asyncio.Future[msgspec.Raw]] = {}
        for key, question in questions.items():
            if key in self._pending:
                raise ValueError(f"the question {key!r} is open already")
            mine[key] = loop.create_future()
            if key in self._early:
                answer = self._early.pop(key)
                check_answer(key, question, answer)
                mine[key].set_result(answer)
            else:
                self._pending[key] = question, mine[key]
        if self._pending:
            self._settle_soon()
        try:
            return {key: await future for key, future in mine.items()}
        finally:
            for key in mine:
                if self._pending.pop(key, None) is not None and self.moved is not None and not self.moved.done():
                    self.moved.set_result(None)

    async def detach(self, make_task: MakeTask) -> TaskHandle:
        """Answer the open request with a task; what is left of the body runs as that task.

        `make_task` gets the open request and a function that goes on with the body and waits for its end.
        """
        ready: asyncio.Future[TaskHandle] = asyncio.get_running_loop().create_future()
        self._leaving = make_task, ready
        self._wake_up()
        return await ready

    def _admit(self) -> None:
        """Refuse a question that there is no room for."""

    def _settle_soon(self) -> None:
        """Bodies that ask several things at once do so in steps of the loop: let them finish, then make one round."""
        loop = asyncio.get_running_loop()
        if self.patience:
            loop.call_later(self.patience, self._settle)
        else:
            loop.call_soon(loop.call_soon, self._settle)

    def _settle(self) -> None:
        if self._pending:
            self._settled = True
            self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def start(self, body: Callable[[Any], Awaitable[Result]]) -> asyncio.Task[Result]:
        """Run the body."""

        async def run() -> Result:
            return await body(self)

        # Most bodies end without ever waiting: those need no turn of the loop.
        self.task = spawn(run())
        self.task.add_done_callback(self._ended)
        return self.task

    def _ended(self, task: asyncio.Task[Result]) -> None:
        """The end may come when nobody waits, and be forgotten: asyncio need not complain then."""
        if not task.cancelled():
            task.exception()
        self._wake_up()

    async def turn(self, task: asyncio.Task[Result]) -> None:
        """Wait until the body has ended, has asked, or leaves its request."""
        while not (task.done() or self._leaving or (self._settled and self._pending)):
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def questions(self) -> dict[str, Mapping[str, Any]]:
        """What is open."""
        return {key: question for key, (question, _) in self._pending.items()}

    def feed(self, answers: Mapping[str, msgspec.Raw]) -> None:
        """Hand over the answers to open questions; others are ignored.

        Raises:
            ProtocolError: -32602 when one is malformed; then none is handed over.
        """
        known = {key: answers[key] for key in self._pending if key in answers}
        for key, answer in known.items():
            check_answer(key, self._pending[key][0], answer)
        for key, answer in known.items():
            _, future = self._pending.pop(key)
            if not future.done():
                future.set_result(answer)
        if known:
            self.round += 1
            self._settled = False
            self._settle_soon()

    def take_leave(self) -> tuple[MakeTask, asyncio.Future[TaskHandle]] | None:
        """How the body wants to leave its request, once."""
        leaving, self._leaving = self._leaving, None
        return leaving


def check_answer(key: str, question: Mapping[str, Any], answer: msgspec.Raw) -> None:
    """An answer must have the shape that its question wants.

    Raises:
        ProtocolError: -32602.
    """
    try:
        value = _decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(INVALID_PARAMS, f"params.inputResponses.{key}: {error}") from None
    where = f"params.inputResponses.{key}"
    if not isinstance(value, dict):
        raise ProtocolError(INVALID_PARAMS, f"{where} must be an object")
    match question.get("method"):
        case "elicitation/create":
            if value.get("action") not in _ACTIONS:
                raise ProtocolError(INVALID_PARAMS, f"{where}.action must be accept, decline or cancel")
            if not isinstance(value.get("content"), (dict, NoneType)):
                raise ProtocolError(INVALID_PARAMS, f"{where}.content must be an object")
        case "sampling/createMessage":
            if not isinstance(value.get("content"), (dict, list)):
                raise ProtocolError(INVALID_PARAMS, f"{where}.content must be a content block")
        case "roots/list":
            if not isinstance(value.get("roots"), list):
                raise ProtocolError(INVALID_PARAMS, f"{where}.roots must be a list")
