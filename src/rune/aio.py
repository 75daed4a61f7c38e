"""What asyncio lacks: a task that starts at once, and one timer for many deadlines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

EAGER: Final = sys.version_info >= (3, 12)


def spawn(job: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that has already taken its first step where Python can do that (3.12): what it starts with happens before
    the next frame is read, and a job that never waits costs no turn of the loop."""
    if EAGER:
        loop = asyncio.get_running_loop()
        return asyncio.Task(job, loop=loop, eager_start=True)  # type: ignore[call-arg, unused-ignore]
    return asyncio.create_task(job)


NEVER: Final = float("inf")


class Alarm:
    """One timer for all that wait: most are done long before their time, and a timer for each would cost more than
    what it guards. `ring` ends what is due and returns when the next one will be, NEVER if nobody waits."""

    __slots__ = ("_due", "_handle", "_ring")

    def __init__(self, ring: Callable[[float], float]) -> None:
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self._due = NEVER

    def at(self, deadline: float) -> None:
        """Somebody waits until then at the latest."""
        if deadline < self._due:
            self.stop()
            self._due = deadline
            self._handle = asyncio.get_running_loop().call_at(deadline, self._rang)

    def _rang(self) -> None:
        self._handle = None
        self._due = NEVER
        # A loop that counts milliseconds may be a little early.
        self.at(self._ring(asyncio.get_running_loop().time() + 0.001))

    def stop(self) -> None:
        """Nobody waits any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._due = NEVER
