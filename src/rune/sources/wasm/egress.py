"""`rune:guest/http`: calls of a guest to the outside, made by the gateway for the hosts that its policy names.

The address is the one that was checked (`net/`), headers with secrets are put in here, and what a server says back of
them is blotted out: the guest never holds them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from concurrent.futures import Future
from typing import Any, Final, NamedTuple

import msgspec
from wasmtime.component import Linker
from yarl import URL

from rune.config.policy import NetworkTable, PolicyTable
from rune.errors import INTERNAL_ERROR, INVALID_PARAMS, RuneError
from rune.net import Limits, Outlet, anywhere, public
from rune.sources.wasm.calls import Trap, offer
from rune.sources.wasm.dialect import decode, encode
from rune.sources.wasm.instance import Guest, current

HTTP: Final = "rune:guest/http@0.1.0"
STEP: Final = 0.05
"""Seconds in which a guest that waits for an answer notices that nobody waits for it."""
OURS: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect", "keep-alive",
     "proxy-authorization", "proxy-connection", "accept-encoding"}
)  # fmt: skip
"""Headers that are not the guest's to set."""
BLOT: Final = b"***"


class Denied(Exception):
    """What the guest hears instead of an answer."""

    def __init__(self, message: str, code: int = INTERNAL_ERROR) -> None:
        super().__init__(message)
        self.code = code


class Asked(NamedTuple):
    """A request of a guest, read and allowed."""

    method: str
    url: URL
    headers: dict[str, str]
    body: bytes | None
    grant: NetworkTable


class Egress:
    """The way out of one component. Its connections are kept for all of its instances."""

    def __init__(self, name: str, policy: PolicyTable) -> None:
        self._name = name
        self._policy = policy
        limits = Limits(body=policy.limits.output, connections=policy.limits.concurrency, redirects=0)
        self._outlets = {
            private: Outlet(name, limits=limits, policy=anywhere if private else public) for private in (False, True)
        }

    def link(self, linker: Linker) -> None:
        """The interface `http`. Without a grant it is there, too, and says what would be needed."""
        with linker.root() as root, root.add_instance(HTTP) as http:
            offer(http, "fetch", self._fetch)

    async def close(self) -> None:
        """Close all connections."""
        for outlet in self._outlets.values():
            await outlet.close()

    def _fetch(self, context: Any, request: str) -> dict[str, Any]:
        instance = current()
        exchange = instance.exchange
        try:
            if exchange is None:
                raise Denied("fetch: there is no call to fetch for")
            asked = self._read(request)
            answer = asyncio.run_coroutine_threadsafe(self._exchange(asked, instance.until), exchange.loop)
            return {"ok": encode(self._wait(instance, answer)).decode()}
        except Denied as error:
            return {"err": {"code": error.code, "message": str(error), "data": None}}
        except RuneError as error:
            hint = "" if error.hint is None else f"; {error.hint}"
            return {"err": {"code": INTERNAL_ERROR, "message": f"{error.message}{hint}", "data": None}}

    def _wait(self, instance: Guest, answer: Future[dict[str, Any]]) -> dict[str, Any]:
        while True:
            try:
                return answer.result(STEP)
            except TimeoutError:
                if answer.done():
                    raise Denied("fetch: no answer in time (limits.wall)") from None
                reason = instance.overdue()
                if reason:
                    answer.cancel()
                    raise Trap(reason) from None

    # --- what is asked ---

    def _read(self, text: str) -> Asked:
        try:
            given = decode(text)
            url = URL(given["url"])
            method = str(given.get("method", "GET")).upper()
            headers = {str(name): str(value) for name, value in (given.get("headers") or {}).items()}
            body = _body(given)
            port = url.port
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
            raise Denied(f"fetch: the request is not valid: {error}", INVALID_PARAMS) from None
        if url.scheme not in ("http", "https") or not url.raw_host or port is None or url.raw_user is not None:
            raise Denied(f"fetch: {url} is no http or https URL with a host and no user", INVALID_PARAMS)
        grant = next((each for each in self._policy.network if _covers(each.host, url.raw_host, port, url)), None)
        if grant is None:
            place = url.raw_host if url.is_default_port() else f"{url.raw_host}:{port}"
            raise Denied(
                f"fetch: {place} is not granted to {self._name}; its policy would allow it with "
                f'network = [{{ host = "{place}" }}]'
            )
        if method not in grant.methods:
            raise Denied(f"fetch: {method} is not granted for {grant.host}; add it to methods in network of its policy")
        injected = {name.lower() for name in grant.inject}
        kept = {name: value for name, value in headers.items() if name.lower() not in OURS | injected}
        return Asked(method, url, kept | grant.inject, body, grant)

    async def _exchange(self, asked: Asked, until: float) -> dict[str, Any]:
        outlet = self._outlets[asked.grant.private]
        deadline = asyncio.get_running_loop().time() + max(until - time.monotonic(), 0)
        try:
            async with asyncio.timeout_at(deadline):
                prepared = outlet.prepare(asked.method, asked.url, asked.headers)
                response = await outlet.exchange(prepared, {}, asked.body)
                try:
                    body = b"" if asked.method == "HEAD" else await outlet.body(response)
                finally:
                    response.close()
        except TimeoutError:
            raise Denied("fetch: no answer in time (limits.wall)") from None
        secrets = [_secret(value) for value in asked.grant.inject.values()]
        headers = {
            name: _blotted(value.encode("utf-8", "replace"), secrets).decode("utf-8", "replace")
            for name, value in response.headers.items()
        }
        body = _blotted(body, secrets)
        try:
            told = {"body": body.decode()}
        except UnicodeDecodeError:
            told = {"bodyBase64": base64.b64encode(body).decode()}
        return {"status": response.status, "headers": headers, **told}


def _body(given: dict[str, Any]) -> bytes | None:
    if "bodyBase64" in given:
        return base64.b64decode(given["bodyBase64"], validate=True)
    body = given.get("body")
    return None if body is None else str(body).encode()


def _covers(granted: str, host: str, port: int, url: URL) -> bool:
    """Whether a host of a policy means this one: its usual port only, if it names none."""
    name, colon, number = granted.lower().rpartition(":")
    if not colon or not number.isdigit():
        name, number = granted.lower(), ""
    if (str(port) != number) if number else not url.is_default_port():
        return False
    host = host.lower()
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _secret(value: str) -> bytes:
    """What of a header is the secret: behind the name of a scheme, if there is one."""
    return value.rpartition(" ")[2].encode()


def _blotted(data: bytes, secrets: list[bytes]) -> bytes:
    for secret in secrets:
        if len(secret) >= 4:
            data = data.replace(secret, BLOT)
    return data
