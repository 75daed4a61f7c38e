"""What a component asks for, read off its bytes: nothing is compiled, and nothing of it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rune.config.policy import PolicyTable
from rune.errors import ConfigError

_MAGIC: Final = b"\0asm"
_HEAD: Final = _MAGIC + b"\x0d\x00\x01\x00"
ASKS: Final = {
    "rune:guest/http": "network: hosts, through the gateway",
    "wasi:filesystem/": "storage: folders",
    "wasi:sockets/": "sockets: never granted, they fail",
    "wasi:http/": "wasi:http: never granted, it does not start; rune:guest/http is there instead",
    "wasi:cli/environment": "environment: variables",
}
"""Imports that mean something to a policy, and what. The word before the colon is their kind."""

_IMPORTS: Final = 10
_WITH_VERSION: Final = 2
_MODULE, _VALUE, _TYPE, _RESOURCE = 0, 2, 3, 1


def asks(imports: Iterable[str]) -> list[str]:
    """What imports ask for, in words."""
    names = tuple(imports)
    return [told for prefix, told in ASKS.items() if any(name.startswith(prefix) for name in names)]


def kinds(imports: Iterable[str]) -> frozenset[str]:
    """The same in one word each: `network`, `storage`, …"""
    return frozenset(told.partition(": ")[0] for told in asks(imports))


def granted(policy: PolicyTable) -> frozenset[str]:
    """The kinds of which a policy grants anything."""
    return frozenset(kind for kind in ("network", "storage", "environment") if getattr(policy, kind))


def check_kind(name: str, data: bytes) -> None:
    """Refuse what is no component, and say what it is instead.

    Raises:
        ConfigError: see above.
    """
    if data[:8] == _HEAD:
        return
    if data[:4] == _MAGIC:
        raise ConfigError(
            f"{name}: a core module, not a component", hint="wrap it: wasm-tools component new, or rune wasm build"
        )
    raise ConfigError(f"{name}: no WebAssembly", hint="a component begins with the bytes 00 61 73 6d 0d 00 01 00")


class _Reader:
    """Bytes of a component, from one place on."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        found = self.data[self.at]
        self.at += 1
        return found

    def number(self) -> int:
        """LEB128."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number without an end")

    def bytes(self) -> bytes:
        size = self.number()
        found = self.data[self.at : self.at + size]
        if len(found) != size:
            raise IndexError(size)
        self.at += size
        return found


def imports_of(name: str, data: bytes) -> list[str]:
    """The names of what a component imports.

    Raises:
        ConfigError: it is no component, or a part of one.
    """
    check_kind(name, data)
    try:
        return list(_names(data))
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: not a whole component: {error}", hint="was it cut on its way?") from None


def _names(data: bytes) -> Iterator[str]:
    """Sections stand one after the other, with their sizes: only those with imports are read."""
    whole = _Reader(data)
    whole.at = len(_HEAD)
    while whole.at < len(data):
        kind = whole.byte()
        section = whole.bytes()
        if kind != _IMPORTS:
            continue
        inner = _Reader(section)
        for _ in range(inner.number()):
            form = inner.byte()
            yield inner.bytes().decode()
            if form == _WITH_VERSION:
                inner.bytes()
            elif form > _WITH_VERSION:
                raise ValueError(f"an import of the form {form}")
            _skip(inner)


def _skip(reader: _Reader) -> None:
    """What an import is: its sort, a byte more for some, and the number of a type; a new resource has none."""
    sort = reader.byte()
    bound = reader.byte() if sort in (_MODULE, _VALUE, _TYPE) else None
    if (sort, bound) != (_TYPE, _RESOURCE):
        reader.number()
