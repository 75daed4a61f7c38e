"""The lean core: version by header, header checks, `_meta`, sessions, typed arguments, error mapping; no more."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import Decoder, Encoder

from bench.load.messages import PAGE

T = TypeVar("T")

MODERN: Final = "2026-07-28"
PREFIX: Final = "io.modelcontextprotocol/"
NOTHING: Final = Raw(b"")
EMPTY: Final = Raw(b"{}")


class Envelope(Struct):
    method: str
    id: int | str | UnsetType | None = UNSET
    jsonrpc: str = "2.0"
    params: Raw = EMPTY


class Meta(
    Struct,
    rename={
        "version": PREFIX + "protocolVersion",
        "client": PREFIX + "clientInfo",
        "capabilities": PREFIX + "clientCapabilities",
    },
):
    version: str | None = None
    capabilities: Raw = NOTHING
    client: Raw = NOTHING


class Call(Struct, rename={"meta": "_meta"}):
    name: str
    arguments: Raw = EMPTY
    meta: Meta | None = None


class OnlyMeta(Struct, rename={"meta": "_meta"}):
    meta: Meta | None = None


class Text(Struct, tag_field="type", tag="text"):
    text: str


class CallResult(Struct):
    content: list[Text]
    isError: bool = False
    resultType: str = "complete"


class Response(Struct):
    id: int | str | UnsetType | None
    result: CallResult
    jsonrpc: str = "2.0"


class EchoArguments(Struct, forbid_unknown_fields=True):
    text: str


async def echo(text: str) -> str:
    return text


async def page(text: str) -> str:
    return text.ljust(PAGE, "-")


class Tool:
    __slots__ = ("decode", "function")

    def __init__(self, function: Callable[[str], Awaitable[str]], arguments: type[Any]) -> None:
        self.function = function
        self.decode = Decoder(arguments).decode


decode_envelope = Decoder(Envelope).decode
decode_call = Decoder(Call).decode
decode_meta = Decoder(OnlyMeta).decode
encode = Encoder().encode

TOOLS: Final = {"echo": Tool(echo, EchoArguments), "page": Tool(page, EchoArguments)}
SCHEMA: Final = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
LIST: Final = encode(
    {
        "tools": [
            {"name": "echo", "description": "Echo the text.", "inputSchema": SCHEMA},
            {"name": "page", "description": "The text and a megabyte behind it.", "inputSchema": SCHEMA},
        ],
        "resultType": "complete",
        "ttlMs": 0,
        "cacheScope": "private",
    }
)
DISCOVERED: Final = encode(
    {
        "supportedVersions": [MODERN],
        "capabilities": {"tools": {}},
        "resultType": "complete",
        "ttlMs": 0,
        "cacheScope": "private",
    }
)
HELLO: Final = encode(
    {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "limit", "version": "0"}}
)
SESSIONS: Final[set[str]] = set()

Answer = tuple[int, bytes, str | None]
"""Status, body and the id of a session that was opened."""


if sys.version_info >= (3, 12):

    def begin(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task; one that never waits is done when this returns."""
        return asyncio.Task(work, loop=loop, eager_start=True)

else:

    def begin(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task. Without eager tasks it begins in the next turn of the loop."""
        return loop.create_task(work)


def result(request: Envelope, encoded: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":' + encode(request.id) + b',"result":' + encoded + b"}"


def error(request: Envelope | None, status: int, code: int, message: str) -> Answer:
    number = None if request is None or request.id is UNSET else request.id
    return status, encode({"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}), None


async def line(message: bytes) -> bytes:
    """A message of stdio: no headers, nothing to compare."""
    request = decode_envelope(message)
    if request.method == "tools/call":
        call = decode_call(request.params)
        tool = TOOLS[call.name]
        text = await tool.function(tool.decode(call.arguments).text)
        return encode(Response(request.id, CallResult([Text(text)])))
    return other(request)[1]


async def post(body: bytes, headers: dict[str, str]) -> Answer:
    """A POST; the names of headers are in lower case."""
    try:
        request = decode_envelope(body)
    except msgspec.DecodeError:
        return error(None, 400, -32700, "parse error")
    call = decode_call(request.params) if request.method == "tools/call" else None
    version = headers.get("mcp-protocol-version")
    if version == MODERN:
        refusal = refuse(request, call, headers, version)
    else:
        session = headers.get("mcp-session-id")
        refusal = error(request, 404, -32600, "no session") if session and session not in SESSIONS else None
    if refusal is not None:
        return refusal
    return other(request) if call is None else await answer(request, call)


def refuse(request: Envelope, call: Call | None, headers: dict[str, str], version: str) -> Answer | None:
    """What a modern request is refused with, None when it is in order."""
    if headers.get("mcp-method") != request.method or (call is not None and headers.get("mcp-name") != call.name):
        return error(request, 400, -32020, "header mismatch")
    meta = call.meta if call is not None else decode_meta(request.params).meta
    if meta is None or not meta.capabilities or meta.version != version:
        return error(request, 400, -32602, "bad _meta")
    return None


async def answer(request: Envelope, call: Call) -> Answer:
    tool = TOOLS.get(call.name)
    if tool is None:
        return error(request, 200, -32602, "unknown tool")
    try:
        arguments = tool.decode(call.arguments)
    except msgspec.ValidationError as problem:
        return error(request, 200, -32602, str(problem))
    text = await tool.function(arguments.text)
    return 200, encode(Response(request.id, CallResult([Text(text)]))), None


def other(request: Envelope) -> Answer:
    """Everything that is not a call."""
    if request.method == "initialize":
        session = os.urandom(16).hex()
        SESSIONS.add(session)
        return 200, result(request, HELLO), session
    if request.method == "tools/list":
        return 200, result(request, LIST), None
    if request.method == "server/discover":
        return 200, result(request, DISCOVERED), None
    if request.method == "ping":
        return 200, result(request, b"{}"), None
    if request.id is UNSET:
        return 202, b"", None
    return error(request, 404, -32601, "method not found")
