"""Something that offers tools, resources and prompts: the Source interface, its Catalog, and who listens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

import msgspec

from rune.errors import INVALID_PARAMS, ProtocolError
from rune.protocol.modern import ACKNOWLEDGED, ParamHeader, param_headers
from rune.request import Note, Request, Result

_decode = msgspec.json.Decoder().decode
_decode_str = msgspec.json.Decoder(str).decode


class Item:
    """One thing in a catalog: its own name (a resource's URI, a template's uriTemplate) and its definition as JSON."""

    __slots__ = ("headers", "name", "raw")

    def __init__(self, name: str, raw: bytes) -> None:
        self.name = name
        self.raw = raw
        self.headers: tuple[ParamHeader, ...] = param_headers(raw)

    @property
    def value(self) -> dict[str, Any]:
        """The definition as Python values."""
        value: dict[str, Any] = _decode(self.raw)
        return value


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a source offers to a caller. `ttl` (milliseconds) and `scope` are the wire's ttlMs and cacheScope.

    `reads` says that it may know resources that it does not list, `varies` that clients with other abilities may be
    offered something else: "older" where that holds for clients of older revisions only.
    """

    tools: tuple[Item, ...] = ()
    prompts: tuple[Item, ...] = ()
    resources: tuple[Item, ...] = ()
    templates: tuple[Item, ...] = ()
    ttl: int = 0
    scope: str = "public"
    completions: bool = False
    logging: bool = False
    subscribe: bool = False
    reads: bool = False
    varies: Literal["no", "older", "all"] = "no"
    list_changed: bool = False
    tasks: bool = False
    instructions: str | None = None
    extensions: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a `subscriptions/listen` wants to hear (SubscriptionFilter of 2026-07-28)."""

    tools: bool = False
    prompts: bool = False
    resources: bool = False
    uris: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()

    @classmethod
    def of(cls, request: Request) -> Self:
        """Read it from a listen request.

        Raises:
            ProtocolError: -32602 when `notifications` is missing or has a wrong shape.
        """
        raw = request.value("notifications")
        if not isinstance(raw, dict):
            raise ProtocolError(INVALID_PARAMS, "params.notifications must be an object")
        return cls(
            tools=_flag(raw, "toolsListChanged"),
            prompts=_flag(raw, "promptsListChanged"),
            resources=_flag(raw, "resourcesListChanged"),
            uris=_strings(raw, "resourceSubscriptions"),
            tasks=_strings(raw, "taskIds"),
        )

    def wire(self) -> dict[str, Any]:
        """Back into the shape of the wire, without what is not wanted."""
        value: dict[str, Any] = {}
        if self.tools:
            value["toolsListChanged"] = True
        if self.prompts:
            value["promptsListChanged"] = True
        if self.resources:
            value["resourcesListChanged"] = True
        if self.uris:
            value["resourceSubscriptions"] = sorted(self.uris)
        if self.tasks:
            value["taskIds"] = sorted(self.tasks)
        return value

    def wants(self, note: Note) -> bool:
        """Whether a note is one of those asked for."""
        match note.method:
            case "notifications/tools/list_changed":
                return self.tools
            case "notifications/prompts/list_changed":
                return self.prompts
            case "notifications/resources/list_changed":
                return self.resources
            case "notifications/resources/updated":
                return bool(self.uris) and note_key(note, "uri") in self.uris
            case "notifications/tasks":
                return bool(self.tasks) and note_key(note, "taskId") in self.tasks
        return False


EVERYTHING = Filter(tools=True, prompts=True, resources=True)


def note_key(note: Note, key: str) -> str:
    """A string parameter of a note, empty when it has none."""
    raw = msgspec.json.decode(note.params, type=dict[str, msgspec.Raw]).get(key)
    return "" if raw is None else _decode_str(raw)


def _flag(raw: dict[str, Any], key: str) -> bool:
    value = raw.get(key, False)
    if not isinstance(value, bool):
        raise ProtocolError(INVALID_PARAMS, f"params.notifications.{key} must be true or false")
    return value


def _strings(raw: dict[str, Any], key: str) -> frozenset[str]:
    value = raw.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ProtocolError(INVALID_PARAMS, f"params.notifications.{key} must be a list of strings")
    return frozenset(value)


class Listeners:
    """Who wants to hear about changes of one source. A source publishes; listen requests wait here."""

    __slots__ = ("_listeners",)

    def __init__(self) -> None:
        self._listeners: dict[object, tuple[Filter, Callable[[Note], None]]] = {}

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, wanted: Filter, emit: Callable[[Note], None]) -> Callable[[], None]:
        """Register until the returned function is called."""
        key = object()
        self._listeners[key] = wanted, emit
        return lambda: self._listeners.pop(key, None) and None

    async def serve(
        self, request: Request, heard: asyncio.Event | None = None, over: asyncio.Event | None = None
    ) -> Result:
        """Answer a listen request: acknowledge it (when `heard` is set, where that is given), then pass on what it
        wants until it is cancelled or `over` is set."""
        remove = self.add(Filter.of(request), request.emit)
        try:
            if heard is not None:
                await heard.wait()
            request.emit(Note(ACKNOWLEDGED))
            if over is None:
                # No Event: there may be thousands, and each of those has a deque.
                await asyncio.get_running_loop().create_future()
            else:
                await over.wait()
        finally:
            remove()
        return Result.of({})

    def publish(self, note: Note) -> None:
        """Tell everybody who wants to hear it."""
        for wanted, emit in tuple(self._listeners.values()):
            if wanted.wants(note):
                emit(note)


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about, once the router has resolved it: a source, the name there, its definition, and the name
    under which clients see it (tools and prompts)."""

    source: Source
    name: str
    item: Item | None = None
    shown: str = ""


class Source(Protocol):
    """The interface of every kind of source. It raises NotFound, Unavailable, TimedOut, NeedsAuth, never hides them."""

    name: str
    listeners: Listeners

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def catalog(self, request: Request) -> Catalog:
        """What this source offers to `request.caller`. The same object again means: nothing has changed."""
        ...

    async def handle(self, request: Request) -> Result:
        """Answer a request whose `target` names the thing of this source that is meant."""
        ...
