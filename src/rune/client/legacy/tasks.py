"""Core tasks of 2025-11-25: a call that an older server goes on with for later becomes a task of ours.

Such a server knows its task only on the connection where it began, and asks on the answer to `tasks/result`. So that
answer is awaited here, for as long as it takes, and what clients see is a task in our own store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from rune.asking import Asking, Rest, TaskHandle
from rune.client.calls import Lost
from rune.errors import ProtocolError, TimedOut
from rune.protocol import jsonrpc
from rune.protocol.legacy.results import upgrade_result
from rune.protocol.legacy.tasks import unrelated, upgrade_create, upgrade_get
from rune.protocol.methods import TASKS
from rune.protocol.modern import missing_capability
from rune.request import SILENT, Relay, Request, Result

if TYPE_CHECKING:
    from rune.client.legacy.session import Legacy

POLL: Final = 1000
"""Milliseconds between two looks at a task whose server names no better ones."""

_EMPTY: Final = msgspec.Raw(b"{}")


class StartTask(Protocol):
    """Answers a call with a task of ours, which runs the rest of it."""

    async def __call__(self, request: Request, rest: Rest, *, ttl: int | None, poll: int) -> Result: ...


class Asked(Asking):
    """The questions of a task: they wait in the task, not in a request."""

    def __init__(self, request: Request, handle: TaskHandle) -> None:
        super().__init__(request)
        self.emit = Relay(SILENT)
        self._handle = handle

    async def ask(self, questions: Mapping[str, Mapping[str, Any]]) -> dict[str, msgspec.Raw]:
        return await self._handle.ask(dict(questions))


class Job:
    """A task of an older server."""

    def __init__(self, session: Legacy, request: Request, created: bytes, start: StartTask) -> None:
        task = jsonrpc.decode(upgrade_create(created))
        self.id = task.get("taskId")
        if not isinstance(self.id, str):
            raise Lost(f"{session.name}: answered with a task that has no id")
        ttl, poll = task.get("ttlMs"), task.get("pollIntervalMs")
        self._ttl = ttl if isinstance(ttl, int) and ttl > 0 else None
        self._poll = poll if isinstance(poll, int) and poll > 0 else POLL
        self._session = session
        self._request = request
        self._start = start
        self._handle: TaskHandle | None = None

    async def run(self, asking: Asking) -> Result:
        """Become a task of ours and go on until the server's own is over."""
        jobs = self._session.jobs
        try:
            self._handle = await asking.detach(partial(self._start, ttl=self._ttl, poll=self._poll))
            jobs[self.id] = self
            while True:
                result = await self._result(Asked(self._request, self._handle))
                if result is not None:
                    return result
                await asyncio.sleep(self._poll / 1000)
        except asyncio.CancelledError:
            self._session.later("tasks/cancel", {"taskId": self.id})
            raise
        finally:
            jobs.pop(self.id, None)

    async def _result(self, asking: Asking) -> Result | None:
        """What `tasks/result` says, at the end of the task; None when it said something before."""
        try:
            raw = await self._session.about_task("tasks/result", self.id, asking)
        except (ProtocolError, Lost, TimedOut):
            status = jsonrpc.decode(upgrade_get(await self._session.about_task("tasks/get", self.id))).get("status")
            if status == "cancelled":
                raise asyncio.CancelledError from None
            if status in ("working", "input_required"):
                return None
            raise
        return Result(upgrade_result("tools/call", unrelated(raw)))

    async def told(self, task: Mapping[str, Any]) -> None:
        """The server says how it goes."""
        message = task.get("statusMessage")
        if self._handle is not None and isinstance(message, str):
            await self._handle.status(message)


@lru_cache(1024)
def _support(definition: bytes) -> str:
    """Whether a tool is `forbidden` to run as a task, or that is `optional` or `required`."""
    if b'"taskSupport"' not in definition:
        return "forbidden"
    execution = jsonrpc.decode(definition).get("execution")
    return str(execution.get("taskSupport")) if isinstance(execution, dict) else "forbidden"


def becomes_task(request: Request, start: StartTask | None) -> bool:
    """Whether a call of a tool is to become a task: where both sides can, it does.

    Raises:
        ProtocolError: -32021 when the tool needs a client that knows tasks.
    """
    item = None if request.target is None else request.target.item
    support = "forbidden" if item is None else _support(item.raw)
    if support == "required" and not request.declares(TASKS):
        raise missing_capability({"extensions": {TASKS: {}}})
    return start is not None and support in ("optional", "required") and request.declares(TASKS)


async def call_as_task(session: Legacy, start: StartTask, request: Request, asking: Asking | None) -> Result:
    """Call a tool as a task. A server that answers at once has decided otherwise."""
    assert asking is not None, "a call that becomes a task can wait"
    wish = request.params.get("task", _EMPTY)
    raw = await session.send(request, asking, wish if bytes(wish)[:1] == b"{" else _EMPTY)
    if "task" not in jsonrpc.read_object(raw):
        return Result(upgrade_result("tools/call", raw))
    return await Job(session, request, raw, start).run(asking)
