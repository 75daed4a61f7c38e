"""The loop for wires that carry frames both ways: stdio, WebSocket, memory, HTTP+SSE. The era is told per message."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from rune.aio import spawn
from rune.errors import INVALID_REQUEST, ProtocolError
from rune.protocol import jsonrpc, modern
from rune.protocol.jsonrpc import Id, Malformed, Opened, error_frame, holds, note_frame
from rune.protocol.methods import HANDSHAKE, LEGACY
from rune.request import ANONYMOUS, Caller
from rune.server.dispatch import LISTEN, Dispatcher
from rune.server.legacy.batch import answer_batch
from rune.server.legacy.session import Session
from rune.server.reply import Reply
from rune.server.run import Guard
from rune.wires import Way

_VERSION_KEY: Final = modern.VERSION_KEY.encode()
IN_FLIGHT: Final = 1024
"""Requests of one connection that may run at the same time; the next one is refused."""


class Duplex(Reply):
    """One connection: its requests in flight and, once a legacy client has shaken hands, its session."""

    __slots__ = ("_dispatcher", "_jobs", "_shaking", "_waiting", "_way", "caller", "calls", "session")

    def __init__(self, dispatcher: Dispatcher, way: Way, caller: Caller = ANONYMOUS) -> None:
        self.caller = caller
        self.session: Session | None = None
        self._dispatcher = dispatcher
        self._way = way
        self.calls: dict[Id, Guard] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._shaking = False
        self._waiting: deque[bytes] = deque()

    def push(self, frame: bytes, topic: str) -> None:
        """Whatever belongs to a request goes out on the one connection there is."""
        self._way.write(frame, topic)

    async def room(self) -> None:
        await self._way.room()

    def feed(self, data: bytes) -> None:
        """Take one frame; its answer goes out when it is there."""
        if self._shaking:
            if len(self._waiting) < IN_FLIGHT:
                self._waiting.append(data)
            else:
                self.push(error_frame(jsonrpc.salvage_id(data), INVALID_REQUEST, "too many messages at once"), "")
            return
        try:
            message = jsonrpc.opened(data)
        except Malformed as error:
            self._malformed(data, error)
            return
        if holds(data, _VERSION_KEY) and _modern(message):
            self._modern(message)
        else:
            self._legacy(message)

    def _malformed(self, data: bytes, error: Malformed) -> None:
        """No message, or a batch."""
        try:
            if error.code == INVALID_REQUEST and self._batch(data):
                return
        except Malformed as worse:
            error = worse
        self.push(error_frame(error.id, error.code, error.message), "")

    def oversize(self, limit: int) -> None:
        """A frame was too large to be read."""
        self.push(error_frame(None, INVALID_REQUEST, f"a message is larger than {limit} bytes (server.max_body)"), "")

    def _modern(self, message: Opened) -> None:
        id = message.id if message.id is not msgspec.UNSET else None
        if not message.is_request:
            if message.method == "notifications/cancelled":
                self._cancel(message)
        elif id in self.calls:
            self.push(error_frame(id, INVALID_REQUEST, f"id {id} is already in use"), "")
        elif len(self.calls) >= IN_FLIGHT:
            self.push(error_frame(id, INVALID_REQUEST, f"more than {IN_FLIGHT} requests at the same time"), "")
        else:
            line = self.calls[id] = Line(duplex=self, id=id)
            self._start(self._answer(message, line), line)

    async def _answer(self, message: Opened, line: Line) -> None:
        try:
            answer = await self._dispatcher.answer(message, line, line, caller=self.caller)
        finally:
            del self.calls[line.id]
        if answer is not None:
            self._way.write(answer[0], "")
            if message.method == LISTEN and self._dispatcher.draining:
                # The result ends it for some clients, this for the others (2026-07-28, cancellation and subscriptions).
                self._way.write(note_frame("notifications/cancelled", jsonrpc.encode({"requestId": line.id})), "")

    def _cancel(self, message: Opened) -> None:
        """notifications/cancelled; an id that is not in flight is ignored."""
        try:
            raw = message.members.get("requestId")
            id = msgspec.json.decode(raw, type=int | str) if raw is not None else None
        except (ProtocolError, msgspec.DecodeError):
            return
        guard = self.calls.get(id)
        if guard is not None:
            guard.stop("gone")
        elif self.session is not None:
            self.session.notify(message)

    def _legacy(self, message: Opened) -> None:
        if self.session is None:
            self.session = Session(self._dispatcher, self.caller, self)
        if message.method == HANDSHAKE and message.is_request:
            self._shaking = True
            self._start(self._shake(self.session, message))
        elif message.is_request:
            if len(self.session.calls) >= IN_FLIGHT:
                self.push(error_frame(_id(message), INVALID_REQUEST, f"more than {IN_FLIGHT} requests at once"), "")
                return
            guard = Guard()
            self._start(self._answer_legacy(self.session, message, guard), guard)
        elif message.is_notification:
            if message.method == "notifications/cancelled":
                self._cancel(message)
            elif self.session.revision:
                # The only other notification that matters says that the client is ready for ours.
                self.session.listening()
        else:
            self.session.respond(message)

    async def _shake(self, session: Session, message: Opened) -> None:
        """The handshake: what the client has sent right behind it waits until it is done."""
        try:
            await self._answer_legacy(session, message, Guard())
        finally:
            self._shaking = False
            while self._waiting and not self._shaking:
                self.feed(self._waiting.popleft())

    async def _answer_legacy(self, session: Session, message: Opened, guard: Guard) -> None:
        frame = await session.answer(message, self, guard)
        if frame is not None:
            self._way.write(frame, "")

    def _batch(self, data: bytes) -> bool:
        """A batch of the one revision that has them."""
        if self.session is None:
            return False
        job = answer_batch(self.session, data, self)
        if job is None:
            return False
        self._start(self._write_later(job))
        return True

    async def _write_later(self, job: Coroutine[Any, Any, bytes | None]) -> None:
        frame = await job
        if frame is not None:
            self._way.write(frame, "")

    def _start(self, job: Coroutine[Any, Any, None], guard: Guard | None = None) -> None:
        task = spawn(job)
        if task.done():
            self._done(task)
        else:
            if guard is not None:
                guard.suspended(task)
            self._jobs.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._jobs.discard(task)
        if not task.cancelled():
            task.result()

    async def finish(self, patience: float) -> None:
        """Let what is in flight end, for a while; listens are told by the dispatcher's drain."""
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=patience)

    async def close(self) -> None:
        """The client is gone: end everything that it asked for."""
        jobs = tuple(self._jobs)
        for job in jobs:
            job.cancel()
        if self.session is not None:
            await self.session.close()
        if jobs:
            await asyncio.wait(jobs, timeout=5)


class Line(Reply, Guard, kw_only=True):
    """The reply of one modern request on a shared connection, and what ends it."""

    duplex: Duplex
    id: Id

    def push(self, frame: bytes, topic: str) -> None:
        self.duplex.push(frame, f"{self.id} {topic}" if topic else "")

    async def room(self) -> None:
        await self.duplex.room()


def _id(message: Opened) -> Id:
    return message.id if message.id is not msgspec.UNSET else None


def _modern(message: Opened) -> bool:
    """Whether the message itself carries the modern `_meta`."""
    try:
        params = message.members
        raw = params.get("_meta")
        meta = None if raw is None else modern.good_meta(raw) or modern.read_meta(params)
    except ProtocolError:
        return True
    return meta is not None and meta.version is not None and meta.version not in LEGACY
