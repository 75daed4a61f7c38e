"""A Store in one sqlite file: survives a restart and a kill, and may be shared by the processes of one machine."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from rune.errors import ConfigError
from rune.store import Channels, placed

T = TypeVar("T")

POLL: Final = 0.1
"""Seconds between two looks for messages of other processes, while somebody here is subscribed."""
MESSAGE_TTL: Final = 60.0

_SCHEMA = """
create table if not exists entries (key text primary key, value blob not null, until real) without rowid;
create table if not exists members (
    id integer primary key autoincrement, key text not null, value blob not null, until real
);
create index if not exists members_key on members (key, id);
create table if not exists messages (
    id integer primary key autoincrement, channel text not null, body blob not null, sender blob not null,
    at real not null
);
"""


class SqliteStore:
    """One connection, used by one thread, so that the event loop never waits for the disk."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._thread = ThreadPoolExecutor(1, "rune-store")
        self._channels = Channels()
        self._me = os.urandom(8)
        self._poller: asyncio.Task[None] | None = None
        self._db: sqlite3.Connection
        self._swept = 0.0

    async def __aenter__(self) -> Self:
        await self._do(self._open)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.wait([self._poller])
        await self._do(lambda: self._db.close())
        self._thread.shutdown()

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # The file holds the key ring: nobody else may read it.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = normal")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"store {self.path}: {error}", hint="name a file that can be written") from None

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _alone(self, work: Callable[[], T]) -> T:
        """Do something that nobody else may come between."""
        self._sweep(time.time())
        self._db.execute("begin immediate")
        try:
            done = work()
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")
        return done

    def _row(self, key: str, now: float) -> Any:
        return self._db.execute(
            "select value from entries where key = ? and (until is null or until > ?)", (key, now)
        ).fetchone()

    async def _query(self, sql: str, *values: Any) -> list[Any]:
        return await self._do(lambda: self._db.execute(sql, values).fetchall())

    async def get(self, key: str) -> bytes | None:
        row = await self._do(lambda: self._row(key, time.time()))
        return None if row is None else row[0]

    async def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl: float | None = None,
        if_absent: bool = False,
        if_equals: bytes | None = None,
    ) -> bool:
        until = None if ttl is None else time.time() + ttl

        def work() -> bool:
            now = time.time()
            row = self._row(key, now)
            free = not (if_absent and row) and (if_equals is None or (row is not None and row[0] == if_equals))
            if free:
                self._db.execute("replace into entries values (?, ?, ?)", (key, value, until))
            return free

        return await self._do(lambda: self._alone(work))

    async def delete(self, key: str) -> bool:
        def work() -> bool:
            gone = self._db.execute("delete from entries where key = ?", (key,)).rowcount
            return gone + self._db.execute("delete from members where key = ?", (key,)).rowcount > 0

        return await self._do(work)

    async def append(self, key: str, value: bytes, *, limit: int, ttl: float | None = None) -> None:
        until = None if ttl is None else time.time() + ttl

        def work() -> None:
            self._db.execute("insert into members (key, value, until) values (?, ?, ?)", (key, value, until))
            self._db.execute("update members set until = ? where key = ?", (until, key))
            self._db.execute(
                "delete from members where key = ? and id not in "
                "(select id from members where key = ? order by id desc limit ?)",
                (key, key, limit),
            )

        await self._do(work)

    async def range(self, key: str) -> list[bytes]:
        rows = await self._query(
            "select value from members where key = ? and (until is null or until > ?) order by id", key, time.time()
        )
        return [row[0] for row in rows]

    async def reserve(self, key: str, *, interval: float, tolerance: float, patience: float) -> float | None:
        def work() -> float | None:
            now = time.time()
            row = self._row(key, now)
            wait, due = placed(None if row is None else float(row[0]), now, interval, tolerance)
            if wait > patience:
                return None
            self._db.execute("replace into entries values (?, ?, ?)", (key, repr(due).encode(), due))
            return max(wait, 0.0)

        return await self._do(lambda: self._alone(work))

    async def publish(self, channel: str, message: bytes) -> None:
        self._channels.send(channel, message)
        await self._query(
            "insert into messages (channel, body, sender, at) values (?, ?, ?, ?)",
            channel,
            message,
            self._me,
            time.time(),
        )

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._channels.subscribe(channel) as messages:
            if self._poller is None or self._poller.done():
                last = (await self._query("select coalesce(max(id), 0) from messages"))[0][0]
                self._poller = asyncio.create_task(self._poll(last))
            yield messages

    async def _poll(self, last: int) -> None:
        """Messages of other processes, as long as somebody here wants them."""
        while self._channels:
            rows = await self._query(
                "select id, channel, body from messages where id > ? and sender != ? order by id", last, self._me
            )
            for id, channel, body in rows:
                last = id
                self._channels.send(channel, body)
            await asyncio.sleep(POLL)

    def _sweep(self, now: float) -> None:
        """Throw away what has expired, once a minute while something is written."""
        if now < self._swept + 60:
            return
        self._swept = now
        self._db.execute("delete from entries where until <= ?", (now,))
        self._db.execute("delete from members where until <= ?", (now,))
        self._db.execute("delete from messages where at < ?", (now - MESSAGE_TTL,))
