"""Where the key of the vault comes from: the keyring of the system, a passphrase, or a file beside the vault."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

import keyring
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.errors import KeyringError

from rune.config.places import PASSPHRASE
from rune.errors import ConfigError

Kind: TypeAlias = Literal["keyring", "passphrase", "file"]

SERVICE: Final = "rune"
SIZE: Final = 32
_COST: Final = 2**15
"""Of scrypt: 60 to 100 ms and 32 MiB."""


class Keys:
    """The keys of one vault. What has been found is remembered."""

    def __init__(self, vault: Path, environ: Mapping[str, str]) -> None:
        self.file = vault.with_name(f"{vault.name}.key")
        self._account = f"vault {vault}"
        self._passphrase = environ.get(PASSPHRASE) or None
        self._ring: KeyringBackend | None = None
        self._found: dict[tuple[Kind, bytes], bytes] = {}

    def choose(self) -> Kind:
        """What a new vault is sealed with: the first that this system offers."""
        self._ring = usable_keyring()
        if self._ring is not None and self._writable(self._ring):
            return "keyring"
        return "file" if self._passphrase is None else "passphrase"

    def _writable(self, ring: KeyringBackend) -> bool:
        """A keyring that is there may still be locked."""
        try:
            if ring.get_password(SERVICE, self._account) is None:
                ring.set_password(SERVICE, self._account, base64.b64encode(secrets.token_bytes(SIZE)).decode())
            return ring.get_password(SERVICE, self._account) is not None
        except KeyringError:
            return False

    def key(self, kind: Kind, salt: bytes, *, new: bool = False) -> bytes:
        """The key; `new` makes the file if there is none.

        Raises:
            ConfigError: when it is not to be had, or others could read it.
        """
        about = kind, salt if kind == "passphrase" else b""
        if about not in self._found:
            match kind:
                case "keyring":
                    self._found[about] = self._from_keyring()
                case "passphrase":
                    self._found[about] = self._from_passphrase(salt)
                case "file":
                    self._found[about] = self._from_file(new=new)
        return self._found[about]

    def _from_keyring(self) -> bytes:
        ring = self._ring or usable_keyring()
        try:
            kept = None if ring is None else ring.get_password(SERVICE, self._account)
        except KeyringError as error:
            raise ConfigError(f"vault: the keyring did not give its key: {error}", hint="unlock the keyring") from None
        if kept is None:
            where = "there is no keyring here" if ring is None else "the keyring does not have it"
            raise ConfigError(
                f"vault: its key is in the keyring of the system, and {where}",
                hint="run it in the desktop session that made the vault",
            )
        return base64.b64decode(kept)

    def _from_passphrase(self, salt: bytes) -> bytes:
        if self._passphrase is None:
            raise ConfigError("vault: sealed with a passphrase", hint=f"put it into the environment as {PASSPHRASE}")
        return Scrypt(salt=salt, length=SIZE, n=_COST, r=8, p=1).derive(self._passphrase.encode())

    def _from_file(self, *, new: bool) -> bytes:
        if new and not self.file.exists():
            handle = os.open(self.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(SIZE))
        try:
            status = self.file.stat()
            key = self.file.read_bytes()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"vault: its key file {self.file}: {reason}", hint="bring it back, or remove the vault"
            ) from None
        if sys.platform != "win32" and status.st_mode & 0o077:
            raise ConfigError(f"vault: others can read its key file {self.file}", hint=f"chmod 600 {self.file}")
        if len(key) != SIZE:
            raise ConfigError(f"vault: {self.file} is no key of {SIZE} bytes", hint="bring back the one that was there")
        return key


def usable_keyring() -> KeyringBackend | None:
    """A keyring of the operating system. Add-ons that keep clear text or bring cryptography of their own are passed
    over, even where the library would choose them."""
    chosen = keyring.get_keyring()
    several = chosen.backends if isinstance(chosen, chainer.ChainerBackend) else [chosen]
    for ring in several:
        if isinstance(ring, (fail.Keyring, null.Keyring)):
            continue
        if type(ring).__module__.startswith("keyring.backends.") and ring.priority >= 1:
            return ring
    return None
