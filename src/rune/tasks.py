"""The tasks extension (io.modelcontextprotocol/tasks) over the Store: calls that answer later, in any process.

A record lives in the Store, the running body in the process that started it. What other processes want from the body
(answers, cancellation) reaches it over a channel of the Store.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Self

import msgspec

from rune.asking import check_answer
from rune.errors import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, NotFound, ProtocolError, RuneError
from rune.protocol.methods import TASKS
from rune.protocol.modern import missing_capability
from rune.request import Caller, Emit, Note, Request, Result
from rune.source import Filter, Source
from rune.store import Store
from rune.taskrecord import Record

log = logging.getLogger("rune.tasks")

TTL: Final = 3_600_000
"""Milliseconds that a task stays readable, from its creation, unless its tool says otherwise."""
POLL: Final = 500
LEASE: Final = 30.0
"""Seconds without a sign of life after which the process that runs a task counts as dead."""
PER_CALLER: Final = 1000
TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})

Body = Callable[["Running"], Awaitable[Result]]


_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Record).decode


class Running:
    """A task from the inside: what its body holds."""

    def __init__(self, tasks: Tasks, record: Record) -> None:
        self._tasks = tasks
        self.record = record
        self.changed = asyncio.Lock()
        self.answers: dict[str, asyncio.Future[msgspec.Raw]] = {}
        self.job: asyncio.Task[None] | None = None
        self.source: Source | None = None
        self.ready = asyncio.Event()

    @property
    def id(self) -> str:
        """The taskId."""
        return self.record.id

    async def status(self, message: str) -> None:
        """Say what is going on, for people who look at the task."""
        self.record.message = message
        await self._tasks.save(self)

    async def ask(self, questions: dict[str, Any]) -> dict[str, msgspec.Raw]:
        """Put questions to the client and wait until all of them are answered by tasks/update.

        A key that this task has used before gets a number: keys are unique for the life of a task.
        """
        loop = asyncio.get_running_loop()
        keys = {key: self._unique(key) for key in questions}
        futures = {key: loop.create_future() for key in questions}
        for key, question in questions.items():
            self.answers[keys[key]] = futures[key]
            self.record.questions[keys[key]] = question
        self.record.status = "input_required"
        await self._tasks.save(self)
        try:
            return {key: await future for key, future in futures.items()}
        finally:
            # Whoever asked may have gone: then nobody need answer any more.
            for key in keys.values():
                self.record.questions.pop(key, None)
            if self.record.status == "input_required" and not self.record.questions:
                self.record.status = "working"

    def _unique(self, key: str) -> str:
        name, number = key, 1
        while name in self.answers:
            number += 1
            name = f"{key}_{number}"
        return name

    async def answer(self, answers: dict[str, msgspec.Raw]) -> None:
        """Take the answers that are waited for and leave the others alone."""
        taken = [key for key in answers if key in self.record.questions]
        for key in taken:
            del self.record.questions[key]
        if not taken:
            return
        if not self.record.questions:
            self.record.status = "working"
        await self._tasks.save(self)
        for key in taken:
            if not self.answers[key].done():
                self.answers[key].set_result(answers[key])


class Tasks:
    """All tasks of one process, and the answers to tasks/get, tasks/update and tasks/cancel for every one."""

    def __init__(self, store: Store, *, limit: int = 1000) -> None:
        self._store = store
        self._limit = limit
        self._running: dict[str, Running] = {}
        self._saving: set[asyncio.Task[bool]] = set()
        self._beat: asyncio.Task[None] | None = None
        self._methods = {
            "tasks/get": self._get,
            "tasks/update": self._update,
            "tasks/cancel": self._cancel,
            "tasks/list": self._list,
        }

    async def __aenter__(self) -> Self:
        self._beat = asyncio.create_task(self._keep_alive())
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Bodies that still run are cancelled; their records say that the server was stopped."""
        jobs = [running.job for running in self._running.values() if running.job is not None]
        for running in self._running.values():
            running.record.message = "the server was stopped"
        for job in (*jobs, *([self._beat] if self._beat else [])):
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        if self._saving:
            # Whoever was cancelled twice has not waited for it; the store closes next.
            await asyncio.wait(self._saving)

    async def create(
        self, request: Request, source: str, body: Body, *, ttl_ms: int | None = TTL, poll_ms: int = POLL
    ) -> Result:
        """Start `body` as a task of this caller. It is in the store when this returns.

        Raises:
            ProtocolError: when too many tasks are running.
        """
        if len(self._running) >= self._limit:
            raise ProtocolError(INTERNAL_ERROR, f"{self._limit} tasks are running already", hint="try again later")
        now = _now()
        record = Record(
            id=f"task-{os.urandom(16).hex()}",
            subject=request.caller.subject,
            source=source,
            tool=request.target.name if request.target else request.text("name"),
            created=now,
            updated=now,
            ttl=ttl_ms,
            poll=poll_ms,
            alive=time.time(),
        )
        running = Running(self, record)
        running.source = None if request.target is None else request.target.source
        self._running[record.id] = running
        try:
            await self.save(running)
            await self.remember(request.caller, record.id)
        except BaseException:
            del self._running[record.id]
            raise
        running.job = asyncio.create_task(self._run(running, body))
        # From the first moment on another process may want something of it.
        await running.ready.wait()
        return Result.of(record.wire(whole=False), "task")

    async def remember(self, caller: Caller, id: str) -> None:
        """Note a task that another server runs, for when its owner lists all tasks."""
        await self._store.append(_index(caller.subject), id.encode(), limit=PER_CALLER)

    async def ids(self, caller: Caller) -> list[str]:
        """The tasks of a caller, of this server and of others, the oldest first. Some may be gone."""
        return [id.decode() for id in await self._store.range(_index(caller.subject))]

    async def save(self, running: Running) -> None:
        """Write a record and tell who listens, in the order of the changes."""
        async with running.changed:
            record = running.record
            record.updated = _now()
            record.alive = time.time()
            await self._store.set(_key(record.id), _pack(record), ttl=_seconds(record))
            await self._store.publish(_changes(record.id), _encode(record.wire(whole=True)))

    def busy(self, source: Source) -> set[asyncio.Task[None]]:
        """The tasks of a source that run here."""
        return {each.job for each in self._running.values() if each.source is source and each.job is not None}

    async def owned(self, id: str, caller: Caller) -> bool:
        """Whether this caller may hear of a task."""
        record = await self._load(id)
        return record is not None and record.subject == caller.subject

    async def listen(self, request: Request) -> Result:
        """Tell a listen request what becomes of the tasks it names, wherever they run, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for id in Filter.of(request).tasks:
                group.create_task(self._follow(id, request.emit))
        raise AssertionError("a listen ends by cancellation")

    async def _follow(self, id: str, emit: Emit) -> None:
        async with self._store.subscribe(_changes(id)) as changes:
            async for task in changes:
                emit(Note("notifications/tasks", task))

    async def handle(self, request: Request) -> Result:
        """Answer a request about tasks.

        Raises:
            ProtocolError: -32021 when the client did not declare the extension, -32602 for a task it does not own.
        """
        method = self._methods.get(request.method)
        if method is None:
            raise ProtocolError(METHOD_NOT_FOUND, f"unknown method {request.method}")
        check_declared(request)
        return await method(request)

    async def _get(self, request: Request) -> Result:
        record = await self._mine(request)
        return Result.of(record.wire(whole=True))

    async def _list(self, request: Request) -> Result:
        """Legacy clients list their tasks; the extension has no such method."""
        records = [await self._load(id) for id in await self.ids(request.caller)]
        return Result.of({"tasks": [record.wire(whole=False) for record in records if record is not None]})

    async def _update(self, request: Request) -> Result:
        record = await self._mine(request)
        try:
            answers = msgspec.json.decode(request.params.get("inputResponses", b"{}"), type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ProtocolError(INVALID_PARAMS, "params.inputResponses must be an object") from None
        for key, question in record.questions.items():
            if key in answers:
                check_answer(key, question, answers[key])
        running = self._running.get(record.id)
        if running is not None:
            await running.answer(answers)
        else:
            await self._store.publish(_channel(record.id), _encode({"answers": answers}))
        return Result.of({})

    async def _cancel(self, request: Request) -> Result:
        record = await self._mine(request)
        running = self._running.get(record.id)
        if running is not None and running.job is not None:
            running.job.cancel()
            await asyncio.wait([running.job], timeout=1.0)
        elif record.status not in TERMINAL:
            await self._store.publish(_channel(record.id), _encode({"cancel": True}))
        return Result.of({})

    async def _mine(self, request: Request) -> Record:
        """Another caller's task does not exist for this one."""
        id = request.text("taskId")
        record = await self._load(id)
        if record is None or record.subject != request.caller.subject:
            raise NotFound(f"unknown task: {id}")
        return record

    async def _load(self, id: str) -> Record | None:
        running = self._running.get(id)
        if running is not None:
            return running.record
        data = await self._store.get(_key(id))
        if data is None:
            return None
        record = _unpack(data)
        if record.status not in TERMINAL and record.alive + LEASE < time.time():
            record.status = "failed"
            record.updated = _now()
            record.error = {"code": INTERNAL_ERROR, "message": f"{record.tool}: the server that ran this task has died"}
            await self._store.set(_key(id), _pack(record), ttl=_seconds(record), if_equals=data)
        return record

    async def _run(self, running: Running, body: Body) -> None:
        record = running.record
        try:
            async with self._store.subscribe(_channel(record.id)) as wishes:
                running.ready.set()
                listener = asyncio.create_task(_hear(running, wishes))
                try:
                    result = await body(running)
                finally:
                    listener.cancel()
            record.result, record.status = result.raw, "completed"
        except asyncio.CancelledError:
            record.status = "cancelled"
        except RuneError as error:
            record.status, record.error = "failed", {"code": error.code, "message": error.message}
            if error.data is not None:
                record.error["data"] = error.data
        except Exception as error:
            log.exception("%s: task %s", record.source, record.id)
            record.status = "failed"
            record.error = {"code": INTERNAL_ERROR, "message": f"{record.tool}: {type(error).__name__}: {error}"}
        finally:
            running.ready.set()
            record.questions = {}
            saving = asyncio.create_task(self._saved(running))
            self._saving.add(saving)
            saving.add_done_callback(self._saving.discard)
            with suppress(asyncio.CancelledError):
                await asyncio.shield(saving)

    async def _saved(self, running: Running) -> bool:
        """Write a record. One that is done and cannot be written stays here, until a later attempt."""
        record = running.record
        try:
            await asyncio.wait_for(self.save(running), 5)
        except (RuneError, TimeoutError) as error:
            log.warning("%s: task %s is not written: %s", record.source, record.id, error or "it took too long")
            return False
        if record.status in TERMINAL:
            self._running.pop(record.id, None)
        return True

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(LEASE / 3)
            for running in tuple(self._running.values()):
                if not await self._saved(running):
                    # The store is away for the others, too.
                    break


def check_declared(request: Request) -> None:
    """Only clients that know tasks may ask about them.

    Raises:
        ProtocolError: -32021 when the client did not declare the extension.
    """
    if not request.declares(TASKS):
        raise missing_capability({"extensions": {TASKS: {}}})


async def _hear(running: Running, wishes: AsyncIterator[bytes]) -> None:
    """What other processes want from a task."""
    async for message in wishes:
        wish = msgspec.json.decode(message, type=dict[str, msgspec.Raw])
        if "answers" in wish:
            await running.answer(msgspec.json.decode(wish["answers"], type=dict[str, msgspec.Raw]))
        elif running.job is not None:
            running.job.cancel()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(record: Record) -> float | None:
    if record.ttl is None:
        return None
    created = datetime.fromisoformat(record.created).timestamp()
    return max(created + record.ttl / 1000 - time.time(), 0.001)


def _key(id: str) -> str:
    return f"task/{id}"


def _index(subject: str) -> str:
    return f"tasks/{subject}"


def _changes(id: str) -> str:
    return f"task/{id}/changes"


def _channel(id: str) -> str:
    return f"task/{id}/wishes"
