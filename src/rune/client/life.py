"""The life of a connection that is meant to be there: started on demand, restarted after its death, with back-off.

Asleep, starting, ready, failed. `sources/upstream/pool.py` keeps one for each child or session that it needs.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final, Literal, Protocol, TypeAlias

from rune.client.client import Connection
from rune.errors import RuneError, TimedOut, Unavailable

log = logging.getLogger("rune.client")

State: TypeAlias = Literal["asleep", "starting", "ready", "failed"]

FIRST_DELAY: Final = 0.5
LAST_DELAY: Final = 60.0
PATIENCE: Final = 10
"""Starts in a row that may fail; after so many there are at most six an hour."""
HOPELESS_DELAY: Final = 600.0
SILENCE: Final = 2
"""Calls in a row that may stay without an answer before the server is asked whether it is there at all."""
STEADY: Final = 10.0
"""Seconds after which a connection counts as having worked: its death starts the back-off anew."""


class Make(Protocol):
    """Makes a connection that is not open yet and tells `on_lost` when it is gone."""

    def __call__(self, on_lost: Callable[[], None]) -> Connection: ...


class Life:
    """At most one connection at a time, and what became of the last one. Without use for `idle` seconds it ends, and
    is started again when somebody needs it. `on_ready` hears of each start."""

    def __init__(self, name: str, make: Make, *, start_timeout: float = 60.0, idle: float | None = None) -> None:
        self.name = name
        self.state: State = "asleep"
        self.error: RuneError | None = None
        self.users = 0
        self.retry_at = 0.0
        self.started_at = 0.0
        self.wanted_at = 0.0
        self.last_words: list[str] = []
        self.on_ready: Callable[[], object] = lambda: None
        self._make = make
        self._start_timeout = start_timeout
        self._idle = idle
        self._used_at = 0.0
        self._doze: asyncio.TimerHandle | None = None
        self._connection: Connection | None = None
        self._starting: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._leaving: asyncio.Task[None] | None = None
        self._check: asyncio.Task[None] | None = None
        self._failures = 0
        self._silent = 0
        self.legacy = False
        self._over = asyncio.Event()

    @property
    def connection(self) -> Connection | None:
        """The connection, if it is ready."""
        return self._connection

    @property
    def outlook(self) -> str | None:
        """When a server that failed is tried again."""
        left = self.retry_at - asyncio.get_running_loop().time()
        return f"tried again in {left:.0f} s at the earliest, when it is needed" if left > 1 else None

    async def ready(self, deadline: float | None = None) -> Connection:
        """The connection, started if need be. Many may wait for the same start.

        Raises:
            Unavailable, TimedOut, NeedsAuth: why there is none; the same again until the back-off is over.
        """
        if self._connection is not None:
            return self._connection
        loop = asyncio.get_running_loop()
        if self._over.is_set():
            raise Unavailable(f"{self.name}: closed")
        if self._starting is None:
            if self.error is not None and loop.time() < self.retry_at:
                raise self.error.with_traceback(None)
            self._starting = loop.create_task(self._start())
        timeout = None if deadline is None else max(deadline - loop.time(), 0)
        done, _ = await asyncio.wait((self._starting,), timeout=timeout)
        if self._connection is not None:
            return self._connection
        if not done:
            raise TimedOut(f"{self.name}: still starting")
        error = self.error or Unavailable(f"{self.name}: ended at once")
        # One error for all who wait: it must not collect the traces of all of them.
        raise error.with_traceback(None)

    async def _start(self) -> None:
        """Never raises: the outcome is in `state` and `error`, for all who wait."""
        self.state, self.started_at = "starting", asyncio.get_running_loop().time()
        connection = self._make(lambda: self._lost(connection))
        if self._leaving is not None:
            # Two of the same command may want the same file or port.
            await asyncio.wait((self._leaving,))
        try:
            async with asyncio.timeout(self._start_timeout):
                await connection.open(legacy=self.legacy)
        except TimeoutError:
            await self._failed(connection, TimedOut(f"{self.name}: not ready after {self._start_timeout:g} s"))
        except RuneError as error:
            await self._failed(connection, error)
        except asyncio.CancelledError:
            await connection.close()
            raise
        except Exception as error:
            # A bug of ours: those who wait must hear of it too.
            log.exception("%s: could not be started", self.name)
            await self._failed(connection, Unavailable(f"{self.name}: internal error ({type(error).__name__})"))
        else:
            self._began(connection)
        finally:
            self._starting = None

    def _began(self, connection: Connection) -> None:
        self._connection, self.state, self.error = connection, "ready", None
        self.legacy = connection.legacy
        self._silent = 0
        if self._idle is not None:
            self._used_at = asyncio.get_running_loop().time()
            self._look_in(self._idle)
        self.on_ready()

    async def _failed(self, connection: Connection, error: RuneError) -> None:
        self.last_words = connection.last_words
        self.legacy = False
        self._failures += 1
        self._note(error, self._failures)
        await connection.close()

    def _note(self, error: RuneError, failures: int) -> None:
        delay = min(FIRST_DELAY * 2 ** (min(failures, PATIENCE) - 1), LAST_DELAY) if failures else 0.0
        if failures > PATIENCE:
            delay = HOPELESS_DELAY
        self.state, self.error = "failed", error
        # Many gateways behind one dead server must not come back to it in step.
        self.retry_at = asyncio.get_running_loop().time() + delay * random.uniform(0.7, 1.0)
        log.info("%s", error)

    def _lost(self, connection: Connection) -> None:
        if connection is self._connection:
            self.last_words = connection.last_words
            self._drop(connection, Unavailable(f"{self.name}: {connection.lost}"))

    def _drop(self, connection: Connection, error: RuneError, *, at_once: bool = False) -> None:
        """It worked once: the next call may start it again at once, and only then it gets slower, unless `at_once`."""
        now = asyncio.get_running_loop().time()
        self._connection = None
        self._failures = 1 if now - self.started_at > STEADY else self._failures + 1
        self._note(error, 0 if at_once else self._failures - 1)
        self._part(connection)

    def _part(self, connection: Connection) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._retire(connection))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _retire(self, connection: Connection) -> None:
        """Calls of others may still be under way on it; they are waited for unless all ends."""
        waits = [asyncio.create_task(connection.drained()), asyncio.create_task(self._over.wait())]
        await asyncio.wait(waits, timeout=self._start_timeout, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await connection.close()

    def doubt(self, connection: Connection, error: RuneError) -> None:
        """A URL did not answer: the next call looks anew who lives there."""
        if connection is self._connection and connection.http:
            # One caller's broken answer must not make others wait: if it is down, the new start says so.
            self._drop(connection, error, at_once=True)

    def worked(self) -> None:
        """A call has been answered."""
        self._failures = self._silent = 0
        if self._idle is not None:
            self._used_at = asyncio.get_running_loop().time()

    def again(self) -> None:
        """What kept it away is over: whoever needs it next starts it."""
        self.retry_at = 0.0

    def unanswered(self, connection: Connection) -> None:
        """A call has waited in vain. It may have been a long one; a server that says nothing at all is started anew."""
        if connection is not self._connection or connection.http:
            return
        self._silent += 1
        if self._silent >= SILENCE and self._check is None:
            self._check = asyncio.get_running_loop().create_task(self._examine(connection))

    async def _examine(self, connection: Connection) -> None:
        try:
            answers = await connection.answers()
        finally:
            self._check = None
        if answers:
            self._silent = 0
        elif connection is self._connection:
            self._drop(connection, TimedOut(f"{self.name}: answers nothing any more and is started anew"))

    # --- sleep ---

    def _look_in(self, seconds: float) -> None:
        self._doze = asyncio.get_running_loop().call_later(seconds, self._sleep)

    def _sleep(self) -> None:
        """Let it end if nobody has used it for long enough."""
        connection, self._doze = self._connection, None
        if connection is None or self._idle is None:
            return
        left = self._used_at + self._idle - asyncio.get_running_loop().time()
        if self.users or connection.busy:
            self._look_in(self._idle)
        elif left > 0:
            self._look_in(left)
        else:
            log.info("%s: sleeps until it is needed", self.name)
            self._connection, self.state, self.error = None, "asleep", None
            self._leaving = self._part(connection)

    async def close(self) -> None:
        """End it for good."""
        self._over.set()
        if self._doze is not None:
            self._doze.cancel()
        for task in (self._check, self._starting):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        connection, self._connection = self._connection, None
        self.state = "asleep"
        if connection is not None:
            await connection.close()
        if self._ending:
            await asyncio.wait(self._ending)
