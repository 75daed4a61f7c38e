"""Where Rune keeps what outlives it on this machine, for this user alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

PASSPHRASE: Final = "RUNE_VAULT_PASSPHRASE"
"""The variable with the passphrase of the vault. No process that we start gets it."""


def home(environ: Mapping[str, str]) -> Path:
    """The folder: RUNE_HOME, else `rune` under XDG_DATA_HOME or ~/.local/share. It may not exist yet."""
    chosen = environ.get("RUNE_HOME")
    if chosen:
        return Path(chosen).expanduser()
    return Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "rune"


def vault(environ: Mapping[str, str]) -> Path:
    """The file with the secrets."""
    return home(environ) / "vault"
