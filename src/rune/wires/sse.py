"""Server-sent events, both ways: the WHATWG event stream as both rims read and write it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from rune.errors import RuneError

COMMENT: Final = b":\n\n"
"""Keep-alive: a comment, which every reader skips."""

_BOM: Final = b"\xef\xbb\xbf"
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_UNSAFE: Final = re.compile(r"[\r\n\0]")
# Longer is no delay anybody can mean, and Python refuses to read numbers of thousands of digits.
_RETRY_DIGITS: Final = 15


class Event(NamedTuple):
    """One event. `id` is the last id seen on the stream, as the standard wants; `retry` only where it was sent."""

    event: str
    data: bytes
    id: str | None = None
    retry: int | None = None


class Parser:
    """Bytes in, events out, however the bytes are cut. `last_id` and `retry` also change by events without data."""

    __slots__ = (
        "_data", "_event", "_id", "_max", "_pending", "_retry", "_size", "_skip_lf", "_started", "last_id", "retry",
    )  # fmt: skip

    def __init__(self, max_event: int = 16 * 1024 * 1024) -> None:
        self.last_id: str | None = None
        self.retry: int | None = None
        self._max = max_event
        self._pending: list[bytes] = []
        self._data: list[bytes] = []
        self._event = ""
        self._id: str | None = None
        self._retry: int | None = None
        self._size = 0
        self._skip_lf = False
        self._started = False

    @property
    def held(self) -> int:
        """Bytes of the event that is not complete yet."""
        return self._size

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete.

        Raises:
            RuneError: an event is larger than `max_event`. The stream cannot be read any further.
        """
        if not data:
            return []
        if self._skip_lf and data[:1] == b"\n":
            data = data[1:]
        self._skip_lf = data[-1:] == b"\r"
        events: list[Event] = []
        for line in data.splitlines(keepends=True):
            self._size += len(line)
            if self._size > self._max:
                raise RuneError(
                    f"event stream: an event is larger than {self._max} bytes", hint="raise the limit of the source"
                )
            if line[-1] not in b"\r\n":
                self._pending.append(line)
                break
            if self._pending:
                line = b"".join((*self._pending, line))
                self._pending.clear()
            if not line.startswith(b"data"):
                # Only data adds up: a stream may carry comments for days.
                self._size -= len(line)
            self._line(line.rstrip(b"\r\n"), events)
        return events

    def _line(self, line: bytes, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(events)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                self._data.append(value)
            case b"event":
                self._event = value.decode("utf-8", "replace")
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace") or None
            case b"retry" if value.isdigit() and len(value) <= _RETRY_DIGITS:
                self._retry = self.retry = int(value)

    def _dispatch(self, events: list[Event]) -> None:
        # Not before: an id whose event was cut off must not be resumed after.
        self.last_id = self._id
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(Event(self._event or "message", data, self.last_id, self._retry))
            self._data = []
        self._event = ""
        self._retry = None
        self._size = 0


def encode(data: bytes, *, id: str | None = None, event: str | None = None, retry: int | None = None) -> bytes:
    """One event. Line ends inside the data become LF: the format has no other.

    Raises:
        ValueError: `id` or `event` holds a line end or NUL.
    """
    head = b""
    if event is not None:
        head = b"event: %b\n" % _field(event)
    if id is not None:
        head += b"id: %b\n" % _field(id)
    if retry is not None:
        head += b"retry: %d\n" % retry
    if b"\n" in data or b"\r" in data:
        data = _LINE_END.sub(b"\ndata: ", data)
    return b"%bdata: %b\n\n" % (head, data)


def _field(value: str) -> bytes:
    if _UNSAFE.search(value):
        raise ValueError(f"event stream: a field must not hold a line end or NUL: {value!r}")
    return value.encode()
