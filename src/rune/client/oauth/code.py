"""A person signs in: the authorization request, its answer, and the exchange of the code (OAuth 2.1, RFC 9207)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from rune.auth.door import Visit
from rune.auth.pkce import METHOD, Pkce
from rune.client.oauth.discovery import Issuer, check_pkce
from rune.client.oauth.grants import Desk, plain
from rune.client.oauth.tokens import Tokens
from rune.errors import NeedsAuth


async def by_person(desk: Desk, issuer: Issuer, asked: tuple[str, ...], visit: Visit) -> Tokens:
    """The tokens of somebody who signs in.

    Raises:
        NeedsAuth: the answer is refused, or it is not theirs to give. Nothing has been sent to a token endpoint then.
    """
    check_pkce(issuer)
    endpoint = desk.web.check(issuer.needs("authorization"))
    secret, redirect = Pkce(), visit.redirect
    fields = {
        "response_type": "code",
        "client_id": desk.client.id,
        "redirect_uri": redirect,
        "scope": " ".join(asked),
        "state": secret.state,
        "code_challenge": secret.challenge,
        "code_challenge_method": METHOD,
        "resource": issuer.resource or "",
    }
    if "offline_access" in asked:
        # OpenID Connect, 11: without it there is no refresh token.
        fields["prompt"] = "consent"
    query = urlencode({key: value for key, value in fields.items() if value})
    answer = await visit.visit(f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{query}")
    code = _code(desk.web.name, issuer, secret, answer)
    return await desk.tokens(
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "code_verifier": secret.verifier,
            "resource": issuer.resource,
        },
        asked,
    )


def _code(name: str, issuer: Issuer, secret: Pkce, answer: Mapping[str, str]) -> str:
    """The code in an answer that is one to our request, from the issuer that we asked."""
    if not secret.mine(answer.get("state")):
        raise NeedsAuth(f"{name}: the answer does not belong to this sign-in", hint="try it again")
    claimed = answer.get("iss")
    advertised = issuer.metadata.get("authorization_response_iss_parameter_supported") is True
    # RFC 9207, 2.4: compared as it is, and before anything else in the answer is believed.
    if claimed != issuer.name and (claimed is not None or advertised):
        raise NeedsAuth(
            f"{name}: the answer is not from {issuer.name}", hint="somebody may want your sign-in: be careful"
        )
    if "error" in answer:
        told = plain(answer.get("error_description"))
        raise NeedsAuth(f"{name}: {issuer.name} refused: {plain(answer['error'])}{told and f' ({told})'}")
    code = answer.get("code")
    if not code:
        raise NeedsAuth(f"{name}: the answer has no code", hint="try it again")
    return code
