"""A server of an older revision behind the same Handler: handshake, session, translation of requests and results."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import msgspec

from rune.asking import Asking
from rune.client.calls import Call, Calls, Lost, Refused
from rune.client.legacy.questions import Questions
from rune.client.legacy.tasks import Job, StartTask, becomes_task, call_as_task
from rune.client.legacy.visits import visited, wanted
from rune.client.modern import outgoing_meta, own_name
from rune.errors import NotFound, ProtocolError, RuneError, Unavailable
from rune.parking import Parking
from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import Envelope
from rune.protocol.legacy.negotiate import discover_result
from rune.protocol.legacy.results import upgrade_error, upgrade_result
from rune.protocol.methods import LEGACY, LOG_LEVELS, NEWEST_LEGACY, TASKS
from rune.protocol.modern import ACKNOWLEDGED
from rune.request import Note, Request, Result
from rune.source import Filter, Listeners

log = logging.getLogger("rune.client")

SESSION: Final = "Mcp-Session-Id"
VERSION: Final = "MCP-Protocol-Version"
SMALL: Final = 10.0
"""Seconds for what is said by the way: subscribe, set a level, end a session."""

STREAM_WAIT: Final = 2.0
START_WAIT: Final = 2.0

_UNHEARD: Final = len(LOG_LEVELS)


class Legacy:
    """The era of a connection whose server needs `initialize`."""

    def __init__(
        self,
        calls: Calls,
        identity: msgspec.Raw,
        capabilities: Mapping[str, Any],
        on_note: Callable[[Note], None],
        parking: Parking,
    ) -> None:
        self.name = calls.wire.name
        self.revision = NEWEST_LEGACY
        self.discovered: dict[str, Any] = {}
        self.listeners = Listeners()
        self._calls = calls
        self._identity = identity
        self._capabilities = dict(capabilities)
        self._on_note = on_note
        self.questions = Questions(calls, capabilities, parking)
        self._renewing = asyncio.Lock()
        self._level = _UNHEARD
        self._uris: Counter[str] = Counter()
        self._stream: asyncio.Task[None] | None = None
        self._tails: set[asyncio.Task[None]] = set()
        self.start_task: StartTask | None = None
        """Makes tasks of ours; where it is None, no call becomes one."""
        self.jobs: dict[str, Job] = {}
        calls.cancels_by_note = True

    # --- session ---

    async def open(self) -> None:
        """The handshake.

        Raises:
            ProtocolError, Refused: when the server does not want it.
            Unavailable: when it answers with a revision that nobody knows.
        """
        wire = self._calls.wire
        for header in (SESSION, VERSION):
            wire.headers.pop(header, None)
        call = self._calls.new("initialize")
        call.silent = True
        call.params = jsonrpc.encode(
            {"protocolVersion": self.revision, "capabilities": self._capabilities, "clientInfo": self._identity}
        )
        try:
            raw = await self._calls.run(call)
        except Refused as refused:
            if refused.error is not None:
                raise refused.error from refused
            raise
        answer = jsonrpc.decode(raw)
        revision = answer.get("protocolVersion") if isinstance(answer, dict) else None
        if revision not in LEGACY:
            raise Unavailable(f"{self.name}: answered the handshake with revision {revision!r}, which is unknown")
        self.revision = revision
        self.discovered = discover_result(answer)
        self.questions.revision = revision
        if wire.http:
            session = None if call.answered is None else call.answered.headers.get(SESSION)
            if session:
                wire.headers[SESSION] = session
            if revision >= "2025-06-18":
                wire.headers[VERSION] = revision
        self._level = _UNHEARD
        await wire.tell(jsonrpc.note_frame("notifications/initialized", b"{}"))
        if not self._capabilities:
            return
        if wire.http:
            self._close_stream()
            await self._open_stream()
        # What it asks before this is answered belongs to no call: many ask for the roots at once.
        await self._aside("ping", {}, silent=True)

    async def end(self) -> None:
        """Stop what runs for this session."""
        self.questions.end()
        self._close_stream()
        for task in self._tails:
            task.cancel()
        if SESSION in self._calls.wire.headers:
            await self._calls.wire.leave()

    async def _renew(self, used: str | None) -> None:
        """A new session after the old one was forgotten (404); once, whoever notices first."""
        async with self._renewing:
            if self._calls.wire.headers.get(SESSION) != used:
                return
            log.info("%s: the session was gone, a new one is opened", self.name)
            await self.open()
            for uri in self._uris:
                await self._aside("resources/subscribe", {"uri": uri})

    # --- requests ---

    async def handle(self, request: Request) -> Result:
        match request.method:
            case "server/discover":
                return Result(jsonrpc.encode(self.discovered))
            case "subscriptions/listen":
                return await self._listen(request)
            case "tasks/get" | "tasks/update" | "tasks/cancel":
                # What clients know are tasks of ours around those of this server.
                raise NotFound(f"unknown task: {request.text('taskId')}")
        if request.meta.log_level is not None:
            await self._raise_level(request.meta.log_level)
        request = visited(self.name, request)
        try:
            return await self._send(request)
        except ProtocolError as error:
            return self._upgraded(request, error)

    async def _send(self, request: Request) -> Result:
        if request.method == "tools/call" and TASKS in self.discovered["capabilities"].get("extensions", {}):
            start = self.start_task
            if becomes_task(request, start) and start is not None:
                return await self.questions.run(request, partial(call_as_task, self, start))
        if self.questions.may_ask(request):
            return await self.questions.run(request, self._answered)
        return await self._exchange(request, None)

    async def _answered(self, request: Request, asking: Asking | None) -> Result:
        """A call that may wait: whoever comes back for its answer may come another way."""
        try:
            return await self._exchange(request, asking)
        except ProtocolError as error:
            return self._upgraded(request, error)

    async def _exchange(self, request: Request, asking: Asking | None) -> Result:
        return Result(upgrade_result(request.method, await self.send(request, asking)))

    async def send(self, request: Request, asking: Asking | None, task: msgspec.Raw | None = None) -> bytes:
        """What the server answers to a request, as it stands; `task` asks it to answer with a task.

        Raises:
            ProtocolError: what the server said. Unavailable, TimedOut, NeedsAuth: why there is no answer.
        """
        call = self._calls.new(request.method, request)
        if asking is not None:
            # It may wait for a person; whoever attends to it keeps the time.
            call.asking, call.deadline = asking, None
        params: dict[str, Any] = dict(request.params)
        for key in ("_meta", "inputResponses", "requestState", "task"):
            params.pop(key, None)
        if task is not None:
            params["task"] = task
        meta = outgoing_meta(request, call)
        if meta:
            params["_meta"] = meta
        own_name(request, params)
        call.params = jsonrpc.encode(params)
        raw = await self._run(call)
        if not raw.startswith(b"{"):
            raise Lost(f"{self.name}: answered {request.method} with a result that is no object")
        return raw

    async def about_task(self, method: str, id: str, asking: Asking | None = None) -> bytes:
        """Ask about one of its tasks. With `asking` it takes as long as the task, and the server may ask."""
        call = self._calls.new(method, timeout=SMALL)
        call.key, call.params = id, jsonrpc.encode({"taskId": id})
        if asking is not None:
            call.asking, call.deadline = asking, None
        return await self._run(call)

    async def _run(self, call: Call) -> bytes:
        used = self._calls.wire.headers.get(SESSION)
        try:
            return await self._calls.run(call)
        except Refused as refused:
            if refused.status != 404 or used is None:
                raise refused.error or refused from None
        await self._renew(used)
        try:
            return await self._calls.run(call)
        except Refused as refused:
            raise refused.error or refused from None

    def _upgraded(self, request: Request, error: ProtocolError) -> Result:
        """An error under the code that 2026-07-28 has for it, or the question that it stands for."""
        question = wanted(self.name, request, error)
        if question is not None:
            return question
        code = upgrade_error(request.method, error.code, error.data)
        raise ProtocolError(code, error.message, data=error.data) from None

    def later(self, method: str, params: dict[str, Any]) -> None:
        """The same as soon as possible, for those who cannot wait."""
        if self._calls.wire.lost is None:
            task = asyncio.get_running_loop().create_task(self._aside(method, params))
            self._tails.add(task)
            task.add_done_callback(self._tails.discard)

    async def _aside(self, method: str, params: dict[str, Any], *, silent: bool = False) -> None:
        """A small request of our own, whose failure is no reason to fail anything else; `silent` without a word to the
        server if it takes too long."""
        call = self._calls.new(method, timeout=START_WAIT if silent else SMALL)
        call.silent = silent
        call.params = jsonrpc.encode(params)
        try:
            await self._calls.run(call)
        except RuneError as error:
            log.info("%s: %s: %s", self.name, method, error)

    async def _raise_level(self, name: str) -> None:
        """A session has one level: the most talkative that anybody asked for. Each call gets its own by filter."""
        wanted = LOG_LEVELS.index(name) if name in LOG_LEVELS else _UNHEARD
        if wanted < self._level and "logging" in self.discovered["capabilities"]:
            self._level = wanted
            await self._aside("logging/setLevel", {"level": name})

    # --- what the server says ---

    def receive(self, envelope: Envelope, call: Call | None) -> None:
        """Notifications and requests of the server."""
        method = envelope.method
        assert isinstance(method, str), "responses do not come here"
        if envelope.is_request:
            self.questions.asked(envelope, call)
        elif method == "notifications/progress":
            self._calls.progress(jsonrpc.read_object(envelope.params))
        elif method == "notifications/message":
            self._log(envelope, call)
        elif method == "notifications/tasks/status":
            self._task_told(jsonrpc.decode(envelope.params))
        elif method == "notifications/cancelled":
            self.questions.withdrawn(jsonrpc.read_object(envelope.params))
        elif method.endswith("/list_changed") or method == "notifications/resources/updated":
            note = Note(method, bytes(envelope.params) or b"{}")
            self.listeners.publish(note)
            self._on_note(note)

    def _task_told(self, task: Any) -> None:
        job = self.jobs.get(str(task.get("taskId"))) if isinstance(task, dict) else None
        if job is not None:
            told = asyncio.get_running_loop().create_task(job.told(task))
            self._tails.add(told)
            told.add_done_callback(self._tails.discard)

    def _log(self, envelope: Envelope, call: Call | None) -> None:
        call = self._calls.speaker(call, envelope.params, levelled=False)
        wanted = None if call is None or call.owner is None else call.owner.meta.log_level
        if call is None or wanted not in LOG_LEVELS:
            return
        level = jsonrpc.read_object(envelope.params).get("level", msgspec.Raw(b'""'))
        name = jsonrpc.decode(level)
        if name in LOG_LEVELS and LOG_LEVELS.index(name) >= LOG_LEVELS.index(wanted):
            call.emit("notifications/message", bytes(envelope.params))

    # --- listen ---

    async def _listen(self, request: Request) -> Result:
        wanted = Filter.of(request)
        capabilities = self.discovered["capabilities"]
        subscribes = "subscribe" in capabilities.get("resources", {})
        honoured = Filter(
            tools=wanted.tools and "listChanged" in capabilities.get("tools", {}),
            prompts=wanted.prompts and "listChanged" in capabilities.get("prompts", {}),
            resources=wanted.resources and "listChanged" in capabilities.get("resources", {}),
            uris=wanted.uris if subscribes else frozenset(),
        )
        early: list[Note] = []
        forget = self.listeners.add(honoured, early.append)
        try:
            async with self._streaming(), self._subscribed(honoured.uris):
                forget()
                forget = self.listeners.add(honoured, request.emit)
                request.emit(Note(ACKNOWLEDGED, jsonrpc.encode({"notifications": honoured.wire()})))
                for note in early:
                    request.emit(note)
                await asyncio.get_running_loop().create_future()
        finally:
            forget()
        raise AssertionError("a listen ends by cancellation")

    @asynccontextmanager
    async def _streaming(self) -> AsyncIterator[None]:
        """The stream for what is said unasked: open while somebody listens."""
        await self._open_stream()
        try:
            yield
        finally:
            # A server that may ask something may do it there.
            if not len(self.listeners) and not self._capabilities:
                self._close_stream()

    async def _open_stream(self) -> None:
        """Open it, and wait a short while until it is known to be open: what comes before is lost."""
        if self._stream is not None and not self._stream.done():
            return
        opened = asyncio.Event()
        self._stream = asyncio.create_task(self._calls.wire.listen(opened.set))
        try:
            async with asyncio.timeout(STREAM_WAIT):
                await opened.wait()
        except TimeoutError:
            log.info("%s: its stream is slow to open", self.name)

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    @asynccontextmanager
    async def _subscribed(self, uris: frozenset[str]) -> AsyncIterator[None]:
        """The server counts no subscriptions: we do."""
        first = [uri for uri in uris if not self._uris[uri]]
        self._uris.update(uris)
        try:
            for uri in first:
                await self._aside("resources/subscribe", {"uri": uri})
            yield
        finally:
            self._uris.subtract(uris)
            last = [uri for uri in uris if self._uris[uri] <= 0]
            for uri in last:
                del self._uris[uri]
                self.later("resources/unsubscribe", {"uri": uri})
