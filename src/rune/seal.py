"""Seals what leaves Rune and must come back untouched: requestState, cursors and session ids.

requestState is encrypted (AES-256-GCM) and bound to the caller, the method, the params and a time; ids of tasks that
others run are encrypted so that the same one looks the same each time (AES-SIV); cursors and session ids are only
signed. Both rims use it; the keys come from the Store, so that they outlive a restart where it does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import struct
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from rune.errors import INVALID_PARAMS, ProtocolError
from rune.store import Store

STATE_TTL: Final = 900.0
_KEYS = "seal/keys"
_HEAD = struct.Struct(">4s12s")
_NOT_BOUND = frozenset({"_meta", "inputResponses", "requestState"})

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def binding(subject: str, method: str, params: Mapping[str, msgspec.Raw]) -> bytes:
    """What a requestState belongs to: a caller, a method, and a digest of the params that a retry must repeat.

    Raises:
        ProtocolError: -32602 when a parameter cannot be read.
    """
    try:
        values = {key: msgspec.json.decode(raw) for key, raw in params.items() if key not in _NOT_BOUND}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(INVALID_PARAMS, f"params: {error}") from None
    return _encode([subject, method, hashlib.sha256(_encode(values)).hexdigest()])


class Key(msgspec.Struct, frozen=True):
    """One key of the ring: a short public id and 32 secret bytes."""

    id: bytes
    secret: bytes


class Seal:
    """The key ring. The first key seals; every key opens, so that keys can be rotated."""

    def __init__(self, keys: list[Key] | None = None) -> None:
        self._keys = {key.id: key for key in keys or [_new_key()]}
        self._first = next(iter(self._keys.values()))

    @classmethod
    async def load(cls, store: Store) -> Seal:
        """The key ring of a store, made there on first use; every process that shares the store gets the same."""
        await store.set(_KEYS, msgspec.msgpack.encode([_new_key()]), if_absent=True)
        data = await store.get(_KEYS)
        assert data is not None, "the store lost what it has just stored"
        return cls(msgspec.msgpack.decode(data, type=list[Key]))

    def state(self, layers: Mapping[str, Any], bound: bytes, ttl: float = STATE_TTL) -> str:
        """requestState for an `input_required` result: what each layer wants to find again on the retry.

        `bound` is the `binding` of the request that is answered.
        """
        nonce = os.urandom(12)
        plain = _encode([int(time.time() + ttl), layers])
        box = AESGCM(self._first.secret).encrypt(nonce, plain, bound)
        return _text(_HEAD.pack(self._first.id, nonce) + box)

    def open_state(self, text: str, bound: bytes) -> dict[str, Any]:
        """The layers again.

        Raises:
            ProtocolError: -32602 when it was changed, is too old, or belongs to another caller or another request.
        """
        data = _bytes(text)
        if data is None or len(data) < _HEAD.size:
            raise _bad_state()
        id, nonce = _HEAD.unpack_from(data)
        key = self._keys.get(id)
        if key is None:
            raise _bad_state()
        try:
            plain = AESGCM(key.secret).decrypt(nonce, data[_HEAD.size :], bound)
        except InvalidTag:
            raise _bad_state() from None
        expires, layers = msgspec.json.decode(plain, type=tuple[int, dict[str, Any]])
        if expires < time.time():
            raise _bad_state()
        return layers

    def cover(self, purpose: str, plain: bytes) -> str:
        """A token that hides what it holds and is the same for the same thing: for ids of others."""
        return _text(self._first.id + _siv(self._first.secret).encrypt(plain, [purpose.encode()]))

    def uncover(self, purpose: str, token: str) -> bytes | None:
        """What one of our keys covered for this purpose, else None."""
        data = _bytes(token)
        key = None if data is None else self._keys.get(data[:4])
        if data is None or key is None:
            return None
        try:
            return _siv(key.secret).decrypt(data[4:], [purpose.encode()])
        except (InvalidTag, ValueError):
            return None

    def sign(self, purpose: str, value: str) -> str:
        """A readable token, `<signature>.<value in base64>`: for cursors, which hold no secret."""
        return f"{_signature(self._first, purpose, value)}.{_text(value.encode())}"

    def verify(self, purpose: str, token: str) -> str | None:
        """The value of a token that one of our keys signed for this purpose, else None."""
        signature, _, body = token.partition(".")
        data = _bytes(body)
        if data is None:
            return None
        try:
            value = data.decode()
        except UnicodeDecodeError:
            return None
        for key in self._keys.values():
            if hmac.compare_digest(signature.encode("utf-8", "replace"), _signature(key, purpose, value).encode()):
                return value
        return None

    def new_id(self, purpose: str) -> str:
        """An unguessable id that shows that we made it: lower-case hex, which survives every client and proxy."""
        name = os.urandom(16).hex()
        return name + _mark(self._first, purpose, name)

    def made(self, purpose: str, id: str) -> bool:
        """Whether one of our keys made this id, here or in another process of the same store."""
        name, mark = id[:32], id[32:].encode("utf-8", "replace")
        return any(hmac.compare_digest(mark, _mark(key, purpose, name).encode()) for key in self._keys.values())


def _new_key() -> Key:
    return Key(os.urandom(4), os.urandom(32))


@lru_cache(64)
def _siv(secret: bytes) -> AESSIV:
    """A key of its own for the other cipher: one key is never used in two ways."""
    return AESSIV(hmac.digest(secret, b"rune: ids", "sha512"))


def _mark(key: Key, purpose: str, name: str) -> str:
    return hmac.digest(key.secret, f"{purpose}\0{name}".encode("utf-8", "surrogatepass"), "sha256")[:8].hex()


def _signature(key: Key, purpose: str, value: str) -> str:
    return _text(hmac.digest(key.secret, f"{purpose}\0{value}".encode("utf-8", "surrogatepass"), "sha256")[:16])


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes | None:
    """Strict: the whole string must be what `_text` would write, so that no tail can hide in a lenient decoder."""
    try:
        data = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    return data if _text(data) == text else None


def _bad_state() -> ProtocolError:
    return ProtocolError(INVALID_PARAMS, "invalid or expired requestState", data={"reason": "invalid_request_state"})
