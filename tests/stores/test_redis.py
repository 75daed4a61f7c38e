"""What only a store on another machine can do: be away, come back, want a password, say nothing."""

from __future__ import annotations

import asyncio
import logging

import pytest

from rune.errors import ConfigError, Unavailable
from rune.stores import redis
from rune.stores.redis import RedisStore
from tests.peers import free_port
from tests.redisserver import RedisServer

PASSWORD = "s3cret/#@pw"
QUOTED = "s3cret%2F%23%40pw"


async def again(job):
    """What a job says once Redis is back."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await job()
            except Unavailable:
                await asyncio.sleep(0.02)


async def test_what_is_asked_while_it_is_away_fails_and_then_all_goes_on(caplog):
    with RedisServer.running() as server:
        async with RedisStore(server.url) as store, store.subscribe("c") as messages:
            rate = {"interval": 1000.0, "tolerance": 1.0, "patience": 0.0}
            assert await store.reserve("k", **rate) == 0
            assert await store.set("k", b"1", if_equals=b"2") is False
            server.kill()
            for job in (
                lambda: store.get("k"), lambda: store.set("k", b"1"), lambda: store.set("k", b"1", if_equals=b"2"),
                lambda: store.delete("k"), lambda: store.append("k", b"1", limit=2), lambda: store.range("k"),
                lambda: store.publish("c", b"1"), lambda: store.reserve("k", **rate),
            ):  # fmt: skip
                with pytest.raises(Unavailable, match=f"^store unix://{server.path}: "):
                    await job()
            async with asyncio.timeout(30):
                while "no messages of other nodes" not in caplog.text:
                    await asyncio.sleep(0.01)
            server.start()
            assert await again(lambda: store.set("k", b"1"))
            # It has forgotten its scripts, too.
            assert await store.reserve("r", **rate) == 0
            assert await store.reserve("r", **rate) is None

            hearing = asyncio.ensure_future(anext(messages))
            async with asyncio.timeout(30):
                while not hearing.done():
                    # The one who listens opens its connection again in its own time.
                    await store.publish("c", b"again")
                    await asyncio.wait({hearing}, timeout=0.05)
            assert await hearing == b"again"


async def test_one_that_says_nothing_is_not_waited_for_for_long(monkeypatch):
    monkeypatch.setattr(redis, "ANSWER", 2.0)
    with RedisServer.running() as server:
        async with RedisStore(server.url) as store:
            await store.set("k", b"1")
            server.stall()
            try:
                async with asyncio.timeout(30):
                    with pytest.raises(Unavailable, match="Timeout"):
                        await store.get("k")
            finally:
                server.go_on()
            assert await again(lambda: store.get("k")) == b"1"


async def test_passwords_are_said_to_redis_alone(caplog):
    caplog.set_level(logging.DEBUG)
    port = free_port()
    with RedisServer.running("--requirepass", PASSWORD, port=port) as server:
        async with RedisStore(f"redis://:{QUOTED}@127.0.0.1:{port}/3") as store:
            assert await store.set("k", b"1") and await store.get("k") == b"1"
            assert store.shown == f"redis://127.0.0.1:{port}/3"
            server.kill()
            with pytest.raises(Unavailable) as away:
                await store.get("k")
        server.start()
        with pytest.raises(ConfigError, match=f"store redis://127.0.0.1:{port}/0: ") as wrong:
            await RedisStore(f"redis://:x{QUOTED}@127.0.0.1:{port}").__aenter__()
        with pytest.raises(ConfigError, match=r"(?i)auth"):
            await RedisStore(f"redis://127.0.0.1:{port}").__aenter__()
    for error in (away.value, wrong.value):
        assert "s3cret" not in f"{error} {error.hint} {error.__cause__}"
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("url", [f"redis://:{PASSWORD}@127.0.0.1:1", "redis://h:port", "redis://h/0?socket_timeout=x"])
def test_a_url_that_is_none_is_not_repeated(url):
    with pytest.raises(ConfigError) as refused:
        RedisStore(url)
    assert "s3cret" not in f"{refused.value} {refused.value.hint}" and "%-encode" in str(refused.value.hint)


async def test_nobody_there_is_said_at_the_start():
    with pytest.raises(ConfigError, match=r"store redis://127\.0\.0\.1:1/0: .*Connect call failed"):
        await RedisStore("redis://127.0.0.1:1").__aenter__()


async def test_who_was_cancelled_hears_nothing_more():
    with RedisServer.running() as server:
        async with RedisStore(server.url) as store, store.subscribe("other"):
            ready = asyncio.Event()

            async def hear():
                async with store.subscribe("c"):
                    ready.set()
                    await asyncio.Event().wait()

            hearing = [asyncio.create_task(hear()) for _ in range(2)]
            await ready.wait()
            for each in hearing:
                each.cancel()
            await asyncio.wait(hearing)
            async with asyncio.timeout(30):
                while b"{rune}:channel:c" in await store._redis.pubsub_channels():
                    await asyncio.sleep(0.02)
            assert b"{rune}:channel:other" in await store._redis.pubsub_channels()
