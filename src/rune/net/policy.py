"""Where an outgoing connection may go, and what a peer may cost."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from rune.errors import Unavailable

MEBIBYTE: Final = 1 << 20

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Policy: TypeAlias = Callable[[Address], bool]


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
    """What a peer may cost: seconds to connect, bytes of an answer, of all answers that are not complete yet, of a head
    and of one event, connections and calls that wait for one, and seconds that an idle connection is kept."""

    connect: float = 10.0
    body: int = 64 * MEBIBYTE
    held: int = 512 * MEBIBYTE
    header: int = 64 * 1024
    event: int = 64 * MEBIBYTE
    connections: int = 100
    waiting: int = 1000
    idle: float = 60.0
    redirects: int = 3


class Room:
    """Bytes of answers of one peer that wait for their rest: each is bounded, and so are all of them together."""

    __slots__ = ("_limit", "_name", "_used")

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._used = 0

    def change(self, before: int, now: int) -> None:
        """Something that held `before` holds `now`.

        Raises:
            Unavailable: that is too much. Nothing has changed then.
        """
        used = self._used + now - before
        if now > before and used > self._limit:
            raise Unavailable(
                f"{self._name}: its unfinished answers hold more than {self._limit} bytes together",
                hint=f"a lower max_connections of {self._name} lets fewer come at once",
            )
        self._used = used
