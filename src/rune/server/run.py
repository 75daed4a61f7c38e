"""Runs a handler for one request under a guard: a deadline, a client that may go away, a server that may stop.

Both rims use it. A request that never suspends pays for none of this.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any, Final, Literal, TypeAlias, TypeVar

from rune.errors import RuneError, TimedOut
from rune.request import Handler, Request, Result

log = logging.getLogger("rune.server")

T = TypeVar("T")

EAGER: Final = sys.version_info >= (3, 12)
Reason: TypeAlias = Literal["", "timeout", "gone", "drain"]


class Ended(Exception):
    """The guard has cancelled a request because its client is gone or the server stops."""


class Guard:
    """Ends a running request from outside."""

    __slots__ = ("_handle", "_on_suspend", "_task", "reason", "timeout")

    def __init__(self, timeout: float | None, on_suspend: Callable[[Guard], None] | None = None) -> None:
        self.timeout = timeout
        self.reason: Reason = ""
        self._on_suspend = on_suspend
        self._task: asyncio.Task[Any] | None = None
        self._handle: asyncio.TimerHandle | None = None

    def suspended(self) -> None:
        """The request waits for something: only from now on can it be late or lose its client."""
        self._task = asyncio.current_task()
        if self._on_suspend is not None:
            self._on_suspend(self)
        if self.timeout is not None:
            self._handle = asyncio.get_running_loop().call_later(self.timeout, self.end, "timeout")

    def end(self, reason: Reason) -> None:
        """Cancel the request, once."""
        if not self.reason and self._task is not None and not self._task.done():
            self.reason = reason
            self._task.cancel()

    def stop(self) -> None:
        """The request is over."""
        self._task = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


async def run(handler: Handler, request: Request, guard: Guard) -> Result:
    """Ask the handler, and turn whatever goes wrong into a RuneError.

    Raises:
        Ended: when the guard has cancelled it for another reason than its deadline.
        RuneError: everything else.
    """
    try:
        return await _watched(handler(request), guard)
    except RuneError:
        raise
    except asyncio.CancelledError:
        if not guard.reason:
            raise
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        if guard.reason != "timeout":
            raise Ended from None
        raise TimedOut(f"{request.method}: no answer within {guard.timeout:g} s") from None
    except Exception as error:
        # A bug of ours or of a source: the client learns that it happened, the log learns what.
        log.exception("%s failed", request.method)
        raise RuneError(f"internal error ({type(error).__name__})") from None
    finally:
        guard.stop()


def spawn(job: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that has already taken its first step where Python can do that (3.12): what it starts with happens before
    the next frame is read, and a job that never waits costs no turn of the loop."""
    if EAGER:
        loop = asyncio.get_running_loop()
        return asyncio.Task(job, loop=loop, eager_start=True)  # type: ignore[call-arg, unused-ignore]
    return asyncio.create_task(job)


@coroutine
def _watched(job: Coroutine[Any, Any, Result], guard: Guard) -> Generator[Any, Any, Result]:
    """`await job`, telling the guard when it suspends for the first time. It stays in the same task throughout: a timer
    or a second task for every request would cost more than the request."""
    try:
        step = job.send(None)
        guard.suspended()
        while True:
            try:
                value = yield step
            except BaseException as error:  # noqa: BLE001 - whatever was thrown in belongs to the job
                step = job.throw(error)
            else:
                step = job.send(value)
    except StopIteration as stop:
        result: Result = stop.value
        return result
