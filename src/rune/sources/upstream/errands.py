"""The tasks of one server, under ids that our clients can come back with: to any process, and only their owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec

from rune.asking import Rest
from rune.errors import ProtocolError, Unavailable
from rune.protocol import jsonrpc
from rune.request import Emit, Note, Relay, Request, Result
from rune.source import Filter, note_key
from rune.taskids import Elsewhere, TaskIds
from rune.tasks import Tasks

Send: TypeAlias = Callable[[Request], Awaitable[Result]]


class Errands:
    """`tasks` keeps what belongs to our own clients, `ids` names what the server keeps itself."""

    def __init__(self, source: str, tasks: Tasks, ids: TaskIds) -> None:
        self._source = source
        self._tasks = tasks
        self._ids = ids

    async def start(self, request: Request, rest: Rest, *, ttl: int | None, poll: int) -> Result:
        """A task of ours around one of an older server, which knows it only on the connection where it began."""
        return await self._tasks.create(request, self._source, rest, ttl_ms=ttl, poll_ms=poll)

    async def created(self, request: Request, result: Result) -> Result:
        """The server has made a task of a call: the answer names it as our clients will.

        Raises:
            Unavailable: when it has no id.
        """
        own = jsonrpc.decode(jsonrpc.read_object(result.raw).get("taskId", msgspec.Raw(b"null")))
        if isinstance(own, str) and await self._tasks.owned(own, request.caller):
            # It is one of ours already, around one of an older server.
            return result
        if not isinstance(own, str):
            raise Unavailable(f"{self._source}: answered with a task that has no id")
        tool = request.target.name if request.target is not None else request.text("name")
        id = self._ids.make(Elsewhere(self._source, own, request.caller.subject, tool))
        await self._tasks.remember(request.caller, id)
        return Result(_named(result.raw, id), result.kind)

    async def ask(self, request: Request, send: Send) -> Result:
        """A request about a task, whose target is its own id: what comes back speaks of the id that was asked for."""
        id = request.text("taskId")
        try:
            result = await send(request)
        except ProtocolError as error:
            own = request.target.name if request.target is not None else id
            raise ProtocolError(error.code, error.message.replace(own, id), data=error.data) from None
        if request.method != "tasks/get":
            return result
        return Result(_named(result.raw, id), result.kind)

    def listening(self, request: Request) -> Request:
        """A listen with the server's own ids in place of ours; its notes are told under ours."""
        wanted = Filter.of(request)
        if not wanted.tasks:
            return request
        tasks = {id: self._ids.read(id) for id in wanted.tasks}
        names = {task.id: id for id, task in tasks.items() if task is not None and task.source == self._source}
        own = replace(wanted, tasks=frozenset(names))
        params = {**request.params, "notifications": msgspec.Raw(jsonrpc.encode(own.wire()))}
        return request.replace(params=params, emit=Renaming(request.emit, names))


class Renaming(Relay):
    """Notes of tasks under the ids that the listener knows."""

    __slots__ = ("_names",)

    def __init__(self, emit: Emit, names: dict[str, str]) -> None:
        super().__init__(emit)
        self._names = names

    def __call__(self, note: Note) -> None:
        if note.method == "notifications/tasks":
            note = note._replace(params=_named(note.params, self._names[note_key(note, "taskId")]))
        self.target(note)


def _named(raw: bytes, id: str) -> bytes:
    """A task under another id, everything else byte for byte."""
    members: dict[str, Any] = dict(jsonrpc.read_object(raw))
    return jsonrpc.encode({**members, "taskId": id})
