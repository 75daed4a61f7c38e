"""Opens connections: resolve once, judge the address, connect to that very address. Nothing else in Rune does."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import ssl
from typing import Any, Final, NamedTuple, TypeAlias

from aiohappyeyeballs import start_connection

from rune.errors import TimedOut, Unavailable
from rune.net.policy import Limits, Policy

ATTEMPT_DELAY: Final = 0.25
"""Seconds after which the next address of a name is tried beside the one that does not answer (RFC 8305)."""

AddrInfo: TypeAlias = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


class Origin(NamedTuple):
    """Whom a connection is to."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Dialer:
    """Connects for one upstream, under its policy."""

    def __init__(self, name: str, limits: Limits, policy: Policy) -> None:
        self._name = name
        self._limits = limits
        self._policy = policy

    async def connect(self, origin: Origin, protocol: asyncio.Protocol) -> None:
        """Open a connection that the protocol serves.

        Raises:
            Unavailable: when nobody answers or the certificate is not good; TimedOut when it takes too long.
        """
        try:
            async with asyncio.timeout(self._limits.connect):
                try:
                    peer = await self._reach(origin)
                except OSError as error:
                    raise Unavailable(
                        f"{self._name}: cannot connect to {origin}: {reason(error)}",
                        hint="is the server running, and is the URL right?",
                    ) from error
                try:
                    await asyncio.get_running_loop().create_connection(
                        lambda: protocol,
                        sock=peer,
                        ssl=tls() if origin.tls else None,
                        server_hostname=origin.host if origin.tls else None,
                    )
                except OSError as error:
                    raise Unavailable(f"{self._name}: no secure connection to {origin}: {error}") from error
        except TimeoutError:
            raise TimedOut(f"{self._name}: no connection in time") from None

    async def _reach(self, origin: Origin) -> socket.socket:
        loop = asyncio.get_running_loop()
        infos = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        return await start_connection(
            infos, happy_eyeballs_delay=ATTEMPT_DELAY, interleave=1, loop=loop, socket_factory=self.admitted
        )

    def admitted(self, info: AddrInfo) -> socket.socket:
        """The last look at an address is the one that is connected to: a name cannot change in between."""
        family, kind, proto, _, address = info
        if not self._policy(ipaddress.ip_address(str(address[0]).partition("%")[0])):
            raise PermissionError(f"{address[0]} is not a public address")
        return socket.socket(family, kind, proto)


def reason(error: OSError) -> str:
    """What went wrong, in few words."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return (error.strerror or str(error)).lower()


@functools.cache
def tls() -> ssl.SSLContext:
    """Loading the trust store costs 20 ms and more: once per process."""
    return ssl.create_default_context()
