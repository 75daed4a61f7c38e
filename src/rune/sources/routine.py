"""A user's function, ready to be called: where it runs, how long it may take, how it gets its Context and may ask.

Tools, prompts and resources are each made around one of these.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from rune.asking import MakeTask, Rest, TaskHandle
from rune.errors import ConfigError, ToolError
from rune.parking import Parking, replay
from rune.request import Request, Result
from rune.sources import hints
from rune.sources.context import Context
from rune.sources.execution import Clock, Threads
from rune.sources.processes import Processes
from rune.sources.schema import Signature, read_signature
from rune.sources.spool import Spool
from rune.tasks import Tasks

Body: TypeAlias = Callable[[Context], Awaitable[Result]]

_MODES: Final = ("auto", "inline", "thread", "process")


class Named(Protocol):
    """Whoever owns the functions; its name may change when it is mounted."""

    name: str


class Services:
    """What the functions of one server share. The gateway's builder may put its own `tasks`, `parking` and `spool`."""

    def __init__(self, owner: Named, threads: int) -> None:
        self.owner = owner
        self.tasks: Tasks | None = None
        self.parking = Parking()
        self.own_parking = True
        self.spool = Spool()
        self.own_spool = True
        self.threads = Threads(threads)
        self.processes = Processes()

    @property
    def name(self) -> str:
        """The source's name, under which its state travels."""
        return self.owner.name

    async def close(self) -> None:
        """Give everything back that is ours alone."""
        if self.own_parking:
            await self.parking.close()
        self.threads.close()
        await self.processes.close()
        if self.own_spool:
            self.spool.close()


class Routine:
    """One function. `kind` is how its value comes, `mode` is where it runs."""

    __slots__ = ("function", "kind", "mode", "services", "signature", "timeout", "what")

    def __init__(
        self,
        function: Callable[..., Any],
        what: str,
        services: Services,
        *,
        execution: str = "auto",
        timeout: float | None = None,
        described: bool = False,
    ) -> None:
        if execution not in _MODES:
            raise ConfigError(f"{what}: execution is one of {', '.join(_MODES)}, not {execution!r}")
        if timeout is not None and not timeout > 0:
            raise ConfigError(f"{what}: timeout must be more than 0 seconds")
        self.function = function
        self.what = what
        self.services = services
        self.timeout = timeout
        self.kind = _kind(function)
        self.signature: Signature = read_signature(function, what, described=described)
        asynchronous = self.kind in ("coroutine", "asyncgen")
        self.mode = ("inline" if asynchronous else "thread") if execution == "auto" else execution
        if asynchronous and self.mode == "thread":
            raise ConfigError(f"{what}: an async function runs inline or in a process, not in a thread")
        if self.mode == "process" and (self.kind in ("asyncgen", "generator") or self.signature.context is not None):
            raise ConfigError(f"{what}: what runs in a process can neither yield nor take a Context")

    @property
    def asynchronous(self) -> bool:
        """Whether the function awaits on the loop itself."""
        return self.kind in ("coroutine", "asyncgen")

    async def invoke(self, values: tuple[Any, ...], context: Context) -> Any:
        """Call it and await what it returns. What it yields is sent through the context."""
        positional, keywords = self.signature.arrange(values, context)
        call = partial(self.function, *positional, **keywords)
        if self.kind == "asyncgen":
            return await _drain(call(), context)
        if self.kind == "generator":
            return await self._exhaust(call, context)
        value: Any = call() if self.mode == "inline" else await self.services.threads.run(call)
        if inspect.isawaitable(value):
            value = await value
        if inspect.isasyncgen(value):
            return await _drain(value, context)
        return await self._exhaust(lambda: value, context) if inspect.isgenerator(value) else value

    async def _exhaust(self, make: Callable[[], Any], context: Context) -> list[Any] | None:
        """Run a generator where sync functions run."""
        if self.mode == "inline":
            return _exhaust(make, context)
        return await self.services.threads.run(_exhaust, make, context)

    def context(self, request: Request, **more: Any) -> Context:
        """A Context for one call."""
        return Context(request, name=self.services.name, asynchronous=self.asynchronous, **more)

    async def converse(self, request: Request, body: Body, *, again: bool = False, detachable: bool = False) -> Result:
        """Run a body that may ask: parked while it waits, or run `again` from the start with the answers."""
        name = self.services.name
        asks = self.signature.context is not None and (
            name in request.state or detachable or bool(request.capabilities)
        )
        if not asks:
            return await body(self.context(request))
        make_task = self._make_task() if detachable else None

        async def run(asking: Any) -> Result:
            return await body(self.context(request, asking=asking, make_task=make_task))

        if again:
            return await replay(request, name, run)
        return await self.services.parking.call(request, name, run)

    async def as_task(self, request: Request, body: Body) -> Result:
        """Answer with a task and run the body as that."""

        async def run(handle: TaskHandle) -> Result:
            return await body(self.context(request, task=handle))

        return await self._tasks().create(request, self.services.name, run)

    def _tasks(self) -> Tasks:
        assert self.services.tasks is not None, "whoever makes a task has looked"
        return self.services.tasks

    def clock(self) -> Clock | None:
        """The clock of one call, where it has a limit."""
        return None if self.timeout is None else Clock(self.timeout)

    def _make_task(self) -> MakeTask:
        async def make_task(request: Request, rest: Rest) -> Result:
            return await self._tasks().create(request, self.services.name, rest)

        return make_task


def _kind(function: Callable[..., Any]) -> str:
    target: Any = function
    while isinstance(target, partial):
        target = target.func
    if not inspect.isroutine(target):
        target = getattr(target, "__call__", target)  # noqa: B004
    if inspect.isasyncgenfunction(target):
        return "asyncgen"
    if inspect.isgeneratorfunction(target):
        return "generator"
    return "coroutine" if inspect.iscoroutinefunction(target) else "plain"


def piece(value: Any) -> str:
    """What a generator yields, as text: other values than strings are lines of JSON."""
    return value if isinstance(value, str) else hints.encode(value).decode() + "\n"


async def _drain(generator: Any, context: Context) -> list[Any] | None:
    """Send what is yielded, or collect it where nothing can be sent early: in prompts, resources, completions."""
    collected: list[Any] = []
    try:
        async for value in generator:
            if context.sends:
                await context.send(piece(value))
            else:
                collected.append(value)
    finally:
        await generator.aclose()
    return None if context.sends else collected


def _exhaust(make: Callable[[], Generator[Any, None, Any]], context: Context) -> list[Any] | None:
    """The same in a thread: `send` waits there for room, and ends the generator when the call is over."""
    collected: list[Any] = []
    generator = make()
    try:
        for value in generator:
            if context.closed:
                raise ToolError("the call is over")
            if context.sends:
                context.send(piece(value))
            else:
                collected.append(value)
    finally:
        generator.close()
    return None if context.sends else collected
