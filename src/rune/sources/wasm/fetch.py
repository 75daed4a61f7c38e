"""Components from URLs and registries: fetched within bounds, from where the operator said, and only as digested.

A registry is one that speaks the OCI distribution API. It may send us elsewhere for a token or for the bytes: only to
the public network and by https, unless it is on this machine itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec

from rune.auth.guard import loopback
from rune.client.oauth.challenge import challenges
from rune.client.oauth.web import origin
from rune.config.components import DIGEST, Reference
from rune.errors import ConfigError, TimedOut, Unavailable
from rune.net import MEBIBYTE, Limits, Outlet, anywhere, public
from rune.net.policy import Address
from rune.sources.wasm.shelf import digest_of

MOST: Final = 128 * MEBIBYTE
"""Bytes of a component."""
PAPER: Final = 4 * MEBIBYTE
"""Bytes of a manifest, and of a token: what registries themselves take at most."""
TIMEOUT: Final = 300.0
HOPS: Final = 5
MOVED: Final = frozenset({301, 302, 303, 307, 308})
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
LAYERS: Final = frozenset(
    {
        "application/wasm",
        "application/vnd.wasm.content.layer.v1+wasm",
        "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
        "application/vnd.bytecodealliance.component.layer.v0+wasm",
    }
)
"""Media types by which tools push components."""


class Answer(NamedTuple):
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Descriptor(msgspec.Struct):
    mediaType: str
    digest: str
    size: int
    platform: dict[str, Any] | None = None


class _Paper(msgspec.Struct):
    """A manifest or an index, as far as it is needed."""

    layers: list[_Descriptor] = []
    manifests: list[_Descriptor] = []


_paper: Final = msgspec.json.Decoder(_Paper).decode


class Fetcher:
    """The way to one component. `private` says that its host may be in this machine or network."""

    def __init__(self, name: str, url: str, *, private: bool = False) -> None:
        self.name = name
        self._origin = origin(url)
        self._here = private and loopback(urlsplit(url).hostname or "")
        limits = Limits(body=MOST, connections=2, redirects=0)
        near = anywhere if private else public
        self._ours = Outlet(name, limits=limits, policy=near, follow=False)
        self._others = Outlet(name, limits=limits, policy=self._elsewhere, follow=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._ours.close()
        await self._others.close()

    def _elsewhere(self, address: Address) -> bool:
        return public(address) or (self._here and address.is_loopback)

    async def get(self, url: str, headers: Mapping[str, str], most: int) -> Answer:
        """What is there, at most so many bytes. Where it leads elsewhere, what proves who we are stays behind.

        Raises:
            Unavailable, TimedOut: it cannot be had.
        """
        for _ in range(HOPS):
            outlet = self._ours if origin(url) == self._origin else self._others
            if outlet is self._others:
                self._check(url)
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            try:
                async with asyncio.timeout(TIMEOUT), outlet.request("GET", url, headers=headers) as response:
                    where = response.headers.get("Location")
                    if response.status in MOVED and where:
                        url = urljoin(url, where)
                        continue
                    return Answer(response.status, response.headers, await outlet.body(response, most))
            except TimeoutError:
                raise TimedOut(f"{self.name}: {_shown(url)} has not come within {TIMEOUT:g} s") from None
        raise Unavailable(f"{self.name}: {_shown(url)}: more than {HOPS} redirects")

    def _check(self, url: str) -> None:
        """Where somebody else sends us."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        clear = parts.scheme == "http" and self._here and loopback(host)
        if not host or (parts.scheme != "https" and not clear) or parts.username is not None:
            raise Unavailable(f"{self.name}: it is led to {_shown(url)}, which is no https URL")


async def from_url(name: str, url: str, *, private: bool) -> bytes:
    """The file at a URL.

    Raises:
        Unavailable, TimedOut: it cannot be had.
    """
    async with Fetcher(name, url, private=private) as fetcher:
        answer = await fetcher.get(url, {}, MOST)
        if answer.status != 200:
            raise Unavailable(f"{name}: {_shown(url)} answers {answer.status}", hint="is the URL right?")
        return answer.body


def checked(name: str, what: str, data: bytes, digest: str) -> bytes:
    """What was fetched, if it is what was meant.

    Raises:
        ConfigError: it is not.
    """
    if (found := digest_of(data)) != digest:
        raise ConfigError(
            f"{name}: {what} is not what it was: its digest is {found}, not {digest}",
            hint="if the new one is meant, write its digest into the config",
        )
    return data


class Registry:
    """One repository of a registry."""

    def __init__(self, name: str, reference: Reference, *, private: bool) -> None:
        scheme = "http" if loopback(urlsplit(f"//{reference.registry}").hostname or "") else "https"
        self.name = name
        self.reference = reference
        self.url = f"{scheme}://{reference.registry}/v2/{reference.repository}"
        self._fetcher = Fetcher(name, self.url, private=private)
        self._token: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._fetcher.__aexit__()

    async def manifest(self, wanted: str) -> bytes:
        """A manifest, by digest or by tag.

        Raises:
            Unavailable: there is none, or it cannot be had. ConfigError: it has another digest.
        """
        data = await self._get(f"manifests/{wanted}", PAPER, {"Accept": f"{MANIFEST}, {INDEX}"})
        return checked(self.name, f"{self.reference}", data, wanted) if DIGEST.fullmatch(wanted) else data

    async def blob(self, layer: _Descriptor) -> bytes:
        """The component that a manifest names.

        Raises:
            Unavailable, ConfigError: see `manifest`; it is larger than it may be.
        """
        if layer.size > MOST:
            raise Unavailable(f"{self.name}: {self.reference} has {layer.size} bytes, more than {MOST}")
        data = await self._get(f"blobs/{layer.digest}", MOST, {})
        return checked(self.name, f"the component of {self.reference}", data, layer.digest)

    async def _get(self, path: str, most: int, headers: dict[str, str]) -> bytes:
        url = f"{self.url}/{path}"
        answer = await self._fetcher.get(url, {**headers, **self._proof()}, most)
        if answer.status == 401 and (token := await self._sign_in(answer)):
            self._token = token
            answer = await self._fetcher.get(url, {**headers, **self._proof()}, most)
        if answer.status != 200:
            hint = {401: "it wants a sign-in, which is not given", 404: "is the reference right?"}.get(answer.status)
            raise Unavailable(f"{self.name}: {self.reference}: the registry answers {answer.status}", hint=hint)
        return answer.body

    def _proof(self) -> dict[str, str]:
        return {} if self._token is None else {"Authorization": f"Bearer {self._token}"}

    async def _sign_in(self, answer: Answer) -> str | None:
        """The token that anybody gets who asks for it where the registry says."""
        said = dict(challenges(answer.headers.get("WWW-Authenticate", "")))
        bearer = said.get("bearer", {})
        realm = bearer.get("realm")
        if not realm:
            return None
        asked = {"scope": f"repository:{self.reference.repository}:pull"}
        asked |= {key: bearer[key] for key in ("service", "scope") if key in bearer}
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(asked)}"
        found = await self._fetcher.get(url, {}, PAPER)
        try:
            value = msgspec.json.decode(found.body, type=dict[str, Any]) if found.status == 200 else {}
        except (msgspec.DecodeError, UnicodeDecodeError):
            value = {}
        token = value.get("token") or value.get("access_token")
        if not isinstance(token, str):
            raise Unavailable(f"{self.name}: {_shown(realm)} gives no token for {self.reference} ({found.status})")
        return token


def layer_of(name: str, what: object, manifest: bytes) -> _Descriptor:
    """The component in a manifest, or what an index lists in its place.

    Raises:
        ConfigError: there is not exactly one.
    """
    try:
        paper = _paper(manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: {what}: no manifest of an image: {error}") from None
    listed = [each for each in paper.manifests if (each.platform or {}).get("architecture", "wasm") == "wasm"]
    found = [each for each in paper.layers if each.mediaType in LAYERS] or listed
    if len(found) != 1 or not DIGEST.fullmatch(found[0].digest):
        kinds = ", ".join(sorted({each.mediaType for each in (*paper.layers, *paper.manifests)})) or "nothing"
        raise ConfigError(
            f"{name}: {what} holds {len(found)} components where it must hold one; it has {kinds}"[:600],
            hint="components are pushed as application/wasm, for example by wkg oci push or oras push",
        )
    return found[0]


def _shown(url: str) -> str:
    """Without what may be a secret."""
    return urlsplit(url)._replace(query="", fragment="").geturl()[:300]
