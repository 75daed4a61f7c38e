"""One Python tool: its definition, and the way of a call from encoded arguments to an encoded result."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal

import msgspec

from rune.errors import ConfigError, ProtocolError, TimedOut, ToolError
from rune.protocol.methods import TASKS
from rune.protocol.modern import missing_capability
from rune.request import Request, Result
from rune.source import Item
from rune.sources import hints
from rune.sources.content import (
    ResourceLink,
    block_result,
    blocks,
    error_result,
    is_content,
    is_series,
    is_stream,
    is_whole,
    structured_result,
    text_result,
)
from rune.sources.context import Context
from rune.sources.processes import Job, locate
from rune.sources.routine import Routine
from rune.sources.schema import Arguments, InvalidArguments, OwnArguments, check_arguments
from rune.sources.spool import PREVIEW, Sink, Spooled

log = logging.getLogger("rune.tools")

_NO_ARGUMENTS: Final = msgspec.Raw(b"{}")
_UNWRITABLE: Final = (TypeError, ValueError, NotImplementedError, OverflowError, RecursionError)
_BAD: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidArguments)


class ToolOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All that the decorator may say about a tool; see `Server.tool`."""

    title: str | None = None
    description: str | None = None
    annotations: Mapping[str, Any] | None = None
    icons: Any = None
    meta: Mapping[str, Any] | None = None
    input_schema: Any = None
    output_schema: Any = None
    task: Literal["forbidden", "optional", "required"] = "forbidden"
    detach: Literal["start", "body"] = "start"
    replay: bool = False
    max_result: int = 1 << 20


class Tool:
    """A tool, compiled. `call` answers a tools/call."""

    __slots__ = (
        "_awaits", "_check", "_function", "_load", "_series", "_values", "arguments", "call", "item", "name",
        "options", "output", "routine",
    )  # fmt: skip

    def __init__(self, name: str, routine: Routine, options: ToolOptions) -> None:
        what = routine.what
        if options.task not in ("forbidden", "optional", "required"):
            raise ConfigError(f"{what}: task is forbidden, optional or required, not {options.task!r}")
        if options.detach not in ("start", "body") or (options.detach == "body" and routine.signature.context is None):
            raise ConfigError(f'{what}: detach is "start", or "body" for a function that takes a Context')
        self.name = name
        self.routine = routine
        self.options = options
        self.arguments: Arguments | OwnArguments = (
            Arguments(routine.signature, what)
            if options.input_schema is None
            else OwnArguments(routine.signature, options.input_schema, what)
        )
        self.output, self._check = _output(routine, options)
        self.item = Item(name, hints.encode(self._definition()))
        self._series = is_series(routine.signature.returns)
        self._load, self._values = self.arguments.load, self.arguments.values
        self._function = routine.function
        self._awaits = routine.kind == "coroutine"
        # What a plain function returns may have to be awaited or iterated, if it does not say what it is.
        told = self._awaits or (routine.kind == "plain" and routine.signature.returns is not inspect.Parameter.empty)
        simple = (
            told and routine.mode == "inline" and routine.timeout is None
            and routine.signature.plain and options.task == "forbidden" and not is_stream(routine.signature.returns)
        )  # fmt: skip
        self.call = self._call_simple if simple else self._call

    def _definition(self) -> dict[str, Any]:
        options = self.options
        members = {
            "name": self.name,
            "title": options.title,
            "description": options.description or self.routine.signature.docs.text or None,
            "inputSchema": self.arguments.schema,
            "outputSchema": self.output,
            "annotations": options.annotations,
            "icons": options.icons,
            "_meta": options.meta,
            "execution": None if options.task == "forbidden" else {"taskSupport": options.task},
        }
        return {key: value for key, value in members.items() if value is not None}

    # --- calls -------------------------------------------------------------------------------------------------------

    async def _call_simple(self, request: Request) -> Result:
        """The way of most calls: a function of plain arguments on the loop, with nothing around it."""
        try:
            values = self._values(self._load(request.params.get("arguments", _NO_ARGUMENTS)))
        except Exception as error:  # noqa: BLE001 - types of the user may raise anything
            return await self._refuse(request, error)
        try:
            value = self._function(*values)
            if self._awaits:
                value = await value
            if type(value) is str and self._check is None and len(value) <= self.options.max_result:
                return text_result(value)
            return self._finish(value, None, request)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a failing tool is a result
            return self._failed(error)

    async def _call(self, request: Request) -> Result:
        options, routine = self.options, self.routine
        tasks = options.task != "forbidden" and routine.services.tasks is not None and request.declares(TASKS)
        if options.task == "required" and not tasks:
            raise missing_capability({"extensions": {TASKS: {}}})
        try:
            values = self._values(self._load(request.params.get("arguments", _NO_ARGUMENTS)))
        except Exception as error:  # noqa: BLE001 - types of the user may raise anything
            return await self._refuse(request, error)
        body = partial(self._run, request, values)
        if tasks and options.detach == "start":
            return await routine.as_task(request, body)
        detachable = tasks and options.detach == "body"
        return await routine.converse(request, body, again=options.replay, detachable=detachable)

    async def _run(self, request: Request, values: tuple[Any, ...], context: Context) -> Result:
        """One run of the body; whatever happens, it ends in a result or a ProtocolError."""
        clock = self.routine.clock()
        sink = Sink(self.routine.services.spool, self.options.max_result)
        context.attach(sink, clock, self.routine.services.threads)
        try:
            remote = self.routine.mode == "process"
            work = self._process(request) if remote else self.routine.invoke(values, context)
            value = await (work if clock is None else clock.run(work))
            return self._finish(value, sink, request)
        except TimedOut as error:
            if clock is None or not clock.expired:
                return self._failed(error)
            return error_result(f"tool {self.name} timed out after {clock.seconds:g} s")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a failing tool is a result
            return self._failed(error)
        finally:
            context.close()
            sink.close()

    async def _process(self, request: Request) -> Result:
        """Have it done in another process, from encoded arguments to an encoded result."""
        routine = self.routine
        path, module, function = locate(routine.function, routine.what)
        job = Job(
            path=path,
            module=module,
            function=function,
            name=self.name,
            arguments=msgspec.Raw(bytes(request.params.get("arguments", _NO_ARGUMENTS))),
            search=[part for part in sys.path if part],
            input_schema=self.options.input_schema,
            output_schema=self.options.output_schema,
        )
        answer = await routine.services.processes.call(job)
        return self._finish_raw(answer, request)

    async def _refuse(self, request: Request, error: Exception) -> Result:
        """Arguments that could not be decoded: say why, or find out that they were merely null.

        Raises:
            ProtocolError: -32602 when they are no object.
        """
        raw = request.params["arguments"]
        if bytes(raw) == b"null":
            return await self.call(request.replace(params={**request.params, "arguments": _NO_ARGUMENTS}))
        if not isinstance(error, _BAD):
            return self._failed(error)
        return error_result(f"invalid arguments for tool {self.name}: {check_arguments(raw, error)}")

    def _failed(self, error: BaseException) -> Result:
        if isinstance(error, ProtocolError):
            raise error
        if isinstance(error, ToolError):
            return error_result(error.message)
        log.debug("tool %s failed", self.name, exc_info=error)
        return error_result(f"tool {self.name} failed: {type(error).__name__}: {error}")

    # --- results -----------------------------------------------------------------------------------------------------

    def _finish(self, value: Any, sink: Sink | None, request: Request) -> Result:
        if value is None and sink is not None and not sink.empty:
            if sink.spilled:
                return self._linked(sink.text(), sink.keep(request.caller))
            value = sink.text()
        if isinstance(value, Result):
            return value
        if self._check is not None and not (self.options.output_schema is not None and is_whole(value)):
            return self._structured(value, request)
        try:
            if is_whole(value):
                content = self._blocks(value["content"] or None, request)
                return Result(hints.encode({**value, "resultType": "complete", "content": content}))
            return block_result(self._blocks(value, request))
        except _UNWRITABLE as error:
            return self._unwritable(value, error)

    def _blocks(self, value: Any, request: Request) -> list[dict[str, Any]]:
        """Content blocks, none of them with a text that is too large."""
        found, limit = blocks(value, series=self._series), self.options.max_result
        if any(block["type"] == "text" and len(block["text"]) > limit for block in found):
            return [part for block in found for part in self._bounded(block, limit, request)]
        return found

    def _structured(self, value: Any, request: Request) -> Result:
        """A value with an output schema: as structured content, and as text."""
        assert self._check is not None, "only tools with an output schema come here"
        try:
            raw = hints.encode(value)
            self._check(raw)
        except _UNWRITABLE as error:
            return self._unwritable(value, error)
        if len(raw) <= self.options.max_result:
            return structured_result(raw)
        # Half a value fits no schema, and a result without one must say that it failed.
        kept = self.routine.services.spool.store(raw, request.caller, "application/json")
        return self._linked(raw[:PREVIEW].decode("utf-8", "ignore"), kept, failed=True)

    def _unwritable(self, value: Any, error: Exception) -> Result:
        log.debug("tool %s: result", self.name, exc_info=error)
        kind = type(value).__name__
        return error_result(f"tool {self.name} returned {kind} that is no valid result: {_text(error)}")

    def _bounded(self, block: dict[str, Any], limit: int, request: Request) -> list[dict[str, Any]]:
        """A text that is too large, as its beginning and a link to the whole."""
        if block["type"] != "text" or len(block["text"]) <= limit:
            return [block]
        kept = self.routine.services.spool.store(block["text"].encode("utf-8", "replace"), request.caller)
        return _preview(self.name, block["text"], kept)

    def _linked(self, text: str, kept: Spooled, *, failed: bool = False) -> Result:
        content = _preview(self.name, text, kept)
        return Result.of({"content": content, "isError": True}) if failed else block_result(content)

    def _finish_raw(self, raw: bytes, request: Request) -> Result:
        """A result that came encoded from another process."""
        result = Result(raw)
        if len(raw) <= self.options.max_result:
            return result
        limit = self.options.max_result
        content = [part for block in result.value["content"] for part in self._bounded(block, limit, request)]
        if "structuredContent" not in result.value:
            return Result.of({**result.value, "content": content})
        return Result.of({"content": content, "isError": True})


def _output(routine: Routine, options: ToolOptions) -> tuple[Any, Callable[[bytes], Any] | None]:
    """The output schema, and what a value must pass before it goes out as structured content."""
    if options.output_schema is not None:
        if not isinstance(options.output_schema, Mapping):
            raise ConfigError(f"{routine.what}: output_schema must be a JSON Schema")
        return options.output_schema, _anything
    hint = routine.signature.returns
    if hint is inspect.Parameter.empty or routine.kind in ("asyncgen", "generator") or is_content(hint):
        return None, None
    try:
        kind = hints.adapt(hint)
        schema = hints.root_schema(kind, output=True)
        check = _anything if hints.has_custom(kind) else hints.decoder(kind)
    except (TypeError, ValueError, RecursionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ConfigError(
            f"{routine.what}: return type: {reason}", hint="return content or JSON, or describe it with output_schema="
        ) from None
    return schema, check


def _anything(raw: bytes) -> None:
    """Values whose schema is not ours to check."""


def _preview(name: str, text: str, kept: Spooled) -> list[dict[str, Any]]:
    note = f"\n[{kept.size} bytes in all: read {kept.uri}]"
    link = ResourceLink(kept.uri, name=f"result of {name}", mime=kept.mime, size=kept.size)
    return [{"type": "text", "text": text[:PREVIEW] + note}, link.block()]


def _text(error: BaseException) -> str:
    return str(error).replace("`", "").splitlines()[0] if str(error) else "no message"
