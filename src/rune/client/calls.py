"""Requests on their way to one server: ids, progress tokens, deadlines and cancellation, whatever carries them.

Shared by both eras of `client/`; the wires (`duplex.py`, `http.py`) implement `Wire`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec

from rune.asking import Asking
from rune.errors import INTERNAL_ERROR, ProtocolError, TimedOut, Unavailable
from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import Envelope
from rune.protocol.methods import METHODS
from rune.request import Note, Request

if TYPE_CHECKING:
    from rune.net import Response

log = logging.getLogger("rune.client")
said = logging.getLogger("rune.source")
"""What servers log when nobody is there to hear it."""

TAKEN: Final = Envelope("2.0")
"""Stands for a response whose result has been left in the call."""
MAX_WARNINGS: Final = 100
MAX_GHOSTS: Final = 1000
MAX_LINE: Final = 2000
QUIET: Final = frozenset({"subscriptions/listen", "server/discover"})
PROOFS: Final = 5
"""How often one exchange is tried with another proof of who we are; whoever gives them has a narrower limit."""


class Lost(Unavailable):
    """The connection is gone. `sent` tells whether the server may have seen the request."""

    def __init__(self, message: str, *, sent: bool = True, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.sent = sent


class Refused(Unavailable):
    """An HTTP status that is no success; `error` is the JSON-RPC error of its body, where it has one."""

    def __init__(self, message: str, status: int, error: ProtocolError | None, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.headers = headers


class Auth(Protocol):
    """What proves to a server who we are: one credential of one owner. Asked before each exchange; what it says goes
    over every header of the same name, wherever that comes from."""

    def now(self, method: str, url: str) -> Mapping[str, str] | None:
        """The headers of one exchange, if they are at hand; None when `headers` must be waited for."""
        ...

    async def headers(self, method: str, url: str) -> Mapping[str, str]:
        """The headers of one exchange, none when there is nothing to prove with yet. Raises NeedsAuth."""
        ...

    async def refused(self, proof: Mapping[str, str], status: int, headers: Mapping[str, str]) -> bool:
        """The server has answered 401 or 403 to an exchange with this proof: True when it is worth another try, because
        there is a better one now. Raises NeedsAuth."""
        ...


def under(headers: Mapping[str, str], proof: Mapping[str, str]) -> dict[str, str]:
    """Headers, and over them those that prove something: a name in other letters is the same name."""
    names = {name.lower() for name in proof}
    return {**{name: value for name, value in headers.items() if name.lower() not in names}, **proof}


class Call:
    """One request upstream. Its id is its progress token too; `request` is the one of ours that it serves.

    `asking` is there when it may outlive that request because the server may ask something in between.
    """

    __slots__ = (
        "answered", "asking", "deadline", "headers", "id", "key", "method", "on_end", "over", "params", "request",
        "result", "silent", "top",
    )  # fmt: skip

    def __init__(self, id: int, method: str, params: bytes, deadline: float | None) -> None:
        self.id = id
        self.method = method
        self.params = params
        self.deadline = deadline
        self.request: Request | None = None
        self.key: str | None = None
        self.headers: Mapping[str, str] = {}
        self.answered: Response | None = None
        self.result: bytes | None = None
        self.top: jsonrpc.Top | None = None
        self.silent = False
        self.over = False
        self.asking: Asking | None = None
        self.on_end: list[Callable[[], object]] = []

    def emit(self, method: str, params: bytes) -> None:
        """Tell the caller something, if there is one who can be told; nothing follows the response."""
        if self.over:
            return
        if self.asking is not None:
            self.asking.emit(Note(method, params))
        elif self.request is not None:
            self.request.emit(Note(method, params))

    def release(self) -> None:
        """Let the caller poll for the answer, where its revision can."""
        if self.asking is not None:
            self.asking.emit.release()
        elif self.request is not None:
            self.request.emit.release()

    @property
    def owner(self) -> Request | None:
        """The request of ours that is open now."""
        return self.request if self.asking is None else self.asking.request

    def may_log(self, levelled: bool) -> bool:
        """Whether a log line of the server may be about this: a caller's own call, no look of ours at what there is;
        `levelled` only one that has named a level, as 2026-07-28 has it."""
        row, owner = METHODS.get(self.method), self.owner
        if row is None or row.members is not None or owner is None or self.method in QUIET:
            return False
        return not levelled or owner.meta.log_level is not None

    @property
    def frame(self) -> bytes:
        """As it goes over the wire."""
        return jsonrpc.request_frame(self.id, self.method, self.params)


Inbox: TypeAlias = Callable[[Envelope, Call | None], None]


class Wire(Protocol):
    """Carries calls to one server. What the server sends on its own goes to the inbox, with the call whose stream it
    came on, or None where all share one stream."""

    name: str
    http: bool
    headers: dict[str, str]

    @property
    def lost(self) -> str | None:
        """Why the connection is gone, None while it is there."""
        ...

    @property
    def last_words(self) -> list[str]:
        """What the server wrote to stderr last, for error messages."""
        ...

    async def open(self, inbox: Inbox, on_lost: Callable[[], None]) -> None: ...

    async def close(self) -> None: ...

    def older(self) -> Wire | None:
        """Another way to the same server, for one that refuses this one; None where there is none."""
        ...

    async def exchange(self, call: Call) -> Envelope:
        """Send a call and wait for its response. A wire that has taken the result out of its frame without opening the
        frame leaves it in the call, with its top. Raises Lost, Refused, TimedOut, NeedsAuth."""
        ...

    def post(self, frame: bytes) -> None:
        """Send a notification or a response, without waiting; bounded in time."""
        ...

    async def tell(self, frame: bytes) -> None:
        """The same, and wait until it has been delivered: what is sent next must not overtake it."""
        ...

    async def leave(self) -> None:
        """Tell the server that this client will not come back, where the wire knows a way to say so."""
        ...

    async def listen(self, opened: Callable[[], object]) -> None:
        """Keep the stream open on which the server speaks without being asked; ends by cancellation, or at once where
        there is no such stream. `opened` is called when it is known."""
        ...


class Calls:
    """The calls in flight to one server."""

    def __init__(self, wire: Wire, timeout: float) -> None:
        self.wire = wire
        self.timeout = timeout
        self.flying: dict[int, Call] = {}
        self.ghosts: dict[int, str] = {}
        """Calls that were given up before they were answered, and whose: the server may still be at them."""
        self.on_free: Callable[[], None] = lambda: None
        """A call has ended in which the server could ask."""
        self.cancels_by_note = not wire.http
        self._ids = count(1)
        self._said: set[str] = set()
        self._idle: asyncio.Event | None = None

    def new(self, method: str, request: Request | None = None, timeout: float | None = None) -> Call:
        """A call with the deadline of its request, or the given or usual timeout."""
        deadline = request.deadline if request is not None else None
        if deadline is None:
            deadline = asyncio.get_running_loop().time() + (self.timeout if timeout is None else timeout)
        call = Call(next(self._ids), method, b"{}", deadline)
        call.request = request
        return call

    async def run(self, call: Call) -> bytes:
        """The result of a call, still encoded.

        Raises:
            ProtocolError: the error of the server, as it said it.
            Unavailable, TimedOut, NeedsAuth: when there is no answer.
        """
        self.flying[call.id] = call
        try:
            envelope = await self.wire.exchange(call)
        except (asyncio.CancelledError, TimedOut):
            self._cancel(call)
            raise
        finally:
            self.flying.pop(call.id, None)
            for end in call.on_end:
                end()
            if call.asking is not None:
                self.on_free()
            if self._idle is not None and not self.flying:
                self._idle.set()
        if call.result is not None:
            return call.result
        if envelope.error:
            raise read_error(envelope.error)
        return bytes(envelope.result)

    def warn_once(self, text: str) -> None:
        """Lists are read again and again: what is wrong with them is said once."""
        if text not in self._said and len(self._said) < MAX_WARNINGS:
            self._said.add(text)
            log.warning("%s: %s", self.wire.name, text)

    async def drained(self) -> None:
        """Wait until no call is in flight."""
        if self.flying:
            self._idle = asyncio.Event()
            await self._idle.wait()

    def _cancel(self, call: Call) -> None:
        if call.asking is not None and len(self.ghosts) < MAX_GHOSTS:
            self.ghosts[call.id] = call.asking.request.caller.subject
        if self.cancels_by_note and not call.silent and self.wire.lost is None:
            params = b'{"requestId":%d,"reason":"the caller has gone or waited too long"}' % call.id
            self.wire.post(jsonrpc.note_frame("notifications/cancelled", params))

    def progress(self, params: dict[str, msgspec.Raw]) -> None:
        """Hand a progress note to the request that asked for it, under the token of its caller."""
        call = self.flying.get(_integer(params.get("progressToken")))
        token = None if call is None or call.owner is None else call.owner.meta.progress_token
        if call is not None and token is not None:
            params["progressToken"] = msgspec.Raw(jsonrpc.encode(token))
            call.emit("notifications/progress", jsonrpc.encode(params))

    def speaker(self, call: Call | None, params: msgspec.Raw, *, levelled: bool) -> Call | None:
        """The call that a log line provably belongs to: by its stream, or as the only one in flight. What belongs to
        none is for the log of this gateway, never for a caller."""
        if call is None:
            flying = [entry for entry in self.flying.values() if entry.may_log(levelled)]
            call = flying[0] if len(flying) == 1 and not self.ghosts else None
        if call is None:
            said.info("%s: %s", self.wire.name, bytes(params)[:MAX_LINE].decode(errors="replace"))
        return call


def read_error(raw: msgspec.Raw) -> ProtocolError:
    """The error of a response, as it was said."""
    try:
        value: dict[str, Any] = jsonrpc.decode(raw)
        code, message = value["code"], value["message"]
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        code, message, value = None, None, {}
    if not isinstance(code, int) or not isinstance(message, str):
        return ProtocolError(INTERNAL_ERROR, "the upstream answered with a malformed error")
    return ProtocolError(code, message, data=value.get("data"))


def _integer(raw: msgspec.Raw | None) -> int:
    try:
        return int(bytes(raw)) if raw is not None else -1
    except ValueError:
        return -1
