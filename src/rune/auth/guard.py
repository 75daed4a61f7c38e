"""The first look at an HTTP request: Host and Origin, against DNS rebinding and foreign pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_REMEMBER: Final = 256


def loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Gate:
    """Checks Host and Origin. Loopback names are always good; others must be listed, `*` allows all.

    `hosts` and `origins` are what the config allows besides: a host with or without port, an origin as
    browsers send it. `numeric` also takes a Host that is an IP address, for a server
    on another address than loopback: what a foreign page can forge by DNS is a name, never a number.
    """

    def __init__(self, hosts: Iterable[str] = (), origins: Iterable[str] = (), *, numeric: bool = False) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        self._numeric = numeric
        # Raw header values that have passed: the usual request costs one look-up.
        self.good_hosts: set[bytes | None] = set()
        self._good_origins: set[bytes | None] = set()

    def refuse(self, headers: Mapping[bytes, bytes]) -> str | None:
        """Why a request is refused (answer it with 403), None when it is welcome."""
        host = headers.get(b"host")
        if host not in self.good_hosts:
            if host is None or not (self._host(host.decode("latin-1")) or (self._numeric and _numeric(host))):
                return "this Host is not served here; set server.allowed_hosts to allow it"
            _keep(self.good_hosts, host)
        origin = headers.get(b"origin")
        if origin is not None and origin not in self._good_origins:
            if not self._origin(origin.decode("latin-1")):
                return "this Origin is not allowed; set server.allowed_origins to allow it"
            _keep(self._good_origins, origin)
        return None

    def _host(self, value: str) -> bool:
        value = value.strip().lower()
        name = _name(value)
        return name in LOOPBACK or value in self._hosts or name in self._hosts or "*" in self._hosts

    def _origin(self, value: str) -> bool:
        value = value.strip().lower()
        if value.rstrip("/") in self._origins or "*" in self._origins:
            return True
        try:
            parts = urlsplit(value)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and not parts.path and self._host(parts.netloc)


def _name(host: str) -> str:
    """A Host without its port; whatever is no plain host with an optional numeric port stays as it is."""
    if host.startswith("["):
        name, bracket, port = host.partition("]")
        name += bracket
        port = port.removeprefix(":") if port.startswith(":") or not port else "x"
    else:
        name, _, port = host.partition(":")
    return name if not port or port.isdigit() else host


def _numeric(host: bytes) -> bool:
    try:
        ip_address(_name(host.decode("latin-1").strip()).strip("[]"))
    except ValueError:
        return False
    return True


def _keep(good: set[bytes | None], value: bytes) -> None:
    if len(good) >= _REMEMBER:
        good.clear()
    good.add(value)
