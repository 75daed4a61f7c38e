"""Calls over something that carries whole messages both ways: a child process, a WebSocket, memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from rune.aio import NEVER, Alarm
from rune.client.calls import TAKEN, Call, Inbox, Lost, Wire
from rune.errors import TimedOut
from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import Envelope
from rune.wires.allowance import UNASKED, Allowance
from rune.wires.child import Child

log = logging.getLogger("rune.client")

HIGH_WATER: Final = 4 << 20
"""Bytes that may wait to be sent before calls wait for room."""


class Carrier(Protocol):
    """What carries the messages; `Child` is one."""

    name: str

    async def open(self, on_line: Callable[[bytes], None], on_end: Callable[[str], None]) -> None: ...

    async def close(self) -> None: ...

    def send(self, line: bytes) -> None: ...

    def hold(self, seconds: float) -> None: ...

    @property
    def full(self) -> bool: ...

    async def room(self) -> None: ...

    @property
    def last_words(self) -> list[str]: ...


class Queued:
    """A carrier whose tasks read, and send what is queued here; how they do so is for who inherits."""

    last_words: list[str] = []

    def __init__(self, name: str) -> None:
        self.name = name
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._queued = 0
        self._room = asyncio.Event()
        self._room.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._on_end: Callable[[str], None] = lambda reason: None
        self._ended = False
        self._held = 0.0

    def send(self, line: bytes) -> None:
        self._queued += len(line)
        if self._queued >= HIGH_WATER:
            self._room.clear()
        self._queue.put_nowait(line)

    def _sent(self, line: bytes) -> None:
        """A line of the queue is on its way."""
        self._queued -= len(line)
        if self._queued < HIGH_WATER:
            self._room.set()

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    async def room(self) -> None:
        await self._room.wait()

    def hold(self, seconds: float) -> None:
        self._held = seconds

    async def _pause(self) -> None:
        """Read nothing for as long as `hold` says."""
        if self._held:
            held, self._held = self._held, 0.0
            await asyncio.sleep(held)

    def _end(self, reason: str) -> None:
        if not self._ended:
            self._ended = True
            self._room.set()
            self._on_end(reason)

    async def _stop(self, reason: str) -> None:
        """End the tasks, and with them the carrier."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._end(reason)


def command(
    name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | None = None
) -> Callable[[], Wire]:
    """How to reach a server that is a command: each call gives a new process, not yet started."""
    return lambda: Duplex(Child(name, argv, env=env, cwd=cwd))


class Duplex:
    """A Wire on which all calls and all notifications share one stream."""

    http = False

    def __init__(self, carrier: Carrier) -> None:
        self.name = carrier.name
        self.headers: dict[str, str] = {}
        self.lost: str | None = None
        self._carrier = carrier
        self._waiting: dict[int, tuple[Call, asyncio.Future[Envelope]]] = {}
        self._inbox: Inbox = lambda envelope, call: None
        self._on_lost: Callable[[], None] = lambda: None
        self._noise = False
        self._alarm = Alarm(self._late)
        self._unasked = Allowance(*UNASKED)

    @property
    def last_words(self) -> list[str]:
        return self._carrier.last_words

    async def open(self, inbox: Inbox, on_lost: Callable[[], None]) -> None:
        self._inbox, self._on_lost = inbox, on_lost
        self._loop = asyncio.get_running_loop()
        await self._carrier.open(self._received, self._ended)

    async def close(self) -> None:
        await self._carrier.close()
        self._alarm.stop()

    def older(self) -> Wire | None:
        return None

    async def exchange(self, call: Call) -> Envelope:
        if self._carrier.full and self.lost is None:
            await self._room(call)
        if self.lost is not None:
            raise Lost(f"{self.name}: {self.lost}", sent=False)
        future: asyncio.Future[Envelope] = self._loop.create_future()
        self._waiting[call.id] = call, future
        if call.deadline is not None:
            self._alarm.at(call.deadline)
        self._carrier.send(call.frame)
        try:
            return await future
        finally:
            self._waiting.pop(call.id, None)

    async def _room(self, call: Call) -> None:
        try:
            async with asyncio.timeout_at(call.deadline):
                await self._carrier.room()
        except TimeoutError:
            raise TimedOut(f"{self.name}: does not read what it is sent") from None

    def _late(self, now: float) -> float:
        """End the calls whose time is over; when the next one will be."""
        first = NEVER
        for call, future in self._waiting.values():
            if future.done() or call.deadline is None:
                continue
            if call.deadline <= now:
                future.set_exception(TimedOut(f"{self.name}: no answer to {call.method} in time"))
            else:
                first = min(first, call.deadline)
        return first

    def post(self, frame: bytes) -> None:
        # Cancellations and refusals for a child that reads nothing would pile up without end.
        if self.lost is None and not self._carrier.full:
            self._carrier.send(frame)

    async def tell(self, frame: bytes) -> None:
        self.post(frame)

    async def leave(self) -> None:
        """The end of its input tells a child enough."""

    async def listen(self, opened: Callable[[], object]) -> None:
        opened()

    def _received(self, line: bytes) -> None:
        if self._taken_out(line):
            return
        asked = False
        try:
            batch = None if line[:1] == b"{" else jsonrpc.read_batch(line)
            for member in (line,) if batch is None else batch:
                asked = self._dispatch(jsonrpc.read(member)) or asked
        except jsonrpc.Malformed as error:
            asked = self._broken(line, error)
        if not asked:
            wait = self._unasked.spend(1 + len(line) / 1024, self._loop.time())
            if wait:
                self._carrier.hold(wait)

    def _taken_out(self, line: bytes) -> bool:
        """Whether it was the usual frame around the result of a call that is waited for."""
        found = jsonrpc.unframed(line)
        waiting = None if found is None else self._waiting.get(found[0])
        if found is None or waiting is None or waiting[1].done():
            return False
        call, future = waiting
        _, call.result, call.top = found
        call.over = True
        future.set_result(TAKEN)
        return True

    def _dispatch(self, envelope: Envelope) -> bool:
        """Whether it was an answer that somebody waits for."""
        if isinstance(envelope.method, str):
            self._inbox(envelope, None)
            return False
        future = self._awaited(envelope.id)
        if future is None:
            self._inbox(envelope, None)
            return False
        future.set_result(envelope)
        return True

    def _broken(self, line: bytes, error: jsonrpc.Malformed) -> bool:
        """The same of something that is no JSON-RPC; noise is told once."""
        future = self._awaited(error.id)
        if future is not None:
            future.set_exception(Lost(f"{self.name}: answered with something that is no JSON-RPC: {error}"))
            return True
        if not self._noise:
            self._noise = True
            log.warning("%s: wrote something else than JSON-RPC to stdout: %.80r (%s)", self.name, line, error)
        return False

    def _awaited(self, id: object) -> asyncio.Future[Envelope] | None:
        """Who waits for this response, if anybody still does."""
        call, future = self._waiting.get(id, (None, None)) if isinstance(id, int) else (None, None)
        if call is None or future is None or future.done():
            return None
        call.over = True
        return future

    def _ended(self, reason: str) -> None:
        self.lost = "\n".join((reason, *(f"  stderr: {line}" for line in self._carrier.last_words[-3:])))
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(Lost(f"{self.name}: {self.lost}"))
        self._on_lost()
