"""Python functions as a source: the public `rune.Server` with its decorators."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Self, TypeVar, Unpack, overload

import msgspec

from rune.errors import INVALID_PARAMS, METHOD_NOT_FOUND, ConfigError, NotFound, ProtocolError
from rune.parking import Parking
from rune.request import Note, Request, Result
from rune.source import Catalog, Listeners
from rune.sources.execution import THREADS
from rune.sources.keywords import (
    Execution,
    PromptKeywords,
    ResourceKeywords,
    RoutineKeywords,
    ServerKeywords,
    ToolKeywords,
)
from rune.sources.processes import locate
from rune.sources.prompts import Completion, Prompt, PromptOptions, completed, matching
from rune.sources.resources import Resource, ResourceOptions
from rune.sources.routine import Routine, Services
from rune.sources.spool import PREFIX, Spool
from rune.sources.tools import Tool, ToolOptions
from rune.tasks import Tasks

F = TypeVar("F", bound=Callable[..., Any])

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class Server:
    """Python functions as MCP tools, resources and prompts.

    Async functions run on the event loop, sync ones in a pool of threads; cheap sync ones say `execution="inline"`.
    A thread cannot be killed: after a timeout its function runs on, unheard. `execution="process"` can be killed.
    """

    def __init__(self, name: str = "server", **options: Unpack[ServerKeywords]) -> None:
        unknown = options.keys() - ServerKeywords.__annotations__.keys()
        if unknown:
            raise TypeError(f"Server() has no option {', '.join(sorted(unknown))}")
        self.name = name
        self.version = options.get("version")
        self.title = options.get("title")
        self.instructions = options.get("instructions")
        self.icons = options.get("icons")
        self.website_url = options.get("website_url")
        self.execution: Execution = options.get("execution", "auto")
        self.timeout = options.get("timeout")
        self.max_result = options.get("max_result", 1 << 20)
        self.listeners = Listeners()
        self._services = Services(self, options.get("threads", THREADS))
        self._tools: dict[str, Tool] = {}
        self._prompts: dict[str, Prompt] = {}
        self._resources: dict[str, Resource] = {}
        self._completions: dict[tuple[str, str], Completion] = {}
        self._catalog: Catalog | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._methods = {
            "tools/call": self._call,
            "resources/read": self._read,
            "prompts/get": self._get,
            "completion/complete": self._complete,
            "subscriptions/listen": self.listeners.serve,
        }

    # --- services that the gateway may share among sources -----------------------------------------------------------

    @property
    def tasks(self) -> Tasks | None:
        """The tasks extension; without it, no call becomes a task."""
        return self._services.tasks

    @tasks.setter
    def tasks(self, tasks: Tasks | None) -> None:
        self._services.tasks = tasks
        self._catalog = None

    @property
    def parking(self) -> Parking:
        """Where calls wait for answers."""
        return self._services.parking

    @parking.setter
    def parking(self, parking: Parking) -> None:
        self._services.parking = parking
        self._services.own_parking = False

    @property
    def spool(self) -> Spool:
        """Where large results lie."""
        return self._services.spool

    @spool.setter
    def spool(self, spool: Spool) -> None:
        self._services.spool = spool
        self._services.own_spool = False

    # --- a Source ----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._loop = None
        await self._services.close()

    async def catalog(self, request: Request) -> Catalog:
        """All that is offered; everybody sees the same."""
        if self._catalog is None:
            resources = [each for each in self._resources.values() if each.template is None]
            templates = [each for each in self._resources.values() if each.template is not None]
            offers: tuple[Tool | Prompt | Resource, ...] = (
                *self._tools.values(),
                *self._prompts.values(),
                *self._resources.values(),
            )
            self._catalog = Catalog(
                tools=tuple(each.item for each in self._tools.values()),
                prompts=tuple(each.item for each in self._prompts.values()),
                resources=tuple(each.item for each in resources),
                templates=tuple(each.item for each in templates),
                completions=bool(self._completions) or any(each.choices for each in self._prompts.values()),
                logging=any(each.routine.signature.context is not None for each in offers),
                subscribe=bool(self._resources),
                # Results that were too large for a message.
                reads=bool(self._tools),
                list_changed=True,
                tasks=self.tasks is not None and any(each.options.task != "forbidden" for each in self._tools.values()),
                instructions=self.instructions,
            )
        return self._catalog

    def handle(self, request: Request) -> Coroutine[Any, Any, Result]:
        """Answer a request of the 2026-07-28 dialect, but for lists: those come from `catalog`.

        Raises:
            NotFound: there is no such tool, prompt or resource.
            ProtocolError: for anything else that is wrong with the request.
        """
        target = request.target
        if target is not None and request.method == "tools/call":
            tool = self._tools.get(target.name)
            if tool is not None:
                return tool.call(request)
        method = self._methods.get(request.method)
        if method is None:
            raise ProtocolError(METHOD_NOT_FOUND, f"unknown method {request.method}")
        return method(request)

    def _call(self, request: Request) -> Coroutine[Any, Any, Result]:
        target = request.target
        name = target.name if target is not None else request.text("name")
        tool = self._tools.get(name)
        if tool is None:
            raise NotFound(f"unknown tool: {name}")
        return tool.call(request)

    async def _get(self, request: Request) -> Result:
        name = request.target.name if request.target is not None else request.text("name")
        prompt = self._prompts.get(name)
        if prompt is None:
            raise NotFound(f"unknown prompt: {name}")
        return await prompt.get(request)

    async def _read(self, request: Request) -> Result:
        uri = request.target.name if request.target is not None else request.text("uri")
        if uri.startswith(PREFIX):
            text, mime = self.spool.read(uri, request.caller)
            found = [{"uri": uri, "mimeType": mime, "text": text}]
            return Result.of({"contents": found, "ttlMs": 0, "cacheScope": "private"})
        resource = self._resources.get(uri)
        if resource is not None and resource.template is None:
            return await resource.read(request, uri, {})
        for resource in self._resources.values():
            variables = resource.match(uri)
            if variables is not None:
                return await resource.read(request, uri, variables)
        raise NotFound(f"no such resource: {uri}", data={"uri": uri})

    async def _complete(self, request: Request) -> Result:
        ref, argument = request.value("ref"), request.value("argument")
        try:
            about = ref["name"] if ref["type"] == "ref/prompt" else ref["uri"]
            name, value = argument["name"], argument["value"]
            given = (request.value("context") or {}).get("arguments") or {}
        except (TypeError, KeyError, AttributeError):
            raise ProtocolError(INVALID_PARAMS, "params.ref and params.argument must name what to complete") from None
        if not all(isinstance(each, str) for each in (about, name, value)) or not isinstance(given, dict):
            raise ProtocolError(INVALID_PARAMS, "params.ref and params.argument must hold strings")
        if request.target is not None:
            about = request.target.name
        prompt = self._prompts.get(about) if ref["type"] == "ref/prompt" else None
        if prompt is None and (ref["type"] == "ref/prompt" or about not in self._resources):
            raise NotFound(f"unknown reference: {about}")
        completion = self._completions.get((about, name))
        if completion is not None:
            return await completion.complete(value, given, request)
        choices = prompt.choices.get(name) if prompt is not None else None
        return matching(choices, value) if choices else completed([])

    # --- decorators --------------------------------------------------------------------------------------------------

    @overload
    def tool(self, function: F, /, **options: Unpack[ToolKeywords]) -> F: ...

    @overload
    def tool(self, function: None = None, /, **options: Unpack[ToolKeywords]) -> Callable[[F], F]: ...

    def tool(self, function: Any = None, /, **options: Unpack[ToolKeywords]) -> Any:
        """Offer a function as a tool: `@server.tool` or `@server.tool(title="…", …)`, see ToolKeywords."""
        decorator: Callable[[Any], Any] = _decorate(lambda each: self.add_tool(each, **options))
        return decorator if function is None else decorator(function)

    @overload
    def prompt(self, function: F, /, **options: Unpack[PromptKeywords]) -> F: ...

    @overload
    def prompt(self, function: None = None, /, **options: Unpack[PromptKeywords]) -> Callable[[F], F]: ...

    def prompt(self, function: Any = None, /, **options: Unpack[PromptKeywords]) -> Any:
        """Offer a function that returns text or messages as a prompt."""
        decorator: Callable[[Any], Any] = _decorate(lambda each: self.add_prompt(each, **options))
        return decorator if function is None else decorator(function)

    def resource(self, uri: str, **options: Unpack[ResourceKeywords]) -> Callable[[F], F]:
        """Offer what a function returns as the resource `uri`, or, with `{variables}` in it, as a template of many."""
        return _decorate(lambda each: self.add_resource(uri, each, **options))

    def completion(self, about: str, argument: str, **options: Unpack[RoutineKeywords]) -> Callable[[F], F]:
        """Complete an argument of a prompt (by its name) or a variable of a template (by its text).

        The function gets what is typed so far, and as a second parameter, if it has one, the other arguments.
        """

        def add(function: Callable[..., Any]) -> None:
            what = f"completion {about}/{argument}"
            self._completions[about, argument] = Completion(self._routine(function, what, dict(options)))
            self._catalog = None

        return _decorate(add)

    # --- lists that change -------------------------------------------------------------------------------------------

    def add_tool(self, function: Callable[..., Any], /, **options: Unpack[ToolKeywords]) -> None:
        """Offer a tool, also while clients are connected: they hear of it.

        Raises:
            ConfigError: naming the function and what is wrong with it.
        """
        rest: dict[str, Any] = {"max_result": self.max_result, **options}
        name = _name(function, rest.pop("name", None), "tool", self._tools)
        routine = self._routine(function, f"tool {name}", rest, described=rest.get("input_schema") is not None)
        if routine.mode == "process":
            locate(function, routine.what)
        self._tools[name] = Tool(name, routine, ToolOptions(**rest))
        self._changed("tools")

    def add_prompt(self, function: Callable[..., Any], /, **options: Unpack[PromptKeywords]) -> None:
        """Offer a prompt.

        Raises:
            ConfigError: naming the function and what is wrong with it.
        """
        rest: dict[str, Any] = dict(options)
        name = _name(function, rest.pop("name", None), "prompt", self._prompts)
        self._prompts[name] = Prompt(name, self._routine(function, f"prompt {name}", rest), PromptOptions(**rest))
        self._changed("prompts")

    def add_resource(self, uri: str, function: Callable[..., Any], /, **options: Unpack[ResourceKeywords]) -> None:
        """Offer a resource or a template.

        Raises:
            ConfigError: naming the function and what is wrong with it.
        """
        if uri in self._resources:
            raise ConfigError(f"resource {uri}: there is one already")
        rest: dict[str, Any] = dict(options)
        self._resources[uri] = Resource(uri, self._routine(function, f"resource {uri}", rest), ResourceOptions(**rest))
        self._changed("resources")

    def remove_tool(self, name: str) -> None:
        """Offer a tool no longer.

        Raises:
            KeyError: there is none.
        """
        del self._tools[name]
        self._changed("tools")

    def remove_prompt(self, name: str) -> None:
        """Offer a prompt no longer, see `remove_tool`."""
        del self._prompts[name]
        self._changed("prompts")

    def remove_resource(self, uri: str) -> None:
        """Offer a resource or template no longer, see `remove_tool`."""
        del self._resources[uri]
        self._changed("resources")

    def resource_updated(self, uri: str) -> None:
        """Tell those who have subscribed to a resource that it has changed."""
        self._publish(Note("notifications/resources/updated", msgspec.json.encode({"uri": uri})))

    def _routine(
        self, function: Callable[..., Any], what: str, options: dict[str, Any], *, described: bool = False
    ) -> Routine:
        """Take what concerns the routine out of the options."""
        execution = options.pop("execution", self.execution)
        timeout = options.pop("timeout", self.timeout)
        return Routine(function, what, self._services, execution=execution, timeout=timeout, described=described)

    def _changed(self, kind: str) -> None:
        self._catalog = None
        self._publish(Note(f"notifications/{kind}/list_changed"))

    def _publish(self, note: Note) -> None:
        """Tools in threads may change lists, too; listeners live on the loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self.listeners.publish, note)
                return
        self.listeners.publish(note)


def _decorate(add: Callable[[Callable[..., Any]], None]) -> Callable[[F], F]:
    def decorator(function: F) -> F:
        if not callable(function):
            raise ConfigError(f"{function!r} is no function", hint="options of a decorator are given by keyword")
        add(function)
        return function

    return decorator


def _name(function: Any, name: str | None, kind: str, taken: Mapping[str, Any]) -> str:
    name = name or getattr(function, "__name__", None) or type(function).__name__
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{kind} {name}: a name has 1 to 128 of the characters A-Z a-z 0-9 _ . -", hint="set name=")
    if name in taken:
        raise ConfigError(f"{kind} {name}: there is one already", hint="give one of them another name=")
    return name
