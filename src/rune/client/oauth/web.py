"""The exchanges of a sign-in: small documents, no redirects, and nowhere that a stranger must not send us."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlencode, urlsplit

import msgspec

from rune.auth.guard import loopback
from rune.errors import TimedOut, Unavailable
from rune.net import Limits, Outlet, Policy, anywhere, public
from rune.protocol import jsonrpc

MAX_BODY: Final = 512 * 1024
TIMEOUT: Final = 30.0
_LIMITS: Final = Limits(body=MAX_BODY, connections=4, redirects=0)


class Answer(NamedTuple):
    """A response: `value` is its JSON object, empty where it has none."""

    status: int
    headers: Mapping[str, str]
    value: dict[str, Any]


class Web:
    """The servers of one sign-in. Origins that the operator named are reached wherever they are; all others, whose
    addresses stand in documents, by https in the public network. A server on this machine may name others on it."""

    def __init__(self, name: str, url: str, trusted: Iterable[str] = ()) -> None:
        self.name = name
        self._trusted = frozenset(map(origin, (url, *trusted)))
        self._here = loopback(urlsplit(url).hostname or "")
        self._outlets: dict[bool, Outlet] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for outlet in self._outlets.values():
            await outlet.close()

    def check(self, url: str) -> str:
        """The URL, if it is one that may be used.

        Raises:
            Unavailable: when not.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port, parts = "", None, urlsplit("")
        clear = parts.scheme == "http" and (origin(url) in self._trusted or (self._here and loopback(host)))
        if not host or port == 0 or (parts.scheme != "https" and not clear) or parts.username is not None:
            raise Unavailable(
                f"{self.name}: its sign-in leads to {url[:200]!r}, which is no https URL",
                hint="name the authorization server in the config if it is the right one: auth.issuer",
            )
        return url

    def _outlet(self, url: str) -> Outlet:
        trusted = origin(url) in self._trusted
        if trusted not in self._outlets:
            policy: Policy = anywhere if trusted else self._policy
            self._outlets[trusted] = Outlet(self.name, limits=_LIMITS, policy=policy)
        return self._outlets[trusted]

    @property
    def _policy(self) -> Policy:
        return (lambda address: address.is_loopback or public(address)) if self._here else public

    async def get(self, url: str) -> Answer:
        """A document."""
        return await self._exchange("GET", url, {}, None)

    async def form(self, url: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """Send a form."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._exchange("POST", url, {**kind, **headers}, urlencode(fields).encode())

    async def post(self, url: str, value: Mapping[str, Any]) -> Answer:
        """Send JSON."""
        return await self._exchange("POST", url, {"Content-Type": "application/json"}, jsonrpc.encode(value))

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str], data: bytes | None) -> Answer:
        self.check(url)
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._outlet(url).request(
                    method, url, headers={"Accept": "application/json", **headers}, data=data
                ) as response,
            ):
                body = await self._outlet(url).body(response, MAX_BODY)
                return Answer(response.status, response.headers, _object(body))
        except TimeoutError:
            raise TimedOut(f"{self.name}: {urlsplit(url).netloc} did not answer within {TIMEOUT:g} s") from None


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = jsonrpc.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def origin(url: str) -> str:
    """Scheme, host and port of a URL, as they can be compared."""
    try:
        parts = urlsplit(url)
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        port = parts.port or {"http": 80, "https": 443}.get(scheme)
    except ValueError:
        return ""
    return f"{scheme}://{parts.hostname}:{port}"
