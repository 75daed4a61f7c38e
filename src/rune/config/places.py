"""Where Rune keeps what outlives it on this machine, for this user alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rune.errors import ConfigError

PASSPHRASE: Final = "RUNE_VAULT_PASSPHRASE"
"""The variable with the passphrase of the vault. No process that we start gets it."""


def home(environ: Mapping[str, str]) -> Path:
    """The folder: RUNE_HOME, else `rune` under XDG_DATA_HOME or ~/.local/share. It may not exist yet.

    Raises:
        ConfigError: this user has no home, as in some containers.
    """
    try:
        chosen = environ.get("RUNE_HOME")
        if chosen:
            return Path(chosen).expanduser()
        return Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "rune"
    except RuntimeError:
        raise ConfigError("this user has no home to keep anything in", hint="name a folder in RUNE_HOME") from None


def vault(environ: Mapping[str, str]) -> Path:
    """The file with the secrets.

    Raises:
        ConfigError: see `home`.
    """
    return home(environ) / "vault"


def has_vault(environ: Mapping[str, str]) -> bool:
    """Whether anything has ever been kept there."""
    try:
        return vault(environ).exists()
    except (ConfigError, OSError):
        return False


def cache(environ: Mapping[str, str]) -> Path:
    """What can be made again is kept in RUNE_CACHE_DIR, else in `rune` in the cache of the user."""
    chosen = environ.get("RUNE_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME") or "~").expanduser() / ".cache")
    return Path(base) / "rune"


def catalogs(environ: Mapping[str, str]) -> Path:
    """Where the last catalogs of servers are kept."""
    return cache(environ) / "catalogs"


def put(path: Path, data: bytes, *, durable: bool) -> None:
    """Write a file for this user alone, whole or not at all: a reader sees the old one or the new one. One that is
    `durable` is there after a crash of the machine too.

    Raises:
        OSError: it cannot be written; the old one is still there.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
