"""The life of a connection that is meant to be there: started on demand, restarted after its death, with back-off.

`sources/upstream/pool.py` keeps one for each child or session that it needs.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal, Protocol, TypeAlias

from rune.client.client import Connection
from rune.errors import RuneError, TimedOut, Unavailable

log = logging.getLogger("rune.client")

State: TypeAlias = Literal["asleep", "starting", "ready", "failed"]

FIRST_DELAY: Final = 0.5
LAST_DELAY: Final = 60.0
STEADY: Final = 10.0
"""Seconds after which a connection counts as having worked: its death starts the back-off anew."""


class Make(Protocol):
    """Makes a connection that is not open yet and tells `on_lost` when it is gone."""

    def __call__(self, on_lost: Callable[[], None]) -> Connection: ...


class Life:
    """At most one connection at a time, and what became of the last one."""

    def __init__(self, name: str, make: Make, *, start_timeout: float = 60.0) -> None:
        self.name = name
        self.state: State = "asleep"
        self.error: RuneError | None = None
        self.users = 0
        self.retry_at = 0.0
        self.started_at = 0.0
        self.last_words: list[str] = []
        self._make = make
        self._start_timeout = start_timeout
        self._connection: Connection | None = None
        self._starting: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._legacy = False
        self._closed = False

    @property
    def connection(self) -> Connection | None:
        """The connection, if it is ready."""
        return self._connection

    async def ready(self, deadline: float | None = None) -> Connection:
        """The connection, started if need be. Many may wait for the same start.

        Raises:
            Unavailable, TimedOut, NeedsAuth: why there is none; the same again until the back-off is over.
        """
        if self._connection is not None:
            return self._connection
        loop = asyncio.get_running_loop()
        if self._closed:
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
        try:
            async with asyncio.timeout(self._start_timeout):
                await connection.open(legacy=self._legacy)
        except TimeoutError:
            await self._failed(connection, TimedOut(f"{self.name}: not ready after {self._start_timeout:g} s"))
        except RuneError as error:
            await self._failed(connection, error)
        except asyncio.CancelledError:
            await connection.close()
            raise
        else:
            self._connection, self.state, self.error = connection, "ready", None
            self._legacy = connection.legacy
        finally:
            self._starting = None

    async def _failed(self, connection: Connection, error: RuneError) -> None:
        self.last_words = connection.last_words
        self._legacy = False
        self._failures += 1
        self._note(error, self._failures)
        await connection.close()

    def _note(self, error: RuneError, failures: int) -> None:
        delay = min(FIRST_DELAY * 2 ** (failures - 1), LAST_DELAY) if failures else 0.0
        self.state, self.error = "failed", error
        # Many gateways behind one dead server must not come back to it in step.
        self.retry_at = asyncio.get_running_loop().time() + delay * random.uniform(0.7, 1.0)
        log.info("%s", error)

    def _lost(self, connection: Connection) -> None:
        if connection is self._connection:
            self.last_words = connection.last_words
            self._drop(connection, Unavailable(f"{self.name}: {connection.lost}"))

    def _drop(self, connection: Connection, error: RuneError) -> None:
        """It worked once: the next call may start it again at once, and only then it gets slower."""
        now = asyncio.get_running_loop().time()
        self._connection = None
        self._failures = 1 if now - self.started_at > STEADY else self._failures + 1
        self._note(error, self._failures - 1)
        task = asyncio.get_running_loop().create_task(self._retire(connection))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _retire(self, connection: Connection) -> None:
        """Calls of others may still be under way on it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._start_timeout):
                await connection.drained()
        await connection.close()

    def doubt(self, connection: Connection, error: RuneError) -> None:
        """A URL did not answer: the next call looks anew who lives there."""
        if connection is self._connection and connection.http:
            self._drop(connection, error)

    def worked(self) -> None:
        """A call has been answered."""
        self._failures = 0

    async def close(self) -> None:
        """End it for good."""
        self._closed = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait((self._starting,))
        connection, self._connection = self._connection, None
        self.state = "asleep"
        if connection is not None:
            await connection.close()
        for task in self._ending:
            task.cancel()
        if self._ending:
            await asyncio.wait(self._ending, timeout=5)
