"""Where a component comes from: a file here, a URL with a digest, or a registry with one. Nothing is fetched here."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from rune.errors import ConfigError

DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")

_REFERENCE: Final = re.compile(
    r"oci://(?P<registry>(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?)"
    r"/(?P<repository>[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
FORM: Final = "oci://registry/repository:tag@sha256:…"


class Reference(NamedTuple):
    """A component in a registry."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"oci://{self.registry}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"


def remote(place: str) -> bool:
    """Whether a component has to be fetched."""
    return "://" in place


def reference(place: str) -> Reference:
    """What an `oci://` says.

    Raises:
        ConfigError: it is none.
    """
    found = _REFERENCE.fullmatch(place)
    if found is None:
        raise ConfigError(f"{place} is no reference of a component in a registry", hint=f"it looks like {FORM}")
    return Reference(found["registry"], found["repository"], found["tag"], found["digest"])


def pinned(place: str, digest: str | None) -> str:
    """The digest by which a component that is fetched is known: that of the file at a URL, that of the manifest in a
    registry.

    Raises:
        ConfigError: there is none, or `place` cannot be fetched.
    """
    if place.startswith("oci://"):
        said = reference(place).digest
        if said is None or digest not in (None, said):
            raise ConfigError(
                f"{place}: a tag may mean something else tomorrow" if said is None else f"{place} has a digest already",
                hint=f"it is pinned as {FORM}; rune wasm add finds the digest out"
                if said is None
                else "leave digest out",
            )
        return said
    parts = urlsplit(place)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ConfigError(
            f"{place} is no URL of a component", hint=f"it looks like https://example.org/x.wasm or {FORM}"
        )
    if digest is None:
        raise ConfigError(
            f"{place}: a component from a URL needs its digest",
            hint='digest = "sha256:…"; rune wasm add writes it down',
        )
    if not DIGEST.fullmatch(digest):
        raise ConfigError(f"{digest!r} is no digest", hint="it looks like sha256: and 64 of 0-9 and a-f")
    return digest
