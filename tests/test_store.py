"""Every store keeps the same promises: one list of tests over all of them."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from rune import store as stores
from rune.errors import ConfigError
from rune.store import QUEUE, Channels, MemoryStore, Store
from rune.stores import sqlite
from rune.stores.redis import RedisStore
from rune.stores.sqlite import SqliteStore


class Clock:
    """Time that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.skipped = 0.0
        for module in (stores, sqlite):
            real = module.time
            monkeypatch.setattr(module, "time", _Skewed(self, real))

    async def skip(self, store: Store, seconds: float) -> None:
        """Let time pass. Redis has a clock of its own: there everything has less time left."""
        self.skipped += seconds
        if isinstance(store, RedisStore):
            for key in await store._redis.keys("*"):
                left = await store._redis.pttl(key)
                if left >= 0:
                    await store._redis.pexpire(key, int(left - seconds * 1000))


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


@pytest.fixture(params=["memory", "sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Callable[[], Store]]:
    """Gives a store each time; all of them are the same one."""
    memory = MemoryStore()
    if request.param == "redis":
        server = request.getfixturevalue("redis")
        server.ask("FLUSHALL")
        yield lambda: RedisStore(server.url)
    else:
        yield lambda: memory if request.param == "memory" else SqliteStore(tmp_path / "deep" / "store.db")


@pytest.fixture
async def store(make: Callable[[], Store]) -> AsyncIterator[Store]:
    async with make() as made:
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
    await clock.skip(store, 9)
    assert await store.get("k") == b"1"
    await clock.skip(store, 2)
    assert await store.get("k") is None
    assert await store.set("k", b"3", if_absent=True)
    assert await store.get("for ever") == b"2"


async def test_values_are_bytes_of_any_kind_and_size(store: Store) -> None:
    for value in (b"", b"\0\xff", bytes(range(256)) * 20_000):
        assert await store.set("ключ\0 {x}", value)
        assert await store.get("ключ\0 {x}") == value
        assert await store.set("ключ\0 {x}", b"new", if_equals=value)


async def test_a_value_and_a_list_of_one_name_are_two_things(store: Store) -> None:
    await store.set("k", b"1")
    await store.append("k", b"2", limit=3)
    assert await store.get("k") == b"1"
    assert await store.range("k") == [b"2"]
    assert await store.delete("k")
    assert (await store.get("k"), await store.range("k")) == (None, [])


async def test_one_of_many_who_write_at_once_has_written(make: Callable[[], Store]) -> None:
    async with make() as one, make() as two:
        first = await asyncio.gather(*(each.set("k", b"x", if_absent=True) for each in (one, two) for _ in range(10)))
        later = await asyncio.gather(*(each.set("k", b"y", if_equals=b"x") for each in (one, two) for _ in range(10)))
        assert (sum(first), sum(later)) == (1, 1)


async def test_places_of_a_rate(make: Callable[[], Store], clock: Clock) -> None:
    async with make() as one, make() as two:

        async def reserve(store: Store, key: str, patience: float = 0.0) -> float | None:
            # Five at once, then one in a thousand seconds.
            return await store.reserve(key, interval=1000, tolerance=4001, patience=patience)

        taken = await asyncio.gather(*(reserve(each, "ada") for each in (one, two) for _ in range(10)))
        assert sorted(wait is None for wait in taken) == [False] * 5 + [True] * 15
        assert {wait for wait in taken if wait is not None} == {0}
        assert await reserve(two, "bob") == 0
        # Who can wait gets the place after those that were taken; who was refused has taken none.
        assert await reserve(one, "ada", 10_000) == pytest.approx(999, abs=30)
        assert await reserve(two, "ada", 10_000) == pytest.approx(1999, abs=30)
        assert await reserve(two, "ada", 1000) is None
        await clock.skip(one, 100_000)
        assert await reserve(two, "ada") == 0


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
    await clock.skip(store, 11)
    assert await store.range("l") == []
    assert await store.range("l") == []


async def test_what_has_expired_is_thrown_away(store: Store, clock: Clock) -> None:
    await store.set("k", b"1", ttl=1)
    await store.append("l", b"1", limit=3, ttl=1)
    await clock.skip(store, 120)
    await store.set("other", b"2")
    if isinstance(store, MemoryStore):
        assert set(store._values) == {"other"} and not store._lists
    elif isinstance(store, RedisStore):
        assert await store._redis.dbsize() == 1
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


async def test_messages_cross_from_one_to_another(make: Callable[[], Store]) -> None:
    async with make() as one, make() as two:
        for _ in range(2):
            async with two.subscribe("c") as messages, two.subscribe("d") as other:
                await one.publish("c", b"across")
                await one.publish("d", b"\xff\0")
                async with asyncio.timeout(30):
                    assert await anext(messages) == b"across"
                    assert await anext(other) == b"\xff\0"


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
