"""Proofs of possession (RFC 9449): a token that is bound to a key of ours is of no use to whoever copies it."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rune.client.oauth.web import origin

ALGORITHM: Final = "ES256"


class Prover:
    """One key, and the nonces that servers have asked to see in the next proof."""

    def __init__(self, pem: str | None = None) -> None:
        if pem is None:
            self._key = ec.generate_private_key(ec.SECP256R1())
        else:
            key = serialization.load_pem_private_key(pem.encode(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey), "we made it"
            self._key = key
        numbers = self._key.public_key().public_numbers()
        self._jwk = {"kty": "EC", "crv": "P-256", "x": _number(numbers.x), "y": _number(numbers.y)}
        self._nonces: dict[str, str] = {}

    @property
    def pem(self) -> str:
        """The key, for the vault."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def proof(self, method: str, url: str, token: str | None = None) -> str:
        """A proof for one exchange, never used for another; `token` is the one that goes with it."""
        parts = urlsplit(url)
        claims: dict[str, str | int] = {
            "jti": secrets.token_urlsafe(18),
            "htm": method,
            "htu": urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
            "iat": int(time.time()),
        }
        if token is not None:
            claims["ath"] = _text(hashlib.sha256(token.encode()).digest())
        nonce = self._nonces.get(origin(url))
        if nonce is not None:
            claims["nonce"] = nonce
        return jwt.encode(claims, self._key, ALGORITHM, {"typ": "dpop+jwt", "jwk": self._jwk})

    def learn(self, url: str, headers: Mapping[str, str]) -> bool:
        """Remember the nonce of a response; whether it is another one than before."""
        nonce = headers.get("DPoP-Nonce")
        if not nonce or self._nonces.get(origin(url)) == nonce:
            return False
        self._nonces[origin(url)] = nonce
        return True


def _number(value: int) -> str:
    return _text(value.to_bytes(32, "big"))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
