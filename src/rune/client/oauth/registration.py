"""Who we are at an authorization server: named in the config, by a metadata document, or registered on the spot."""

from __future__ import annotations

import time
from typing import Any, Final

from rune.client.oauth.discovery import Issuer
from rune.client.oauth.tokens import Registered
from rune.client.oauth.web import Web
from rune.config.model import AuthTable
from rune.errors import NeedsAuth

NAME: Final = "Rune"
PREFERRED: Final = ("client_secret_basic", "client_secret_post", "none")


def configured(settings: AuthTable, issuer: Issuer) -> Registered | None:
    """The client that the config names. An https URL is the address of its metadata document, which only some issuers
    read: at the others we are somebody else."""
    if settings.client_id is None:
        return None
    if portable(settings) and issuer.metadata.get("client_id_metadata_document_supported") is not True:
        return None
    return Registered(settings.client_id, settings.client_secret, method_of(settings, issuer))


def portable(settings: AuthTable) -> bool:
    """Whether the configured client is the same everywhere."""
    return settings.client_id is not None and settings.client_id.startswith("https://")


def method_of(settings: AuthTable, issuer: Issuer) -> str:
    """How a configured client shows at the token endpoint that it is the one."""
    if settings.private_key is not None:
        return "private_key_jwt"
    if settings.client_secret is None:
        return "none"
    # RFC 8414, 2: what stands there when nothing does.
    offered = issuer.lists("token_endpoint_auth_methods_supported") or ("client_secret_basic",)
    return next((method for method in PREFERRED[:2] if method in offered), "client_secret_basic")


async def register(web: Web, issuer: Issuer, redirect: str) -> Registered:
    """Register as a new client (RFC 7591).

    Raises:
        NeedsAuth: it takes no new clients.
    """
    endpoint = issuer.endpoint("registration")
    if endpoint is None:
        raise NeedsAuth(
            f"{web.name}: {issuer.name} takes no new clients",
            hint="register Rune there and put its id into the config: auth = { client_id = … }",
        )
    offered = issuer.lists("token_endpoint_auth_methods_supported")
    wanted = "none" if not offered or "none" in offered else next((m for m in PREFERRED if m in offered), "none")
    answer = await web.post(
        endpoint,
        {
            "client_name": NAME,
            "redirect_uris": [redirect],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": wanted,
            "application_type": "native",
        },
    )
    id, secret = answer.value.get("client_id"), answer.value.get("client_secret")
    if answer.status not in (200, 201) or not isinstance(id, str) or not id:
        told = answer.value.get("error_description") or answer.value.get("error") or f"status {answer.status}"
        raise NeedsAuth(
            f"{web.name}: {issuer.name} did not register Rune: {str(told)[:200]}",
            hint="register it there by hand and put its id into the config: auth = { client_id = … }",
        )
    secret = secret if isinstance(secret, str) and secret else None
    return Registered(id, secret, _method(answer.value, offered, secret), redirect, _expiry(answer.value))


def _method(value: dict[str, Any], offered: tuple[str, ...], secret: str | None) -> str:
    if secret is None:
        return "none"
    granted = value.get("token_endpoint_auth_method")
    if granted in PREFERRED:
        return str(granted)
    return next((method for method in PREFERRED if method in offered), "client_secret_basic")


def _expiry(value: dict[str, Any]) -> float | None:
    until = value.get("client_secret_expires_at")
    return float(until) if isinstance(until, (int, float)) and until > 0 else None


def usable(client: Registered, redirect: str | None) -> bool:
    """Whether an earlier registration still holds for a sign-in that comes back to this address."""
    expired = client.expires_at is not None and client.expires_at < time.time()
    return not expired and client.redirect in (None, redirect)
