"""The public Python client: `async with Client(target)` reaches anything that Rune can serve, and any MCP server.

A target is a URL, a command as a list, a file or `mcp.json` by its path, or a `Server` in the same process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypedDict, TypeVar, Unpack, cast
from urllib.parse import urlsplit

import msgspec

from rune import __version__
from rune.build import around, auth_of, build, late, surroundings, wire_of
from rune.client.answers import Answers, Elicit, Roots, Sample
from rune.client.calls import Auth
from rune.client.client import Connection
from rune.client.hearing import Listening, OnLog, OnProgress, Told
from rune.client.kept import Asked, Cache, Kept, Spot, credential
from rune.client.views import Completion, PromptResult, ReadResult, ToolResult
from rune.config.model import SourceConfig
from rune.config.targets import load
from rune.errors import INTERNAL_ERROR, INVALID_PARAMS, ConfigError, ProtocolError, TimedOut, Unavailable
from rune.gateway import Gateway
from rune.protocol import jsonrpc
from rune.protocol.methods import METHODS, MODERN
from rune.protocol.modern import Meta
from rune.request import Emit, Handler, Request, Result
from rune.source import Filter, Source

ClientTarget: TypeAlias = str | Path | Sequence[str] | Source | Handler | Gateway

Answer = TypeVar("Answer")

MAX_ROUNDS: Final = 32
MAX_PAGES: Final = 1000


class ClientOptions(TypedDict, total=False):
    """What a Client may be given besides its target."""

    elicitation: Elicit | None
    sampling: Sample | None
    roots: Roots | None
    on_progress: OnProgress | None
    on_log: OnLog | None
    log_level: str
    headers: Mapping[str, str] | None
    auth: Auth | None
    cache: Cache | None
    env: Mapping[str, str] | None
    timeout: float
    name: str
    version: str


class Client:
    """One connection to a target.

    `elicitation`, `sampling` and `roots` answer what a tool asks in between; what is not given is not offered to the
    server. `on_progress(progress, total, message)` and `on_log(level, data, logger)` are told what a call says on its
    way, logs from `log_level` (info) on; they must return at once. `headers` go to a URL, `env` to a command.
    `auth` proves to a URL who we are; without it the vault is asked, as `rune auth login` has filled it.
    Lists, resources and discovery of a server behind a wire are kept for as long as it says, in `cache`: one of this
    client alone unless another is given, or none at all with None. `fresh=True` asks anyway.
    `timeout` (60 seconds) holds for each exchange. `name` and `version` are what the server is told of this client.

    Raises:
        RuneError: on entering, when the target cannot be reached; the text says why and begins with its name.
    """

    def __init__(self, target: ClientTarget, **options: Unpack[ClientOptions]) -> None:
        unknown = options.keys() - ClientOptions.__annotations__.keys()
        if unknown:
            raise TypeError(f"Client() has no option {', '.join(sorted(unknown))}")
        self._target = target
        self._answers = Answers(options.get("elicitation"), options.get("sampling"), options.get("roots"))
        self._on_progress = options.get("on_progress")
        self._on_log = options.get("on_log")
        self._log_level = options.get("log_level", "info") if self._on_log is not None else None
        self._headers = options.get("headers")
        self._auth = options.get("auth")
        self._cache = options["cache"] if "cache" in options else Cache()
        self._kept: Kept | None = None
        self._env = options.get("env")
        self._timeout = options.get("timeout", 60.0)
        self._identity = {"name": options.get("name", "rune"), "version": options.get("version", __version__)}
        self._capabilities = msgspec.Raw(jsonrpc.encode(self._answers.capabilities))
        self._client = msgspec.Raw(jsonrpc.encode(self._identity))
        self._stack = AsyncExitStack()
        self._handler: Handler | None = None
        self._tokens = 0

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._handler = await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handler = None
        await self._stack.aclose()

    async def _open(self, stack: AsyncExitStack) -> Handler:
        target = self._target
        if isinstance(target, (str, Path)):
            scheme = urlsplit(str(target)).scheme
            if scheme not in ("http", "https", "ws", "wss"):
                gateway = await stack.enter_async_context(build(load([str(target)], environ=surroundings())))
                return (await stack.enter_async_context(gateway)).handle
        if isinstance(target, (str, list, tuple)):
            connection = Connection(
                self._wire(target), identity=self._identity, capabilities=self._answers.capabilities,
                timeout=self._timeout,
            )  # fmt: skip
            handler = (await stack.enter_async_context(connection)).handle
            self._keep(target, connection)
            return handler
        if isinstance(target, Gateway):
            return target.handle
        if hasattr(target, "catalog"):
            return (await stack.enter_async_context(around(cast(Source, target)))).handle
        if callable(target):
            return target
        raise ConfigError(
            f"{target!r} is nothing to connect to", hint="give a URL, a command as a list, a file, or a Server"
        )

    def _wire(self, target: str | Sequence[str]) -> Any:
        if not isinstance(target, str):
            if not target:
                raise ConfigError("an empty command", hint='give it as a list: ["npx", "-y", "some-server"]')
            return late("command")(Path(target[0]).name, target, env=self._env)
        source = SourceConfig(
            urlsplit(target).hostname or target, "url", place=target, headers=dict(self._headers or {}), origin=target
        )
        self._auth = self._auth or auth_of(source)
        return wire_of(source, self._auth)

    def _keep(self, target: str | Sequence[str], connection: Connection) -> None:
        """Keep what this server says. A command is a server of its own each time."""
        if self._cache is not None:
            place, url = (target, target) if isinstance(target, str) else (object(), "")
            spot = Spot(place, connection.era.revision, bytes(self._capabilities))
            self._kept = Kept(self._cache, spot, credential(self._headers or {}, self._auth, url))
            connection.on_note = self._kept.noted

    # --- requests ---

    async def request(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send any request and return its result as it came. Questions in between are answered, and nothing is kept."""
        return (await self._ask(method, params or {})).value

    async def _get(self, method: str, params: Mapping[str, Any], fresh: bool) -> Result:
        """A request whose answer may be at hand."""
        asked = None if self._kept is None else self._kept.ask(method, _encoded(params))
        known = None if fresh or asked is None else asked.known()
        return known or await self._ask(method, params, asked=asked)

    async def _ask(
        self,
        method: str,
        params: Mapping[str, Any],
        progress: OnProgress | None = None,
        timeout: float | None = None,
        asked: Asked | None = None,
    ) -> Result:
        """One request, and its retries until nothing more is asked (2026-07-28, MRTR). What was asked about in between
        is not kept."""
        encoded = _encoded(params)
        result = await self._send(method, encoded, progress, timeout)
        if asked is not None and result.kind == "complete":
            asked.answered(result)
        for _ in range(MAX_ROUNDS):
            if result.kind == "complete":
                return result
            if result.kind != "input_required":
                raise ProtocolError(INTERNAL_ERROR, f"{method}: an answer of type {result.kind!r} was not asked for")
            questions = result.value.get("inputRequests")
            answers = None if questions is None else await self._answers.to(questions)
            result = await self._send(method, encoded, progress, timeout, (answers, result.state))
        raise ProtocolError(INTERNAL_ERROR, f"{method} asked more than {MAX_ROUNDS} times")

    async def _send(
        self,
        method: str,
        params: dict[str, msgspec.Raw],
        progress: OnProgress | None = None,
        timeout: float | None = None,
        retry: tuple[dict[str, msgspec.Raw] | None, Mapping[str, Any]] | None = None,
    ) -> Result:
        handler = self._handler
        if handler is None:
            raise Unavailable("the client is not connected", hint="use it in `async with Client(…) as client:`")
        request = self._new(method, params, Told(progress or self._on_progress, self._on_log))
        if retry is not None:
            request.answers, request.state = retry
        limit = self._timeout if timeout is None else timeout
        request.deadline = asyncio.get_running_loop().time() + limit
        try:
            # A little later: who is nearer to the delay can say better what it waited for.
            async with asyncio.timeout_at(request.deadline + 0.5):
                return await handler(request)
        except TimeoutError:
            raise TimedOut(f"no answer to {method} within {limit:g} s") from None

    def _new(self, method: str, params: dict[str, msgspec.Raw], emit: Emit) -> Request:
        self._tokens += 1
        wants_progress = isinstance(emit, Told) and emit.on_progress is not None
        meta = Meta(
            version=MODERN,
            capabilities=self._capabilities,
            client=self._client,
            log_level=self._log_level,
            progress_token=self._tokens if wants_progress else None,
        )
        return Request(method, params, id=self._tokens, meta=meta, emit=emit)

    async def _list(self, method: str, fresh: bool) -> list[dict[str, Any]]:
        """All pages of a list."""
        try:
            return await self._pages(method, fresh)
        except ProtocolError as error:
            # Where a page was at hand, the cursor in it may be older than what the server has now.
            if error.code != INVALID_PARAMS or fresh or self._kept is None:
                raise
            return await self._pages(method, True)

    async def _pages(self, method: str, fresh: bool) -> list[dict[str, Any]]:
        members = METHODS[method].members
        assert members is not None, "only list methods come here"
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            page = (await self._get(method, params, fresh)).value
            found.extend(page.get(members) or [])
            if page.get("nextCursor") is None or page["nextCursor"] == params.get("cursor"):
                break
            params = {"cursor": page["nextCursor"]}
        return found

    async def discover(self, *, fresh: bool = False) -> dict[str, Any]:
        """What the server says of itself: revisions, capabilities, instructions."""
        return (await self._get("server/discover", {}, fresh)).value

    async def list_tools(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        """The definitions of all tools."""
        return await self._list("tools/list", fresh)

    async def list_resources(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        """The definitions of all resources that are listed."""
        return await self._list("resources/list", fresh)

    async def list_resource_templates(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        """The URI templates of all other resources."""
        return await self._list("resources/templates/list", fresh)

    async def list_prompts(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        """The definitions of all prompts."""
        return await self._list("prompts/list", fresh)

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> ToolResult:
        """Call a tool. One that fails answers with `is_error`; one that does not exist raises."""
        params = {"name": name, "arguments": dict(arguments or {})}
        return ToolResult(await self._ask("tools/call", params, progress, timeout))

    async def read_resource(self, uri: str, *, fresh: bool = False) -> ReadResult:
        """Read a resource."""
        return ReadResult(await self._get("resources/read", {"uri": uri}, fresh))

    async def get_prompt(self, name: str, arguments: Mapping[str, str] | None = None) -> PromptResult:
        """Get a prompt, filled in."""
        return PromptResult(await self._ask("prompts/get", {"name": name, "arguments": dict(arguments or {})}))

    async def complete(
        self, ref: Mapping[str, Any], argument: Mapping[str, str], context: Mapping[str, Any] | None = None
    ) -> Completion:
        """Suggestions for an argument of a prompt or of a resource template."""
        params = {"ref": dict(ref), "argument": dict(argument), "context": context}
        return Completion(await self._ask("completion/complete", params))

    def listen(
        self, *, tools: bool = False, prompts: bool = False, resources: bool = False, uris: Sequence[str] = ()
    ) -> Listening:
        """Hear of changes: `async with client.listen(tools=True) as notes:` and `async for note in notes:`."""
        if self._handler is None:
            raise Unavailable("the client is not connected", hint="use it in `async with Client(…) as client:`")
        wanted = Filter(tools, prompts, resources, frozenset(uris))
        params = {"notifications": msgspec.Raw(jsonrpc.encode(wanted.wire()))}
        listening = Listening(self._handler, self._new("subscriptions/listen", params, Emit()), self._timeout)
        if self._kept is not None:
            listening.on_note = self._kept.noted
        return listening


class SyncClient:
    """The same client for code without asyncio: `with SyncClient(target) as client:`, then the methods of Client
    without `await`. Its callbacks run in a thread of their own."""

    def __init__(self, target: ClientTarget, **options: Unpack[ClientOptions]) -> None:
        self._client = Client(target, **options)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._live, args=(ready,), name="rune-client", daemon=True)
        self._thread.start()
        try:
            ready.result()
        except BaseException:
            self._thread.join()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _live(self, ready: Future[None]) -> None:
        async def live() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            async with self._client:
                ready.set_result(None)
                await self._stop.wait()

        try:
            asyncio.run(live())
        except BaseException as error:
            # On entering the caller hears of it; later the calls have said it already.
            if ready.done():
                raise
            ready.set_exception(error)

    def _run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        if self._loop is None or self._thread is None or not self._thread.is_alive():
            work.close()
            raise Unavailable("the client is not connected", hint="use it in `with SyncClient(…) as client:`")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def request(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._run(self._client.request(method, params))

    def discover(self, *, fresh: bool = False) -> dict[str, Any]:
        return self._run(self._client.discover(fresh=fresh))

    def list_tools(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        return self._run(self._client.list_tools(fresh=fresh))

    def list_resources(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        return self._run(self._client.list_resources(fresh=fresh))

    def list_resource_templates(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        return self._run(self._client.list_resource_templates(fresh=fresh))

    def list_prompts(self, *, fresh: bool = False) -> list[dict[str, Any]]:
        return self._run(self._client.list_prompts(fresh=fresh))

    def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> ToolResult:
        return self._run(self._client.call_tool(name, arguments, timeout=timeout))

    def read_resource(self, uri: str, *, fresh: bool = False) -> ReadResult:
        return self._run(self._client.read_resource(uri, fresh=fresh))

    def get_prompt(self, name: str, arguments: Mapping[str, str] | None = None) -> PromptResult:
        return self._run(self._client.get_prompt(name, arguments))

    def complete(
        self, ref: Mapping[str, Any], argument: Mapping[str, str], context: Mapping[str, Any] | None = None
    ) -> Completion:
        return self._run(self._client.complete(ref, argument, context))


def _encoded(params: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
    return {key: msgspec.Raw(jsonrpc.encode(value)) for key, value in params.items() if value is not None}
