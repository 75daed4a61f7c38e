"""The call that a guest is answering: what it may know of it, and what it says to its client."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from rune.protocol.methods import LOG_LEVELS
from rune.request import Note, Request

MOST: Final = 1000
"""Notes of one call that wait for the loop, and log lines of it in all: what is more is dropped."""

_LEVELS: Final = {level: rank for rank, level in enumerate(LOG_LEVELS)}
_encode: Final = msgspec.json.Encoder().encode


class Exchange:
    """Made on the loop, used by the thread of the guest. After `close` nothing of it reaches anybody."""

    def __init__(self, request: Request, name: str, changed: Callable[[Note], None]) -> None:
        self.request = request
        self.name = name
        self.dropped = 0
        self._changed = changed
        self.loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Callable[[Note], None], Note]] = deque()
        self._lock = threading.Lock()
        self._last: float | None = None
        self._lines = 0
        self._closed = False

    def describe(self) -> dict[str, Any]:
        """The call, for a guest that asks."""
        request = self.request
        found: dict[str, Any] = {
            "method": request.method,
            "caller": {"subject": request.caller.subject, "scopes": sorted(request.caller.scopes)},
            "capabilities": request.capabilities,
        }
        if request.meta.progress_token is not None:
            found["progressToken"] = request.meta.progress_token
        if bytes(request.meta.client):
            found["client"] = request.meta.client
        if request.answers is not None:
            found["inputResponses"] = request.answers
            found["state"] = request.state.get(self.name)
        return found

    def progress(self, progress: float, total: float | None, message: str | None = None) -> None:
        """Say how far it is, if the client wants to know. It must rise; what does not is dropped."""
        token = self.request.meta.progress_token
        if token is None or not (self._last is None or progress > self._last):
            return
        self._last = progress
        params: dict[str, Any] = {"progressToken": token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        self._tell(self.request.emit, Note("notifications/progress", _encode(params)))

    def log(self, level: str, logger: str | None, data: Any) -> None:
        """Write to the client's log, if this request wants it and the level is high enough."""
        wanted = self.request.meta.log_level
        if wanted is not None and _LEVELS[level] >= _LEVELS[wanted]:
            self._lines += 1
            if self._lines > MOST:
                self.dropped += 1
                return
            params = {"level": level, "logger": logger or self.name, "data": data}
            self._tell(self.request.emit, Note("notifications/message", _encode(params)))

    def changed(self, kind: str) -> None:
        """A list may have changed: tools, resources or prompts."""
        self._tell(self._changed, Note(f"notifications/{kind}/list_changed"))

    def updated(self, uri: str) -> None:
        """A resource has changed."""
        self._tell(self._changed, Note("notifications/resources/updated", _encode({"uri": uri})))

    def _tell(self, to: Callable[[Note], None], note: Note) -> None:
        with self._lock:
            if self._closed:
                return
            if len(self._waiting) >= MOST:
                self.dropped += 1
                return
            self._waiting.append((to, note))
            first = len(self._waiting) == 1
        if first:
            self.loop.call_soon_threadsafe(self._flush)

    def _flush(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for to, note in waiting:
            to(note)

    def close(self) -> None:
        """The call is over, on the loop: what was said before goes out, nothing after."""
        if self._waiting:
            self._flush()
        self._closed = True
