"""WebSockets to one upstream, by aiohttp, under the same policy and from the same sockets as everything else."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from rune.errors import ConfigError, RuneError, TimedOut, Unavailable
from rune.net.dial import Dialer, reason, tls
from rune.net.policy import Limits, Policy, anywhere


class WebSockets:
    """Opens WebSockets; one session for all of them."""

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
        self._dialer = Dialer(name, self.limits, policy)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Unavailable(f"{self.name}: closed")
        connector = aiohttp.TCPConnector(
            limit=self.limits.connections, ssl=tls(), socket_factory=self._dialer.admitted, ttl_dns_cache=30
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.limits.connect),
            trust_env=False,
            max_line_size=self.limits.header,
            max_field_size=self.limits.header,
        )

    async def connect(
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
                    f"{name}: cannot connect to {error.host}:{error.port}: {reason(error.os_error)}",
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
