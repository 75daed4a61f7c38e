"""One HTTP/1.1 connection that is kept: a request goes out, its answer comes in, then the next.

It is strict. What two readers could read differently is refused, and bytes that nobody asked for end the connection.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final, TypeAlias, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from rune.aio import NEVER
from rune.errors import RuneError, Unavailable
from rune.net.policy import Limits, Room
from rune.net.response import READ, Cut, Response

HIGH_WATER: Final = 256 * 1024
"""Bytes of a stream that wait for their reader before no more are read."""
MAX_HEADS: Final = 64
MAX_HEAD: Final = 2048
TOGETHER: Final = 64 * 1024
"""Head and body of a request go out as one piece up to this size."""

_ONCE: Final = frozenset({b"content-length", b"transfer-encoding", b"content-type", b"content-encoding", b"location"})
_LENGTH: Final = re.compile(rb"\r\nContent-Length: ?(\d{1,15})\r\n", re.IGNORECASE)
_TIMEOUT: Final = re.compile(rb"timeout=(\d{1,6})")


Fields: TypeAlias = list[tuple[bytes, bytes]]
Heads: TypeAlias = dict[bytes, Fields]
"""Heads of answers that have been read before, without the digits of their length."""


class Connection(asyncio.Protocol):
    """`on_free` is told when it can take the next request, `on_lost` once that it is gone.

    A server says the same thing again and again: a head that differs from one of `heads` in the digits of its length
    alone does not go through the parser again. Only what the parser has accepted once gets in there.
    """

    __slots__ = (
        "_answered", "_bound", "_complete", "_counted", "_fault", "_fed", "_fields", "_future", "_heads", "_interim",
        "_keep", "_key", "_left", "_limits", "_loop", "_on_free", "_on_lost", "_parser", "_paused", "_quiet",
        "_response", "_transport", "_until_close", "busy", "deadline", "idle_since", "lifetime", "lost", "name", "room",
        "used",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        limits: Limits,
        heads: Heads,
        on_free: Callable[[Connection], None],
        on_lost: Callable[[Connection], None],
    ) -> None:
        self.name = name
        self._limits = limits
        self._heads = heads
        self._key: bytes | None = None
        self._on_free = on_free
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._future: asyncio.Future[Response] | None = None
        self._response: Response | None = None
        self._fault: RuneError | None = None
        self._fields: Fields = []
        self._quiet = self._left = self._bound = self._counted = 0
        self._answered = self._fed = self._interim = self._complete = self._keep = False
        self._until_close = self._paused = False
        self.busy = False
        self.deadline = NEVER
        self.room = Room(name, limits.held)
        self.lost = False
        self.used = False
        self.idle_since = 0.0
        self.lifetime = limits.idle

    # --- for the pool ---

    @property
    def usable(self) -> bool:
        """Whether the next request can go out on it."""
        return not (self.busy or self.lost or self._transport is None or self._transport.is_closing())

    def fileno(self) -> int:
        """For a look at what the loop has not seen yet."""
        assert self._transport is not None, "a connection in the pool is open"
        return cast(int, self._transport.get_extra_info("socket").fileno())

    def send(self, head: bytes, body: bytes, deadline: float = NEVER) -> asyncio.Future[Response]:
        """One request; the future is its answer. Whoever looks after `deadline` lets it `expire`."""
        transport = self._transport
        assert transport is not None, "only a usable connection is sent on"
        self.busy = True
        self.deadline = deadline
        self._answered = self._fed = self._complete = self._until_close = False
        self._key = None
        self._fields = []
        self._quiet = 0
        future = self._future = self._loop.create_future()
        if len(body) <= TOGETHER:
            transport.write(head + body)
        else:
            transport.writelines((head, body))
        return future

    def drop(self) -> None:
        """End it at once, whatever is on its way: nobody waits for it any more."""
        self._settle()
        if self._transport is not None:
            self._transport.abort()
        self._leave()

    def abandon(self, answer: asyncio.Future[Response]) -> None:
        """Whoever waited for this answer has gone. In the same turn it may have come, and somebody else may wait for
        the next one here by now."""
        if self._future is answer:
            self.drop()

    def cut(self, why: str) -> None:
        """End it at once, and tell the one who waits why."""
        if self.busy:
            self._fail(Cut(f"{self.name}: {why}", answered=self._answered))
        else:
            self.drop()

    def resume(self) -> None:
        """The reader of a stream has caught up."""
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def expire(self) -> None:
        """Its time is over: the answer, or the rest of it, is a TimeoutError."""
        self._fail(TimeoutError("no answer in time"))

    def _settle(self) -> tuple[asyncio.Future[Response] | None, Response | None]:
        """The exchange is over: who waits for its answer, and the answer. Nothing of them is kept."""
        future, response = self._future, self._response
        self._future = self._response = None
        if self._counted:
            self.room.change(self._counted, 0)
            self._counted = 0
        self.busy = False
        self.deadline = NEVER
        return future, response

    def _leave(self) -> None:
        if not self.lost:
            self.lost = True
            self._on_lost(self)

    def _fail(self, error: BaseException) -> None:
        """The exchange ends without its answer, or without the rest of it, and the connection with it."""
        future, response = self._settle()
        if future is not None and not future.done():
            future.set_exception(error)
        elif response is not None:
            response.end(error)
        if self._transport is not None:
            self._transport.abort()
        self._leave()

    # --- for the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._more(data)
            return
        parser = self._parser
        if not self.busy or parser is None:
            # An answer that nobody has asked for would be taken for that to the next request.
            self.drop()
            return
        if not self._answered:
            self._answered = True
            if self._recalled(data):
                return
        self._fed = True
        self._quiet += len(data)
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._keep = False
            if not self._complete:
                text = "it changes the protocol" if isinstance(error, HttpParserUpgrade) else error
                fault = self._fault or Unavailable(f"{self.name}: not a valid HTTP answer: {text}")
                self._fail(fault)
                return
        if self._complete:
            self._finish()
        else:
            self._waited(self._response)

    def _waited(self, response: Response | None) -> None:
        """What there is now is not all."""
        if self._quiet > self._limits.header:
            self._fail(Unavailable(f"{self.name}: not a valid HTTP answer: {self._quiet} bytes and still no body"))
        elif response is not None:
            if response.length is not None:
                # The rest needs no parser, which would copy it.
                self._left = response.length - response.held
            self._moved(response)

    def _recalled(self, data: bytes) -> bool:
        """Whether the answer begins with a head that is known, but for its length."""
        end = data.find(b"\r\n\r\n", 0, MAX_HEAD) + 4
        found = _LENGTH.search(data, 0, end) if end >= 4 else None
        if found is None:
            return False
        first, last = found.span(1)
        key = data[:first] + data[last:end]
        fields = self._heads.get(key)
        if fields is None:
            self._key = key
            return False
        length, there = int(data[first:last]), len(data) - end
        if there > length or length > self._limits.body:
            return False
        response = self._response = Response(self, 200, fields, length)
        response.add(data[end:])
        self._keep = True
        if there == length:
            self._finish()
        else:
            self._bound = self._limits.body
            self._left = length - there
        return True

    def _more(self, data: bytes) -> None:
        """The rest of a body whose length is known."""
        response = self._response
        if response is None:
            return
        if len(data) > self._left:
            self._keep = False
            data = data[: self._left]
        self._left -= len(data)
        response.add(data)
        if not self._left:
            if self._fed:
                self._parser = HttpResponseParser(self)
            self._finish()
        else:
            self._moved(response)

    def _moved(self, response: Response) -> None:
        """Hand out what has come of a stream; hold back the sender of more than its reader takes."""
        if self._bound != HIGH_WATER:
            try:
                self.room.change(self._counted, response.held)
            except Unavailable as error:
                self._fail(error)
                return
            self._counted = response.held
        if response.held > self._bound:
            if self._future is not None and not self._future.done():
                self._future.set_result(response)
            if not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
        response.wake()

    def _finish(self) -> None:
        """The answer is complete: the connection is free for the next one, unless somebody has had enough of it."""
        future, response = self._settle()
        transport = self._transport
        assert response is not None and future is not None, "there is an answer, and somebody has asked for it"
        self.used = True
        # Where the answer is there before the whole request has left, the rest of that would follow.
        if self._keep and transport is not None and not (transport.is_closing() or transport.get_write_buffer_size()):
            self._on_free(self)
        else:
            if transport is not None:
                transport.abort()
            self._leave()
        response.end()
        if not future.done():
            future.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self._parser = None
        if self.busy:
            if self._until_close and exc is None and self._response is not None:
                self._keep = False
                self._finish()
            else:
                self._fail(Cut(f"{self.name}: the connection was lost", answered=self._answered))
        self._transport = None
        self._leave()

    # --- for the parser ---

    def on_message_begin(self) -> None:
        if self._complete:
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._response is None:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        parser, fields = self._parser, self._fields
        assert parser is not None, "it is the parser that calls"
        status = parser.get_status_code()
        limit = self._limits.header
        if self._quiet > limit and sum(len(name) + len(value) + 4 for name, value in fields) > limit:
            self._refuse(f"a head of more than {limit} bytes")
        if status < 200:
            self._interim = True
            self._key = None
            return
        named = {name.lower(): value for name, value in fields}
        if len(named) != len(fields):
            self._refuse_twice(fields)
        sized = b"content-length" in named
        if b"transfer-encoding" in named:
            coding = named[b"transfer-encoding"]
            if sized or coding.strip().lower() != b"chunked" or parser.get_http_version() != "1.1":
                self._refuse(f"transfer-encoding {coding.decode('latin-1')}")
            self._until_close = False
        else:
            self._until_close = not sized
        if b"content-encoding" in named and named[b"content-encoding"].strip().lower() not in READ:
            self._refuse(f"content-encoding {named[b'content-encoding'].decode('latin-1')}")
        response = self._response = Response(self, status, fields, int(named[b"content-length"]) if sized else None)
        response.look(named)
        self._keep = parser.should_keep_alive()
        if status != 200 or response.streams:
            self._stream(response)
        else:
            self._whole(response, kept=self._keep and b"content-encoding" not in named)
        if b"keep-alive" in named and not self.used:
            # A second less than the server promises: the request has to arrive there in time.
            found = _TIMEOUT.search(named[b"keep-alive"])
            self.lifetime = min(self.lifetime, max(int(found[1]) - 1, 0)) if found else self.lifetime

    def _whole(self, response: Response, *, kept: bool) -> None:
        """It is waited for until all of it is here."""
        self._bound = self._limits.body
        if response.length is not None:
            if response.length > self._bound:
                self._overflow()
            if kept and self._key is not None:
                if len(self._heads) >= MAX_HEADS:
                    self._heads.clear()
                self._heads[self._key] = self._fields

    def _stream(self, response: Response) -> None:
        """It is read as it comes: hand it out now."""
        self._bound = HIGH_WATER
        if self._future is not None and not self._future.done():
            self._future.set_result(response)

    def on_body(self, data: bytes) -> None:
        self._quiet = 0
        response = self._response
        assert response is not None, "a body follows a head"
        response.add(data)
        if response.held > self._bound and self._bound != HIGH_WATER:
            self._overflow()

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            self._fields = []
        else:
            self._complete = True

    def _overflow(self) -> None:
        self._fault = Unavailable(f"{self.name}: the answer is longer than {self._limits.body} bytes")
        raise self._fault

    def _refuse(self, what: str) -> None:
        self._fault = Unavailable(f"{self.name}: not a valid HTTP answer: {what}")
        raise self._fault

    def _refuse_twice(self, fields: Fields) -> None:
        seen: set[bytes] = set()
        for name, _ in fields:
            name = name.lower()
            if name in seen and name in _ONCE:
                self._refuse(f"{name.decode()} is there twice")
            seen.add(name)
