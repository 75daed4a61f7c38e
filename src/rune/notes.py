"""Notes on their way out pass the plugins, in their order, and before the result that they belong to."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

from rune.errors import RuneError
from rune.request import Emit, Note, Relay
from rune.server.run import begin

log = logging.getLogger("rune.plugins")

Judge: TypeAlias = Callable[[Note], Coroutine[Any, Any, Note | None]]

LINE: Final = 1024
"""Notes of one request that may wait for a plugin; more are left out."""


class Screen(Relay):
    """Notes on their way through plugins, in order. Most pass without waiting; if one has to, the others line up.

    Most calls say nothing: `judging` gives who judges their notes, when there is one.
    """

    __slots__ = ("_judge", "_judging", "_line", "_worker", "used")

    def __init__(self, emit: Emit, judging: Callable[[], Judge]) -> None:
        self.target = emit
        self.used = False
        self._judging = judging

    def __call__(self, note: Note) -> None:
        if not self.used:
            self.used = True
            self._judge = self._judging()
            self._line: deque[Coroutine[Any, Any, None]] = deque()
            self._worker: asyncio.Task[None] | None = None
        if len(self._line) >= LINE:
            # The plugins are slower than the call: what they have not seen does not leave.
            return
        job = self._judged(note)
        if not self._line:
            _, rest = begin(job)
            if rest is None:
                return
            job = rest
        self._line.append(job)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())

    async def _judged(self, note: Note) -> None:
        try:
            seen = await self._judge(note)
        except RuneError as error:
            log.info("%s is left out: %s", note.method, error)
            return
        if seen is not None:
            self.target(seen)

    async def _work(self) -> None:
        while self._line:
            await self._line[0]
            del self._line[0]

    async def settled(self) -> None:
        """Wait until all have been judged: nothing follows a result."""
        if self.used and self._worker is not None and not self._worker.done():
            await self._worker

    async def room(self) -> None:
        await self.settled()
        await super().room()
