"""The one outgoing connector: every HTTP exchange, event stream and WebSocket that Rune opens leaves through here.

Called by the rims that face the outside (`client/http.py`, providers, sign-in). Nothing else opens a socket outward.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import aiohttp
from yarl import URL

from rune.errors import ConfigError, RuneError, TimedOut, Unavailable

MEBIBYTE: Final = 1 << 20

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Policy: TypeAlias = Callable[[Address], bool]
_AddrInfo: TypeAlias = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


def anywhere(address: Address) -> bool:
    """For upstreams that the operator configured: loopback and private networks are where they live."""
    return True


def public(address: Address) -> bool:
    """For URLs that somebody else chose: nothing inside, no matter what the name resolves to."""
    meant = _meant(address)
    return meant.is_global and not meant.is_multicast


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it does: mapped, 6to4 or NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may cost: seconds to connect, bytes of an answer, of one header line and of one event."""

    connect: float = 10.0
    body: int = 64 * MEBIBYTE
    header: int = 32 * 1024
    event: int = 64 * MEBIBYTE
    connections: int = 100
    redirects: int = 3


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
        self._headers = {"User-Agent": "rune", **(headers or {})}
        self._policy = policy
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Unavailable(f"{self.name}: closed")
        connector = aiohttp.TCPConnector(
            limit=self.limits.connections,
            ssl=_tls(),
            socket_factory=self._socket,
            ttl_dns_cache=30,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            # One answer of an upstream must not steer the requests of another caller.
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.limits.connect),
            trust_env=False,
            max_line_size=self.limits.header,
            max_field_size=self.limits.header,
        )

    def _socket(self, info: _AddrInfo) -> socket.socket:
        """The last look at an address is the one that is connected to: a name cannot change in between."""
        family, kind, proto, _, address = info
        if not self._policy(ipaddress.ip_address(str(address[0]).partition("%")[0])):
            raise PermissionError(f"{address[0]} is not a public address")
        return socket.socket(family, kind, proto)

    @asynccontextmanager
    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], data: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One exchange; leaving the block before the answer was read closes its connection.

        Redirects are followed only within the same origin and only those that keep method and body (307, 308).

        Raises:
            Unavailable: when nobody answers, TimedOut when connecting takes too long.
        """
        if self._session is None:
            self._session = self._open()
        target = URL(url)
        with self.faults():
            for _ in range(self.limits.redirects + 1):
                response = await self._session.request(
                    method, target, headers=headers, data=data, allow_redirects=False
                )
                if response.status not in (301, 302, 303, 307, 308):
                    try:
                        yield response
                    finally:
                        # Returns the connection to the pool when the answer was read to its end, closes it otherwise.
                        response.release() if response.content.at_eof() else response.close()
                    return
                response.close()
                target = self._redirect(target, response)
        raise Unavailable(f"{self.name}: more than {self.limits.redirects} redirects")

    def _redirect(self, source: URL, response: aiohttp.ClientResponse) -> URL:
        location = response.headers.get("Location", "")
        try:
            target = source.join(URL(location))
        except ValueError:
            raise Unavailable(f"{self.name}: redirected to {location!r}, which is no URL") from None
        if response.status not in (307, 308) or target.origin() != source.origin():
            raise Unavailable(
                f"{self.name}: redirected to {target.with_query(None)} ({response.status})",
                hint="put that URL into the config if it is the right one",
            )
        return target

    async def websocket(
        self, url: str, *, protocols: tuple[str, ...] = (), headers: Mapping[str, str] | None = None
    ) -> aiohttp.ClientWebSocketResponse:
        """Open a WebSocket.

        Raises:
            Unavailable: when nobody answers or the upgrade is refused.
        """
        if self._session is None:
            self._session = self._open()
        with self.faults():
            return await self._session.ws_connect(
                url, protocols=protocols, headers=headers, max_msg_size=self.limits.body, compress=0, autoping=True
            )

    async def body(self, response: aiohttp.ClientResponse, limit: int | None = None) -> bytes:
        """The whole answer, at most `limit` bytes.

        Raises:
            Unavailable: when it is longer.
        """
        limit = self.limits.body if limit is None else limit
        if (response.content_length or 0) > limit:
            raise self._too_long(limit)
        parts: list[bytes] = []
        size = 0
        with self.faults():
            async for part in response.content.iter_any():
                size += len(part)
                if size > limit:
                    raise self._too_long(limit)
                parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_long(self, limit: int) -> RuneError:
        return Unavailable(f"{self.name}: the answer is longer than {limit} bytes")

    def faults(self) -> Faults:
        """Translate what aiohttp raises into errors of Rune that begin with the name of the upstream."""
        return Faults(self.name)

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class Faults:
    """A block whose network errors become `Unavailable` and `TimedOut`."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, RuneError):
            return
        fault = self._translate(error)
        if fault is not None:
            raise fault from error

    def _translate(self, error: BaseException) -> RuneError | None:
        name = self._name
        match error:
            case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
                return ConfigError(f"{name}: {error} is no URL of an MCP server")
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
                return Unavailable(f"{name}: no secure connection to {error.host}:{error.port}: {error.os_error}")
            case aiohttp.ClientConnectorError():
                return Unavailable(
                    f"{name}: cannot connect to {error.host}:{error.port}: {_reason(error.os_error)}",
                    hint="is the server running, and is the URL right?",
                )
            case aiohttp.WSServerHandshakeError():
                return Unavailable(f"{name}: no WebSocket there (status {error.status})")
            case TimeoutError():
                return TimedOut(f"{name}: no connection in time")
            case aiohttp.ClientResponseError():
                return Unavailable(f"{name}: not a valid HTTP answer: {error.message}")
            case aiohttp.ClientError() | OSError():
                return Unavailable(f"{name}: the connection was lost")
        return None


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return (error.strerror or str(error)).lower()


@functools.cache
def _tls() -> ssl.SSLContext:
    """Loading the trust store costs 20 ms and more: once per process."""
    return ssl.create_default_context()


__all__ = ["MEBIBYTE", "Faults", "Limits", "Outlet", "Policy", "anywhere", "public"]
