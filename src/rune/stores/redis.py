"""A Store in Redis, or in what speaks like it: shared by nodes that share nothing else."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, NoScriptError, RedisError

from rune.errors import ConfigError, Unavailable
from rune.store import Channels

log = logging.getLogger("rune.store")

CONNECT: Final = 2.0
"""Seconds that a connection may take to open."""
ANSWER: Final = 4.0
"""Seconds that an answer may take; less than plugins have."""
CONNECTIONS: Final = 32
BEAT: Final = 15.0
"""Seconds of silence after which the connection for messages is asked whether it is alive."""
AGAIN: Final = (0.05, 2.0)
"""Seconds until it is opened again: the first time, and at most."""

# Values, lists and messages have the same names, but not the same place. The braces keep them in one slot of a cluster.
_VALUE: Final = "{rune}:value:"
_LIST: Final = "{rune}:list:"
_CHANNEL: Final = "{rune}:channel:"

_IF_EQUALS: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""
# Times are in microseconds, on the clock of Redis: those of the nodes need not agree.
_RESERVE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = due - now - tonumber(ARGV[2])
if wait > tonumber(ARGV[3]) then return false end
due = due + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.17g', due), 'PX', string.format('%.0f', math.ceil((due - now) / 1000) + 1))
return string.format('%.17g', math.max(wait, 0))
"""


class RedisStore:
    """Connections are opened when they are needed, and again when they were lost; what was asked meanwhile fails."""

    def __init__(self, url: str) -> None:
        try:
            pool: Any = BlockingConnectionPool.from_url(
                url, max_connections=CONNECTIONS, timeout=ANSWER, socket_connect_timeout=CONNECT, socket_timeout=ANSWER,
                retry=Retry(NoBackoff(), 1, (ConnectionError,)), client_name="rune",
            )  # fmt: skip
        except (ValueError, TypeError):
            # What is wrong with it may be a password with a sign that ends it: nothing of it is said.
            raise ConfigError(
                "store: no URL of a Redis",
                hint="redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER]; %-encode what is special in a password",
            ) from None
        self._redis: Any = Redis(connection_pool=pool)
        self.shown = _shown(pool.connection_kwargs)
        """Where it is, without credentials."""
        self._scripts: dict[str, str] = {}
        self._channels = Channels()
        self._ear: Ear | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            await self._redis.aclose(close_connection_pool=True)
            raise ConfigError(f"store {self.shown}: {_said(error)}", hint="start it, or name another store") from None
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._ear is not None:
            await self._ear.close()
        await self._redis.aclose(close_connection_pool=True)

    async def get(self, key: str) -> bytes | None:
        with self._there():
            value: bytes | None = await self._redis.get(_VALUE + key)
            return value

    async def set(
        self,
        key: str,
        value: bytes,
        *,
        ttl: float | None = None,
        if_absent: bool = False,
        if_equals: bytes | None = None,
    ) -> bool:
        px = None if ttl is None else _milliseconds(ttl)
        with self._there():
            if if_equals is None:
                return bool(await self._redis.set(_VALUE + key, value, px=px, nx=if_absent))
            if if_absent:
                return False
            return bool(await self._run(_IF_EQUALS, _VALUE + key, if_equals, value, "" if px is None else px))

    async def delete(self, key: str) -> bool:
        with self._there():
            return bool(await self._redis.delete(_VALUE + key, _LIST + key))

    async def append(self, key: str, value: bytes, *, limit: int, ttl: float | None = None) -> None:
        name = _LIST + key
        with self._there():
            async with self._redis.pipeline(transaction=True) as all:
                all.rpush(name, value).ltrim(name, -limit, -1)
                all.persist(name) if ttl is None else all.pexpire(name, _milliseconds(ttl))
                await all.execute()

    async def range(self, key: str) -> list[bytes]:
        with self._there():
            members: list[bytes] = await self._redis.lrange(_LIST + key, 0, -1)
            return members

    async def reserve(self, key: str, *, interval: float, tolerance: float, patience: float) -> float | None:
        times = (repr(seconds * 1e6) for seconds in (interval, tolerance, patience))
        with self._there():
            wait = await self._run(_RESERVE, _VALUE + key, *times)
            return None if wait is None else float(wait) / 1e6

    async def publish(self, channel: str, message: bytes) -> None:
        with self._there():
            await self._redis.publish(_CHANNEL + channel, message)

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[AsyncIterator[bytes]]:
        ear = self._ear = self._ear or Ear(self._redis, self._channels, self.shown)
        async with self._channels.subscribe(channel) as messages:
            with self._there():
                await ear.hear(channel)
            try:
                yield messages
            finally:
                if self._channels.alone(channel):
                    await ear.leave(channel)

    async def _run(self, script: str, *arguments: Any) -> Any:
        """One round trip: Redis knows a script by its digest once it has seen it."""
        digest = self._scripts.get(script)
        if digest is None:
            digest = self._scripts[script] = await self._redis.script_load(script)
        try:
            return await self._redis.evalsha(digest, 1, *arguments)
        except NoScriptError:
            # It has been started anew.
            return await self._redis.eval(script, 1, *arguments)

    @contextmanager
    def _there(self) -> Iterator[None]:
        """What goes wrong with Redis is an error of ours."""
        try:
            yield
        except (RedisError, OSError) as error:
            raise Unavailable(f"store {self.shown}: {_said(error)}", hint="is Redis there? rune tries again") from None


class Ear:
    """The connection for messages: one for all channels, opened again as often as need be. What was published while
    there was none is lost."""

    def __init__(self, redis: Any, channels: Channels, shown: str) -> None:
        self._redis = redis
        self._channels = channels
        self._shown = shown
        self._heard: dict[str, asyncio.Event] = {}
        self._pubsub: PubSub | None = None
        self._task = asyncio.create_task(self._run())

    async def hear(self, channel: str) -> None:
        """Returns when Redis will pass on the messages of a channel.

        Raises:
            TimeoutError: it does not say so in time.
        """
        heard = self._heard.get(channel)
        if heard is None:
            heard = self._heard[channel] = asyncio.Event()
            # Where there is no connection now, whoever opens it takes all channels with it.
            await self._tell(lambda pubsub: pubsub.subscribe(_CHANNEL + channel))
        async with asyncio.timeout(ANSWER):
            await heard.wait()

    async def leave(self, channel: str) -> None:
        """Nobody here hears it any more."""
        self._heard.pop(channel, None)
        await self._tell(lambda pubsub: pubsub.unsubscribe(_CHANNEL + channel))

    async def close(self) -> None:
        """Hear nothing more."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _tell(self, word: Any) -> None:
        if self._pubsub is not None:
            # A connection that is just being lost is opened again by `_run`.
            with suppress(RedisError, OSError):
                await _awaited(word(self._pubsub))

    async def _run(self) -> None:
        pause = AGAIN[0]
        while True:
            pubsub = self._redis.pubsub()
            try:
                # A channel of our own, so that there is always one.
                await pubsub.subscribe(_CHANNEL, *(_CHANNEL + channel for channel in self._heard))
                self._pubsub, pause = pubsub, AGAIN[0]
                await self._hear(pubsub)
            except (RedisError, OSError) as error:
                log.warning("store %s: no messages of other nodes: %s; trying again", self._shown, _said(error))
            finally:
                self._pubsub = None
                for heard in self._heard.values():
                    heard.clear()
                with suppress(RedisError, OSError):
                    await pubsub.aclose()
            await asyncio.sleep(pause)
            pause = min(2 * pause, AGAIN[1])

    async def _hear(self, pubsub: PubSub) -> None:
        silent = False
        while True:
            message = await pubsub.get_message(timeout=BEAT)
            if message is None:
                if silent:
                    raise TimeoutError("no sign of life")
                silent = True
                await _awaited(pubsub.ping())
                continue
            silent = False
            channel = (message["channel"] or b"").decode().removeprefix(_CHANNEL)
            if message["type"] == "message":
                self._channels.send(channel, message["data"])
            elif message["type"] == "subscribe" and channel in self._heard:
                self._heard[channel].set()


async def _awaited(job: Awaitable[Any]) -> None:
    await job


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))


def _shown(where: dict[str, Any]) -> str:
    if "path" in where:
        return f"unix://{where['path']}"
    return f"redis://{where.get('host', 'localhost')}:{where.get('port', 6379)}/{where.get('db', 0)}"


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
