"""A Store around another one: larger values are compressed while somebody wants that, and read in any case.

A value says which dictionary it needs, and that is kept beside it: neither a restart nor another dictionary, another
version or no plugin at all makes what was written before unreadable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self

from rune.errors import ConfigError, Unavailable
from rune.store import Store

if TYPE_CHECKING:
    from rune.zstd import Press

MARK: Final = b"\xffrune\x01"
"""What is compressed begins with it, the id of its dictionary follows."""
ID: Final = 8
NONE: Final = bytes(ID)
PLAIN: Final = b"\xff" * ID
"""Instead of an id: not compressed, it only begins with the mark itself."""
LEAST: Final = 256
"""Bytes from which on a value is worth it."""
ASIDE: Final = 512 * 1024
"""Bytes from which on the event loop does not wait for it."""


class PressedStore:
    """`press` compresses what is written from now on; None for nobody. `made` makes one of a dictionary."""

    def __init__(self, store: Store, made: Callable[[bytes], Press]) -> None:
        self._store = store
        self._made = made
        self._known: dict[bytes, Press] = {}
        self.press: Press | None = None

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._store.__aexit__(*exc)

    async def learn(self, press: Press) -> None:
        """Keep the dictionary of a press, before anything is compressed with it."""
        if press.dictionary:
            await self._store.set(_place(press.id), press.dictionary, if_absent=True)
        self._known[press.id] = press

    async def get(self, key: str) -> bytes | None:
        raw = await self._store.get(key)
        return raw if raw is None or not raw.startswith(MARK) else await self._plain(raw)

    async def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl: float | None = None,
        if_absent: bool = False,
        if_equals: bytes | None = None,
    ) -> bool:
        raw = await self._packed(value)
        if if_equals is None:
            return await self._store.set(key, raw, ttl=ttl, if_absent=if_absent)
        if if_absent:
            return False
        if not if_equals.startswith(MARK) and await self._store.set(key, raw, ttl=ttl, if_equals=if_equals):
            return True
        # It may stand there in another form; what is compared then is what stands there.
        there = await self._store.get(key)
        if there is None or not there.startswith(MARK) or await self._plain(there) != if_equals:
            return False
        return await self._store.set(key, raw, ttl=ttl, if_equals=there)

    async def delete(self, key: str) -> bool:
        return await self._store.delete(key)

    async def append(self, key: str, value: bytes, *, limit: int, ttl: float | None = None) -> None:
        await self._store.append(key, value, limit=limit, ttl=ttl)

    async def range(self, key: str) -> list[bytes]:
        return await self._store.range(key)

    async def reserve(self, key: str, *, interval: float, tolerance: float, patience: float) -> float | None:
        return await self._store.reserve(key, interval=interval, tolerance=tolerance, patience=patience)

    async def publish(self, channel: str, message: bytes) -> None:
        await self._store.publish(channel, message)

    def subscribe(self, channel: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._store.subscribe(channel)

    def writer(self, path: Path) -> IO[bytes] | None:
        """A new file for something large, compressed as it is written; None where nobody wants that. A dictionary would
        be lost in it: it has none."""
        return None if self.press is None else self._press(b"").writer(path)

    def reader(self, path: Path) -> IO[bytes]:
        """What was written into such a file."""
        return self._press(b"").reader(path)

    async def _packed(self, value: bytes) -> bytes:
        press = self.press
        if press is not None and len(value) >= LEAST:
            large = len(value) >= ASIDE
            packed = await asyncio.to_thread(press.pack_aside, value) if large else press.pack(value)
            if len(packed) + len(MARK) + ID < len(value):
                return b"%b%b%b" % (MARK, press.id, packed)
        return MARK + PLAIN + value if value.startswith(MARK) else value

    async def _plain(self, raw: bytes) -> bytes:
        id, rest = raw[len(MARK) : len(MARK) + ID], raw[len(MARK) + ID :]
        if id == PLAIN:
            return rest
        press = self._known.get(id) or await self._learned(id)
        try:
            return await asyncio.to_thread(press.unpack, rest) if len(rest) >= ASIDE else press.unpack(rest)
        except ValueError as error:
            raise Unavailable(f"store: something that was compressed is damaged: {error}") from None

    async def _learned(self, id: bytes) -> Press:
        """The press for a dictionary that others, or we in former times, have used."""
        dictionary = b"" if id == NONE else await self._store.get(_place(id))
        if dictionary is None:
            raise Unavailable(f"store: the dictionary {id.hex()} is gone", hint="what was compressed with it is lost")
        try:
            return self._press(dictionary, id)
        except ConfigError as error:
            raise Unavailable(f"store: something was compressed: {error.message}", hint=error.hint) from None

    def _press(self, dictionary: bytes, id: bytes = NONE) -> Press:
        if id not in self._known:
            self._known[id] = self._made(dictionary)
        return self._known[id]


def _place(id: bytes) -> str:
    return f"dictionary/{id.hex()}"
