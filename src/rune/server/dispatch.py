"""A modern request comes in as an message and leaves as a frame: checks, Request, handler, errors.

All wires call this one: the HTTP endpoint, stdio and WebSocket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final, TypeAlias

import msgspec

from rune.errors import INVALID_PARAMS, ProtocolError, RuneError
from rune.protocol import jsonrpc, modern
from rune.protocol.jsonrpc import NO_OBJECT, Id, Opened, error_frame, holds, result_frame
from rune.protocol.methods import MODERN_METHODS
from rune.request import ANONYMOUS, Caller, Handler, Request, Result
from rune.seal import Seal, binding
from rune.server.reply import ListenEmit, Reply
from rune.server.run import Ended, Guard, run
from rune.source import Source

LISTEN: Final = "subscriptions/listen"
LARGE: Final = 16 * 1024
"""Bytes of a result from which on a copy costs more than a detour."""
_SERVER: Final = modern.SERVER_KEY.encode()
_MAX_ANSWERS: Final = 256
# CPython makes a bound method for each call of a method of an imported name.
_row: Final = MODERN_METHODS.get
_HEAD: Final = b'{"jsonrpc":"2.0","id":'
_RESULT: Final = b',"result":'
_CLOSE: Final = ord("}")


Answer: TypeAlias = tuple[bytes, int]
"""A frame and the HTTP status it has where there is HTTP."""


class Dispatcher:
    """What the wires share: the handler, the seal, the limits, and the listens that a shutdown must end."""

    def __init__(
        self, handler: Handler, seal: Seal, server_info: Mapping[str, Any], *, timeout: float | None = 60.0
    ) -> None:
        self.seal = seal
        self.timeout = timeout
        self.draining = False
        self.running: set[Guard] = set()
        self._listens: set[Guard] = set()
        self.serve(handler, server_info)

    def serve(self, handler: Handler, server_info: Mapping[str, Any]) -> None:
        """Ask this handler from now on. What is under way stays with the one that it began with."""
        self.handler = handler
        self.server_info = server_info
        self._server = b'"%b":%b' % (modern.SERVER_KEY.encode(), jsonrpc.encode(server_info))
        self._tail = b',"_meta":{%b}}' % self._server
        self._end = self._tail + b"}"

    def busy(self, source: Source) -> set[asyncio.Task[Any]]:
        """The requests under way that a source answers, or may be about to."""
        return {guard.task for guard in self.running if guard.task is not None and guard.concerns(source)}

    async def answer(
        self,
        message: Opened,
        reply: Reply,
        guard: Guard,
        headers: Mapping[bytes, bytes] | None = None,
        caller: Caller = ANONYMOUS,
    ) -> Answer | None:
        """Answer one modern request; None when nothing may be sent any more because it was cancelled.

        `headers` are those of an HTTP request, None on other wires.
        """
        id: Id = message.id  # type: ignore[assignment]  # it is a request
        try:
            request = self._read(message, reply, headers, caller)
        except ProtocolError as error:
            return _error(id, error), modern.HTTP_STATUS.get(error.code, 400)
        if request.method == LISTEN:
            del message, headers
            return await self._listen(request, reply, guard)
        # A client that goes away cancels what it asked for (2026-07-28, Streamable HTTP).
        if guard.task is None:
            # As `enter` does it where nothing has been waited for.
            guard.stage = self.timeout, self.running, request, True
        else:
            guard.enter(self.timeout, self.running, request, True)
        try:
            # As `run` does it, but a frame for every call would cost more.
            result = await self.handler(request)
        except BaseException as error:  # noqa: BLE001 - what is not for the client is raised again
            return _failed(id, guard.verdict(error, request.method))
        finally:
            if guard.task is None:
                # As `leave` does it where nothing has been waited for.
                guard.stage = None
            else:
                guard.leave()
        try:
            if result.meta == b"":
                return self._bare(id, request, result), 200
            return result_frame(id, self._dress(request, result)), 200
        except RuneError as error:
            return _failed(id, error)

    async def _listen(self, request: Request, reply: Reply, guard: Guard) -> Answer | None:
        """A call that lasts until the client or the server ends it; the server does so with a result."""
        id = request.id
        request.emit = ListenEmit(reply, id)
        request.headers = request.deadline = None
        guard.enter(None, self._listens, None, True)
        job = run(self.handler, request, guard)
        # As in `Endpoint.post`: what is not needed any more goes before the long wait.
        del request
        try:
            await job
        except Ended:
            return None
        except RuneError as error:
            if guard.reason != "drain":
                return _failed(id, error)
        members = modern.SUBSCRIPTION_KEY.encode(), jsonrpc.encode(id), self._server
        return result_frame(id, b'{"resultType":"complete","_meta":{"%b":%b,%b}}' % members), 200

    def _read(self, message: Opened, reply: Reply, headers: Mapping[bytes, bytes] | None, caller: Caller) -> Request:
        method: str = message.method  # type: ignore[assignment]
        params, row = message.params, _row(method)
        if params is None:
            raise ProtocolError(INVALID_PARAMS, NO_OBJECT)
        raw = params.get("_meta")
        meta = None if raw is None else modern.good_meta(raw)
        if meta is None or row is None or not (headers is None or modern.mirrored_by(headers, row, params)):
            # What the headers contradict is refused for that reason, whatever else is wrong with it.
            meta = meta or modern.read_meta(params)
            if headers is not None:
                modern.check_headers(headers, meta, method, params)
            meta = modern.check_meta(meta, method)
            row = row or modern.find_method(method)
        id: Id = message.id  # type: ignore[assignment]
        timeout = self.timeout
        deadline = None if timeout is None else monotonic() + timeout
        request = Request(method, params, id, meta, caller, headers, reply, deadline=deadline)
        if row.asks and ("requestState" in params or "inputResponses" in params):
            self._reopen(request)
        return request

    def _reopen(self, request: Request) -> None:
        """A retry: open what was sealed and look at the answers."""
        if "requestState" in request.params:
            request.state = self.seal.open_state(request.text("requestState"), _bound(request))
        answers = request.params.get("inputResponses")
        if answers is not None:
            try:
                request.answers = msgspec.json.decode(answers, type=dict[str, msgspec.Raw])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise ProtocolError(INVALID_PARAMS, "params.inputResponses must be an object") from None
            if len(request.answers) > _MAX_ANSWERS:
                raise ProtocolError(INVALID_PARAMS, f"params.inputResponses has more than {_MAX_ANSWERS} members")

    def _dress(self, request: Request, result: Result) -> bytes:
        """The result as a modern client gets it: with serverInfo and a sealed requestState."""
        memo = result.memo
        if memo is not None and (kept := memo.get("modern")) is not None:
            return kept
        raw = result.raw
        if result.kind == "input_required" and result.state:
            state = self.seal.state(result.state, _bound(request))
            raw = jsonrpc.splice(raw, b'"requestState":' + jsonrpc.encode(state))
        if request.method == "tools/list" and holds(raw, b'"execution"'):
            raw = without_execution(raw)
        # A result is never empty: it has its resultType.
        plain = (not holds(raw, b'"_meta"') if result.meta is None else not result.meta) and raw.endswith(b"}")
        if plain:
            raw = raw[:-1] + self._tail
        elif result.meta is None or not holds(result.meta, _SERVER):
            raw = self._with_server(raw)
        if memo is not None:
            memo["modern"] = raw
        return raw

    def _bare(self, id: Id, request: Request, result: Result) -> bytes:
        """The frame of a result that is known to have no `_meta`: looked at no more, and a large one copied once."""
        raw = result.raw
        if result.memo is not None or result.kind != "complete" or request.method == "tools/list" or raw[-1] != _CLOSE:
            return result_frame(id, self._dress(request, result))
        body = raw[:-1] if len(raw) <= LARGE else memoryview(raw)[:-1]
        # `%` for bytes costs twice as much.
        return b"".join((_HEAD, jsonrpc.encode(id), _RESULT, body, self._end))

    def _with_server(self, raw: bytes) -> bytes:
        """A result that may have a `_meta` of its own at the top."""
        members = jsonrpc.read_object(raw)
        meta = bytes(members.pop("_meta", b"{}"))
        if holds(meta, _SERVER):
            return raw
        return jsonrpc.splice(jsonrpc.encode(members), b'"_meta":' + jsonrpc.splice(meta, self._server))

    def drain(self) -> None:
        """The server stops: every listen is answered and ends."""
        self.draining = True
        for guard in tuple(self._listens):
            guard.stop("drain")

    async def settle(self, patience: float) -> None:
        """Let the requests that are being answered finish; tell those that need longer that the server stops."""
        tasks = {guard.task for guard in self.running if guard.task is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=patience)
        for guard in tuple(self.running):
            guard.stop("drain")


def _bound(request: Request) -> bytes:
    return binding(request.caller.subject, request.method, request.params)


def _failed(id: Id, error: BaseException) -> Answer | None:
    """The answer to a request that has failed, if any."""
    if isinstance(error, Ended):
        return None
    if not isinstance(error, RuneError):
        raise error
    return _error(id, error), modern.HTTP_STATUS.get(error.code, 200)


def _error(id: Id, error: RuneError) -> bytes:
    return error_frame(id, error.code, error.message, error.data)


def without_execution(raw: bytes) -> bytes:
    """tools/list without `execution`, which this revision has no more."""
    members: dict[str, Any] = dict(jsonrpc.read_object(raw))
    tools = msgspec.json.decode(members["tools"], type=list[dict[str, msgspec.Raw]])
    for tool in tools:
        tool.pop("execution", None)
    members["tools"] = tools
    return jsonrpc.encode(members)
