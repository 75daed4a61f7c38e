"""What an older server asks in the middle of a call: the call is parked, and its question becomes our Result.

A question goes only to the caller whose call it provably belongs to: the call on whose stream it came, or the only one
in flight. All others are answered here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from rune.asking import Asking
from rune.client.calls import Call, Calls
from rune.errors import INTERNAL_ERROR, METHOD_NOT_FOUND, RuneError, TimedOut
from rune.parking import Parking
from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import Envelope, Id
from rune.protocol.legacy.questions import ELICIT, KEY, ROOTS, SAMPLE, downgrade_answer, upgrade_question
from rune.protocol.legacy.tasks import RELATED, related_task
from rune.protocol.methods import METHODS, NEWEST_LEGACY
from rune.protocol.questions import declares, needs
from rune.request import Request, Result

log = logging.getLogger("rune.client")

TOGETHER: Final = 0.05
"""Seconds in which the questions that a server asks one after the other still count as asked at once."""
KINDS: Final = {ELICIT: "elicitation", SAMPLE: "sampling", ROOTS: "roots"}

Send = Callable[[Request, Asking | None], Awaitable[Result]]


class Questions:
    """The calls of one session in which the server may ask, and the questions that are open in them."""

    def __init__(self, calls: Calls, capabilities: Mapping[str, Any], parking: Parking) -> None:
        self.revision = NEWEST_LEGACY
        self.roots: Sequence[str] = ()
        self._calls = calls
        self._capabilities = capabilities
        self._parking = parking
        self._open: dict[Id, asyncio.Task[None]] = {}

    # --- the way down ---

    def may_ask(self, request: Request) -> bool:
        """Whether the server may ask the caller of this request anything."""
        if not _asks(request.method):
            return False
        if self._calls.wire.name in request.state:
            return True
        return any(kind in self._capabilities and kind in request.capabilities for kind in KINDS.values())

    async def run(self, request: Request, send: Send) -> Result:
        """A call that may outlive its request, or the answers to one that did."""
        name = self._calls.wire.name
        deadline = request.deadline or asyncio.get_running_loop().time() + self._calls.timeout

        async def body(asking: Asking) -> Result:
            asking.patience = TOGETHER
            task = asyncio.current_task()
            assert task is not None, "a parked call is a task"
            # It may fail while nobody attends to it; the retry, if one comes, still hears why.
            task.add_done_callback(_seen)
            return await send(request, asking)

        try:
            async with asyncio.timeout_at(deadline):
                return await self._parking.call(request, name, body)
        except TimeoutError:
            raise TimedOut(f"{name}: no answer to {request.method} in time") from None

    def end(self) -> None:
        """The session ends: nobody waits for an answer any more."""
        for task in self._open.values():
            task.cancel()

    # --- the way up ---

    def asked(self, envelope: Envelope, call: Call | None) -> None:
        """A request of the server: to the caller it belongs to, or answered here."""
        method = str(envelope.method)
        id = envelope.id if isinstance(envelope.id, int | str) else None
        question = upgrade_question(method, jsonrpc.decode(bytes(envelope.params) or b"{}"))
        owner = None if question is None else self._owner(call, _task(envelope), question)
        if owner is None or owner.asking is None or question is None or id in self._open:
            self._calls.wire.post(self._answer(method, id))
            return
        task = asyncio.get_running_loop().create_task(self._ask(owner.asking, envelope, id, question))
        self._open[id] = task
        owner.on_end.append(partial(self._left, task, method, id))
        task.add_done_callback(lambda _: self._open.pop(id, None))

    def _left(self, task: asyncio.Task[None], method: str, id: Id) -> None:
        """The call is over and its question still open: the server asked at its very end, and may wait for it."""
        if not task.done():
            task.cancel()
            self._calls.wire.post(self._answer(method, id))

    async def _ask(self, asking: Asking, envelope: Envelope, id: Id, question: dict[str, Any]) -> None:
        method = str(envelope.method)
        key = _key(envelope) or f"{KINDS[method]}-{id}"
        if key in asking.questions():
            key = f"{key}-{id}"
        try:
            raw = (await asking.ask({key: question}))[key]
        except RuneError as error:
            self._calls.wire.post(jsonrpc.error_frame(id, error.code, str(error)))
            return
        answer = downgrade_answer(method, jsonrpc.decode(raw), self.revision)
        task = _task(envelope)
        if task is not None:
            answer = {**answer, "_meta": {**answer.get("_meta", {}), RELATED: {"taskId": task}}}
        self._calls.wire.post(jsonrpc.result_frame(id, jsonrpc.encode(answer)))

    def _owner(self, call: Call | None, task: str | None, question: dict[str, Any]) -> Call | None:
        if call is None:
            flying = self._calls.flying.values()
            tasks = [entry for entry in flying if entry.method == "tasks/result" and task in (None, entry.key)]
            # A question of a task names it: any other is one of the call that is in flight beside it.
            asking = [entry for entry in flying if task is None and _asks(entry.method)] or tasks
            call = asking[0] if len(asking) == 1 and (task or not self._calls.ghosts) else None
        wanted = needs(question["method"], question.get("params", {}))
        if call is None or call.asking is None or wanted is None or not declares(wanted, self._capabilities):
            return None
        return call if declares(wanted, call.asking.request.capabilities) else None

    def _answer(self, method: str, id: Id) -> bytes:
        """What is said when nobody can be asked."""
        if method == "ping":
            return jsonrpc.result_frame(id, b"{}")
        if method == ROOTS:
            return jsonrpc.result_frame(id, jsonrpc.encode({"roots": [{"uri": uri} for uri in self.roots]}))
        if KINDS.get(method) not in self._capabilities:
            return jsonrpc.error_frame(id, METHOD_NOT_FOUND, f"unknown method {method}")
        log.info("%s: asked %s outside of a call that can be asked", self._calls.wire.name, method)
        if method == ELICIT:
            return jsonrpc.result_frame(id, b'{"action":"decline"}')
        return jsonrpc.error_frame(id, INTERNAL_ERROR, "nobody can be asked now")

    def withdrawn(self, params: dict[str, msgspec.Raw]) -> None:
        """The server no longer wants the answer to a question."""
        try:
            task = self._open.get(jsonrpc.decode(params.get("requestId", b"null")))
        except (msgspec.DecodeError, TypeError):
            return
        if task is not None:
            task.cancel()


def _key(envelope: Envelope) -> str | None:
    """The key that a Rune gives its question."""
    meta = jsonrpc.read_object(jsonrpc.read_object(envelope.params).get("_meta", b""))
    key = jsonrpc.decode(meta[KEY]) if KEY in meta else None
    return key if isinstance(key, str) and key else None


def _task(envelope: Envelope) -> str | None:
    """The task that a question belongs to."""
    return related_task(jsonrpc.read_object(envelope.params))


def _seen(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


def _asks(method: str) -> bool:
    row = METHODS.get(method)
    return row is not None and row.asks
