"""Everything that must outlive a request and can be written down. Memory here; sqlite and others in `stores/`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol, Self

QUEUE: Final = 1024
"""Messages that a subscriber may leave unread before the oldest is dropped."""


class Store(Protocol):
    """Bytes under keys, lists, and messages between processes. `ttl` is in seconds; None keeps for ever."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def get(self, key: str) -> bytes | None:
        """The value, None when there is none or it has expired."""
        ...

    async def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl: float | None = None,
        if_absent: bool = False,
        if_equals: bytes | None = None,
    ) -> bool:
        """Write; with `if_absent` or `if_equals` only when that holds. True when it was written."""
        ...

    async def delete(self, key: str) -> bool:
        """True when there was something to delete."""
        ...

    async def append(self, key: str, value: bytes, *, limit: int, ttl: float | None = None) -> None:
        """Add to the end of a list that keeps its newest `limit` members."""
        ...

    async def range(self, key: str) -> list[bytes]:
        """The members of a list, oldest first."""
        ...

    async def reserve(self, key: str, *, interval: float, tolerance: float, patience: float) -> float | None:
        """Seconds to wait for the next place of a rate, which is taken; None where that would be more than `patience`.
        One step, on the clock of the store: `interval` between two places, early by at most `tolerance`."""
        ...

    async def publish(self, channel: str, message: bytes) -> None:
        """Tell every subscriber, in this process and in others that share the store."""
        ...

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Messages published from now on, as an iterator: `async with store.subscribe(channel) as messages`."""
        ...


class Channels:
    """Subscribers of this process, shared by the stores."""

    def __init__(self) -> None:
        self._queues: dict[str, set[asyncio.Queue[bytes]]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def alone(self, channel: str) -> bool:
        """Whether nobody but one subscriber hears a channel here."""
        return len(self._queues.get(channel, ())) <= 1

    def send(self, channel: str, message: bytes) -> None:
        """Hand a message to the subscribers here; a subscriber that does not read loses its oldest ones."""
        for queue in self._queues.get(channel, ()):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(message)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[bytes]]:
        queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)
        self._queues.setdefault(channel, set()).add(queue)

        async def messages() -> AsyncIterator[bytes]:
            while True:
                yield await queue.get()

        try:
            yield messages()
        finally:
            subscribers = self._queues[channel]
            subscribers.discard(queue)
            if not subscribers:
                del self._queues[channel]


class MemoryStore:
    """A Store for one process that forgets at its end."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[bytes, float | None]] = {}
        self._lists: dict[str, tuple[list[bytes], float | None]] = {}
        self._channels = Channels()
        self._sweep_at = time.monotonic() + 60

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._values.clear()
        self._lists.clear()

    async def get(self, key: str) -> bytes | None:
        value, until = self._values.get(key, (None, None))
        return None if until is not None and until <= time.monotonic() else value

    async def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl: float | None = None,
        if_absent: bool = False,
        if_equals: bytes | None = None,
    ) -> bool:
        if if_absent or if_equals is not None:
            current = await self.get(key)
            if (if_absent and current is not None) or (if_equals is not None and current != if_equals):
                return False
        self._sweep()
        self._values[key] = value, _until(ttl)
        return True

    async def delete(self, key: str) -> bool:
        had = await self.get(key) is not None or bool(await self.range(key))
        self._values.pop(key, None)
        self._lists.pop(key, None)
        return had

    async def append(self, key: str, value: bytes, *, limit: int, ttl: float | None = None) -> None:
        self._sweep()
        members = [*await self.range(key), value][-limit:]
        self._lists[key] = members, _until(ttl)

    async def range(self, key: str) -> list[bytes]:
        members, until = self._lists.get(key, ([], None))
        return [] if until is not None and until <= time.monotonic() else list(members)

    async def reserve(self, key: str, *, interval: float, tolerance: float, patience: float) -> float | None:
        self._sweep()
        kept, now = await self.get(key), time.monotonic()
        wait, due = placed(None if kept is None else float(kept), now, interval, tolerance)
        if wait > patience:
            return None
        self._values[key] = repr(due).encode(), due
        return max(wait, 0.0)

    async def publish(self, channel: str, message: bytes) -> None:
        self._channels.send(channel, message)

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._channels.subscribe(channel)

    def _sweep(self) -> None:
        """Throw away what has expired, once a minute while something is written."""
        now = time.monotonic()
        if now < self._sweep_at:
            return
        self._sweep_at = now + 60
        for kept in (self._values, self._lists):
            for key in [key for key, (_, until) in kept.items() if until is not None and until <= now]:
                kept.pop(key)


def placed(due: float | None, now: float, interval: float, tolerance: float) -> tuple[float, float]:
    """The generic cell rate algorithm: how long the next place is off, and when the one after it is due. What lies in
    the past is as good as nothing."""
    start = now if due is None else max(due, now)
    return start - now - tolerance, start + interval


def _until(ttl: float | None) -> float | None:
    return None if ttl is None else time.monotonic() + ttl
