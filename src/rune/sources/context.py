"""What a function may do while it runs: report progress, log, send pieces early, and ask the user or the client.

A parameter annotated `Context` gets one. One body works for clients of every revision, and inside tasks.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import math
import threading
from collections.abc import Awaitable, Generator, Mapping
from typing import Any, Final, TypeVar, Unpack

import msgspec

from rune.asking import Asking, MakeTask, TaskHandle
from rune.errors import ToolError
from rune.protocol.methods import LOG_LEVELS, TASKS
from rune.protocol.questions import check_declared, declares
from rune.request import PIECE, SILENT, Caller, Emit, Note, Request
from rune.sources import hints, questions
from rune.sources.execution import Clock, Threads
from rune.sources.questions import Answer, Question, Root, Sampled, SamplingKeywords
from rune.sources.spool import Sink

T = TypeVar("T")

_LEVELS: Final = {level: rank for rank, level in enumerate(LOG_LEVELS)}


class _Done:
    """What has happened already, for those who await it all the same."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


_DONE: Final = _Done()


class Context:
    """The running call, from the inside.

    `progress`, `log` and its shorthands take effect at once, in async and in sync functions alike; awaiting them is
    optional. All that asks must be awaited; a sync function in a thread passes it to `wait`:
    `answer = ctx.wait(ctx.elicit("Sure?"))`. `task` is the handle of the task that the call runs as, or None.
    """

    # Functions of other sources never make one: Server does, for each call.
    def __init__(
        self,
        request: Request,
        *,
        name: str = "",
        asking: Asking | None = None,
        task: TaskHandle | None = None,
        make_task: MakeTask | None = None,
        asynchronous: bool = True,
    ) -> None:
        self.task = task
        self._first = request
        self._name = name
        self._asking = asking
        self._make_task = make_task
        self._sink: Sink | None = None
        self._clock: Clock | None = None
        self._threads: Threads | None = None
        self._asynchronous = asynchronous
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._closed = False
        self._waits: set[concurrent.futures.Future[Any]] = set()
        self._token: Request | None = None
        self._last = -math.inf
        self._count = 0
        self._keys: set[str] = set()
        self._open = 0

    # --- who and what ------------------------------------------------------------------------------------------------

    @property
    def request(self) -> Request:
        """The request that is open now: after a question, that is the retry with the answer."""
        return self._first if self._asking is None else self._asking.request

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self._first.caller

    def declares(self, what: str) -> bool:
        """Whether the client can do something: `sampling`, `elicitation`, `roots`, `elicitation.url`,
        `sampling.tools`, or the name of an extension."""
        if "/" in what:
            return self.request.declares(what)
        kind, _, part = what.partition(".")
        needs: dict[str, Any] = {kind: {part: {}} if part and what != "elicitation.form" else {}}
        return declares(needs, self.request.capabilities)

    @property
    def closed(self) -> bool:
        """Whether the call is over: a thread that still runs should stop."""
        return self._closed

    @property
    def sends(self) -> bool:
        """Whether pieces of the result can be sent: only tools can."""
        return self._sink is not None

    # --- telling -----------------------------------------------------------------------------------------------------

    def progress(self, progress: float, total: float | None = None, message: str | None = None) -> Awaitable[None]:
        """Say how far it is, to clients that asked for progress. It must rise; what does not is dropped.

        In a task the message becomes its status message.
        """
        if self.task is not None:
            return self._status(message)
        self._progress(progress, total, message)
        return _DONE

    def log(self, level: str, data: Any, logger: str | None = None) -> Awaitable[None]:
        """Write to the client's log, if this request wants it and the level is high enough.

        Raises:
            ValueError: there is no such level.
        """
        rank = _LEVELS.get(level)
        if rank is None:
            raise ValueError(f"no such log level: {level}; there are {', '.join(LOG_LEVELS)}")
        wanted = self.request.meta.log_level
        if wanted is not None and rank >= _LEVELS.get(wanted, 0):
            params = {"level": level, "logger": logger or self._name, "data": data}
            self._tell(Note("notifications/message", hints.encode(params)))
        return _DONE

    def debug(self, data: Any, logger: str | None = None) -> Awaitable[None]:
        """`log` with level debug."""
        return self.log("debug", data, logger)

    def info(self, data: Any, logger: str | None = None) -> Awaitable[None]:
        """`log` with level info."""
        return self.log("info", data, logger)

    def warning(self, data: Any, logger: str | None = None) -> Awaitable[None]:
        """`log` with level warning."""
        return self.log("warning", data, logger)

    def error(self, data: Any, logger: str | None = None) -> Awaitable[None]:
        """`log` with level error."""
        return self.log("error", data, logger)

    def send(self, chunk: str) -> Awaitable[None]:
        """Send a piece of the result. It leaves at once for clients that asked for progress, waiting for room on the
        way; the result holds all pieces if the function returns None."""
        if self._sink is None:
            raise RuntimeError("only tools send pieces of their result")
        self._sink.add(chunk)
        if self.task is not None or self.request.meta.progress_token is None:
            return _DONE
        if threading.get_ident() != self._thread:
            self.wait(self._send(chunk))
        elif self._asynchronous:
            return self._send(chunk)
        else:
            self._chunk(chunk)
        return _DONE

    def release(self) -> None:
        """Let the client poll for the result instead of holding its stream open, where its revision can."""
        self._call(self._emit.release)

    async def _send(self, chunk: str) -> None:
        await self._emit.room()
        self._chunk(chunk)

    def _chunk(self, chunk: str) -> None:
        last = 0.0 if self._last == -math.inf else self._last
        # Pieces count 1, 2, 3; between the steps of a function's own progress they hardly move it.
        self._count += 1
        self._progress(last + 1 if last == self._count - 1 else math.nextafter(last, math.inf), None, chunk, piece=True)

    def _progress(self, progress: float, total: float | None, message: str | None, *, piece: bool = False) -> None:
        request = self.request
        token = request.meta.progress_token
        if token is None:
            return
        if request is not self._token:
            self._token, self._last = request, -math.inf
        if not progress > self._last:
            return
        self._last = progress
        params: dict[str, Any] = {"progressToken": token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        if piece:
            params["_meta"] = {PIECE: True}
        self._tell(Note("notifications/progress", hints.encode(params)))

    def _status(self, message: str | None) -> Awaitable[None]:
        if message is None or self.task is None:
            return _DONE
        if threading.get_ident() != self._thread:
            self.wait(self.task.status(message))
            return _DONE
        return self.task.status(message) if self._asynchronous else _DONE

    @property
    def _emit(self) -> Emit:
        if self.task is not None:
            return SILENT
        return self._first.emit if self._asking is None else self._asking.emit

    def _tell(self, note: Note) -> None:
        self._call(self._emit, note)

    def _call(self, function: Any, *arguments: Any) -> None:
        if self._closed:
            return
        if threading.get_ident() == self._thread:
            function(*arguments)
        else:
            self._loop.call_soon_threadsafe(function, *arguments)

    # --- asking ------------------------------------------------------------------------------------------------------

    form = staticmethod(questions.form)
    link = staticmethod(questions.link)
    sampling = staticmethod(questions.sampling)
    folders = staticmethod(questions.roots)

    async def elicit(
        self, message: str, schema: Any = None, *, url: str | None = None, key: str | None = None
    ) -> Answer:
        """Ask the user: by a form (see `form` for `schema`), or by a URL to open.

        Raises:
            ProtocolError: -32021 when the client cannot be asked this way.
        """
        question = questions.form(message, schema) if url is None else questions.link(message, url)
        answer: Answer = await self._one(question, key)
        return answer

    async def sample(self, messages: Any, *, key: str | None = None, **options: Unpack[SamplingKeywords]) -> Sampled:
        """Ask the client's model; see `sampling` for `messages` and the options.

        Raises:
            ProtocolError: -32021 when it has none for us.
        """
        sampled: Sampled = await self._one(questions.sampling(messages, **options), key)
        return sampled

    async def roots(self, *, key: str | None = None) -> list[Root]:
        """Ask the client for the folders that it works on.

        Raises:
            ProtocolError: -32021 when it does not tell.
        """
        found: list[Root] = await self._one(questions.roots(), key)
        return found

    async def ask(self, wanted: Mapping[str, Question | Mapping[str, Any]]) -> dict[str, Any]:
        """Ask several things in one round: `await ctx.ask({"name": ctx.form("Who?", str), "dirs": ctx.folders()})`.

        Questions are made by `form`, `link`, `sampling` and `folders`, or written as the wire has them.

        Raises:
            ProtocolError: -32021 when the client cannot be asked one of them.
        """
        made = {key: each if isinstance(each, Question) else questions.raw(each) for key, each in wanted.items()}
        capabilities = self.request.capabilities
        for question in made.values():
            check_declared(question.needs, capabilities)
        names = {key: self._unique(key) for key in made}
        wire = {names[key]: question.wire() for key, question in made.items()}
        answers = await self._put(wire)
        return {key: questions.read_answer(key, question, answers[names[key]]) for key, question in made.items()}

    async def detach(self) -> TaskHandle | None:
        """Answer the open request with a task; what follows runs as that task.

        For tools with `detach="body"`: ask first, in the request itself, and go on in the background. None when the
        client does not know tasks: then the call simply goes on.
        """
        make_task, asking = self._make_task, self._asking
        if self.task is None and make_task is not None and asking is not None and self.request.declares(TASKS):
            self.task = await asking.detach(make_task)
        return self.task

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Wait for something asynchronous, from a sync function that runs in a thread.

        Raises:
            RuntimeError: this is the thread of the event loop, which must not stand still.
            ToolError: the call is over; stop.
        """
        if threading.get_ident() == self._thread:
            _drop(awaitable)
            raise RuntimeError("wait() would stop the event loop: await it, or let the function run in a thread")
        if self._closed:
            _drop(awaitable)
            raise ToolError("the call is over")
        work = awaitable if inspect.iscoroutine(awaitable) else _coroutine(awaitable)
        future: concurrent.futures.Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._waits.add(future)
        try:
            # It may have ended in between: then nobody else would wake this thread up.
            if self._closed:
                future.cancel()
            if self._threads is None:
                return future.result()
            with self._threads.lend():
                return future.result()
        except concurrent.futures.CancelledError:
            raise ToolError("the call is over") from None
        finally:
            self._waits.discard(future)

    def attach(self, sink: Sink | None, clock: Clock | None, threads: Threads) -> None:
        """What `send` fills, what questions stop, and where `wait` leaves its place. The server calls this."""
        self._sink, self._clock, self._threads = sink, clock, threads

    def close(self) -> None:
        """End it: whoever still waits in a thread is woken up. The server calls this."""
        self._closed = True
        for future in tuple(self._waits):
            future.cancel()

    async def _one(self, question: Question, key: str | None) -> Any:
        name = key or f"k{len(self._keys) + 1}"
        return (await self.ask({name: question}))[name]

    async def _put(self, wire: dict[str, dict[str, Any]]) -> dict[str, msgspec.Raw]:
        asker = self.task or self._asking
        if asker is None:
            raise ToolError("this call cannot ask: nothing can bring the answer back")
        self._open += 1
        if self._clock is not None:
            self._clock.pause()
        try:
            return await asker.ask(wire)
        finally:
            self._open -= 1
            if self._clock is not None and not self._open:
                self._clock.resume()

    def _unique(self, key: str) -> str:
        """Keys are never used twice in a call: an old answer must not fit a new question."""
        name, number = key, 1
        while name in self._keys:
            number += 1
            name = f"{key}-{number}"
        self._keys.add(name)
        return name


async def _coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _drop(awaitable: Awaitable[Any]) -> None:
    """A coroutine that nobody will await is closed, or it would complain."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()
