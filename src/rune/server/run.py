"""Runs a handler for one request under a guard: a deadline, a client that may go away, a server that may stop.

Both rims use it. A request that never suspends pays for none of this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from time import monotonic
from types import coroutine
from typing import Any, Literal, TypeAlias, TypeVar

from rune.errors import RuneError, TimedOut, Unavailable
from rune.request import Handler, Request, Result
from rune.source import Source

log = logging.getLogger("rune.server")

T = TypeVar("T")

Reason: TypeAlias = Literal["", "timeout", "gone", "drain"]


class Ended(Exception):
    """The guard has cancelled a request because its client is gone: nothing is sent any more."""


class Guard:
    """Ends a running request from outside. While the request waits for something, the guard stands in `registry`."""

    __slots__ = ("_handle", "_on_suspend", "_registry", "reason", "request", "task", "timeout")

    def __init__(
        self,
        timeout: float | None,
        registry: set[Guard] | None = None,
        on_suspend: Callable[[Guard], None] | None = None,
    ) -> None:
        self.timeout = timeout
        self.reason: Reason = ""
        self.task: asyncio.Task[Any] | None = None
        self.request: Request | None = None
        self._registry = registry
        self._on_suspend = on_suspend
        self._handle: asyncio.TimerHandle | None = None

    def suspended(self) -> None:
        """The request waits for something: only from now on can it be late or lose its client."""
        self.task = asyncio.current_task()
        if self._registry is not None:
            self._registry.add(self)
        if self._on_suspend is not None:
            self._on_suspend(self)
        if self.timeout is not None:
            self._handle = asyncio.get_running_loop().call_later(self.timeout, self.end, "timeout")

    def concerns(self, source: Source) -> bool:
        """Whether its request is answered by a source, as far as that is known yet."""
        target = self.request.target if self.request is not None else None
        return target is None or target.source is source

    def end(self, reason: Reason) -> None:
        """Cancel the request, once."""
        if not self.reason and self.task is not None and not self.task.done():
            self.reason = reason
            self.task.cancel()

    def stop(self) -> None:
        """The request is over."""
        if self.task is not None:
            self.task = None
            if self._registry is not None:
                self._registry.discard(self)
            if self._handle is not None:
                self._handle.cancel()


async def run(handler: Handler, request: Request, guard: Guard) -> Result:
    """Ask the handler, and turn whatever goes wrong into a RuneError.

    Raises:
        Ended: when the guard has cancelled it because its client is gone.
        RuneError: everything else.
    """
    if guard.timeout is not None:
        request.deadline = monotonic() + guard.timeout
    try:
        # Most requests end without ever waiting: those need no guard.
        result, rest = begin(handler(request))
        if rest is not None:
            guard.request = request
            result = await guarded(rest, guard, request.method)
        assert result is not None, "a handler answers or raises"
        return result
    except (RuneError, Ended):
        raise
    except asyncio.CancelledError:
        raise _cancelled(request.method) from None
    except Exception as error:
        # A bug of ours or of a source: the client learns that it happened, the log learns what.
        log.exception("%s failed", request.method)
        raise RuneError(f"internal error ({type(error).__name__})") from None


async def guarded(job: Coroutine[Any, Any, T], guard: Guard, what: str) -> T:
    """Await a job under a guard.

    Raises:
        TimedOut: when its time is over.
        Unavailable: when the server stops.
        RuneError: when the job raises CancelledError of its own accord.
        Ended: when its client is gone.
    """
    try:
        return await _watched(job, guard)
    except asyncio.CancelledError:
        if not guard.reason:
            raise _cancelled(what) from None
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        match guard.reason:
            case "timeout":
                raise TimedOut(f"{what}: not done within {guard.timeout:g} s") from None
            case "drain":
                raise Unavailable(f"{what}: the server is stopping") from None
        raise Ended from None
    finally:
        guard.stop()


def _cancelled(what: str) -> BaseException:
    """What a CancelledError stands for that no guard has caused."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        return asyncio.CancelledError()
    # Nobody has cancelled this request: its job let the end of something else of its own slip through.
    return RuneError(f"{what}: was cancelled from within")


def begin(job: Coroutine[Any, Any, T]) -> tuple[T | None, Coroutine[Any, Any, T] | None]:
    """Take the first step of a job: its result when that was all, else the rest of it, to be awaited."""
    try:
        step = job.send(None)
    except StopIteration as stop:
        return stop.value, None
    return None, _rest(job, step)


@coroutine
def _watched(job: Coroutine[Any, Any, T], guard: Guard) -> Generator[Any, Any, T]:
    """`await job`, telling the guard when it suspends for the first time. It stays in the same task throughout: a timer
    or a second task for every request would cost more than the request."""
    try:
        step = job.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    guard.suspended()
    return (yield from _steps(job, step))


async def _rest(job: Coroutine[Any, Any, T], step: Any) -> T:
    return await coroutine(_steps)(job, step)


def _steps(job: Coroutine[Any, Any, T], step: Any) -> Generator[Any, Any, T]:
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
