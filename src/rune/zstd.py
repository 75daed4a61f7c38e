"""Zstandard, if it is there: a part of Python from 3.14 on, before that backports.zstd (extra `compression`)."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import IO, Final, cast

from rune.errors import ConfigError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    try:
        from backports import zstd
    except ModuleNotFoundError:
        zstd = None  # type: ignore[assignment]

__all__ = ["LEVEL", "MADE", "Press", "needed", "zstd"]

LEVEL: Final = 3
MADE: Final = "zstd --train FILES -o FILE makes one"
LARGEST: Final = 1 << 30
"""Bytes that something may have which is made whole again."""


def needed() -> None:
    """Say what is missing where it is.

    Raises:
        ConfigError: the package is not installed.
    """
    if zstd is None:
        raise ConfigError("needs the package backports.zstd", hint="pip install 'rune-mcp[compression]'")


class Press:
    """Compresses whole texts, one after the other: what it works with is kept. With a dictionary, what all of them have
    in common is not written down each time. Not for several threads, but for `pack_aside`.

    `id` names the dictionary: eight bytes of its digest, or zeros where there is none.
    """

    def __init__(self, dictionary: bytes, level: int = LEVEL) -> None:
        needed()
        try:
            self._dictionary = zstd.ZstdDict(dictionary) if dictionary else None
        except (ValueError, zstd.ZstdError) as error:
            raise ConfigError(f"no dictionary of zstd: {error}", hint=MADE) from None
        self.dictionary = dictionary
        self.id = hashlib.sha256(dictionary).digest()[:8] if dictionary else bytes(8)
        self._level = level
        # To digest a dictionary takes longer than most of what it is for.
        self._compressor = zstd.ZstdCompressor(level, zstd_dict=self._dictionary)

    def pack(self, data: bytes) -> bytes:
        """One frame."""
        return self._compressor.compress(data, self._compressor.FLUSH_FRAME)

    def pack_aside(self, data: bytes) -> bytes:
        """The same for another thread."""
        return zstd.compress(data, self._level, zstd_dict=self._dictionary)

    def unpack(self, data: bytes) -> bytes:
        """What was packed.

        Raises:
            ValueError: it is damaged, or too large.
        """
        decompressor = zstd.ZstdDecompressor(zstd_dict=self._dictionary)
        try:
            done = decompressor.decompress(data, LARGEST)
        except zstd.ZstdError as error:
            raise ValueError(str(error)) from None
        if not decompressor.eof:
            raise ValueError("it does not end")
        return done

    def writer(self, path: Path) -> IO[bytes]:
        """A new file, compressed as it is written; its `tell` counts what goes in."""
        return cast(IO[bytes], zstd.open(path, "xb", level=self._level, zstd_dict=self._dictionary))

    def reader(self, path: Path) -> IO[bytes]:
        """What went in."""
        return cast(IO[bytes], zstd.open(path, "rb", zstd_dict=self._dictionary))
