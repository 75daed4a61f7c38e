"""Secrets that outlive the process, in one sealed file: those of the config, and the credentials for other servers.

Used by the config (`${secret:NAME}`), by the sign-in to upstreams, and by the verbs `rune secret` and `rune auth`.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from rune.auth.keys import Keys, Kind
from rune.auth.locks import locked
from rune.config import places
from rune.errors import ConfigError

# With the salt they are the associated data: a file of another kind or version never opens.
_MAGIC: Final[dict[Kind, bytes]] = {"keyring": b"RUNEVLTR", "passphrase": b"RUNEVLTP", "file": b"RUNEVLTK"}
_KINDS: Final = {magic: kind for kind, magic in _MAGIC.items()}
_SALT, _NONCE, _HEAD = 16, 12, 8 + 16 + 12
_encode = msgspec.json.Encoder(order="sorted").encode


class Account(NamedTuple):
    """Whose credential it is, who issued it, and for which server."""

    caller: str
    issuer: str
    resource: str


class _Entry(msgspec.Struct):
    account: Account
    value: dict[str, Any]


class _Content(msgspec.Struct):
    secrets: dict[str, str] = {}
    entries: list[_Entry] = []


class Vault:
    """The sealed file. Each method reads or writes it as a whole; several processes may share it."""

    def __init__(self, path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self.path = path or places.vault(environ)
        self._keys = Keys(self.path, environ)

    # --- secrets of the config ---

    def secret(self, name: str) -> str | None:
        """The value of a secret."""
        return self._read().secrets.get(name)

    def names(self) -> list[str]:
        """The names of all secrets."""
        return sorted(self._read().secrets)

    def keep(self, name: str, value: str) -> None:
        """Store a secret, in place of the last one of that name."""
        with self._changing() as content:
            content.secrets[name] = value

    def remove(self, name: str) -> bool:
        """Remove a secret; False when there is none."""
        with self._changing() as content:
            return content.secrets.pop(name, None) is not None

    # --- credentials ---

    def entries(self, caller: str, resource: str | None = None) -> dict[Account, dict[str, Any]]:
        """What one caller has, for one server or all; never what others have."""
        return {
            entry.account: entry.value
            for entry in self._read().entries
            if entry.account.caller == caller and resource in (None, entry.account.resource)
        }

    def entry(self, account: Account) -> dict[str, Any] | None:
        """One credential."""
        return self.entries(account.caller, account.resource).get(account)

    def save(self, account: Account, value: Mapping[str, Any]) -> None:
        """Store a credential, in place of the last one of that account."""
        with self._changing() as content:
            content.entries = [entry for entry in content.entries if entry.account != account]
            content.entries.append(_Entry(account, dict(value)))

    def forget(self, account: Account) -> bool:
        """Remove a credential; False when there is none."""
        with self._changing() as content:
            kept = [entry for entry in content.entries if entry.account != account]
            gone = len(kept) < len(content.entries)
            content.entries = kept
        return gone

    # --- the file ---

    def lock_file(self, *words: str) -> Path:
        """The file to lock while something about these words is done that must happen once on this machine."""
        return self.path.with_name("locks") / hashlib.sha256(_encode(words)).hexdigest()[:32]

    @contextmanager
    def _changing(self) -> Iterator[_Content]:
        with locked(self.path.with_name(f"{self.path.name}.lock")):
            content = self._read()
            yield content
            self._write(content)

    def _read(self) -> _Content:
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return _Content()
        except OSError as error:
            raise ConfigError(f"vault: {self.path}: {(error.strerror or str(error)).lower()}") from None
        kind = _KINDS.get(raw[:8])
        if kind is None:
            raise ConfigError(f"vault: {self.path} is no vault of this version", hint="move it away")
        salt, nonce = raw[8 : 8 + _SALT], raw[8 + _SALT : _HEAD]
        try:
            plain = AESGCM(self._keys.key(kind, salt)).decrypt(nonce, raw[_HEAD:], raw[: 8 + _SALT])
        except (InvalidTag, ValueError):
            fix = "give the right passphrase" if kind == "passphrase" else "bring back the file or the key of a backup"
            raise ConfigError(f"vault: {self.path} was changed, or belongs to another key", hint=fix) from None
        return msgspec.json.decode(plain, type=_Content)

    def _write(self, content: _Content) -> None:
        try:
            kind = _KINDS[self.path.read_bytes()[:8]]
        except FileNotFoundError:
            kind = self._keys.choose()
        salt, nonce = secrets.token_bytes(_SALT), secrets.token_bytes(_NONCE)
        head = _MAGIC[kind] + salt
        sealed = AESGCM(self._keys.key(kind, salt, new=True)).encrypt(nonce, _encode(content), head)
        places.put(self.path, head + nonce + sealed, durable=True)
