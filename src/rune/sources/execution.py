"""Where functions run: threads that never hold up the exit, and the clock that ends calls which take too long."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import coroutine
from typing import Any, Final, TypeVar

from rune.errors import TimedOut, Unavailable

T = TypeVar("T")

THREADS: Final = 40
BACKLOG: Final = 1000
LENT: Final = 256
"""How many threads more there may be, for those that wait for an answer."""


class Threads:
    """A bounded pool of daemon threads with a bounded queue.

    A thread cannot be killed: a function that hangs keeps its thread even after its call has timed out, but it does
    not keep the process from ending.
    """

    def __init__(self, size: int = THREADS, backlog: int = BACKLOG) -> None:
        self.size = size
        self.backlog = backlog
        self._jobs: deque[Callable[[], None]] = deque()
        self._ready = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._lent = 0
        self._closed = False

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function in a thread, with the context variables of the caller.

        Raises:
            Unavailable: all threads are busy and the queue is full.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def job() -> None:
            if future.cancelled():
                return
            try:
                value = context.run(function, *arguments)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the caller shall have it
                # A future cannot carry StopIteration, and SystemExit would end the loop that it is set in.
                if isinstance(error, (StopIteration, SystemExit, KeyboardInterrupt)):
                    error = RuntimeError(f"{type(error).__name__}: {error}")
                _tell(loop, _fail, future, error)
            else:
                _tell(loop, _succeed, future, value)

        self._put(job)
        return await future

    @contextmanager
    def lend(self) -> Iterator[None]:
        """While a thread waits for its caller or the user, another one may work in its place."""
        with self._ready:
            lent = self._lent < LENT
            if lent:
                self._lent += 1
                self.size += 1
                self._start()
        try:
            yield
        finally:
            if lent:
                with self._ready:
                    self._lent -= 1
                    self.size -= 1
                    self._ready.notify_all()

    def _put(self, job: Callable[[], None]) -> None:
        with self._ready:
            if len(self._jobs) >= self.backlog:
                raise Unavailable(f"all {self.size} threads are busy and {self.backlog} calls wait already")
            self._closed = False
            self._jobs.append(job)
            self._start()

    def _start(self) -> None:
        """Wake up a thread, or start one, if there is work for it."""
        if self._idle >= len(self._jobs):
            self._ready.notify()
        elif self._threads < self.size:
            self._threads += 1
            threading.Thread(target=self._work, name="rune-tool", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._ready:
                self._idle += 1
                while not (self._jobs or self._closed or self._threads > self.size):
                    self._ready.wait()
                self._idle -= 1
                if not self._jobs:
                    self._threads -= 1
                    return
                job = self._jobs.popleft()
            job()
            # Otherwise the arguments and the result would live until the next job.
            del job

    def close(self) -> None:
        """Let the threads end once they have nothing to do."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()


def _tell(loop: asyncio.AbstractEventLoop, *call: Any) -> None:
    try:
        loop.call_soon_threadsafe(*call)
    except RuntimeError:
        # The loop has ended while the function ran: nobody waits any more.
        return


def _succeed(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


class Clock:
    """The time that one call may take. It stands still while the call waits for the user."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._left = seconds
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self.expired = False

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`. The timer is set only when it suspends for the first time.

        Raises:
            TimedOut: it took too long; it has been cancelled.
        """
        try:
            value = await self._steps(work)
        except BaseException as error:
            if self._uncancel() and isinstance(error, asyncio.CancelledError):
                raise TimedOut(f"timed out after {self.seconds:g} s") from None
            raise
        finally:
            self.pause()
        self._uncancel()
        return value

    def _uncancel(self) -> bool:
        """Take back our own cancellation; whether there was no other."""
        if not self.expired or self._task is None:
            return False
        return self._task.uncancel() <= self._cancelling

    @coroutine
    def _steps(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        step: Callable[[Any], Any] = work.send
        value: Any = None
        while True:
            try:
                waiting = step(value)
            except StopIteration as stop:
                result: T = stop.value
                return result
            if self._task is None:
                self._task = asyncio.current_task()
                self._cancelling = self._task.cancelling() if self._task is not None else 0
                self.resume()
            try:
                step, value = work.send, (yield waiting)
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:  # noqa: BLE001 - it is thrown into the work
                step, value = work.throw, error

    def resume(self) -> None:
        """Go on measuring."""
        if self._handle is None and self._task is not None:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_later(max(self._left, 0.0), self._expire)

    def pause(self) -> None:
        """Stop measuring; what is left is kept."""
        if self._handle is not None:
            self._left = self._handle.when() - asyncio.get_running_loop().time()
            self._handle.cancel()
            self._handle = None

    def _expire(self) -> None:
        self._handle = None
        self.expired = True
        if self._task is not None:
            self._task.cancel()
