"""Where an outgoing connection may go, and what a peer may cost."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

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
    """What a peer may cost: seconds to connect, bytes of an answer, of its head and of one event, connections and calls
    that wait for one, and seconds that an idle connection is kept."""

    connect: float = 10.0
    body: int = 64 * MEBIBYTE
    header: int = 64 * 1024
    event: int = 64 * MEBIBYTE
    connections: int = 100
    waiting: int = 1000
    idle: float = 60.0
    redirects: int = 3
