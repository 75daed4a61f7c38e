"""What the user of the public client hears: progress and log lines of a call, and the notes of a listen."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Self, TypeAlias

from rune.client.views import Notification
from rune.errors import TimedOut
from rune.protocol import jsonrpc
from rune.protocol.modern import ACKNOWLEDGED
from rune.request import Emit, Handler, Note, Request, Result

log = logging.getLogger("rune.client")

OnProgress: TypeAlias = Callable[[float, float | None, str | None], object]
OnLog: TypeAlias = Callable[[str, Any, str | None], object]

BACKLOG: Final = 1000


class Told(Emit):
    """Calls back with what a call says on its way."""

    __slots__ = ("on_log", "on_progress")

    def __init__(self, on_progress: OnProgress | None, on_log: OnLog | None) -> None:
        self.on_progress = on_progress
        self.on_log = on_log

    def __call__(self, note: Note) -> None:
        try:
            if note.method == "notifications/progress" and self.on_progress is not None:
                params = jsonrpc.decode(note.params)
                self.on_progress(params.get("progress"), params.get("total"), params.get("message"))
            elif note.method == "notifications/message" and self.on_log is not None:
                params = jsonrpc.decode(note.params)
                self.on_log(params.get("level"), params.get("data"), params.get("logger"))
        except Exception:
            # The code of the user runs in the reader that all calls share.
            log.exception("%s: the callback failed", note.method)


class Listening(Emit):
    """An open `subscriptions/listen`: an async iterator of notifications, at most 1000 of them waiting."""

    __slots__ = ("_handler", "_notes", "_request", "_started", "_task", "_timeout", "_wake", "on_note")

    def __init__(self, handler: Handler, request: Request, timeout: float) -> None:
        self._handler = handler
        self._request = request.replace(emit=self)
        self._timeout = timeout
        self._notes: deque[Note] = deque(maxlen=BACKLOG)
        self._wake = asyncio.Event()
        self._started = asyncio.Event()
        self._task: asyncio.Task[Result] | None = None
        self.on_note: Callable[[Note], None] = lambda note: None

    def __call__(self, note: Note) -> None:
        if note.method == ACKNOWLEDGED:
            self._started.set()
            return
        self.on_note(note)
        self._notes.append(note)
        self._wake.set()

    async def __aenter__(self) -> Self:
        async def run() -> Result:
            return await self._handler(self._request)

        self._task = asyncio.create_task(run())
        self._task.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(self._timeout):
                await self._started.wait()
        except TimeoutError:
            await self.aclose()
            raise TimedOut("subscriptions/listen was not acknowledged in time") from None
        if self._task.done():
            self._task.result()
        return self

    def _ended(self, task: asyncio.Task[Result]) -> None:
        self._started.set()
        self._wake.set()

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notification:
        if self._task is None:
            await self.__aenter__()
        while not self._notes:
            if self._task is None or self._task.done():
                if self._task is not None and not self._task.cancelled():
                    self._task.result()
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        note = self._notes.popleft()
        return Notification(note.method, jsonrpc.decode(note.params))

    async def aclose(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
