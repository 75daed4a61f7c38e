"""Where the component of a source comes from, and which version of it is served: the one that is meant, or, while
that one is held, the one before.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rune.config.components import reference, remote
from rune.config.model import SourceConfig
from rune.config.policy import PolicyTable
from rune.errors import ConfigError
from rune.sources.wasm.asks import granted, imports_of, kinds
from rune.sources.wasm.fetch import Registry, checked, from_url, layer_of
from rune.sources.wasm.shelf import PREFIX, Shelf, digest_of
from rune.sources.wasm.updates import HINT, Held, Updates

log = logging.getLogger("rune.wasm")


class Version(NamedTuple):
    """A component, the file that it is in, and the digest by which it is known: for one of a registry that of its
    manifest."""

    data: bytes
    path: Path
    digest: str


class Choice(NamedTuple):
    """What is served: the file, its own digest, the digest by which it is known, and what is held back for it."""

    path: Path
    sha256: str
    digest: str
    held: Held | None = None


class Stock:
    """The component of one source, wherever it lies. `cache` is the folder for what is fetched."""

    def __init__(self, config: SourceConfig, policy: PolicyTable, cache: Path) -> None:
        self.name = config.name
        self._config = config
        self._policy = policy
        self._shelf = Shelf(cache)

    @property
    def hint(self) -> str:
        """What to do about an update that is held."""
        return HINT.format(self.name if remote(self._config.place) else self._config.place)

    async def find(self) -> Choice:
        """What is to be loaded. What is not here yet is fetched; what is served is noted.

        Raises:
            RuneError: it cannot be had, it is not what was meant, or nothing of it may be served.
        """
        if remote(self._config.place):
            await fetch(self._config, self._shelf)
        choice = await asyncio.to_thread(self.choose, note=True)
        if choice.held is not None and remote(self._config.place):
            log.warning("%s: %s; the version before it is served (%s)", self.name, choice.held, self.hint)
        return choice

    def meant(self) -> Version:
        """The version that the config means.

        Raises:
            ConfigError: it is not here.
        """
        place, digest = self._config.place, self._config.digest
        if digest:
            found = shelved(self._shelf, self.name, digest)
            if found is None:
                raise ConfigError(
                    f"{self.name}: {place} was not fetched yet", hint="rune serve or rune list fetches it"
                )
            return found
        try:
            data = Path(place).read_bytes()
        except OSError as error:
            raise ConfigError(f"{place}: {(error.strerror or str(error)).lower()}", hint="check the path") from None
        return Version(data, Path(place), digest_of(data))

    @property
    def here(self) -> bool:
        """Whether the version that is meant has been fetched, or was never far."""
        digest = self._config.digest
        return not digest or shelved(self._shelf, self.name, digest) is not None

    def look(self) -> tuple[str, list[str]]:
        """The digest of the version that is meant, and the kinds of things that it asks for.

        Raises:
            ConfigError: it is not here, or is none.
        """
        data, _, digest = self.meant()
        return digest, sorted(kinds(imports_of(self.name, data)))

    def choose(self, *, note: bool = False) -> Choice:
        """Which version is served.

        Raises:
            ConfigError: none can be.
        """
        data, path, digest = self.meant()
        asks = kinds(imports_of(path.name if path == Path(self._config.place) else self.name, data))
        updates = self._updates()
        held = None if updates is None else updates.held(digest, asks, granted(self._policy))
        if held is not None:
            before = shelved(self._shelf, self.name, held.instead)
            if before is None:
                raise ConfigError(f"{self.name}: {held}, and the version before it is gone", hint=self.hint)
            return Choice(before.path, before.path.stem, held.instead, held)
        own = digest if path == Path(self._config.place) else digest_of(data)
        if note:
            # The next version may have to be held: then this one must still be there.
            self._shelf.keep(self._shelf.path(own), data)
            self._note(updates, digest, asks)
        return Choice(path, own.removeprefix(PREFIX), digest)

    def accept(self) -> None:
        """Serve the version that is meant, whatever it asks for.

        Raises:
            ConfigError: it is not here, or that cannot be noted.
        """
        data, _, digest = self.meant()
        Updates(self._config.file).accept(digest, kinds(imports_of(self.name, data)))

    def _updates(self) -> Updates | None:
        try:
            return Updates(self._config.file)
        except ConfigError as error:
            log.info("%s: updates are not held: %s", self.name, error)
            return None

    def _note(self, updates: Updates | None, digest: str, asks: frozenset[str]) -> None:
        if updates is None:
            return
        try:
            updates.serve(digest, asks)
        except ConfigError as error:
            log.warning("%s: its next update will not be held: %s", self.name, error)


async def fetch(config: SourceConfig, shelf: Shelf) -> None:
    """Have the component of a source with a URL; without the network, if it was fetched before.

    Raises:
        RuneError: it cannot be had, or it is not what was meant.
    """
    if await asyncio.to_thread(shelved, shelf, config.name, config.digest) is not None:
        return
    if config.place.startswith("oci://"):
        await _pull(config, shelf)
        return
    data = checked(
        config.name, config.place, await from_url(config.name, config.place, private=config.private), config.digest
    )
    imports_of(config.name, data)
    await asyncio.to_thread(shelf.keep, shelf.path(config.digest), data)


async def _pull(config: SourceConfig, shelf: Shelf) -> None:
    said = reference(config.place)
    async with Registry(config.name, said, private=config.private) as registry:
        manifest = await registry.manifest(config.digest)
        layer = layer_of(config.name, said, manifest)
        if "manifest" in layer.mediaType:
            inner = await registry.manifest(layer.digest)
            shelf.keep(shelf.note(layer.digest), inner)
            layer = layer_of(config.name, said, inner)
        data = await registry.blob(layer)
    imports_of(config.name, data)
    await asyncio.to_thread(shelf.keep, shelf.path(layer.digest), data)
    # Last: with it, all that it names is here.
    shelf.keep(shelf.note(config.digest), manifest)


async def latest(config: SourceConfig, cache: Path) -> str:
    """The digest of what a URL or a tag means now. What was fetched for it is kept.

    Raises:
        RuneError: it cannot be had.
    """
    shelf = Shelf(cache)
    if config.place.startswith("oci://"):
        said = reference(config.place)
        async with Registry(config.name, said, private=config.private) as registry:
            manifest = await registry.manifest(said.digest or said.tag or "latest")
        layer_of(config.name, said, manifest)
        return digest_of(manifest)
    data = await from_url(config.name, config.place, private=config.private)
    imports_of(config.name, data)
    shelf.keep(shelf.path(digest_of(data)), data)
    return digest_of(data)


def shelved(shelf: Shelf, name: str, digest: str) -> Version | None:
    """A component that is on the shelf, under its own digest or under that of a manifest."""
    path = shelf.path(digest)
    if (data := shelf.read(path, digest)) is not None:
        return Version(data, path, digest)
    manifest = shelf.read(shelf.note(digest), digest)
    if manifest is None:
        return None
    with suppress(ConfigError):
        found = shelved(shelf, name, layer_of(name, digest, manifest).digest)
        return None if found is None else found._replace(digest=digest)
    return None


def chosen(config: SourceConfig, policy: PolicyTable, cache: Path) -> str:
    """What tells one version of a source from the next, for a gateway that carries over what has not changed. Of one
    that has to be fetched its config says it, and whether it was accepted.

    Raises:
        ConfigError: nothing of it can be served.
    """
    if not remote(config.place):
        stock = Stock(config, policy, cache)
        choice = stock.choose()
        if choice.held is not None:
            log.warning("%s: %s; the version before it is served (%s)", config.name, choice.held, stock.hint)
        return choice.digest
    with suppress(ConfigError):
        updates = Updates(config.file)
        accepted = updates.read(updates.accepted)
        return "accepted" if accepted is not None and accepted.digest == config.digest else ""
    return ""


def watched(config: SourceConfig) -> list[Path]:
    """Files besides the component that decide what is served."""
    with suppress(ConfigError):
        return [Updates(config.file).accepted]
    return []


def forget(config: SourceConfig, cache: Path) -> None:
    """The source is gone: so are the notes about its component, and the component, if it was fetched for it."""
    with suppress(ConfigError):
        Updates(config.file).forget()
    if config.digest:
        shelf = Shelf(cache)
        found = shelved(shelf, config.name, config.digest)
        shelf.note(config.digest).unlink(missing_ok=True)
        if found is not None:
            found.path.unlink(missing_ok=True)
