"""Servers made of a few lines: a carrier that lives in memory, and one request to send to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec

from rune.client.client import Connection
from rune.client.duplex import Duplex
from rune.errors import Unavailable
from rune.protocol.methods import MODERN
from rune.protocol.modern import Meta
from rune.request import Caller, Emit, Note, Request

Message = dict[str, Any]
Server = Callable[["Carried", Message], None]

DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": [MODERN, "2025-11-25"],
    "capabilities": {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True, "listChanged": True},
        "prompts": {},
        "completions": {},
        "logging": {},
    },
    "instructions": "be kind",
    "ttlMs": 0,
    "cacheScope": "public",
}


class Carried:
    """A carrier whose other end is a function: it gets each message and may `say` something, now or later."""

    def __init__(self, server: Server, name: str = "fake") -> None:
        self.name = name
        self.server = server
        self.heard: list[Message] = []
        self.closed = False
        self.full = False
        self.last_words: list[str] = []
        self.held: list[float] = []
        self.refuses_to_start = False
        self.ended = True

    async def open(self, on_line: Callable[[bytes], None], on_end: Callable[[str], None]) -> None:
        if self.refuses_to_start:
            raise Unavailable(f"{self.name}: command not found: fake")
        self.on_line, self.on_end = on_line, on_end
        self.ended = False

    async def close(self) -> None:
        self.closed = True
        self.die("was closed")

    def hold(self, seconds: float) -> None:
        self.held.append(seconds)

    async def room(self) -> None:
        while self.full:
            await asyncio.sleep(0.01)

    def send(self, line: bytes) -> None:
        message = json.loads(line)
        self.heard.append(message)
        asyncio.get_running_loop().call_soon(self.server, self, message)

    def say(self, message: Message | bytes) -> None:
        """Let the server speak."""
        if not self.ended:
            self.on_line(message if isinstance(message, bytes) else json.dumps({"jsonrpc": "2.0", **message}).encode())

    def answer(self, message: Message, result: Any) -> None:
        self.say({"id": message["id"], "result": result})

    def refuse(self, message: Message, code: int, text: str = "no", data: Any = None) -> None:
        error = {"code": code, "message": text} | ({} if data is None else {"data": data})
        self.say({"id": message["id"], "error": error})

    def die(self, reason: str = "exited 1 after 0.4 s") -> None:
        if not self.ended:
            self.ended = True
            self.on_end(reason)

    def methods(self) -> list[str]:
        """The methods it has heard, in order."""
        return [message["method"] for message in self.heard if "method" in message]


def modern(handle: Server | None = None) -> Server:
    """A server of 2026-07-28: discovery is answered, everything else goes to `handle`."""

    def serve(carried: Carried, message: Message) -> None:
        if message.get("method") == "server/discover":
            carried.answer(message, DISCOVERED)
        elif handle is not None:
            handle(carried, message)

    return serve


def legacy(
    handle: Server | None = None,
    *,
    revision: str = "2025-11-25",
    capabilities: Message | None = None,
    code: int = -32601,
) -> Server:
    """A server of an older revision: discovery fails, the handshake is answered, the rest goes to `handle`."""
    offered = {"tools": {"listChanged": True}, "logging": {}, "resources": {"subscribe": True, "listChanged": True}}

    def serve(carried: Carried, message: Message) -> None:
        method = message.get("method")
        if method == "server/discover":
            carried.refuse(message, code)
        elif method == "initialize":
            carried.answer(
                message,
                {
                    "protocolVersion": revision,
                    "capabilities": offered if capabilities is None else capabilities,
                    "serverInfo": {"name": "old", "version": "1"},
                },
            )
        elif method == "ping":
            carried.answer(message, {})
        elif method not in ("notifications/initialized",) and handle is not None:
            handle(carried, message)

    return serve


class Wires:
    """Makes wires to one kind of server and remembers what was made."""

    def __init__(self, server: Server, name: str = "fake") -> None:
        self.server = server
        self.name = name
        self.made: list[Carried] = []

    def __call__(self) -> Duplex:
        self.made.append(Carried(self.server, self.name))
        return Duplex(self.made[-1])

    @property
    def last(self) -> Carried:
        return self.made[-1]


def connection(server: Server, **options: Any) -> tuple[Connection, Wires]:
    wires = Wires(server)
    return Connection(wires, **options), wires


class Notes(Emit):
    """An emit that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.came = asyncio.Event()

    def __call__(self, note: Note) -> None:
        self.notes.append(note)
        self.came.set()

    @property
    def params(self) -> list[Message]:
        return [json.loads(note.params) for note in self.notes]


def ask(
    method: str,
    params: Message | None = None,
    *,
    capabilities: Message | None = None,
    token: int | str | None = None,
    log: str | None = None,
    caller: str = "anonymous",
    emit: Emit | None = None,
) -> Request:
    """A request as the rim makes it for a modern client."""
    declared = msgspec.Raw(json.dumps(capabilities or {}).encode())
    meta = Meta(version=MODERN, capabilities=declared, progress_token=token, log_level=log)
    raw = {key: msgspec.Raw(json.dumps(value).encode()) for key, value in (params or {}).items()}
    return Request(method, raw, meta=meta, caller=Caller(caller), emit=emit or Emit())


def call(name: str = "t", arguments: Message | None = None, **options: Any) -> Request:
    return ask("tools/call", {"name": name, "arguments": arguments or {}}, **options)
