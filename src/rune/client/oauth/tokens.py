"""What the vault keeps of a sign-in: the tokens, and who we are at the authorization server that issued them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rune.client.oauth.challenge import scopes
from rune.errors import NeedsAuth

EARLY: Final = 300.0
"""Seconds before its end at which a token is renewed, or a tenth of its life where that is less."""


class Hidden(msgspec.Struct, omit_defaults=True):
    """A struct that shows nothing of itself: it holds secrets."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Registered(Hidden):
    """Who we are at one authorization server. `redirect` is where it sends browsers back to."""

    id: str
    secret: str | None = None
    method: str = "none"
    redirect: str | None = None
    expires_at: float | None = None


class Tokens(Hidden):
    """An access token, and what is known about it."""

    access_token: str
    type: str = "Bearer"
    obtained_at: float = 0.0
    expires_at: float | None = None
    refresh_token: str | None = None
    scopes: tuple[str, ...] = ()

    @classmethod
    def read(cls, value: dict[str, Any], asked: tuple[str, ...]) -> Tokens:
        """Those of a token response.

        Raises:
            NeedsAuth: it is none.
        """
        token, kind = value.get("access_token"), value.get("token_type", "Bearer")
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise NeedsAuth("the answer has no access token")
        if not isinstance(kind, str) or kind.lower() not in ("bearer", "dpop"):
            raise NeedsAuth(f"a token of type {str(kind)[:40]!r} is of no use here")
        life, refresh, now = value.get("expires_in"), value.get("refresh_token"), time.time()
        try:
            until = None if life is None else now + float(life)
        except (TypeError, ValueError):
            until = None
        return cls(
            token,
            "DPoP" if kind.lower() == "dpop" else "Bearer",
            now,
            until,
            refresh if isinstance(refresh, str) and refresh else None,
            scopes(value["scope"]) if isinstance(value.get("scope"), str) else asked,
        )

    @property
    def header(self) -> str:
        """The value of the Authorization header."""
        return f"{self.type} {self.access_token}"

    @property
    def renew_at(self) -> float | None:
        """When it is time for the next one; None when nobody knows, or only a refusal can lead to it."""
        if self.expires_at is None or self.refresh_token is None:
            return None
        return self.expires_at - min(EARLY, (self.expires_at - self.obtained_at) / 10)

    @property
    def fresh(self) -> bool:
        """Whether it was obtained a moment ago, so that the same way would bring the same again."""
        life = 20.0 if self.expires_at is None else self.expires_at - self.obtained_at
        return time.time() - self.obtained_at < min(10.0, life / 2)


def read(value: Mapping[str, Any]) -> Credential:
    """An entry of the vault as what it is."""
    return msgspec.convert(value, Credential)


class Credential(Hidden):
    """One entry of the vault."""

    issuer: str
    token_endpoint: str
    client: Registered
    resource: str | None = None
    """As the server publishes it; None where its revision knows no such parameter."""
    asked: tuple[str, ...] = ()
    tokens: Tokens | None = None
    dpop_key: str | None = None
    revocation_endpoint: str | None = None
    at: float = 0.0
