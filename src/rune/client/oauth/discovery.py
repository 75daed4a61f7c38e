"""Which authorization server protects a server, and what it can do: RFC 9728, then RFC 8414 or OpenID discovery."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from rune.auth.pkce import METHOD
from rune.client.legacy.authorization import default_endpoints
from rune.client.oauth.challenge import Challenge
from rune.client.oauth.web import Answer, Web, origin
from rune.errors import NeedsAuth, TimedOut, Unavailable

PROTECTED: Final = "/.well-known/oauth-protected-resource"
AUTHORIZATION: Final = "/.well-known/oauth-authorization-server"
OPENID: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Protected:
    """What a protected server says of itself. `resource` is its identifier exactly as published."""

    resource: str
    issuers: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    dpop: bool = False


@dataclass(frozen=True, slots=True)
class Issuer:
    """An authorization server. `resource` goes into requests, where the revision of the server knows it."""

    name: str
    metadata: dict[str, Any] = field(repr=False)
    resource: str | None
    legacy: bool = False

    def endpoint(self, name: str) -> str | None:
        """The URL of one of its endpoints."""
        value = self.metadata.get(f"{name}_endpoint")
        return value if isinstance(value, str) and value else None

    def needs(self, name: str) -> str:
        """The URL of an endpoint that must be there.

        Raises:
            NeedsAuth: it is not.
        """
        url = self.endpoint(name)
        if url is None:
            raise NeedsAuth(f"{self.name}: has no {name} endpoint")
        return url

    def lists(self, key: str) -> tuple[str, ...]:
        """A list of texts in its metadata, empty when it is not there."""
        value = self.metadata.get(key)
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def canonical(url: str) -> str:
    """The identifier of a server by its URL: lower-case scheme and host, no default port, no fragment, no slash at the
    end (RFC 8707, 2; 2026-07-28, authorization)."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    port = parts.port
    shown = "" if port is None or port == {"http": 80, "https": 443}.get(parts.scheme) else f":{port}"
    query = f"?{parts.query}" if parts.query else ""
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    return f"{scheme}://{host}{shown}{parts.path.rstrip('/')}{query}"


async def protected_by(web: Web, url: str, challenge: Challenge) -> Protected | None:
    """The metadata of a protected server; None when it has none, as older ones do.

    Raises:
        NeedsAuth: it is the metadata of another server.
    """
    parts = urlsplit(canonical(url))
    base = f"{parts.scheme}://{parts.netloc}"
    tried = [challenge.metadata] if challenge.metadata else []
    tried += [f"{base}{PROTECTED}{parts.path}", f"{base}{PROTECTED}"]
    answer = await _first(web, list(dict.fromkeys(tried)), "resource")
    if answer is None:
        return None
    value = answer.value
    resource = str(value["resource"])
    if not _covers(resource, url):
        raise NeedsAuth(
            f"{web.name}: its metadata is for {resource[:200]}, not for {canonical(url)}",
            hint="check the URL in the config; nothing was sent there",
        )
    listed = value.get("authorization_servers")
    issuers = tuple(item for item in listed if isinstance(item, str)) if isinstance(listed, list) else ()
    scopes = value.get("scopes_supported")
    return Protected(
        resource,
        issuers or (base,),
        tuple(item for item in scopes if isinstance(item, str)) if isinstance(scopes, list) else (),
        value.get("dpop_bound_access_tokens_required") is True,
    )


def _covers(resource: str, url: str) -> bool:
    """Whether a published identifier is that of a URL: the same server, and the same path or one above it."""
    if origin(resource) != origin(url) or "#" in resource:
        return False
    own, path = urlsplit(resource).path.rstrip("/"), urlsplit(url).path.rstrip("/")
    return path == own or path.startswith(f"{own}/")


async def issuer_of(web: Web, url: str, protected: Protected | None, known: str | None = None) -> Issuer:
    """The authorization server to sign in at; `known` is the one to prefer of several.

    Raises:
        NeedsAuth: its metadata is missing, belongs to another issuer, or does not fit together.
    """
    if protected is None:
        return await _older(web, url)
    name = known if known in protected.issuers else protected.issuers[0]
    web.check(name)
    answer = await _first(web, places(name), "issuer")
    if answer is None:
        raise NeedsAuth(f"{web.name}: its authorization server {name} has no metadata")
    claimed = answer.value["issuer"]
    # A slash that is the whole path says nothing: some libraries add it when they print a URL.
    if claimed != name and not (urlsplit(name).path == "/" and claimed == name[:-1]):
        raise NeedsAuth(f"{web.name}: the metadata of {name} is that of another issuer: {str(claimed)[:200]!r}")
    return Issuer(claimed, answer.value, protected.resource)


async def _older(web: Web, url: str) -> Issuer:
    """Servers from before there was such metadata are their own authorization servers."""
    parts = urlsplit(canonical(url))
    base = f"{parts.scheme}://{parts.netloc}"
    answer = await _first(web, [f"{base}{AUTHORIZATION}"], "issuer")
    if answer is None:
        return Issuer(base, default_endpoints(base), None, legacy=True)
    if answer.value["issuer"] != base:
        raise NeedsAuth(f"{web.name}: the metadata of {base} is that of another issuer")
    return Issuer(base, answer.value, None, legacy=True)


def check_pkce(issuer: Issuer) -> None:
    """Whether codes of this issuer can be protected.

    Raises:
        NeedsAuth: they cannot.
    """
    methods = issuer.lists("code_challenge_methods_supported")
    if METHOD not in methods and (methods or not issuer.legacy):
        raise NeedsAuth(f"{issuer.name}: does not offer PKCE with S256, so a sign-in could be stolen")


def places(name: str) -> list[str]:
    """Where the metadata of an issuer may be, in the order in which to look (2026-07-28, authorization)."""
    parts = urlsplit(name)
    base, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    found = [f"{base}{AUTHORIZATION}{path}", f"{base}{OPENID}{path}"]
    return [*found, f"{base}{path}{OPENID}"] if path else found


async def _first(web: Web, tried: list[str], key: str) -> Answer | None:
    """The first document that has a key. A place that cannot be reached is an error only if no other has one."""
    problem: Unavailable | TimedOut | None = None
    for place in tried:
        try:
            answer = await web.get(place)
        except (Unavailable, TimedOut) as error:
            problem = problem or error
            continue
        if answer.status == 200 and isinstance(answer.value.get(key), str):
            return answer
    if problem is not None:
        raise problem
    return None
