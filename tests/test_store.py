"""Every store keeps the same promises: one list of tests over all of them."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rune import store as stores
from rune.errors import ConfigError
from rune.store import QUEUE, Channels, MemoryStore, Store
from rune.stores import sqlite
from rune.stores.sqlite import SqliteStore


class Clock:
    """Time that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.skipped = 0.0
        for module in (stores, sqlite):
            real = module.time
            monkeypatch.setattr(module, "time", _Skewed(self, real))


class _Skewed:
    def __init__(self, clock: Clock, real: object) -> None:
        self._clock = clock
        self._real = real

    def time(self) -> float:
        return self._real.time() + self._clock.skipped  # type: ignore[attr-defined, no-any-return]

    def monotonic(self) -> float:
        return self._real.monotonic() + self._clock.skipped  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "deep" / "store.db")
    async with made:
        yield made


async def test_values(store: Store) -> None:
    assert await store.get("k") is None
    assert await store.set("k", b"1")
    assert await store.get("k") == b"1"
    assert await store.set("k", b"2")
    assert await store.get("k") == b"2"
    assert await store.delete("k")
    assert not await store.delete("k")
    assert await store.get("k") is None


async def test_values_expire(store: Store, clock: Clock) -> None:
    await store.set("k", b"1", ttl=10)
    await store.set("for ever", b"2")
    clock.skipped = 9
    assert await store.get("k") == b"1"
    clock.skipped = 11
    assert await store.get("k") is None
    assert await store.set("k", b"3", if_absent=True)
    assert await store.get("for ever") == b"2"


async def test_conditions(store: Store) -> None:
    assert not await store.set("k", b"x", if_equals=b"1")
    assert await store.set("k", b"1", if_absent=True)
    assert not await store.set("k", b"2", if_absent=True)
    assert not await store.set("k", b"2", if_equals=b"0")
    assert await store.set("k", b"2", if_equals=b"1")
    assert await store.get("k") == b"2"


async def test_lists_keep_their_newest(store: Store, clock: Clock) -> None:
    for number in range(5):
        await store.append("l", b"%d" % number, limit=3, ttl=10)
    assert await store.range("l") == [b"2", b"3", b"4"]
    assert await store.range("other") == []
    clock.skipped = 11
    assert await store.range("l") == []
    assert await store.range("l") == []


async def test_what_has_expired_is_thrown_away(store: Store, clock: Clock) -> None:
    await store.set("k", b"1", ttl=1)
    await store.append("l", b"1", limit=3, ttl=1)
    clock.skipped = 120
    await store.set("other", b"2")
    if isinstance(store, MemoryStore):
        assert set(store._values) == {"other"} and not store._lists
    else:
        assert isinstance(store, SqliteStore)
        assert await store._query("select count(*) from entries") == [(1,)]
        assert await store._query("select count(*) from members") == [(0,)]


async def test_messages_reach_every_subscriber(store: Store) -> None:
    async with store.subscribe("c") as one, store.subscribe("c") as two, store.subscribe("d") as other:
        await store.publish("c", b"hello")
        await store.publish("d", b"other")
        async with asyncio.timeout(30):
            assert await anext(one) == b"hello"
            assert await anext(two) == b"hello"
            assert await anext(other) == b"other"
    await store.publish("c", b"nobody hears it")


async def test_a_subscriber_that_does_not_read_loses_the_oldest() -> None:
    channels = Channels()
    async with channels.subscribe("c") as messages:
        assert channels
        for number in range(QUEUE + 2):
            channels.send("c", b"%d" % number)
        assert await anext(messages) == b"2"
    assert not channels


async def test_sqlite_survives_and_is_shared(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with SqliteStore(path) as one, SqliteStore(path) as two:
        await one.set("k", b"1")
        assert await two.get("k") == b"1"
        async with two.subscribe("c") as messages:
            await one.publish("c", b"across")
            async with asyncio.timeout(30):
                assert await anext(messages) == b"across"
        async with two.subscribe("c") as messages:
            await one.publish("c", b"again")
            async with asyncio.timeout(30):
                assert await anext(messages) == b"again"
    async with SqliteStore(path) as three:
        assert await three.get("k") == b"1"


async def test_sqlite_is_readable_for_its_owner_alone(tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "store.db") as store:
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


async def test_sqlite_says_what_is_wrong_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="store"):
        await SqliteStore(tmp_path).__aenter__()
