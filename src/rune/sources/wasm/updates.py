"""Updates of components: one that asks for more than the version before had is held until somebody accepts it.

What was served last, and what was accepted, is noted for each component in the home of the user: the notes of serving
by whoever serves, those of accepting by `rune wasm grant` alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from rune.config.places import home, put
from rune.errors import ConfigError


class Note(msgspec.Struct, frozen=True):
    """A version of a component, and the kinds of things that it and those before it ask for."""

    file: str
    digest: str
    asks: tuple[str, ...] = ()


class Held(NamedTuple):
    """An update that is not served: what it asks for that the one in its place does not."""

    digest: str
    instead: str
    more: tuple[str, ...]

    def __str__(self) -> str:
        return f"an update is held: it asks for {' and '.join(self.more)}"


HINT: Final = "rune wasm inspect {0} shows it, rune wasm grant {0} accepts it"

_read: Final = msgspec.json.Decoder(Note).decode


class Updates:
    """The notes about one component; `file` is where it lies, or would lie if it were no URL."""

    def __init__(self, file: Path, environ: Mapping[str, str] | None = None) -> None:
        self.file = file
        key = hashlib.sha256(str(file).encode()).hexdigest()[:32]
        folder = home(os.environ if environ is None else environ) / "components"
        self.served = folder / f"{key}.json"
        self.accepted = folder / f"{key}.accepted.json"

    def held(self, digest: str, asks: frozenset[str], granted: frozenset[str]) -> Held | None:
        """Whether a version must wait: it asks for what nobody has granted, and no version before it has."""
        before, accepted = self.read(self.served), self.read(self.accepted)
        if before is None or before.digest == digest or (accepted is not None and accepted.digest == digest):
            return None
        more = asks - granted - frozenset(before.asks)
        return Held(digest, before.digest, tuple(sorted(more))) if more else None

    def serve(self, digest: str, asks: frozenset[str]) -> None:
        """Note what is served from now on.

        Raises:
            ConfigError: it cannot be written.
        """
        before = self.read(self.served)
        known = frozenset() if before is None else frozenset(before.asks)
        if before is None or before.digest != digest:
            self._write(self.served, digest, asks | known)

    def accept(self, digest: str, asks: frozenset[str]) -> None:
        """Note that a version may be served, whatever it asks for. It gets what its policy grants, and no more.

        Raises:
            ConfigError: it cannot be written.
        """
        self._write(self.accepted, digest, asks)

    def forget(self) -> None:
        """The component is no longer used."""
        self.served.unlink(missing_ok=True)
        self.accepted.unlink(missing_ok=True)

    def read(self, path: Path) -> Note | None:
        """A note, if there is one.

        Raises:
            ConfigError: it cannot be read.
        """
        try:
            return _read(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(
                f"{path}: {error}", hint=f"it is a note about {self.file}; delete it to begin anew"
            ) from None

    def _write(self, path: Path, digest: str, asks: frozenset[str]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            put(path, msgspec.json.encode(Note(str(self.file), digest, tuple(sorted(asks)))), durable=True)
        except OSError as error:
            raise ConfigError(
                f"{path.parent}: {(error.strerror or str(error)).lower()}", hint="RUNE_HOME names another folder"
            ) from None
