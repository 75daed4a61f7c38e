"""Rune inside a WebAssembly component: the part of `rune.Server` that a guest offers, over `rune:guest@0.1.0`.

`rune wasm build tools.py` puts this module beside the file, so that one file is served as it is or as a component.
Tools run to their end: a coroutine may await what the context has, and nothing that needs an event loop.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Coroutine
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, Literal
from urllib.parse import unquote

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import host
from wit_world.imports import types as wire

Json = dict[str, Any]

INVALID_PARAMS, INTERNAL_ERROR = -32602, -32603
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


class RuneError(Exception):
    """Base of the errors that reach the client as JSON-RPC errors."""

    code = INTERNAL_ERROR

    def __init__(self, message: str, *, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class ProtocolError(RuneError):
    """A JSON-RPC error with a code of its own."""

    def __init__(self, code: int, message: str, *, data: Any = None) -> None:
        super().__init__(message, data=data)
        self.code = code


class NotFound(RuneError):
    """What was asked for does not exist."""

    code = INVALID_PARAMS


class ToolError(RuneError):
    """The message becomes a result with `isError`, which the model can read."""


# --- content ---------------------------------------------------------------------------------------------------------


def _base64(data: bytes | str) -> str:
    return data if isinstance(data, str) else base64.b64encode(data).decode()


@dataclass(frozen=True)
class Text:
    text: str

    def block(self) -> Json:
        return {"type": "text", "text": self.text}


@dataclass(frozen=True)
class Image:
    data: bytes | str
    mime: str = "image/png"

    def block(self) -> Json:
        return {"type": "image", "data": _base64(self.data), "mimeType": self.mime}


@dataclass(frozen=True)
class Audio:
    data: bytes | str
    mime: str = "audio/wav"

    def block(self) -> Json:
        return {"type": "audio", "data": _base64(self.data), "mimeType": self.mime}


@dataclass(frozen=True)
class ResourceLink:
    uri: str
    name: str | None = None

    def block(self) -> Json:
        return {"type": "resource_link", "uri": self.uri, "name": self.name or self.uri}


@dataclass(frozen=True)
class Embedded:
    uri: str
    content: str | bytes
    mime: str | None = None

    def block(self) -> Json:
        return {"type": "resource", "resource": _contents(self.uri, self.content, self.mime)}


@dataclass(frozen=True)
class Message:
    content: Any
    role: Literal["user", "assistant"] = "user"


_CONTENT = (Text, Image, Audio, ResourceLink, Embedded)


def _contents(uri: str, content: str | bytes, mime: str | None) -> Json:
    if isinstance(content, str):
        return {"uri": uri, "mimeType": mime or "text/plain", "text": content}
    return {"uri": uri, "mimeType": mime or "application/octet-stream", "blob": _base64(content)}


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) else str(value)


_encode = json.JSONEncoder(default=_plain, ensure_ascii=False, separators=(",", ":")).encode
_ESCAPED = bytes((*range(32), *b'"\\'))
LONG = 10_000


def _quoted(text: str) -> str:
    """A text as JSON. Long ones seldom have what must be escaped, and to look for that is cheaper than to do it."""
    if len(text) > LONG:
        data = text.encode("utf-8", "surrogatepass")
        if len(data.translate(None, _ESCAPED)) == len(data):
            return f'"{text}"'
    return _encode(text)


def _blocks(value: Any) -> list[Json]:
    if value is None:
        return []
    if isinstance(value, _CONTENT):
        return [value.block()]
    if isinstance(value, (list, tuple)) and any(isinstance(each, _CONTENT) for each in value):
        return [block for each in value for block in _blocks(each)]
    return [{"type": "text", "text": value if isinstance(value, str) else _encode(value)}]


def _is_content(hint: Any) -> bool:
    if hint in (str, None, type(None), Any, inspect.Parameter.empty) or hint in _CONTENT:
        return True
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return all(_is_content(each) for each in arguments)
    return origin in (list, tuple) and any(set(typing.get_args(each) or (each,)) & set(_CONTENT) for each in arguments)


# --- what a signature says -------------------------------------------------------------------------------------------


def _schema(hint: Any, defs: Json) -> Json:
    """JSON Schema of a hint; classes go into `$defs`."""
    if hint in (Any, inspect.Parameter.empty):
        return {}
    if hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is typing.Annotated:
        return _schema(arguments[0], defs)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(each, defs) for each in arguments]}
    if origin in (list, tuple, set):
        return {"type": "array", **({"items": _schema(arguments[0], defs)} if arguments else {})}
    if origin is dict:
        return {"type": "object", **({"additionalProperties": _schema(arguments[1], defs)} if arguments else {})}
    if is_dataclass(hint):
        if hint.__name__ not in defs:
            defs[hint.__name__] = {}
            hints = typing.get_type_hints(hint)
            found = [(each.name, hints[each.name], each.default) for each in fields(hint)]
            defs[hint.__name__] |= {"title": hint.__name__, **_object(found, MISSING, defs)}
        return {"$ref": f"#/$defs/{hint.__name__}"}
    raise TypeError(f"a component has no schema for {hint!r}")


def _object(members: list[tuple[str, Any, Any]], missing: Any, defs: Json) -> Json:
    properties = {}
    for name, hint, default in members:
        properties[name] = _schema(hint, defs) | ({} if default is missing else {"default": default})
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name, _, default in members if default is missing],
    }


def _value(hint: Any, data: Any, place: str) -> Any:
    """A JSON value as the hint wants it.

    Raises:
        ToolError: when it is something else.
    """
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (Any, inspect.Parameter.empty):
        return data
    if origin is typing.Annotated:
        return _value(arguments[0], data, place)
    if origin is float and type(data) is int:
        return float(data)
    if origin in _SCALARS and type(data) is origin:
        return data
    if origin is Literal and data in arguments:
        return data
    if origin in (list, tuple, set) and isinstance(data, list):
        inner = arguments[0] if arguments else Any
        return origin(_value(inner, each, f"{place}[{at}]") for at, each in enumerate(data))
    if origin is dict and isinstance(data, dict):
        inner = arguments[1] if arguments else Any
        return {key: _value(inner, each, f"{place}.{key}") for key, each in data.items()}
    if is_dataclass(origin) and isinstance(data, dict):
        hints = typing.get_type_hints(origin)
        known = {each.name: each for each in fields(origin)}
        absent = [name for name, each in known.items() if name not in data and each.default is MISSING]
        if not absent:
            return origin(**{key: _value(hints[key], data[key], f"{place}.{key}") for key in data if key in known})
    if origin in (typing.Union, types.UnionType):
        for each in arguments:
            try:
                return _value(each, data, place)
            except ToolError:
                continue
    raise ToolError(f"{place}: expected {getattr(hint, '__name__', hint)}, got {type(data).__name__}")


class _Function:
    """A decorated function: what it is called, takes and says of itself."""

    def __init__(self, function: Callable[..., Any], name: str | None) -> None:
        self.function = function
        self.name = name or function.__name__
        text, self.told = _documented(inspect.getdoc(function) or "")
        self.text = {"description": text} if text else {}
        hints = typing.get_type_hints(function, include_extras=True)
        self.returns = hints.get("return", inspect.Parameter.empty)
        self.content = _is_content(self.returns)
        self.context: str | None = None
        self.open = False
        self.takes: dict[str, tuple[Any, Any]] = {}
        for each in inspect.signature(function).parameters.values():
            hint = hints.get(each.name, each.empty)
            if hint is Context:
                self.context = each.name
            elif each.kind is each.VAR_KEYWORD:
                self.open = True
            else:
                self.takes[each.name] = hint, each.default

    def input_schema(self) -> Json:
        defs: Json = {}
        members = [(name, hint, default) for name, (hint, default) in self.takes.items()]
        schema = _object(members, inspect.Parameter.empty, defs)
        for name, text in self.told.items():
            if name in schema["properties"]:
                schema["properties"][name]["description"] = text
        if not schema["required"]:
            del schema["required"]
        if not self.open:
            schema["additionalProperties"] = False
        return schema | ({"$defs": defs} if defs else {})

    def __call__(self, arguments: Json) -> Any:
        given = {}
        for name, data in arguments.items():
            if name in self.takes:
                given[name] = _value(self.takes[name][0], data, name)
            elif self.open:
                given[name] = data
            else:
                raise ToolError(f"{name}: is not known")
        absent = [name for name, (_, default) in self.takes.items() if name not in given and default is inspect._empty]
        if absent:
            raise ToolError(f"{absent[0]}: is missing")
        if self.context:
            given[self.context] = Context()
        found = self.function(**given)
        return _run(found) if inspect.iscoroutine(found) else found


def _documented(text: str) -> tuple[str, dict[str, str]]:
    """The description of a function, and that of each argument below `Args:`."""
    text, _, below = text.partition("\nArgs:\n")
    return text.strip(), dict(re.findall(r"^\s+(\w+)(?: \(.*?\))?: (.+)$", below, re.MULTILINE))


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise ToolError("waits for something outside of the component, which has no event loop")


class _Done:
    """Has happened already; may be awaited, and need not be."""

    def __await__(self) -> Any:
        yield from ()


class Context:
    """The call that is being answered."""

    @property
    def call(self) -> Json:
        """Method, caller, progress token, client and capabilities, as the gateway tells them."""
        found: Json = json.loads(host.call())
        return found

    def progress(self, progress: float, total: float | None = None, message: str | None = None) -> _Done:
        host.progress(float(progress), None if total is None else float(total), message)
        return _Done()

    def log(self, level: str, data: Any, logger: str | None = None) -> _Done:
        host.log(getattr(host.Level, level.upper()), logger, _encode(data))
        return _Done()

    def debug(self, data: Any, logger: str | None = None) -> _Done:
        return self.log("debug", data, logger)

    def info(self, data: Any, logger: str | None = None) -> _Done:
        return self.log("info", data, logger)

    def warning(self, data: Any, logger: str | None = None) -> _Done:
        return self.log("warning", data, logger)

    def error(self, data: Any, logger: str | None = None) -> _Done:
        return self.log("error", data, logger)


# --- the server ------------------------------------------------------------------------------------------------------


@dataclass
class _Tool:
    function: _Function
    schema: Json | None

    def wire(self) -> Json:
        tool = {"name": self.function.name, **self.function.text}
        tool["inputSchema"] = self.schema or self.function.input_schema()
        if not self.function.content:
            defs: Json = {}
            tool["outputSchema"] = _schema(self.function.returns, defs) | ({"$defs": defs} if defs else {})
        return tool

    def __call__(self, arguments: Json) -> Json | str:
        """The result, or its JSON."""
        try:
            value = self.function(arguments)
        except ToolError as error:
            return {"content": [{"type": "text", "text": error.message}], "isError": True}
        if isinstance(value, str) and self.function.content:
            return f'{{"content":[{{"type":"text","text":{_quoted(value)}}}]}}'
        result: Json = {"content": _blocks(value)}
        return result if self.function.content else result | {"structuredContent": value}


@dataclass
class _Resource:
    function: _Function
    uri: str
    mime: str | None

    def match(self, uri: str) -> dict[str, str] | None:
        pattern = "".join(
            f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else re.escape(part)
            for part in re.split(r"(\{\w+\})", self.uri)
        )
        found = re.fullmatch(pattern, uri)
        return {key: unquote(value) for key, value in found.groupdict().items()} if found else None

    def wire(self, key: str) -> Json:
        return {
            key: self.uri, "name": self.function.name, **self.function.text,
            **({"mimeType": self.mime} if self.mime else {}),
        }  # fmt: skip


class Server:
    """What this component offers. A component has one."""

    def __init__(self, name: str, *, version: str = "0", title: str | None = None, instructions: str | None = None):
        about = {"name": name, "version": version, "title": title, "instructions": instructions}
        self.info = {key: value for key, value in about.items() if value}
        self.tools: dict[str, _Tool] = {}
        self.resources: list[_Resource] = []
        self.prompts: dict[str, _Function] = {}
        self.completions: dict[tuple[str, str], Callable[..., Any]] = {}
        _the.clear()
        _the.append(self)

    def tool(self, function: Any = None, /, *, name: str | None = None, input_schema: Json | None = None) -> Any:
        def add(function: Any) -> Any:
            found = _Function(function, name)
            self.tools[found.name] = _Tool(found, input_schema)
            return function

        return add if function is None else add(function)

    def resource(self, uri: str, *, name: str | None = None, mime_type: str | None = None) -> Any:
        def add(function: Any) -> Any:
            self.resources.append(_Resource(_Function(function, name), uri, mime_type))
            return function

        return add

    def prompt(self, function: Any = None, /, *, name: str | None = None) -> Any:
        def add(function: Any) -> Any:
            found = _Function(function, name)
            self.prompts[found.name] = found
            return function

        return add if function is None else add(function)

    def completion(self, of: str, argument: str) -> Any:
        def add(function: Any) -> Any:
            self.completions[of, argument] = function
            return function

        return add

    def resource_updated(self, uri: str) -> None:
        """Whoever subscribed to the resource is told."""
        host.updated(uri)


_the: list[Server] = []


def _server() -> Server:
    if not _the:
        raise RuneError("the file made no rune.Server")
    return _the[0]


def _answer(work: Callable[[], Json | str]) -> str:
    """What a handler returns, as JSON; its errors as the gateway wants them."""
    try:
        found = work()
        return found if isinstance(found, str) else _encode(found)
    except RuneError as error:
        data = None if error.data is None else _encode(error.data)
        raise Err(wire.Error(getattr(error, "code", INTERNAL_ERROR), error.message, data)) from None
    except Exception as error:  # noqa: BLE001 - whatever the file raised belongs to this one call
        raise Err(wire.Error(INTERNAL_ERROR, f"{type(error).__name__}: {error}", None)) from None


class ServerExport(exports.Server):
    def info(self) -> str:
        return _encode(_server().info)


class ToolsExport(exports.Tools):
    def list_tools(self) -> str:
        return _encode([each.wire() for each in _server().tools.values()])

    def call_tool(self, name: str, arguments: str) -> str:
        def work() -> Json | str:
            tool = _server().tools.get(name)
            if tool is None:
                raise NotFound(f"no tool {name}")
            try:
                return tool(json.loads(arguments or "{}"))
            except RuneError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever the file raised belongs to this one call
                return {"content": [{"type": "text", "text": f"{type(error).__name__}: {error}"}], "isError": True}

        return _answer(work)


class ResourcesExport(exports.Resources):
    def list_resources(self) -> str:
        return _encode([each.wire("uri") for each in _server().resources if "{" not in each.uri])

    def list_resource_templates(self) -> str:
        return _encode([each.wire("uriTemplate") for each in _server().resources if "{" in each.uri])

    def read_resource(self, uri: str) -> str:
        def work() -> Json:
            for each in _server().resources:
                found = each.match(uri)
                if found is not None:
                    value = each.function(found)
                    if isinstance(value, (str, bytes)):
                        return {"contents": [_contents(uri, value, each.mime)]}
                    return {"contents": [_contents(uri, _encode(value), each.mime or "application/json")]}
            raise NotFound(f"no resource {uri}", data={"uri": uri})

        return _answer(work)

    def subscribe(self, uri: str) -> None:
        """Nothing to do: the gateway knows who subscribed."""

    def unsubscribe(self, uri: str) -> None:
        """Nothing to do, as above."""


class PromptsExport(exports.Prompts):
    def list_prompts(self) -> str:
        found = []
        for each in _server().prompts.values():
            arguments = []
            for name, (_, default) in each.takes.items():
                told = {"description": each.told[name]} if name in each.told else {}
                arguments.append({"name": name, **told, "required": default is inspect.Parameter.empty})
            found.append({"name": each.name, **each.text, **({"arguments": arguments} if arguments else {})})
        return _encode(found)

    def get_prompt(self, name: str, arguments: str) -> str:
        def work() -> Json:
            prompt = _server().prompts.get(name)
            if prompt is None:
                raise NotFound(f"no prompt {name}")
            try:
                value = prompt(json.loads(arguments or "{}"))
            except ToolError as error:
                raise ProtocolError(INVALID_PARAMS, f"invalid arguments for prompt {name}: {error.message}") from None
            messages = []
            for each in value if isinstance(value, list) else [value]:
                said = each if isinstance(each, Message) else Message(each)
                messages += [{"role": said.role, "content": block} for block in _blocks(said.content)]
            return {**prompt.text, "messages": messages}

        return _answer(work)


class CompletionsExport(exports.Completions):
    def complete(self, request: str) -> str:
        def work() -> Json:
            asked = json.loads(request)
            of = asked["ref"].get("name") or asked["ref"].get("uri")
            function = _server().completions.get((of, asked["argument"]["name"]))
            values = function(asked["argument"]["value"]) if function else []
            values = _run(values) if inspect.iscoroutine(values) else values
            return {"completion": {"values": values[:100], "total": len(values), "hasMore": len(values) > 100}}

        return _answer(work)
