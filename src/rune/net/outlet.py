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

from rune.errors import ConfigError, RuneError, Unavailable
from rune.net.dial import Dialer, Origin
from rune.net.http1 import Connection
from rune.net.policy import Limits, Policy, anywhere
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


class Outlet:
    """The connections to one upstream: opened with its first request, kept for its whole life, closed once."""

    def __init__(
        self,
        name: str,
        *,
        headers: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        policy: Policy = anywhere,
    ) -> None:
        self.name = name
        self.limits = limits or Limits()
        self._headers = {"User-Agent": "rune", "Accept-Encoding": "identity", **(headers or {})}
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
        for _ in range(self.limits.redirects + 1):
            clash = any(name in prepared.headers for name in headers)
            if clash:
                merged = CIMultiDict(prepared.headers)
                merged.update(headers)
                prepared = self.prepare(prepared.method, prepared.url, merged)
            lines = [prepared.head]
            if headers and not clash:
                lines.append(self._encode(headers.items()))
            lines.append(b"\r\n" if data is None else b"Content-Length: %d\r\n\r\n" % len(data))
            head = b"".join(lines)
            response = await self._send(prepared, head, data or b"", deadline, repeatable)
            if response.status not in REDIRECTS:
                return response
            response.close()
            target = self._redirect(prepared.url, response)
            fixed = {name: value for name, value in prepared.headers.items() if name != "Host"}
            prepared = self.prepare(prepared.method, target, fixed)
        raise Unavailable(f"{self.name}: more than {self.limits.redirects} redirects")

    async def _send(
        self, prepared: Prepared, head: bytes, body: bytes, deadline: float | None, repeatable: bool
    ) -> Response:
        pool = self._open()
        connection = pool.idle(prepared.origin)
        while True:
            if connection is None:
                async with asyncio.timeout_at(deadline):
                    connection = await pool.take(prepared.origin)
            used = connection.used
            answer = connection.send(head, body, deadline)
            try:
                return await answer
            except Cut as cut:
                # Nobody knows whether it arrived. A connection that has just been opened was not left from before.
                if cut.answered or not used or not (repeatable or prepared.method in REPEATABLE) or self._closed:
                    raise
                connection = None
            except asyncio.CancelledError:
                self._abandon(connection, answer)
                raise

    @staticmethod
    def _abandon(connection: Connection, answer: asyncio.Future[Response]) -> None:
        """Whoever waited has been cancelled, perhaps in the very moment in which the answer came."""
        if answer.cancelled():
            connection.drop()
        elif answer.exception() is None:
            answer.result().close()

    def _open(self) -> Pool:
        if self._closed:
            raise Unavailable(f"{self.name}: closed")
        if self._pool is None:
            self._pool = Pool(self.name, self.limits, self._dialer)
        return self._pool

    def _redirect(self, source: URL, response: Response) -> URL:
        location = response.headers.get("Location", "")
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
        return target

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
        if (response.content_length or 0) > limit:
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
