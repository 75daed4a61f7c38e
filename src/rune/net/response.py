"""An answer over HTTP/1.1, as its connection fills it and its reader empties it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from typing import Final, Protocol

from multidict import CIMultiDict, CIMultiDictProxy

from rune.errors import Unavailable

PIECE: Final = 1 << 20
"""Bytes that are unpacked at a time."""
PACKED: Final = frozenset({b"gzip", b"x-gzip", b"deflate"})
"""Encodings that are unpacked although nobody has asked for them."""
READ: Final = PACKED | {b"identity", b""}
EVENTS: Final = b"text/event-stream"

_GZIP_OR_ZLIB: Final = 47


class Carrier(Protocol):
    """What an answer needs of its connection."""

    name: str

    def resume(self) -> None:
        """The reader has caught up."""

    def drop(self) -> None:
        """The rest is not wanted."""


class Cut(Unavailable):
    """The connection was lost. `answered` tells whether anything of the answer had come by then."""

    def __init__(self, message: str, *, answered: bool) -> None:
        super().__init__(message)
        self.answered = answered


class Response:
    """An answer. It is all there when it is handed out; of an event stream and of a refusal there is at least the head,
    and `some` waits for the rest. Whoever does not read it to its end has to close it."""

    __slots__ = (
        "_connection", "_error", "_fields", "_headers", "_inflate", "_parts", "_waiter", "done", "held", "length",
        "name", "status", "streams",
    )  # fmt: skip

    def __init__(self, connection: Carrier, status: int, fields: list[tuple[bytes, bytes]], length: int | None) -> None:
        self.name = connection.name
        self.status = status
        self.length = length
        """How long the body is going to be, where the server has said so."""
        self.streams = False
        """Whether it is an event stream."""
        self.done = False
        self.held = 0
        self._connection: Carrier | None = connection
        self._fields = fields
        self._headers: CIMultiDictProxy[str] | None = None
        self._parts: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._inflate: zlib._Decompress | None = None

    def look(self, named: Mapping[bytes, bytes]) -> None:
        """What the headers say about the body; their names are in lower case."""
        self.streams = named.get(b"content-type", b"")[:17].lower() == EVENTS
        if b"content-encoding" in named and named[b"content-encoding"].strip().lower() in PACKED:
            self._inflate = zlib.decompressobj(_GZIP_OR_ZLIB)

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """All headers; names in any case, values as text."""
        if self._headers is None:
            self._headers = CIMultiDictProxy(CIMultiDict(self._pair(*field) for field in self._fields))
        return self._headers

    def _pair(self, name: bytes, value: bytes) -> tuple[str, str]:
        # The head may be that of an earlier answer, but for its length.
        sized = self.length is not None and name.lower() == b"content-length"
        return _text(name), str(self.length) if sized else _text(value).strip(" \t")

    @property
    def content_type(self) -> str:
        """The media type without its parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def whole(self) -> bytes | None:
        """The body if all of it is here and nothing has to be unpacked."""
        if not self.done or self._inflate is not None or self._error is not None:
            return None
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def between(self, start: bytes, end: bytes) -> bytes | None:
        """What stands between these two in a body that is all here: None if they are not what it begins and ends with.
        The body can still be read as a whole."""
        parts = self._parts
        if not self.done or not parts or self._inflate is not None:
            return None
        first, last = parts[0], parts[-1]
        if not first.startswith(start) or not last.endswith(end):
            return None
        if len(parts) == 1:
            return first[len(start) : len(first) - len(end)] if len(first) >= len(start) + len(end) else None
        return b"".join((memoryview(first)[len(start) :], *parts[1:-1], memoryview(last)[: len(last) - len(end)]))

    async def some(self) -> bytes:
        """The next piece of the body; empty at its end.

        Raises:
            Cut: the connection was lost before its end. Unavailable: what came is no valid answer.
            TimeoutError: the deadline of the exchange is over.
        """
        while True:
            if self._parts:
                data = self._take()
                if data:
                    return data
            elif self._error is not None:
                raise self._error.with_traceback(None)
            elif self.done:
                if self._inflate is not None and not self._inflate.eof:
                    raise Unavailable(f"{self.name}: not a valid HTTP answer: the packed body ends early")
                return b""
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter

    def _take(self) -> bytes:
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        self.held = 0
        if self._inflate is not None:
            try:
                data = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                raise Unavailable(f"{self.name}: not a valid HTTP answer: {error}") from None
            if self._inflate.unconsumed_tail:
                self._parts.append(self._inflate.unconsumed_tail)
        if self._connection is not None:
            self._connection.resume()
        return data

    def close(self) -> None:
        """Nobody reads on: the rest of the answer is cut off."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop()

    # --- what the connection does to it ---

    def add(self, data: bytes) -> None:
        """A piece of the body has come."""
        self._parts.append(data)
        self.held += len(data)

    def wake(self) -> None:
        """There is something new for the reader."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come."""
        self.done = error is None
        self._error = error
        self._connection = None
        self.wake()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
