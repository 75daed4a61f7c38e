"""Calls that wait for a sign-in: the client is asked to open a page, and its retry goes through once somebody has.

The gateway asks here when a source raises NeedsAuth. What is signed in for belongs to the operator, as with `rune auth
login`, and so nobody else may be led there: it is a caller without a name, on the machine of the gateway.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, NoReturn, Protocol

import msgspec

from rune.asking import check_answer
from rune.auth.door import Door, Visit
from rune.errors import NeedsAuth, TimedOut
from rune.profile import outside
from rune.protocol import jsonrpc
from rune.protocol.questions import declares
from rune.request import ANONYMOUS, Request, Result

log = logging.getLogger("rune.gateway")

KEY: Final = "sign-in"
STATE: Final = "sign-in/"
"""The entry of the gateway itself in a requestState: no source is called like that."""
PATIENCE: Final = 20.0
"""Seconds that a retry waits for somebody at a browser before the client is told to come again."""
START: Final = 15.0
"""Seconds in which the page must be there."""
MOST: Final = 32

_URL: Final[Mapping[str, Any]] = {"elicitation": {"url": {}}}


class Page(Visit, Protocol):
    """A page that leads to a sign-in."""

    ready: asyncio.Future[None]

    @property
    def address(self) -> str: ...


class SignIn:
    """One that is under way, for one caller."""

    def __init__(self, owner: str, door: Door, error: NeedsAuth) -> None:
        self.id = secrets.token_urlsafe(16)
        self.owner = owner
        self.door = door
        self.error = error
        self.page: Page | None = None
        self.shown: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None


class SignIns:
    """Those of one process. `make_page` is given the name of a source and the port to listen on; `local` says that who
    asks without a name is who runs the gateway."""

    def __init__(self, make_page: Callable[[str, int], AbstractAsyncContextManager[Page]]) -> None:
        self.local = True
        self._make_page = make_page
        self._known: dict[str, SignIn] = {}

    async def ask(self, request: Request, error: NeedsAuth, revive: Callable[[], Awaitable[object]]) -> Result:
        """A question that leads the user of this request to the sign-in that an error wants. `revive` makes the source
        look again when that is done.

        Raises:
            NeedsAuth: the error, for a client that cannot be asked. RuneError: why there is no sign-in to be had.
        """
        door, subject = error.door, request.caller.subject
        if door is None or not self._may(request):
            _refuse(error)
        found = (each for each in self._known.values() if (each.owner, each.door.name) == (subject, door.name))
        sign_in = next(found, None)
        if sign_in is None:
            if len(self._known) >= MOST:
                _refuse(error)
            sign_in = self._begin(SignIn(subject, door, error), revive)
        assert sign_in.task is not None, "it has begun"
        await asyncio.wait({sign_in.task, sign_in.shown}, timeout=START, return_when=asyncio.FIRST_COMPLETED)
        if sign_in.task.cancelled():
            _refuse(error)
        if sign_in.task.done():
            sign_in.task.result()
            return Result.ask({}, _state(request, sign_in, agreed=True))
        if sign_in.page is None or not sign_in.shown.done():
            self._end(sign_in)
            raise TimedOut(f"{door.name}: its authorization server does not answer", hint=error.hint)
        return self._question(request, sign_in)

    def _may(self, request: Request) -> bool:
        operator = outside(request.caller.subject) == ANONYMOUS.subject
        return self.local and operator and declares(_URL, request.capabilities)

    def _begin(self, sign_in: SignIn, revive: Callable[[], Awaitable[object]]) -> SignIn:
        sign_in.task = asyncio.get_running_loop().create_task(self._run(sign_in, revive))
        self._known[sign_in.id] = sign_in
        sign_in.task.add_done_callback(lambda task: self._over(sign_in, task))
        return sign_in

    async def _run(self, sign_in: SignIn, revive: Callable[[], Awaitable[object]]) -> None:
        @asynccontextmanager
        async def visiting(port: int) -> AsyncIterator[Visit]:
            async with self._make_page(sign_in.door.name, port) as page:
                sign_in.page = page
                page.ready.add_done_callback(lambda _: _settle(sign_in.shown))
                yield page

        await sign_in.door.enter(visiting)
        await revive()

    def _over(self, sign_in: SignIn, task: asyncio.Task[None]) -> None:
        self._known.pop(sign_in.id, None)
        if not task.cancelled() and task.exception() is not None:
            log.info("%s", task.exception())

    def _question(self, request: Request, sign_in: SignIn) -> Result:
        """What other layers have asked on the way is kept, but for calls that waited in vain."""
        assert sign_in.page is not None and sign_in.task is not None, "its page is shown"
        url = sign_in.page.address
        text = f"{sign_in.door.name} wants you to sign in. Open this address on the machine that Rune runs on."
        question = {"method": "elicitation/create", "params": {"mode": "url", "message": text, "url": url}}
        result = Result.ask({KEY: question}, _state(request, sign_in, agreed=False))
        moved = result.moved = asyncio.get_running_loop().create_future()
        sign_in.task.add_done_callback(lambda _: _settle(moved))
        return result

    async def returned(self, request: Request) -> Request | Result:
        """A retry: the request as it was before it was asked, once somebody has signed in; or the answer to wait on.

        Raises:
            NeedsAuth: the user does not want to. RuneError: why nobody is signed in.
        """
        entry = request.state[STATE]
        before = _before(request, entry)
        sign_in = self._known.get(str(entry.get("id")))
        if sign_in is None or sign_in.owner != request.caller.subject or sign_in.task is None:
            # It is over, one way or the other: the source knows which.
            return before
        answer = None if request.answers is None else request.answers.get(KEY)
        if answer is not None:
            check_answer(KEY, {"method": "elicitation/create"}, answer)
            if jsonrpc.decode(answer)["action"] != "accept":
                self._end(sign_in)
                name = sign_in.door.name
                raise _told(NeedsAuth(f"{name}: its user did not want to sign in", hint=sign_in.error.hint))
        elif not (entry.get("agreed") or sign_in.task.done()):
            return self._question(before, sign_in)
        await asyncio.wait({sign_in.task}, timeout=PATIENCE)
        if not sign_in.task.done():
            # Nothing new is asked: the client comes again by itself.
            return Result.ask({}, _state(before, sign_in, agreed=True))
        if sign_in.task.cancelled():
            return before
        sign_in.task.result()
        return before

    def _end(self, sign_in: SignIn) -> None:
        self._known.pop(sign_in.id, None)
        if sign_in.task is not None:
            sign_in.task.cancel()

    async def close(self) -> None:
        """End them all."""
        tasks = [each.task for each in self._known.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _state(request: Request, sign_in: SignIn, *, agreed: bool) -> dict[str, Any]:
    """The entries of other layers, and ours with the answers that were meant for them."""
    others = {
        name: entry
        for name, entry in request.state.items()
        # A call that waited for answers has ended with the error.
        if name != STATE and not (isinstance(entry, dict) and "call" in entry)
    }
    answers = {key: jsonrpc.decode(answer) for key, answer in (request.answers or {}).items()} if others else {}
    return {**others, STATE: {"id": sign_in.id, "agreed": agreed, "answers": answers}}


def _before(request: Request, entry: dict[str, Any]) -> Request:
    """The request without what is ours."""
    state = {name: other for name, other in request.state.items() if name != STATE}
    answers = {key: msgspec.Raw(jsonrpc.encode(answer)) for key, answer in entry.get("answers", {}).items()}
    return request.replace(state=state, answers=answers or None)


def _told(error: NeedsAuth) -> NeedsAuth:
    """The same with what to do in its text: a client is not shown hints."""
    return NeedsAuth(f"{error.message}: {error.hint}" if error.hint else error.message, hint=error.hint)


def _refuse(error: NeedsAuth) -> NoReturn:
    raise _told(error)
