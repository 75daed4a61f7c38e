"""The raw client on wires that carry frames both ways: stdio, WebSocket, HTTP+SSE, memory. Eras may share one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any, Final, Protocol

import aiohttp

from rune.wires.memory import MemoryWire
from tests.rig import RUNE
from tests.wire.client import META, WAIT, Client, Exchange
from tests.wire.schemas import check_frame

SUBSCRIPTION: Final = META + "subscriptionId"
OUTSIDE: Final = ("/list_changed", "resources/updated", "notifications/tasks/status")


class Link(Protocol):
    """Text frames, both ways. `receive` returns None at the end."""

    async def send(self, text: str) -> None: ...

    async def receive(self) -> str | None: ...

    async def close(self) -> None: ...


class Connection:
    """One connection, on which several clients of several eras may speak at the same time."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.batches: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()
        self.strays: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        """Responses to nobody's request: refusals without an id, or what must not have been sent."""
        self.legacy: DuplexClient | None = None
        self.over = asyncio.Event()
        self._open: dict[tuple[type, Any], Exchange] = {}
        self._tokens: dict[Any, Exchange] = {}
        self._reader = asyncio.create_task(self._read())

    def add(self, exchange: Exchange, token: Any) -> None:
        self._open[type(exchange.id), exchange.id] = exchange
        if token is not None:
            self._tokens[token] = exchange

    def forget(self, exchange: Exchange) -> None:
        self._open.pop((type(exchange.id), exchange.id), None)

    async def _read(self) -> None:
        while (text := await self.link.receive()) is not None:
            frame = json.loads(text)
            if isinstance(frame, list):
                self.batches.put_nowait(frame)
            else:
                self._route(frame)
        self.over.set()
        for exchange in tuple(self._open.values()):
            exchange.end()

    def _route(self, frame: dict[str, Any]) -> None:
        if "method" not in frame:
            exchange = self._open.pop((type(frame.get("id")), frame.get("id")), None)
            if exchange is None:
                self.strays.put_nowait(frame)
                return
            exchange.take(frame)
            exchange.end()
            return
        exchange = self._owner(frame)
        if exchange is not None:
            exchange.take(frame)
            return
        assert self.legacy is not None, f"a frame for nobody: {frame}"
        check_frame(self.legacy.revision, frame)
        self.legacy.inbox.put_nowait(frame)

    def _owner(self, frame: dict[str, Any]) -> Exchange | None:
        params = frame.get("params", {})
        meta = params.get("_meta", {})
        if SUBSCRIPTION in meta:
            id = meta[SUBSCRIPTION]
            return self._open[type(id), id]
        if frame["method"] == "notifications/cancelled":
            # The server ends a listen with it, after the result; to a legacy client it takes back a question.
            return None
        if "progressToken" in params:
            return self._tokens[params["progressToken"]]
        if frame["method"].endswith(OUTSIDE):
            return None
        return next(reversed(self._open.values()), None)

    async def close(self) -> None:
        await self.link.close()
        async with asyncio.timeout(WAIT):
            await asyncio.wait([self._reader])
        self._reader.result()


class DuplexClient(Client):
    """One client on a connection."""

    def __init__(self, connection: Connection, revision: str, capabilities: Mapping[str, Any] | None = None) -> None:
        super().__init__(revision, capabilities)
        self.connection = connection
        if not self.modern:
            connection.legacy = self

    async def _send(self, exchange: Exchange, message: dict[str, Any], headers: Mapping[str, str | None]) -> None:
        self.connection.add(exchange, message["params"].get("_meta", {}).get("progressToken"))
        await self.connection.link.send(json.dumps(message))

    async def tell(self, message: dict[str, Any]) -> None:
        await self.connection.link.send(json.dumps(message))

    async def close(self) -> None:
        await self.connection.close()


# --- stdio -----------------------------------------------------------------------------------------------------------


class StdioLink:
    """`rune serve --stdio` as a child."""

    def __init__(self, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
        self.process = process
        self._log = log
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    @classmethod
    async def open(cls, *words: str) -> StdioLink:
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the link
        process = await asyncio.create_subprocess_exec(
            RUNE, "serve", "--stdio", *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, limit=2**26
        )
        return cls(process, log)

    async def send(self, text: str) -> None:
        self.write(text.encode() + b"\n")
        await self._stdin.drain()

    def write(self, data: bytes) -> None:
        self._stdin.write(data)

    async def receive(self) -> str | None:
        line = await self._stdout.readline()
        return line.decode() if line else None

    @property
    def said(self) -> str:
        """Its stderr so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    async def close(self) -> None:
        """End stdin, as clients do: the server must leave by itself."""
        if self._log.closed:
            return
        self._stdin.close()
        async with asyncio.timeout(WAIT):
            status = await self.process.wait()
        said = self.said
        self._log.close()
        assert status == 0, f"rune serve --stdio ended with {status}\n{said}"


# --- WebSocket -------------------------------------------------------------------------------------------------------


class SocketLink:
    """A WebSocket."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._session = session

    @classmethod
    async def open(cls, url: str, protocols: tuple[str, ...] = ("mcp",)) -> SocketLink:
        session = aiohttp.ClientSession()
        try:
            return cls(session, await session.ws_connect(url, protocols=protocols, max_msg_size=2**26))
        except BaseException:
            await session.close()
            raise

    async def send(self, text: str) -> None:
        await self.socket.send_str(text)

    async def receive(self) -> str | None:
        message = await self.socket.receive()
        return message.data if message.type == aiohttp.WSMsgType.TEXT else None

    async def close(self) -> None:
        await self.socket.close()
        await self._session.close()


# --- HTTP+SSE --------------------------------------------------------------------------------------------------------


class SseLink:
    """The transport of 2024-11-05: a stream for one way, POSTs for the other."""

    def __init__(self, session: aiohttp.ClientSession, response: aiohttp.ClientResponse, base: str) -> None:
        self._session = session
        self._response = response
        self._base = base
        self._events = read_events(response)
        self.endpoint = ""

    @classmethod
    async def open(cls, base: str, path: str = "/sse") -> SseLink:
        session = aiohttp.ClientSession()
        response = await session.get(f"{base}{path}", headers={"accept": "text/event-stream"})
        link = cls(session, response, base)
        event, _, data = await anext(link._events)
        assert event == "endpoint"
        link.endpoint = data if data.startswith("http") else base + data
        return link

    async def send(self, text: str) -> None:
        async with self._session.post(
            self.endpoint, data=text, headers={"content-type": "application/json"}
        ) as response:
            assert response.status == 202, response.status

    async def receive(self) -> str | None:
        try:
            event, _, data = await anext(self._events)
        except (StopAsyncIteration, aiohttp.ClientError):
            return None
        assert event == "message"
        return data

    async def close(self) -> None:
        self._response.close()
        await self._session.close()


async def read_events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str | None, str]]:
    """Event name, id and data of each event of a stream; keep-alive comments are skipped."""
    event, id, data = "message", None, []
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                event = value
            elif name == "id":
                id = value
            elif name == "data":
                data.append(value)
            else:
                assert name in ("", "retry"), line
        elif data or id is not None:
            yield event, id, "\n".join(data)
            event, id, data = "message", None, []


# --- memory ----------------------------------------------------------------------------------------------------------


class MemoryLink:
    """The server in this process."""

    def __init__(self, wire: MemoryWire) -> None:
        self._wire = wire
        self._over = asyncio.Event()
        self._next: asyncio.Task[bytes] | None = None

    async def send(self, text: str) -> None:
        self._wire.send(text.encode())

    async def receive(self) -> str | None:
        over = asyncio.create_task(self._over.wait())
        frame = asyncio.create_task(self._wire.receive(3600))
        try:
            await asyncio.wait([over, frame], return_when=asyncio.FIRST_COMPLETED)
            return frame.result().decode() if frame.done() else None
        finally:
            over.cancel()
            frame.cancel()

    async def close(self) -> None:
        self._over.set()
        await self._wire.__aexit__()


@asynccontextmanager
async def stdio(path: Path) -> AsyncIterator[Connection]:
    """A connection to a process of its own for a config file."""
    connection = Connection(await StdioLink.open("--config", str(path)))
    try:
        yield connection
    finally:
        await connection.close()
