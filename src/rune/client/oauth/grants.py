"""Token requests: every grant, every way to show who the client is, and what the answers mean."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import jwt

from rune.client.oauth.discovery import Issuer
from rune.client.oauth.dpop import Prover
from rune.client.oauth.tokens import Credential, Registered, Tokens
from rune.client.oauth.web import Answer, Web
from rune.config.model import AuthTable
from rune.errors import ConfigError, NeedsAuth, Unavailable

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ID_TOKEN: Final = "urn:ietf:params:oauth:token-type:id_token"
_ID_JAG: Final = "urn:ietf:params:oauth:token-type:id-jag"
_ASSERTION_LIFE: Final = 120


class Denied(NeedsAuth):
    """The authorization server said no; `error` is its word for it."""

    def __init__(self, message: str, error: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.error = error


class Desk(NamedTuple):
    """The token endpoint of an issuer, and who stands before it."""

    web: Web
    issuer: str
    endpoint: str
    client: Registered
    settings: AuthTable
    prover: Prover | None = None

    async def tokens(self, fields: Mapping[str, str | None], asked: tuple[str, ...]) -> Tokens:
        """What a grant is worth.

        Raises:
            Denied: the issuer refused. NeedsAuth: its answer is of no use. Unavailable, TimedOut: it did not answer.
        """
        sent = {key: value for key, value in fields.items() if value}
        headers = self._identify(sent)
        answer = await self._ask(sent, headers)
        if answer.status != 200:
            raise self._denied(answer, sent)
        tokens = Tokens.read(answer.value, asked)
        if self.prover is not None and tokens.type != "DPoP":
            raise NeedsAuth(f"{self.web.name}: {self.issuer} issued a token that is not bound to our key")
        return tokens

    async def revoke(self, token: str) -> bool:
        """Take a token back; this endpoint is the one for that."""
        fields = {"token": token}
        headers = self._identify(fields)
        return (await self.web.form(self.endpoint, fields, headers)).status == 200

    def _identify(self, fields: dict[str, str]) -> dict[str, str]:
        client = self.client
        match client.method:
            case "client_secret_basic":
                pair = f"{quote(client.id, safe='')}:{quote(client.secret or '', safe='')}"
                return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
            case "client_secret_post":
                fields |= {"client_id": client.id, "client_secret": client.secret or ""}
            case "private_key_jwt":
                fields |= {
                    "client_id": client.id,
                    "client_assertion_type": _ASSERTION,
                    "client_assertion": signed(self.settings, client.id, self.issuer),
                }
            case _:
                fields["client_id"] = client.id
        return {}

    async def _ask(self, fields: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """The exchange, and once more with the nonce that the issuer wants to see (RFC 9449, 8)."""
        if self.prover is None:
            return await self.web.form(self.endpoint, fields, headers)
        proof = {"DPoP": self.prover.proof("POST", self.endpoint)}
        answer = await self.web.form(self.endpoint, fields, {**headers, **proof})
        if self.prover.learn(self.endpoint, answer.headers) and answer.value.get("error") == "use_dpop_nonce":
            proof = {"DPoP": self.prover.proof("POST", self.endpoint)}
            answer = await self.web.form(self.endpoint, fields, {**headers, **proof})
            self.prover.learn(self.endpoint, answer.headers)
        return answer

    def _denied(self, answer: Answer, sent: Mapping[str, str]) -> NeedsAuth | Unavailable:
        error = answer.value.get("error")
        if not isinstance(error, str) or answer.status >= 500 or answer.status == 429:
            return Unavailable(f"{self.web.name}: {self.issuer} answered a token request with status {answer.status}")
        told = plain(answer.value.get("error_description"), sent.values())
        hint = None if self.settings.grant == "authorization_code" else "check auth of this source in the config"
        return Denied(
            f"{self.web.name}: {self.issuer} gave no token: {plain(error)}{told and f' ({told})'}", error, hint=hint
        )


def plain(text: Any, secret: Any = ()) -> str:
    """What somebody else says, short, on one line, and without the secrets that we told them."""
    if not isinstance(text, str):
        return ""
    for value in secret:
        if len(value) > 7:
            text = text.replace(value, "…")
    return "".join(char if char.isprintable() else " " for char in text[:200])


def signed(settings: AuthTable, client: str, audience: str) -> str:
    """A client assertion (RFC 7523): for one issuer, once, for two minutes.

    Raises:
        ConfigError: the key cannot sign.
    """
    now = int(time.time())
    claims = {
        "iss": client, "sub": client, "aud": audience, "jti": secrets.token_urlsafe(18),
        "iat": now, "exp": now + _ASSERTION_LIFE,
    }  # fmt: skip
    try:
        return jwt.encode(claims, settings.private_key or "", settings.algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError):
        # What the library says may show the key.
        raise ConfigError(
            f"auth: private_key is no key in PEM for {settings.algorithm}", hint="check auth.private_key and algorithm"
        ) from None


async def by_machine(desk: Desk, issuer: Issuer, asked: tuple[str, ...]) -> Tokens:
    """A token without anybody at a browser.

    Raises:
        Denied, NeedsAuth, ConfigError, Unavailable, TimedOut: there is none.
    """
    common = {"scope": " ".join(asked), "resource": issuer.resource}
    match desk.settings.grant:
        case "client_credentials":
            return await desk.tokens({"grant_type": "client_credentials", **common}, asked)
        case "jwt_bearer":
            assertion = _assertion(desk.settings)
        case _:
            assertion = await _exchanged(desk, issuer, asked)
    return await desk.tokens({"grant_type": JWT_BEARER, "assertion": assertion, **common}, asked)


async def _exchanged(desk: Desk, issuer: Issuer, asked: tuple[str, ...]) -> str:
    """The grant that the identity provider of an enterprise gives for the token of a person (RFC 8693, ID-JAG)."""
    settings = desk.settings
    if settings.idp is None:
        raise ConfigError("auth: token_exchange needs idp", hint="the token endpoint of the identity provider")
    sent = {
        "grant_type": TOKEN_EXCHANGE,
        "requested_token_type": _ID_JAG,
        "subject_token": _assertion(settings),
        "subject_token_type": _ID_TOKEN,
        "audience": issuer.name,
        "resource": issuer.resource or "",
        "scope": " ".join(asked),
        "client_id": settings.idp_client_id or desk.client.id,
    }
    answer = await desk.web.form(settings.idp, {key: value for key, value in sent.items() if value}, {})
    token, kind = answer.value.get("access_token"), answer.value.get("issued_token_type")
    if answer.status != 200 or not isinstance(token, str) or kind != _ID_JAG:
        error = plain(answer.value.get("error")) or f"status {answer.status}"
        told = plain(answer.value.get("error_description"), sent.values())
        raise Denied(f"{desk.web.name}: {settings.idp} exchanged no token: {error}{told and f' ({told})'}", error)
    return token


def _assertion(settings: AuthTable) -> str:
    """The token in a file, read each time: whoever writes it renews it."""
    path = settings.assertion_file
    if path is None:
        raise ConfigError(f"auth: {settings.grant} needs assertion_file", hint="a file with the token to present")
    try:
        text = Path(path).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"auth: assertion_file {path}: {getattr(error, 'strerror', None) or 'no token'}") from None
    if not text:
        raise ConfigError(f"auth: assertion_file {path} is empty")
    return text


async def refreshed(desk: Desk, credential: Credential) -> Tokens:
    """The next tokens for a refresh token. The old ones are used up, whatever becomes of the answer."""
    old = credential.tokens
    assert old is not None and old.refresh_token, "there is one"
    fields = {"grant_type": "refresh_token", "refresh_token": old.refresh_token, "resource": credential.resource}
    tokens = await desk.tokens(fields, old.scopes)
    if tokens.refresh_token is None:
        tokens.refresh_token = old.refresh_token
    return tokens
