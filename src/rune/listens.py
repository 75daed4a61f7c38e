"""The open listens of one endpoint. They belong to the app: when a newer gateway takes over, they hear its sources."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

import msgspec

from rune.aio import EAGER, spawn
from rune.errors import RuneError
from rune.protocol import jsonrpc
from rune.protocol.modern import ACKNOWLEDGED
from rune.request import Emit, Note, Relay, Request, Result
from rune.server.run import begin
from rune.source import Filter, Source, Target, note_key

log = logging.getLogger("rune.gateway")

UPDATED: Final = "notifications/resources/updated"
ACK_WAIT: Final = 2.0
"""Seconds that a client waits to hear that all sources listen: a slow one does not hold it up for longer."""


class Wanted(Relay):
    """Lets only those notes of a listen through that were asked for, and none before it is acknowledged. That happens
    when as many sources as `expect` says have done so: what changes after it is not missed."""

    __slots__ = ("_early", "_missing", "_timer", "_wanted")

    def __init__(self, emit: Emit, wanted: Filter) -> None:
        super().__init__(emit)
        self._wanted = wanted
        self._missing = 0
        self._early: dict[Note, None] | None = {}
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, sources: int) -> None:
        """From so many sources; nothing is waited for twice."""
        if self._early is None or self._timer is not None:
            return
        self._missing += sources
        if self._missing > 0:
            self._timer = asyncio.get_running_loop().call_later(ACK_WAIT, self.open)
        else:
            self.open()

    def arrived(self) -> None:
        """One of them listens, or never will."""
        self._missing -= 1
        if self._timer is not None and self._missing <= 0:
            self.open()

    def open(self) -> None:
        """Acknowledge, and tell what has come in the meantime."""
        early, self._early = self._early, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if early is not None:
            self.target(Note(ACKNOWLEDGED, jsonrpc.encode({"notifications": self._wanted.wire()})))
            for note in early:
                self.target(note)

    def __call__(self, note: Note) -> None:
        if note.method == ACKNOWLEDGED:
            self.arrived()
        elif self._wanted.wants(note):
            if self._early is None:
                self.target(note)
            else:
                self._early[note] = None

    def end(self) -> None:
        """Nothing more is wanted."""
        self._wanted = Filter()


Route: TypeAlias = Callable[[Source, Request, frozenset[str]], Mapping[str, str]]
"""Which of these URIs are a source's: its own URI -> the one that the client has named."""


class Renamed(Relay):
    """Notes about resources that clients know by another URI than their source."""

    __slots__ = ("_names",)

    def __init__(self, emit: Emit, names: Mapping[str, str]) -> None:
        super().__init__(emit)
        self._names = names

    def __call__(self, note: Note) -> None:
        if note.method == UPDATED:
            params: dict[str, Any] = dict(jsonrpc.read_object(note.params))
            uri = note_key(note, "uri")
            note = Note(note.method, jsonrpc.encode({**params, "uri": self._names.get(uri, uri)}))
        self.target(note)


class Listen:
    """One listen: a part at each source, and perhaps one at something that no reload replaces."""

    __slots__ = ("_ended", "_parts", "_wanted", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self._wanted = Filter.of(request)
        self._parts: dict[object, asyncio.Task[Result]] = {}
        self._ended: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def join(self, sources: Iterable[Source], route: Route, lasting: Coroutine[Any, Any, Result] | None = None) -> None:
        """Listen to these sources and to no others; parts that are there already miss nothing."""
        sources = tuple(sources)
        for gone in [part for part in self._parts if part is not None and part not in sources]:
            self._parts.pop(gone).cancel()
        for source in sources:
            if source not in self._parts:
                self._start(source, _listening(source.handle(self._part(source, route))))
        if lasting is not None:
            self._start(None, spawn(lasting))
        if isinstance(self.request.emit, Wanted):
            self.request.emit.expect(len(sources))

    def _part(self, source: Source, route: Route) -> Request:
        """The wish as it goes to one source: what is not its own is not for it to tell."""
        request = self.request.replace(target=Target(source, ""))
        uris = self._wanted.uris
        if not uris:
            return request
        names = route(source, request, uris)
        if names.keys() != uris:
            wanted = replace(self._wanted, uris=frozenset(names))
            request.params = {**request.params, "notifications": msgspec.Raw(jsonrpc.encode(wanted.wire()))}
        if any(own != shown for own, shown in names.items()):
            request.emit = Renamed(request.emit, names)
        return request

    def _start(self, key: object, task: asyncio.Task[Result]) -> None:
        self._parts[key] = task
        task.add_done_callback(self._over)

    def _over(self, part: asyncio.Task[Result]) -> None:
        """A part has let go. One source that cannot listen does not end the others; when all have, nothing comes."""
        if part.cancelled():
            return
        if isinstance(self.request.emit, Wanted):
            self.request.emit.arrived()
        error = part.exception()
        if isinstance(error, RuneError):
            log.info("listen: %s", error)
        elif error is not None:
            log.error("listen failed", exc_info=error)
        if self._ended.done() or not all(each.done() for each in self._parts.values()):
            return
        if error is not None and len(self._parts) == 1:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(Result.of({}))

    async def serve(self) -> Result:
        """Until it is cancelled, or every part has ended."""
        try:
            return await self._ended
        finally:
            # Its parts end a turn of the loop later.
            if isinstance(self.request.emit, Wanted):
                self.request.emit.end()
            parts = tuple(self._parts.values())
            for part in parts:
                part.cancel()
            if parts:
                await asyncio.wait(parts)


def _listening(job: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
    """A task of which the first step is done: a change that the very next frame brings must not be missed. Where Python
    has no eager tasks the step is made in ours; no source asks in it which task it is in."""
    if EAGER:
        return spawn(job)
    try:
        result, rest = begin(job)
    except RuneError as error:
        return asyncio.create_task(_outcome(error))
    return asyncio.create_task(rest if rest is not None else _outcome(result))


async def _outcome(outcome: Result | RuneError | None) -> Result:
    if isinstance(outcome, RuneError):
        raise outcome
    assert outcome is not None, "a listen ends with a result or an error"
    return outcome


class Listens:
    """All listens of one endpoint, and the sources that they hear."""

    def __init__(self, sources: Iterable[Source], route: Route) -> None:
        self._sources = tuple(sources)
        self._route = route
        self._open: set[Listen] = set()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Listen]:
        return iter(tuple(self._open))

    async def serve(self, request: Request, lasting: Coroutine[Any, Any, Result] | None) -> Result:
        """Answer a listen: what the sources say, and `lasting`, until it is cancelled."""
        listen = Listen(request)
        del request
        listen.join(self._sources, self._route, lasting)
        del lasting
        self._open.add(listen)
        try:
            return await listen.serve()
        finally:
            self._open.discard(listen)

    def move(self, sources: Iterable[Source], route: Route) -> None:
        """From now on these are the sources."""
        self._sources, self._route = tuple(sources), route
        for listen in self:
            listen.join(self._sources, route)
