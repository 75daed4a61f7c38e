"""Last catalogs on disk, so that a server which sleeps or is dead is listed after a restart of the gateway too.

`build.py` gives a source its place here. A file belongs to one server under one credential: its name is a digest of all
that decides what that server may show.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from rune.config.places import put
from rune.source import Catalog, Item

log = logging.getLogger("rune.upstream")

VERSION: Final = 1
MAX_SIZE: Final = 8 << 20
MAX_FILES: Final = 1000
MAX_AGE: Final = 90 * 86400.0

_LISTS: Final = ("tools", "prompts", "resources", "templates")


class _Page(msgspec.Struct, forbid_unknown_fields=True):
    """A Catalog as it is written down: definitions byte for byte."""

    version: int
    saved: float
    source: str
    lists: dict[str, list[tuple[str, msgspec.Raw]]]
    rest: dict[str, Any]


_decode = msgspec.json.Decoder(_Page).decode


class Disk:
    """The last catalog of one server under one credential. `identity` is all that makes it this one: command or URL,
    environment, headers, and who it is for where that is a caller; another credential never finds this file."""

    def __init__(self, place: Path, source: str, identity: object) -> None:
        digest = hashlib.sha256(msgspec.json.encode([source, identity], order="deterministic")).hexdigest()
        self.source = source
        self._place = place
        self._identity = identity
        self.path = place / f"{source}-{digest[:32]}.json"

    def variant(self, side: object) -> Disk:
        """Where the catalog of another side is kept."""
        return Disk(self._place, self.source, [self._identity, side])

    def load(self) -> tuple[Catalog, float] | None:
        """What was kept, and how many seconds ago; None when there is nothing that can be used."""
        try:
            data = _read(self.path)
            if data is None:
                return None
            page = _decode(data)
            if page.version != VERSION or page.source != self.source:
                raise ValueError(f"version {page.version} of {page.source}")
            lists: dict[str, Any] = {
                name: tuple(Item(own, bytes(raw)) for own, raw in page.lists[name]) for name in _LISTS
            }
            catalog = replace(msgspec.convert(page.rest, Catalog), **lists)
        except (OSError, ValueError, LookupError, msgspec.MsgspecError, RecursionError) as error:
            log.warning("%s: the kept catalog %s is of no use: %s", self.source, self.path, error)
            return None
        return catalog, max(time.time() - page.saved, 0.0)

    def save(self, catalog: Catalog) -> None:
        """Keep it, whole or not at all. What cannot be kept is no reason to fail."""
        lists = {name: [(item.name, msgspec.Raw(item.raw)) for item in getattr(catalog, name)] for name in _LISTS}
        rest = {name: getattr(catalog, name) for name in Catalog.__dataclass_fields__ if name not in _LISTS}
        page = _Page(VERSION, time.time(), self.source, lists, rest)
        data = msgspec.json.encode(page)
        try:
            if len(data) > MAX_SIZE:
                log.info("%s: its catalog of %d bytes is too large to be kept", self.source, len(data))
                self.path.unlink(missing_ok=True)
            else:
                _write(self.path, data)
        except OSError as error:
            log.info("%s: its catalog cannot be kept: %s", self.source, error)


def _read(path: Path) -> bytes | None:
    """The file, if it is ours alone and not too large."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError("not a file of ours alone")
        if found.st_size > MAX_SIZE:
            raise ValueError(f"{found.st_size} bytes are too many")
        return file.read(MAX_SIZE + 1)


def _write(path: Path, data: bytes) -> None:
    """A newcomer makes room for itself first."""
    fresh = not path.exists()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if fresh:
        _prune(path.parent)
    put(path, data, durable=False)


def _prune(place: Path) -> None:
    """Servers come and go: what nobody has used for long is thrown away, and so is the oldest of too many."""
    with suppress(FileNotFoundError):
        entries = sorted((entry.stat().st_mtime, entry.path) for entry in os.scandir(place))
        surplus = len(entries) - MAX_FILES + 1
        for number, (age, name) in enumerate(entries):
            if number < surplus or age < time.time() - MAX_AGE:
                Path(name).unlink(missing_ok=True)
