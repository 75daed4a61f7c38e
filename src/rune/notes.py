"""Notes on their way out pass the plugins, in their order, and before the result that they belong to."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

import msgspec

from rune.errors import RuneError
from rune.request import Emit, Note
from rune.server.run import begin
from rune.turn import Turn

log = logging.getLogger("rune.plugins")

Judge: TypeAlias = Callable[[Note], Coroutine[Any, Any, Note | None]]

LINE: Final = 1024
"""Notes of one request that may wait for a plugin; more are left out."""


class Screen(msgspec.Struct, Emit, eq=False):
    """Notes on their way through plugins. Most calls say nothing: only for the first note a `line` is made, and
    `judging` gives who judges the notes of this method and turn."""

    target: Emit
    judging: Callable[[str, Turn], Judge]
    method: str
    turn: Turn
    line: Line | None = None

    def __call__(self, note: Note) -> None:
        if self.line is None:
            self.line = Line(self.target, self.judging(self.method, self.turn))
        self.line.add(note)

    async def settled(self) -> None:
        """Wait until all have been judged: nothing follows a result."""
        if self.line is not None:
            await self.line.settled()

    async def room(self) -> None:
        await self.settled()
        await self.target.room()

    def release(self) -> None:
        self.target.release()


class Line:
    """The notes of one request, in order. Most pass without waiting; if one has to, the others line up."""

    __slots__ = ("_judge", "_target", "_waiting", "_worker")

    def __init__(self, target: Emit, judge: Judge) -> None:
        self._target = target
        self._judge = judge
        self._waiting: deque[Coroutine[Any, Any, None]] = deque()
        self._worker: asyncio.Task[None] | None = None

    def add(self, note: Note) -> None:
        """One more. When the plugins are slower than the call, what they will not see does not leave."""
        if len(self._waiting) >= LINE:
            return
        job = self._judged(note)
        if not self._waiting:
            _, rest = begin(job)
            if rest is None:
                return
            job = rest
        self._waiting.append(job)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())

    async def _judged(self, note: Note) -> None:
        try:
            seen = await self._judge(note)
        except RuneError as error:
            log.info("%s is left out: %s", note.method, error)
            return
        if seen is not None:
            self._target(seen)

    async def _work(self) -> None:
        while self._waiting:
            await self._waiting[0]
            del self._waiting[0]

    async def settled(self) -> None:
        """Wait until all have been judged."""
        if self._worker is not None and not self._worker.done():
            await self._worker
