"""One legacy client, on whatever wire: its handshake, its requests turned into modern ones, the answers turned back.

A question of a source (`input_required`) becomes a real request to this client, and its answer a retry of the call.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import FIRST_COMPLETED
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from rune.aio import spawn
from rune.errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    ProtocolError,
    RuneError,
    TimedOut,
)
from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import Id, Opened, error_frame, note_frame, request_frame, result_frame
from rune.protocol.legacy import negotiate, questions, results
from rune.protocol.methods import LOG_LEVELS, METHODS, MODERN, TASKS
from rune.protocol.modern import (
    ACKNOWLEDGED,
    NO_META,
    VERSION_KEY,
    Meta,
    check_meta,
    missing_capability,
    read_meta,
)
from rune.request import Caller, Emit, Note, Params, Request, Result
from rune.server.dispatch import Dispatcher
from rune.server.legacy import asking, tasks
from rune.server.reply import Reply, topic
from rune.server.run import Ended, Guard, run

log = logging.getLogger("rune.server")

ROUNDS: Final = 32
"""How often one call may ask before it counts as running in circles."""
ASK_TIMEOUT: Final = 600.0
"""Seconds that a client may take to answer a question: there may be a person behind it."""
SUBSCRIPTIONS: Final = 1024
LISTEN_TIMEOUT: Final = 10.0

_decode = msgspec.json.Decoder().decode


class SessionEmit(Emit):
    """Notes of a call on their way to a legacy client."""

    __slots__ = ("_id", "_reply", "_revision")

    def __init__(self, reply: Reply, revision: str, id: Id) -> None:
        self._reply = reply
        self._revision = revision
        self._id = id

    def __call__(self, note: Note) -> None:
        self._push(note, f"{self._id} {note.method}")

    def _push(self, note: Note, topic: str) -> None:
        old = results.downgrade_note(note.method, note.params, self._revision)
        if old is not None:
            self._reply.push(note_frame(*old), topic)

    async def room(self) -> None:
        await self._reply.room()

    def release(self) -> None:
        self._reply.release()


class ListenEmit(SessionEmit):
    """Notes of a listen. Legacy clients know no acknowledgement: it is kept for whoever started the listen."""

    __slots__ = ("honoured",)

    def __init__(self, reply: Reply, revision: str) -> None:
        super().__init__(reply, revision, None)
        self.honoured: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def __call__(self, note: Note) -> None:
        if note.method != ACKNOWLEDGED:
            self._push(note, topic(note, jsonrpc.read_object(note.params)))
        elif not self.honoured.done():
            self.honoured.set_result(note.params)


class Call:
    """A request in flight: the way back to its client, what ends it, and notifications/cancelled as well."""

    __slots__ = ("cancelled", "guard", "reply", "task")

    def __init__(self, reply: Reply, guard: Guard) -> None:
        self.reply = reply
        self.guard = guard
        self.task = asyncio.current_task()
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        if self.task is not None:
            self.task.cancel()


class Session:
    """State of one legacy client. `outbox` is the way to it outside of any request."""

    # There may be ten thousand of these: nothing is made before it is needed.
    __slots__ = (
        "_base",
        "_count",
        "_dispatcher",
        "_level",
        "_listens",
        "_questions",
        "caller",
        "calls",
        "outbox",
        "revision",
    )

    def __init__(self, dispatcher: Dispatcher, caller: Caller, outbox: Reply) -> None:
        self.caller = caller
        self.outbox = outbox
        self.revision = ""
        self.calls: dict[Id, Call] = {}
        self._dispatcher = dispatcher
        self._base = NO_META
        self._level = "info"
        self._count = 0
        self._questions: dict[Id, asyncio.Future[Opened]] = {}
        self._listens: dict[str, asyncio.Task[None]] = {}

    async def answer(self, message: Opened, reply: Reply, guard: Guard) -> bytes | None:
        """Answer a request of this client; None when it was cancelled and nothing may be sent."""
        id = message.id if message.id is not msgspec.UNSET else None
        method = str(message.method)
        if id in self.calls:
            return error_frame(id, INVALID_REQUEST, f"id {id} is already in use")
        call = self.calls[id] = Call(reply, guard)
        try:
            params = message.members
            return result_frame(id, await self._answer(method, params, id, call))
        except asyncio.CancelledError:
            if not call.cancelled:
                raise
            if call.task is not None:
                call.task.uncancel()
            return None
        except Ended:
            return None
        except RuneError as error:
            code = results.downgrade_error(method, self._code(error), error.data)
            return error_frame(id, code, error.message, error.data)
        finally:
            del self.calls[id]

    def _code(self, error: RuneError) -> int:
        """A tool that only runs as a task is, for a call without `task`, a method that is not there (2025-11-25)."""
        if error.code == MISSING_CAPABILITY and TASKS in str(error.data):
            return METHOD_NOT_FOUND
        return error.code

    async def _answer(self, method: str, params: Params, id: Id, call: Call) -> bytes:
        row = METHODS.get(method)
        if method == "initialize":
            return await self._initialize(params, call)
        if not self.revision:
            if method == "ping":
                return b"{}"
            # A modern `_meta` with a legacy version in it gets the answer that says so.
            if VERSION_KEY.encode() in bytes(params.get("_meta", b"")):
                check_meta(read_meta(params), method)
            raise ProtocolError(INVALID_REQUEST, "the session is not initialized", hint="send initialize first")
        if row is None or not row.legacy or not tasks.allowed(method, self.revision):
            raise ProtocolError(METHOD_NOT_FOUND, f"unknown method {method}")
        match method:
            case "ping":
                return b"{}"
            case "logging/setLevel":
                return self._set_level(params)
            case "resources/subscribe":
                return await self._subscribe(params)
            case "resources/unsubscribe":
                return self._unsubscribe(params)
        request = self._request(method, params, id, call.reply)
        if tasks.concerns(method, params, self.revision):
            return await tasks.answer(self, request, call)
        result = await self.call(request, call)
        return self._downgrade(method, result)

    def _request(self, method: str, params: Params, id: Id, reply: Reply) -> Request:
        """The same request as a modern client would send it."""
        meta = self._base
        if "_meta" in params:
            own = read_meta(params)
            if own is not None and own.progress_token is not None:
                meta = msgspec.structs.replace(meta, progress_token=own.progress_token)
        emit = SessionEmit(reply, self.revision, id)
        return Request(method, params, id=id, meta=meta, caller=self.caller, emit=emit, older=True)

    async def call(self, request: Request, call: Call) -> Result:
        """Ask the handler, and this client whatever the handler wants to know on the way.

        Raises:
            RuneError: what the handler raises; TimedOut when the client does not answer.
        """
        for _ in range(ROUNDS):
            call.guard.enter(self._dispatcher.timeout, self._dispatcher.running, request)
            result = await run(self._dispatcher.handler, request, call.guard)
            if result.kind != "input_required":
                return result
            try:
                answers = await asking.answers(self.ask(result.value.get("inputRequests", {}), call), result.moved)
            except BaseException:
                # Refused, timed out or cancelled: whoever has asked need not wait for an answer any more.
                if result.abandon is not None:
                    result.abandon()
                raise
            request = request.replace(answers=answers, state=result.state, target=None)
        raise ProtocolError(INVALID_REQUEST, f"{request.method}: more than {ROUNDS} rounds of questions")

    def _downgrade(self, method: str, result: Result) -> bytes:
        """The result in this client's revision; what goes out many times is translated once."""
        memo = result.memo
        if memo is None:
            return results.downgrade_result(method, result.raw, self.revision)
        if self.revision not in memo:
            memo[self.revision] = results.downgrade_result(method, result.raw, self.revision)
        return memo[self.revision]

    # --- questions to the client -------------------------------------------------------------------------------------

    async def ask(
        self, wanted: Mapping[str, Any], call: Call, related: Mapping[str, Any] | None = None
    ) -> dict[str, msgspec.Raw]:
        """Send questions on the stream of the call they belong to and wait for all answers."""
        loop = asyncio.get_running_loop()
        waiting: dict[str, tuple[str, Id, asyncio.Future[Opened]]] = {}
        try:
            for key, question in wanted.items():
                self._count += 1
                number: Id = f"rune-{self._count}"
                asked = questions.downgrade_question(question, self.revision, str(number))
                if asked is None:
                    raise missing_capability({str(question["method"]).partition("/")[0]: {}})
                params = asked.get("params", {})
                params = {**params, "_meta": {**params.get("_meta", {}), questions.KEY: key, **(related or {})}}
                future = self._questions[number] = loop.create_future()
                waiting[key] = question["method"], number, future
                call.reply.push(request_frame(number, question["method"], jsonrpc.encode(params)), "")
            answers = {}
            async with asyncio.timeout(ASK_TIMEOUT):
                for key, (method, _, future) in waiting.items():
                    answers[key] = _read_answer(method, await future)
            return answers
        except TimeoutError:
            raise TimedOut(f"the client has not answered within {ASK_TIMEOUT:g} s") from None
        finally:
            for _, number, future in waiting.values():
                self._questions.pop(number, None)
                if not future.done() or future.cancelled():
                    call.reply.push(note_frame("notifications/cancelled", jsonrpc.encode({"requestId": number})), "")

    def respond(self, message: Opened) -> None:
        """An answer of the client to one of our questions; one that nobody waits for is dropped."""
        future = self._questions.get(message.id if message.id is not msgspec.UNSET else None)
        if future is not None and not future.done():
            future.set_result(message)

    def hear(self, message: Opened) -> None:
        """Take what is no request."""
        if message.is_notification:
            self.notify(message)
        else:
            self.respond(message)

    def notify(self, message: Opened) -> None:
        """A notification of the client."""
        if message.method == "notifications/cancelled":
            try:
                id = _decode(message.members.get("requestId", msgspec.Raw(b"null")))
            except (ProtocolError, msgspec.DecodeError):
                return
            call = self.calls.get(id) if isinstance(id, (str, int)) else None
            if call is not None:
                call.cancel()

    # --- what only legacy clients have -------------------------------------------------------------------------------

    async def _initialize(self, params: Params, call: Call) -> bytes:
        if self.revision:
            raise ProtocolError(INVALID_REQUEST, "the session is already initialized")
        try:
            requested = _decode(params["protocolVersion"])
            capabilities = bytes(params.get("capabilities", b"{}"))
        except (KeyError, msgspec.DecodeError):
            raise ProtocolError(INVALID_PARAMS, "params.protocolVersion is missing") from None
        if capabilities[:1] != b"{":
            raise ProtocolError(INVALID_PARAMS, "params.capabilities must be an object")
        revision = negotiate.choose(requested)
        self._base = _shared_meta(capabilities, bytes(params.get("clientInfo", b"")), self._level)
        discover = Request("server/discover", meta=self._base, caller=self.caller, older=True)
        call.guard.enter(self._dispatcher.timeout, self._dispatcher.running, discover)
        result = await run(self._dispatcher.handler, discover, call.guard)
        value = {**result.value, "_meta": {"io.modelcontextprotocol/serverInfo": self._dispatcher.server_info}}
        self.revision = revision
        return jsonrpc.encode(negotiate.initialize_result(value, revision))

    def _set_level(self, params: Params) -> bytes:
        level = _decode(params.get("level", msgspec.Raw(b"null")))
        if level not in LOG_LEVELS:
            raise ProtocolError(INVALID_PARAMS, f"params.level must be one of {', '.join(LOG_LEVELS)}")
        self._level = level
        self._base = _shared_meta(bytes(self._base.capabilities), bytes(self._base.client), level)
        return b"{}"

    async def _subscribe(self, params: Params) -> bytes:
        uri = Request("resources/subscribe", params).text("uri")
        if uri not in self._listens:
            if len(self._listens) >= SUBSCRIPTIONS:
                raise ProtocolError(INVALID_PARAMS, f"more than {SUBSCRIPTIONS} subscriptions in one session")
            honoured = self._listen(uri, {"resourceSubscriptions": [uri]})
            either: set[asyncio.Future[Any]] = {honoured, self._listens[uri]}
            await asyncio.wait(either, timeout=LISTEN_TIMEOUT, return_when=FIRST_COMPLETED)
            if not honoured.done() or b"resourceSubscriptions" not in honoured.result():
                self._unlisten(uri)
                raise ProtocolError(METHOD_NOT_FOUND, "resources/subscribe: nothing here can be subscribed to")
        return b"{}"

    def _unsubscribe(self, params: Params) -> bytes:
        self._unlisten(Request("resources/unsubscribe", params).text("uri"))
        return b"{}"

    def listening(self) -> set[asyncio.Future[Any]]:
        """Tell this client about changed lists from now on; when one of these is done, that has begun."""
        if "" in self._listens:
            return set()
        wanted = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
        return {self._listen("", wanted), self._listens[""]}

    def _listen(self, key: str, wanted: Mapping[str, Any]) -> asyncio.Future[bytes]:
        """Start to listen; the future is what the gateway will honour of it."""
        params = {"notifications": msgspec.Raw(jsonrpc.encode(wanted))}
        emit = ListenEmit(self.outbox, self.revision)
        request = Request("subscriptions/listen", params, meta=self._base, caller=self.caller, emit=emit, older=True)
        self._listens[key] = spawn(self._serve(request))
        return emit.honoured

    def _unlisten(self, key: str) -> None:
        task = self._listens.pop(key, None)
        if task is not None:
            task.cancel()

    async def _serve(self, request: Request) -> None:
        try:
            await self._dispatcher.handler(request)
        except RuneError as error:
            log.info("%s: %s", request.method, error)

    async def close(self) -> None:
        """The client is gone for good: end what it asked for."""
        calls = [call for call in self.calls.values() if call.task is not asyncio.current_task()]
        ended = [*self._listens.values(), *(call.task for call in calls if call.task is not None)]
        for listen in self._listens.values():
            listen.cancel()
        self._listens.clear()
        # Not their tasks: whoever answers these calls must still end their streams.
        for call in calls:
            call.cancel()
        if ended:
            await asyncio.wait(ended, timeout=5)


@lru_cache(256)
def _shared_meta(capabilities: bytes, client: bytes, level: str) -> Meta:
    """Sessions of the same kind of client share what it declared."""
    return Meta(version=MODERN, capabilities=msgspec.Raw(capabilities), client=msgspec.Raw(client), log_level=level)


def _read_answer(method: str, message: Opened) -> msgspec.Raw:
    """A client's result in the modern shape. A refused elicitation is a `cancel`; other errors end the call."""
    if bytes(message.error):
        if method == "elicitation/create":
            return msgspec.Raw(b'{"action":"cancel"}')
        error = _decode(message.error)
        why = error.get("message") if isinstance(error, dict) else None
        raise ProtocolError(INVALID_PARAMS, f"{method}: the client refused: {why}")
    return msgspec.Raw(jsonrpc.encode(questions.upgrade_answer(method, _decode(message.result))))
