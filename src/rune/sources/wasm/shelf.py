"""Components that were fetched or served, kept by their digest: what is read is what was meant, or nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from rune.config.places import put
from rune.errors import ConfigError

PREFIX: Final = "sha256:"


def digest_of(data: bytes) -> str:
    """`sha256:` and the digest."""
    return f"{PREFIX}{hashlib.sha256(data).hexdigest()}"


class Shelf:
    """The folder. It is a cache: all of it can be deleted, and fetched again while the network is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        """The file of a component."""
        return self.folder / f"{digest.removeprefix(PREFIX)}.wasm"

    def note(self, digest: str) -> Path:
        """The file of a manifest."""
        return self.folder / f"{digest.removeprefix(PREFIX)}.json"

    def read(self, path: Path, digest: str) -> bytes | None:
        """What is kept there, unless it has changed."""
        try:
            data = path.read_bytes()
        except OSError:
            return None
        return data if digest_of(data) == digest else None

    def keep(self, path: Path, data: bytes) -> None:
        """Put something there, unless it is there.

        Raises:
            ConfigError: the folder cannot be written.
        """
        try:
            if path.is_file() and path.stat().st_size == len(data):
                # Whoever reads it looks whether it is whole.
                return
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            put(path, data, durable=False)
        except OSError as error:
            raise ConfigError(
                f"{path.parent}: {(error.strerror or str(error)).lower()}", hint="RUNE_CACHE_DIR names another folder"
            ) from None
