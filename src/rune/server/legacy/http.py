"""Streamable HTTP of the legacy revisions: sessions by header, JSON or resumable SSE answers, GET, DELETE, batches."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from rune.errors import INVALID_REQUEST, ProtocolError
from rune.protocol import modern
from rune.protocol.jsonrpc import Opened, error_frame
from rune.protocol.methods import NEWEST_LEGACY
from rune.request import Caller
from rune.server.dispatch import Dispatcher
from rune.server.exchange import JSON, Out, SseWriter, prefers_sse
from rune.server.legacy.batch import answer_batch
from rune.server.legacy.events import EventStream
from rune.server.legacy.session import Session
from rune.server.reply import Reply

SESSION: Final = b"mcp-session-id"
STANDING: Final = "0"
STREAMS: Final = 32
"""Answered streams that a session keeps for a client that lost the end of one."""
MAX_SESSIONS: Final = 10_000
IDLE: Final = 1800.0
LISTEN_WAIT: Final = 2.0


class HttpSession(Reply):
    """A session on HTTP: the Session, its standing stream, and the streams of its answers, made when they are needed.

    It is the way to the session's client outside of its requests: the standing stream, whether a GET reads it or not.
    """

    __slots__ = ("_count", "_streams", "session", "used")

    def __init__(self, dispatcher: Dispatcher, caller: Caller) -> None:
        self.session = Session(dispatcher, caller, self)
        self._streams: dict[str, EventStream] | None = None
        self.used = 0.0
        self._count = 0

    @property
    def busy(self) -> bool:
        """Whether somebody is waiting for something of this session."""
        return bool(self.session.calls) or (self._streams is not None and self.standing.attached)

    @property
    def priming(self) -> bool:
        """Whether its revision knows the empty first event, and so may be told to poll."""
        return self.session.revision == NEWEST_LEGACY

    @property
    def standing(self) -> EventStream:
        """The stream that GET opens."""
        return self._all()[STANDING]

    def _all(self) -> dict[str, EventStream]:
        if self._streams is None:
            self._streams = {STANDING: EventStream(STANDING, priming=False)}
        return self._streams

    def stream(self) -> EventStream:
        """A new stream for an answer; old ones that are done make room."""
        self._count += 1
        stream = EventStream(str(self._count), priming=self.priming)
        streams = self._all()
        streams[stream.name] = stream
        for name in [name for name, old in streams.items() if old.done][:-STREAMS]:
            del streams[name]
        return stream

    def find(self, name: str) -> EventStream | None:
        """The stream that an event id belongs to."""
        return None if self._streams is None else self._streams.get(name)

    def push(self, frame: bytes, topic: str) -> None:
        self.standing.push(frame, topic)

    async def room(self) -> None:
        await self.standing.room()

    def release(self) -> None:
        self.standing.release()

    async def close(self) -> None:
        """End everything."""
        await self.session.close()
        for stream in (self._streams or {}).values():
            await stream.finish(None)


class HttpReply(Reply):
    """The reply of one POST: JSON unless something must be sent before the answer."""

    __slots__ = ("_out", "_owner", "stream")

    def __init__(self, owner: HttpSession, out: Out) -> None:
        self._owner = owner
        self._out = out
        self.stream: EventStream | None = None

    def open(self) -> EventStream:
        """Answer with a stream."""
        if self.stream is None:
            self.stream = self._owner.stream()
            self.stream.attach(SseWriter(self._out))
        return self.stream

    def push(self, frame: bytes, topic: str) -> None:
        self.open().push(frame, topic)

    async def room(self) -> None:
        if self.stream is not None:
            await self.stream.room()

    def release(self) -> None:
        if self._owner.priming:
            self.open().release()

    async def finish(self, frame: bytes | None) -> None:
        """The answer; None when there is none to be sent."""
        if self.stream is not None:
            await self.stream.finish(frame)
        elif frame is None:
            await self._out.respond(202, b"", ())
        else:
            await self._out.respond(200, frame)


class LegacyHttp:
    """All legacy sessions of one endpoint: bounded in number, ended when idle; an idle one makes room for a new one."""

    def __init__(self, dispatcher: Dispatcher, *, max_sessions: int = MAX_SESSIONS, idle: float = IDLE) -> None:
        self._dispatcher = dispatcher
        self._max = max_sessions
        self._idle = idle
        self._sessions: OrderedDict[str, HttpSession] = OrderedDict()
        self._sweeper: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    async def post(self, message: Opened, headers: Mapping[bytes, bytes], out: Out, caller: Caller) -> None:
        """Answer one message of a legacy client."""
        if message.method == "initialize" and message.is_request and SESSION not in headers:
            await self._open(message, out, caller)
            return
        owner = await self._find(headers, out, caller, message)
        if owner is None:
            return
        if not message.is_request:
            owner.session.hear(message)
            await out.respond(202, b"", ())
            return
        reply = HttpReply(owner, out)
        if prefers_sse(headers):
            reply.open()
        await reply.finish(await owner.session.answer(message, reply, out))

    async def _open(self, message: Opened, out: Out, caller: Caller) -> None:
        if len(self._sessions) >= self._max and not self._make_room():
            text = f"{self._max} sessions are in use (server.max_sessions)"
            await out.respond(503, error_frame(None, INVALID_REQUEST, text), (JSON, (b"retry-after", b"5")))
            return
        owner = HttpSession(self._dispatcher, caller)
        frame = await owner.session.answer(message, HttpReply(owner, out), out)
        assert frame is not None, "initialize cannot be cancelled"
        if not owner.session.revision:
            # A handshake that failed leaves nothing behind, least of all an id.
            await out.respond(400, frame)
            return
        id = self._dispatcher.seal.new_id("session")
        self._sessions[id] = owner
        self._touch(owner)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._idle / 4, self._sweep)
        await out.respond(200, frame, (JSON, (SESSION, id.encode())))

    async def _find(
        self, headers: Mapping[bytes, bytes], out: Out, caller: Caller, message: Opened | None = None
    ) -> HttpSession | None:
        """The session that the header names, when it is this caller's."""
        name = headers.get(SESSION, b"").decode("latin-1")
        owner = self._sessions.get(name)
        if owner is None or owner.session.caller.subject != caller.subject:
            await self._lost(headers, message, out)
            return None
        self._sessions.move_to_end(name)
        self._touch(owner)
        return owner

    async def _lost(self, headers: Mapping[bytes, bytes], message: Opened | None, out: Out) -> None:
        """A request without a session that is this caller's."""
        id = message.id if message is not None and isinstance(message.id, (int, str)) else None
        if SESSION in headers:
            ended = self._dispatcher.seal.made("session", headers[SESSION].decode("latin-1"))
            text = "the session has ended" if ended else "no such session"
            await out.respond(404, error_frame(id, INVALID_REQUEST, f"{text}: send initialize again"))
            return
        try:
            if message is not None and message.is_request:
                # A modern `_meta` with a legacy version in it gets the answer that says so.
                params = message.members
                if modern.VERSION_KEY.encode() in bytes(params.get("_meta", b"")):
                    modern.check_meta(modern.read_meta(params), str(message.method))
        except ProtocolError as error:
            await out.respond(400, error_frame(id, error.code, error.message, error.data))
            return
        await out.respond(400, error_frame(id, INVALID_REQUEST, "Mcp-Session-Id is missing: send initialize first"))

    def _touch(self, owner: HttpSession) -> None:
        owner.used = asyncio.get_running_loop().time()

    async def get(
        self, headers: Mapping[bytes, bytes], out: Out, caller: Caller, keep: Callable[[SseWriter], None]
    ) -> None:
        """Open the standing stream, or take up a stream where the client lost it."""
        accept = headers.get(b"accept", b"*/*")
        if SESSION not in headers or not (b"text/event-stream" in accept or b"*/*" in accept):
            status = 406 if SESSION in headers else 405
            await out.respond(status, error_frame(None, INVALID_REQUEST, "GET opens the event stream of a session"))
            return
        owner = await self._find(headers, out, caller)
        if owner is None:
            return
        name, _, number = headers.get(b"last-event-id", b"").decode("latin-1").rpartition("-")
        stream = owner.find(name)
        resumed = stream is not None and number.isdigit() and len(number) < 16
        stream = stream if resumed and stream is not None else owner.standing
        if begun := owner.session.listening():
            # What changes once the stream is there must not be missed, so it is not there before.
            await asyncio.wait(begun, timeout=LISTEN_WAIT, return_when=asyncio.FIRST_COMPLETED)
        writer = SseWriter(out)
        stream.attach(writer, int(number) if resumed else None)
        keep(writer)
        try:
            await out.gone()
        finally:
            stream.detach(writer)
            await writer.abandon()

    async def delete(self, headers: Mapping[bytes, bytes], out: Out, caller: Caller) -> None:
        """End a session."""
        owner = await self._find(headers, out, caller)
        if owner is not None:
            self._sessions.pop(headers[SESSION].decode("latin-1"), None)
            await owner.close()
            await out.respond(204, b"", ())

    async def batch(self, headers: Mapping[bytes, bytes], body: bytes, out: Out, caller: Caller) -> bool:
        """Answer a batch, which only one revision has; False when this is none."""
        owner = self._sessions.get(headers.get(SESSION, b"").decode("latin-1"))
        if owner is None or owner.session.caller.subject != caller.subject:
            return False
        reply = HttpReply(owner, out)
        job = answer_batch(owner.session, body, reply)
        if job is None:
            return False
        await reply.finish(await job)
        return True

    def _make_room(self) -> bool:
        """Drop the session that has been idle longest."""
        for id, owner in self._sessions.items():
            if not owner.busy:
                self._drop(id)
                return True
        return False

    def _drop(self, id: str) -> None:
        task = asyncio.create_task(self._sessions.pop(id).close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _sweep(self) -> None:
        """End the sessions that nobody has used for long; the oldest come first."""
        loop = asyncio.get_running_loop()
        before = loop.time() - self._idle
        for id in [id for id, owner in self._sessions.items() if owner.used < before and not owner.busy]:
            self._drop(id)
        self._sweeper = loop.call_later(self._idle / 4, self._sweep) if self._sessions else None

    async def close(self) -> None:
        """End every session: the server stops."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        owners = [*self._sessions.values()]
        self._sessions.clear()
        await asyncio.gather(*(owner.close() for owner in owners), *self._ending)
