"""Ends an exchange from outside: its time is over, its client has gone, or the server stops.

All rims use it. It happens in the task of the exchange; one that never waits for anything pays for next to nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Generator
from time import monotonic
from types import coroutine
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec

from rune.errors import RuneError, TimedOut, Unavailable
from rune.request import Handler, Request, Result
from rune.source import Source

log = logging.getLogger("rune.server")

T = TypeVar("T")

Reason: TypeAlias = Literal["", "timeout", "gone", "drain"]
_OVER: Final = object()
Stage: TypeAlias = tuple[float | None, "set[Guard]", Request | None, bool]
"""How long it may take, where the guard stands, the request, and whether it ends when the client goes away."""


class Ended(Exception):
    """The guard has cancelled a request because its client is gone: nothing is sent any more."""


class Guard(msgspec.Struct, eq=False):
    """Ends what one exchange is doing from outside.

    An exchange goes through stages: its body is read, its handler runs. While a stage waits for something, the guard
    stands in the registry of that stage. `suspended` is for the carrier, which sees first that something is waited for.
    """

    stage: Stage | None = None
    task: asyncio.Task[Any] | None = None
    reason: Reason = ""
    _handle: asyncio.TimerHandle | None = None

    def enter(
        self, timeout: float | None, registry: set[Guard], request: Request | None = None, client: bool = False
    ) -> None:
        """A stage begins; `client` says that it ends when the client goes away."""
        self.stage = timeout, registry, request, client
        if request is not None and timeout is not None:
            request.deadline = monotonic() + timeout
        if self.reason:
            self.reason = ""
        if self.task is not None:
            self._arm()

    def leave(self) -> None:
        """The stage is over."""
        stage, self.stage = self.stage, None
        if self.task is not None and stage is not None:
            stage[1].discard(self)
            if self._handle is not None:
                self._handle.cancel()
                self._handle = None

    def suspended(self, task: asyncio.Task[Any] | None = None) -> None:
        """The exchange waits for something: only from now on can it be late or lose its client."""
        self.task = task or asyncio.current_task()
        self._arm()

    def _arm(self) -> None:
        if self.stage is None:
            return
        timeout, registry, _, client = self.stage
        registry.add(self)
        if timeout is not None:
            self._handle = asyncio.get_running_loop().call_later(timeout, self.stop, "timeout")
        if client:
            self.watch()

    def watch(self) -> None:
        """The stage ends when the client goes away: see to it that `lost` is called then."""

    def lost(self) -> None:
        """The client has gone."""
        if self.stage is not None and self.stage[3]:
            self.stop("gone")

    def stop(self, reason: Reason) -> None:
        """Cancel the stage, once."""
        if not self.reason and self.stage is not None and self.task is not None and not self.task.done():
            self.reason = reason
            self.task.cancel()

    def concerns(self, source: Source) -> bool:
        """Whether its request is answered by a source, as far as that is known yet."""
        request = None if self.stage is None else self.stage[2]
        target = None if request is None else request.target
        return target is None or target.source is source

    def verdict(self, error: BaseException, what: str) -> BaseException:
        """What the end of a stage by an exception stands for: a RuneError, Ended, or something that must go on."""
        if isinstance(error, RuneError) or not isinstance(error, (Exception, asyncio.CancelledError)):
            return error
        if isinstance(error, asyncio.CancelledError):
            return self._cancelled(what)
        # A bug of ours or of a source: the client learns that it happened, the log learns what.
        log.error("%s failed", what, exc_info=error)
        return RuneError(f"internal error ({type(error).__name__})")

    def _cancelled(self, what: str) -> BaseException:
        task = asyncio.current_task()
        if not self.reason:
            if task is not None and task.cancelling():
                return asyncio.CancelledError()
            # Nobody has cancelled this exchange: its job let the end of something else of its own slip through.
            return RuneError(f"{what}: was cancelled from within")
        if task is not None:
            task.uncancel()
        match self.reason:
            case "timeout":
                seconds = self.stage[0] if self.stage is not None else None
                return TimedOut(f"{what}: not done within {seconds:g} s")
            case "drain":
                return Unavailable(f"{what}: the server is stopping")
        return Ended()


async def run(handler: Handler, request: Request, guard: Guard) -> Result:
    """Ask the handler in the stage that the guard has entered, and turn whatever goes wrong into a RuneError.

    Raises:
        Ended: when the guard has cancelled it because its client is gone.
        RuneError: everything else.
    """
    try:
        return await handler(request)
    except BaseException as error:  # noqa: BLE001 - what is not for the client is raised again
        raise guard.verdict(error, request.method) from None
    finally:
        guard.leave()


def watched(job: Coroutine[Any, Any, None], guard: Guard) -> Coroutine[Any, Any, None] | None:
    """Take the first step of a job: the rest of it, to be awaited, when it waits for something, and its guard has been
    told. It stays in the same task throughout: a timer or a second task for every request would cost more than the
    request. For the same reason the job returns nothing: `next` makes no exception of such an end."""
    steps = job.__await__()
    step = next(steps, _OVER)
    if step is _OVER:
        return None
    guard.suspended()
    return _rest(steps, step)


def begin(job: Coroutine[Any, Any, T]) -> tuple[T | None, Coroutine[Any, Any, T] | None]:
    """Take the first step of a job: its result when that was all, else the rest of it, to be awaited."""
    try:
        step = job.send(None)
    except StopIteration as stop:
        return stop.value, None
    return None, _rest(job, step)


async def _rest(job: Coroutine[Any, Any, T] | Generator[Any, Any, T], step: Any) -> T:
    return await coroutine(_steps)(job, step)


def _steps(job: Coroutine[Any, Any, T] | Generator[Any, Any, T], step: Any) -> Generator[Any, Any, T]:
    """What `await` does with a job that has already taken its first step."""
    try:
        while True:
            try:
                value = yield step
            except BaseException as error:  # noqa: BLE001 - whatever was thrown in belongs to the job
                step = job.throw(error)
            else:
                step = job.send(value)
    except StopIteration as stop:
        result: T = stop.value
        return result
