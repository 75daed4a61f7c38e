"""The HTTP endpoint, independent of its carrier: guards, tells the eras apart, and answers one exchange at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final
from weakref import WeakSet

from msgspec import UNSET

from rune.auth.guard import Gate
from rune.errors import INVALID_REQUEST, ProtocolError
from rune.protocol import jsonrpc, modern
from rune.protocol.jsonrpc import Opened, error_frame
from rune.protocol.methods import MODERN
from rune.request import ANONYMOUS, Caller
from rune.server.dispatch import LISTEN, Dispatcher
from rune.server.exchange import JSON, USUAL, Out, SseWriter, prefers_sse
from rune.server.legacy.http import LegacyHttp

_MODERN: Final = MODERN.encode()
_CONTENT_TYPE: Final = b"application/json"
_ONCE: Final = (b"host", b"origin", b"mcp-session-id", b"content-type", b"last-event-id")
KEEP_ALIVE: Final = 20.0
"""Seconds between comments on open streams, so that a client that is gone is noticed."""


class Endpoint:
    """What `/mcp` does with a POST, GET or DELETE. A carrier brings headers, body and an Out."""

    def __init__(self, dispatcher: Dispatcher, legacy: LegacyHttp, gate: Gate) -> None:
        self.dispatcher = dispatcher
        self.legacy = legacy
        self.gate = gate
        self._streams: WeakSet[SseWriter] = WeakSet()
        self._ticker: asyncio.Task[None] | None = None

    def inside(self, caller: Caller) -> Caller:
        """Who a caller is here."""
        return caller

    async def refused(self, headers: Mapping[bytes, bytes], out: Out) -> bool:
        """Host and Origin; True when the exchange has been answered with 403."""
        reason = self.gate.refuse(headers)
        if reason is not None:
            await out.respond(403, error_frame(None, INVALID_REQUEST, reason))
        return reason is not None

    async def post(self, headers: Mapping[bytes, bytes], body: bytes, out: Out, caller: Caller = ANONYMOUS) -> None:
        """Answer one POST. The caller of this method has read the whole body and kept its size within the limit."""
        # Asked where the answer is not known: a frame for every call would cost more.
        known = headers.get(b"host") in self.gate.good_hosts and b"origin" not in headers
        if not known and await self.refused(headers, out):
            return
        if headers.get(b"content-type") != _CONTENT_TYPE and not _is_json(headers):
            await out.respond(415, error_frame(None, INVALID_REQUEST, "content-type must be application/json"))
            return
        try:
            message = jsonrpc.opened(body)
        except jsonrpc.Malformed as error:
            await self._malformed(error, headers, body, out, caller)
            return
        if headers.get(modern.VERSION_HEADER) != _MODERN and not _is_modern(headers, message):
            await self.legacy.post(message, headers, out, caller)
        elif message.id is UNSET or message.method is UNSET:
            await self._unasked(message, out)
        else:
            if headers.get(b"accept") != USUAL:
                out.stream = prefers_sse(headers)
            if message.method == LISTEN:
                out.keep = self._keep
            job = self.dispatcher.answer(message, out, out, headers, caller)
            # A listen lasts for hours, and there may be thousands: nothing is held that nobody reads.
            del headers, body, message
            answer = await job
            if answer is None or out.stream or out.writer is not None:
                await out.finish(answer)
            else:
                # As `finish` does it, but a frame for every call would cost more.
                frame, status = answer
                await out.respond(status, frame)

    async def _unasked(self, message: Opened, out: Out) -> None:
        """What is no request."""
        if message.is_notification:
            await out.respond(202, b"", ())
        else:
            await out.respond(400, error_frame(None, INVALID_REQUEST, "a client sends no responses in this revision"))

    async def _malformed(
        self, error: jsonrpc.Malformed, headers: Mapping[bytes, bytes], body: bytes, out: Out, caller: Caller
    ) -> None:
        """No message, or a batch of a legacy session."""
        try:
            if error.code == INVALID_REQUEST and await self.legacy.batch(headers, body, out, caller):
                return
        except jsonrpc.Malformed as worse:
            error = worse
        if headers.get(b"content-encoding", b"identity") != b"identity":
            text = "a body must not be compressed: send it without content-encoding"
            await out.respond(415, error_frame(None, INVALID_REQUEST, text), (JSON, (b"accept-encoding", b"identity")))
            return
        await out.respond(400, error_frame(error.id, error.code, error.message))

    async def get(self, headers: Mapping[bytes, bytes], out: Out, caller: Caller = ANONYMOUS) -> None:
        """The standing stream of a legacy session; nothing else may GET."""
        if not await self.refused(headers, out):
            await self.legacy.get(headers, out, caller, self._keep)

    async def delete(self, headers: Mapping[bytes, bytes], out: Out, caller: Caller = ANONYMOUS) -> None:
        """The end of a legacy session."""
        if not await self.refused(headers, out):
            await self.legacy.delete(headers, out, caller)

    def _keep(self, stream: SseWriter) -> None:
        """Send comments on a stream that stays open for long."""
        self._streams.add(stream)
        if self._ticker is None or self._ticker.done():
            self._ticker = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        while self._streams:
            await asyncio.sleep(KEEP_ALIVE)
            for stream in tuple(self._streams):
                stream.comment()

    async def close(self) -> None:
        """End what is still open of the legacy revisions."""
        await self.legacy.close()
        if self._ticker is not None:
            self._ticker.cancel()


class ProfileEndpoint(Endpoint):
    """The endpoint of a profile. `inside` makes of a caller the owner of what is kept there: nothing of it can be
    reached from another endpoint."""

    def __init__(
        self, dispatcher: Dispatcher, legacy: LegacyHttp, gate: Gate, inside: Callable[[Caller], Caller]
    ) -> None:
        super().__init__(dispatcher, legacy, gate)
        self._inside = inside

    def inside(self, caller: Caller) -> Caller:
        return self._inside(caller)

    def post(
        self, headers: Mapping[bytes, bytes], body: bytes, out: Out, caller: Caller = ANONYMOUS
    ) -> Coroutine[Any, Any, None]:
        return super().post(headers, body, out, self.inside(caller))

    def get(self, headers: Mapping[bytes, bytes], out: Out, caller: Caller = ANONYMOUS) -> Coroutine[Any, Any, None]:
        return super().get(headers, out, self.inside(caller))

    def delete(self, headers: Mapping[bytes, bytes], out: Out, caller: Caller = ANONYMOUS) -> Coroutine[Any, Any, None]:
        return super().delete(headers, out, self.inside(caller))


def once(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes] | None:
    """The headers by name; None when one that decides something is there twice."""
    # Cheaper than `dict(headers)`, which looks at each pair as at any sequence.
    named = {name: value for name, value in headers}  # noqa: C416
    if len(named) != len(headers):
        seen: set[bytes] = set()
        for name, _ in headers:
            if name in seen and (name.startswith(b"mcp-") or name in _ONCE):
                return None
            seen.add(name)
    return named


def method_not_allowed() -> tuple[tuple[bytes, bytes], ...]:
    """Headers of a 405."""
    return JSON, (b"allow", b"POST, GET, DELETE")


def _is_json(headers: Mapping[bytes, bytes]) -> bool:
    return headers.get(b"content-type", b"").split(b";")[0].strip().lower() == _CONTENT_TYPE


def _is_modern(headers: Mapping[bytes, bytes], message: Opened) -> bool:
    header = headers.get(modern.VERSION_HEADER)
    meta = None
    if message.params is not None and "_meta" in message.params:
        try:
            meta = modern.read_meta(message.params)
        except ProtocolError:
            meta = None
    return modern.is_modern(meta, None if header is None else header.decode("latin-1").strip())
