"""HTTP exchanges with one upstream over connections that are kept."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from multidict import CIMultiDict
from yarl import URL

from rune.aio import NEVER
from rune.errors import ConfigError, RuneError, Unavailable
from rune.net.dial import Dialer, Origin
from rune.net.http1 import Connection
from rune.net.policy import Limits, Policy, Room, anywhere
from rune.net.pool import Pool
from rune.net.response import Cut, Response

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
KEEP_METHOD: Final = frozenset({307, 308})
REPEATABLE: Final = frozenset({"GET", "DELETE", "PUT", "OPTIONS"})
"""Methods that a server may see twice without doing anything twice (RFC 9110, 9.2.2)."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class Prepared(NamedTuple):
    """What all requests of a kind have in common: whom they go to, and their head up to where it differs."""

    method: str
    url: URL
    origin: Origin
    headers: CIMultiDict[str]
    head: bytes


class Fixed(dict[str, str]):
    """Headers that go out with many requests: the head that they and a prepared request make is kept with them."""

    __slots__ = ("head", "prepared")

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self.prepared: Prepared | None = None
        self.head = b""


class Outlet:
    """The connections to one upstream: opened with its first request, kept for its whole life, closed once."""

    def __init__(
        self,
        name: str,
        *,
        headers: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        policy: Policy = anywhere,
        follow: bool = True,
    ) -> None:
        """With `follow` off, a redirect is an answer like others: the caller decides where to go."""
        self.name = name
        self.limits = limits or Limits()
        self.room = Room(name, self.limits.held)
        self._headers = {"User-Agent": "rune", "Accept-Encoding": "identity", **(headers or {})}
        self._redirects = REDIRECTS if follow else frozenset()
        self._dialer = Dialer(name, self.limits, policy)
        self._pool: Pool | None = None
        self._closed = False

    def prepare(self, method: str, url: str | URL, headers: Mapping[str, str]) -> Prepared:
        """Put together what many requests have in common, once.

        Raises:
            ConfigError: when the URL is none, or a header cannot be sent.
        """
        try:
            target = URL(url)
            host, port = target.raw_host, target.port
        except ValueError:
            host, port, target = None, None, URL()
        if not host or not port or target.scheme not in ("http", "https"):
            raise ConfigError(f"{self.name}: {url} is no URL of an MCP server")
        merged = CIMultiDict(self._headers)
        merged.update(headers)
        if target.raw_user is not None and "Authorization" not in merged:
            merged["Authorization"] = _basic(target)
        merged.setdefault("Host", target.host_port_subcomponent or host)
        head = f"{method} {target.raw_path_qs} HTTP/1.1\r\n".encode() + self._encode(merged.items())
        return Prepared(method, target, Origin(host, port, target.scheme == "https"), merged, head)

    def _encode(self, headers: Iterable[tuple[str, str]]) -> bytes:
        """Header lines. What could end a line early would be a request of somebody else's making."""
        lines = []
        for name, value in headers:
            if _TOKEN.fullmatch(name) is None or "\n" in value or "\r" in value or "\0" in value:
                raise ConfigError(f"{self.name}: the header {name!r} cannot be sent", hint="headers are one line each")
            lines.append(f"{name}: {value}\r\n")
        return "".join(lines).encode("utf-8", "surrogateescape")

    async def exchange(
        self,
        prepared: Prepared,
        headers: Mapping[str, str],
        data: bytes | None = None,
        *,
        deadline: float | None = None,
        repeatable: bool = False,
    ) -> Response:
        """One request and its answer, which is to be closed where it is not read to its end. `headers` come on top of
        the prepared ones. A `repeatable` request is sent again when a kept connection turns out to be dead.

        Redirects are followed only within the same origin and only those that keep method and body (307, 308).

        Raises:
            Unavailable: when nobody answers, TimedOut when connecting takes too long, TimeoutError after `deadline`.
        """
        until = NEVER if deadline is None else deadline
        for _ in range(self.limits.redirects + 1):
            if type(headers) is Fixed and headers.prepared is prepared:
                head = headers.head
            else:
                prepared, head = self._over(prepared, headers)
            head += b"\r\n" if data is None else b"Content-Length: %d\r\n\r\n" % len(data)
            pool = self._open() if self._pool is None else self._pool
            connection = pool.idle(prepared.origin) or await self._take(pool, prepared.origin, deadline)
            used = connection.used
            answer = connection.send(head, data or b"", until)
            pool.alarm.at(until)
            try:
                response = await answer
            except asyncio.CancelledError:
                self._abandon(connection, answer)
                raise
            except Cut as cut:
                # Nobody knows whether it arrived. A connection that has just been opened was not left from before.
                if cut.answered or not used or self._closed or not (repeatable or prepared.method in REPEATABLE):
                    raise
                response = await self._again(pool, prepared, head, data or b"", until)
            if response.status not in self._redirects:
                return response
            response.close()
            prepared = self._redirect(prepared, response)
        raise Unavailable(f"{self.name}: more than {self.limits.redirects} redirects")

    def _over(self, prepared: Prepared, headers: Mapping[str, str]) -> tuple[Prepared, bytes]:
        """A head with headers on top. One name in two sets is one header."""
        if any(name in prepared.headers for name in headers):
            merged = CIMultiDict(prepared.headers)
            merged.update(headers)
            return (found := self.prepare(prepared.method, prepared.url, merged)), found.head
        head = prepared.head + self._encode(headers.items())
        if type(headers) is Fixed:
            headers.prepared, headers.head = prepared, head
        return prepared, head

    async def _take(self, pool: Pool, origin: Origin, deadline: float | None) -> Connection:
        async with asyncio.timeout_at(deadline):
            return await pool.take(origin)

    async def _again(self, pool: Pool, prepared: Prepared, head: bytes, body: bytes, until: float) -> Response:
        """The same once more, on a connection that is certainly new."""
        async with asyncio.timeout_at(None if until == NEVER else until):
            connection = await pool.fresh(prepared.origin)
        answer = connection.send(head, body, until)
        pool.alarm.at(until)
        try:
            return await answer
        except asyncio.CancelledError:
            self._abandon(connection, answer)
            raise

    @staticmethod
    def _abandon(connection: Connection, answer: asyncio.Future[Response]) -> None:
        """Whoever waited has been cancelled, perhaps in the very moment in which the answer came."""
        if answer.cancelled():
            connection.abandon(answer)
        elif answer.exception() is None:
            answer.result().close()

    def _open(self) -> Pool:
        if self._closed:
            raise Unavailable(f"{self.name}: closed")
        if self._pool is None:
            self._pool = Pool(self.name, self.limits, self._dialer)
            self._pool.room = self.room
        return self._pool

    def _redirect(self, prepared: Prepared, response: Response) -> Prepared:
        """The same request to where the answer points."""
        source, location = prepared.url, response.headers.get("Location", "")
        try:
            target = source.join(URL(location))
            same = target.origin() == source.origin()
        except ValueError:
            raise Unavailable(f"{self.name}: redirected to {location!r}, which is no URL") from None
        if response.status not in KEEP_METHOD or not same:
            raise Unavailable(
                f"{self.name}: redirected to {target.with_query(None)} ({response.status})",
                hint="put that URL into the config if it is the right one",
            )
        headers = {name: value for name, value in prepared.headers.items() if name != "Host"}
        return self.prepare(prepared.method, target, headers)

    @asynccontextmanager
    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], data: bytes | None = None
    ) -> AsyncIterator[Response]:
        """An exchange for one block; leaving the block before the answer was read closes its connection.

        Raises:
            Unavailable: when nobody answers, TimedOut when connecting takes too long.
        """
        response = await self.exchange(self.prepare(method, url, headers), {}, data)
        try:
            yield response
        finally:
            response.close()

    async def body(self, response: Response, limit: int | None = None) -> bytes:
        """The whole answer, at most `limit` bytes.

        Raises:
            Unavailable: when it is longer, or not whole.
        """
        limit = self.limits.body if limit is None else limit
        data = response.whole()
        if data is not None:
            if len(data) > limit:
                raise self._too_long(limit)
            return data
        if (response.length or 0) > limit:
            raise self._too_long(limit)
        parts: list[bytes] = []
        size = 0
        while data := await response.some():
            size += len(data)
            if size > limit:
                raise self._too_long(limit)
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_long(self, limit: int) -> RuneError:
        return Unavailable(f"{self.name}: the answer is longer than {limit} bytes")

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        if self._pool is not None:
            self._pool.close()
            # One turn of the loop, in which the sockets are really closed.
            await asyncio.sleep(0)


def _basic(url: URL) -> str:
    """The credentials that a URL holds, as a browser would send them."""
    return "Basic " + base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode()
