"""Load over Streamable HTTP, and what a connected client costs in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

from bench.load.connection import Connection, Stream
from bench.load.messages import HELLO, LEGACY, LISTEN, MODERN, READY, Messages, WrongAnswer, decode
from bench.load.proc import cpu_seconds, percentile, rss_kb

WARM_UP: Final = 0.3
WARM_CALLS: Final = 200
SETTLE: Final = 0.5
PATIENCE: Final = 60.0


class Client:
    """One MCP client: a connection, in the legacy era a session, and a standing stream if it listens."""

    def __init__(self, url: str, messages: Messages) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path or "/"
        self._messages = messages
        self._headers = messages.headers()
        self._post = b""
        self._connection = Connection()
        self._stream: Stream | None = None

    @property
    def alive(self) -> bool:
        """Whether the server has kept everything open."""
        return not self._connection.closed and not (self._stream and self._stream.closed)

    async def open(self) -> None:
        await self._connect(self._connection)
        if self._messages.era == "legacy":
            await self._shake_hands()
        self._post = self._head("POST", self._headers) + b"Content-Length: %d\r\n\r\n"

    async def call(self, number: int) -> None:
        """One request, and the check of its answer."""
        body = self._messages.request(number)
        reply = await self._connection.exchange(self._post % len(body) + body)
        if reply.status != 200:
            raise WrongAnswer(f"request {number}: status {reply.status}: {reply.body[:300]!r}")
        self._messages.check(reply.body, number)

    async def listen(self) -> None:
        """Hold a stream as real clients do: `subscriptions/listen`, in the legacy era a GET."""
        self._stream = Stream()
        await self._connect(self._stream)
        if self._messages.era == "modern":
            headers = f"Mcp-Protocol-Version: {MODERN}\r\nMcp-Method: subscriptions/listen\r\n"
            request = self._head("POST", headers) + b"Content-Length: %d\r\n\r\n" % len(LISTEN) + LISTEN
        else:
            request = self._head("GET", self._headers) + b"\r\n"
        reply = await self._stream.exchange(request)
        if reply.status != 200 or b"text/event-stream" not in (reply.header(b"content-type") or b""):
            raise WrongAnswer(f"no stream: {reply.head[:300]!r} {reply.body[:300]!r}")

    async def close(self) -> None:
        """End the session, so that it is not there to slow down the next measurement."""
        if self._messages.era == "legacy" and not self._connection.closed:
            await self._connection.exchange(self._head("DELETE", self._headers) + b"\r\n")
        self.drop()

    def drop(self) -> None:
        """Cut the connections, whatever is on its way."""
        self._connection.cut()
        if self._stream is not None:
            self._stream.cut()

    async def _connect(self, connection: Connection) -> None:
        await asyncio.get_running_loop().create_connection(lambda: connection, self._host, self._port)

    async def _shake_hands(self) -> None:
        hello = self._head("POST", "") + b"Content-Length: %d\r\n\r\n" % len(HELLO) + HELLO
        reply = await self._connection.exchange(hello)
        session = reply.header(b"mcp-session-id")
        if reply.status != 200 or "result" not in decode(reply.body) or session is None:
            raise WrongAnswer(f"initialize: {reply.head[:300]!r} {reply.body[:300]!r}")
        self._headers = f"Mcp-Protocol-Version: {LEGACY}\r\nMcp-Session-Id: {session.decode()}\r\n"
        ready = self._head("POST", self._headers) + b"Content-Length: %d\r\n\r\n" % len(READY) + READY
        reply = await self._connection.exchange(ready)
        if reply.status not in (200, 202, 204):
            raise WrongAnswer(f"notifications/initialized: {reply.head[:300]!r} {reply.body[:300]!r}")

    def _head(self, verb: str, headers: str) -> bytes:
        """A request's head but for its length and the empty line."""
        return (
            f"{verb} {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\n{headers}"
        ).encode()


@dataclass(frozen=True, slots=True)
class Target:
    """The server under load; without pids its own cost is not measured."""

    url: str
    pids: Sequence[int] = ()


async def load(target: Target, messages: Messages, clients: int, seconds: float) -> dict[str, Any]:
    """Let the clients call without a pause for so long, each waiting for its answer."""
    async with asyncio.timeout(seconds + WARM_UP + PATIENCE), _clients(target, messages, clients) as users:
        numbers = count(1)
        for user in users:
            await user.open()
            await user.call(next(numbers))
        await _together(users, numbers, WARM_UP)

        server, loader, begin = cpu_seconds(target.pids), time.process_time(), time.perf_counter()
        times = await _together(users, numbers, seconds)
        wall = time.perf_counter() - begin
        server, loader = cpu_seconds(target.pids) - server, time.process_time() - loader

        memory = rss_kb(target.pids)
        for user in users:
            await user.close()
    answered = len(times)
    return {
        "era": messages.era,
        "clients": clients,
        "answered": answered,
        "per_second": round(answered / wall),
        "p50_ms": round(percentile(times, 0.5) * 1e3, 3),
        "p99_ms": round(percentile(times, 0.99) * 1e3, 3),
        "cpu_us": round(server / answered * 1e6, 2) if target.pids else None,
        "load_us": round(loader / answered * 1e6, 2),
        "rss_mb": round(memory / 1024, 1) if target.pids else None,
    }


@asynccontextmanager
async def _clients(target: Target, messages: Messages, number: int) -> AsyncIterator[list[Client]]:
    """Clients that leave nothing open behind them, however it ends."""
    users = [Client(target.url, messages) for _ in range(number)]
    try:
        yield users
    finally:
        for user in users:
            user.drop()


async def _together(users: Sequence[Client], numbers: count[int], seconds: float) -> list[float]:
    """The sorted times of all calls. The first error ends them all."""
    clock = time.perf_counter
    end = clock() + seconds
    times: list[float] = []

    async def run(user: Client) -> None:
        while (begin := clock()) < end:
            await user.call(next(numbers))
            times.append(clock() - begin)

    async with asyncio.TaskGroup() as group:
        for user in users:
            group.create_task(run(user))
    return sorted(times)


async def memory(target: Target, messages: Messages, clients: int, *, listen: bool) -> dict[str, Any]:
    """Connect so many clients, let each call once, and see how the server has grown."""
    async with asyncio.timeout(PATIENCE * 2), _clients(target, messages, clients + 1) as (first, *users):
        idle = rss_kb(target.pids)
        numbers = count(1)
        await first.open()
        for _ in range(WARM_CALLS):  # what any first calls cost is not charged to the clients
            await first.call(next(numbers))
        warm = rss_kb(target.pids)
        for user in users:
            await user.open()
            await user.call(next(numbers))
            if listen:
                await user.listen()
        await asyncio.sleep(SETTLE)
        full = rss_kb(target.pids)
        lost = sum(not user.alive for user in users)
        for user in (first, *users):
            await user.close()
    if lost:
        raise WrongAnswer(f"{lost} of {clients} clients were disconnected")
    return {
        "era": messages.era,
        "clients": clients,
        "listen": listen,
        "idle_mb": round(idle / 1024, 1),
        "rss_mb": round(full / 1024, 1),
        "kb_per_client": round((full - warm) / clients, 2),
    }
