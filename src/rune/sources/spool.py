"""Results that are too large for a message: they lie in files, for a time, for the caller that they belong to."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from rune.errors import NotFound, Unavailable
from rune.request import Caller

if TYPE_CHECKING:
    from rune.stores.pressed import PressedStore

PREFIX: Final = "rune://results/"
PREVIEW: Final = 2000
PRESSED: Final = ".zst"


@dataclass(frozen=True, slots=True)
class Spooled:
    """One kept result."""

    uri: str
    path: Path
    owner: str
    mime: str
    size: int
    expires: float
    took: int
    """Bytes of the file; `size` are those of the result."""


class Spool:
    """Kept results, bounded in number, bytes and time. The oldest go first; all go when this is closed or forgotten."""

    def __init__(self, *, ttl: float = 3600.0, files: int = 256, size: int = 1 << 30) -> None:
        self.ttl = ttl
        self.files = files
        self.size = size
        self.pressed: PressedStore | None = None
        """Where it is there, it compresses files if it compresses at all."""
        self._kept: dict[str, Spooled] = {}
        self._bytes = 0
        self._folder: Path | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def open(self) -> IO[bytes]:
        """A new file to write a result into; hand it to `keep`, or close and `discard` it."""
        if self._folder is None or not self._folder.is_dir():
            self._folder = Path(tempfile.mkdtemp(prefix="rune-results-"))
            self._finalizer = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / os.urandom(16).hex()
        pressed = None if self.pressed is None else self.pressed.writer(path.with_suffix(PRESSED))
        return path.open("xb") if pressed is None else pressed

    def keep(self, file: IO[bytes], caller: Caller, mime: str = "text/plain") -> Spooled:
        """Close a file and keep it for this caller.

        Raises:
            Unavailable: it alone is larger than all that may be kept.
        """
        size, path = file.tell(), Path(file.name)
        file.close()
        took = path.stat().st_size
        if took > self.size:
            path.unlink(missing_ok=True)
            raise Unavailable(f"a result of {took} bytes is more than the {self.size} bytes that may be kept")
        self._expire()
        while self._kept and (len(self._kept) >= self.files or self._bytes + took > self.size):
            self._remove(next(iter(self._kept)))
        kept = Spooled(PREFIX + path.stem, path, caller.subject, mime, size, time.monotonic() + self.ttl, took)
        self._kept[kept.uri] = kept
        self._bytes += took
        self._schedule()
        return kept

    def store(self, data: bytes, caller: Caller, mime: str = "text/plain") -> Spooled:
        """Keep some bytes."""
        file = self.open()
        file.write(data)
        return self.keep(file, caller, mime)

    def read(self, uri: str, caller: Caller) -> tuple[str, str]:
        """The text of a kept result, and its type.

        Raises:
            NotFound: it is another caller's, has expired, or never was.
        """
        self._expire()
        kept = self._kept.get(uri)
        if kept is None or kept.owner != caller.subject:
            raise NotFound(f"no such result: {uri}", hint="kept results expire; call the tool again", data={"uri": uri})
        try:
            return self._whole(kept.path).decode(), kept.mime
        except FileNotFoundError:
            self._remove(uri)
            raise NotFound(f"the result is gone: {uri}", data={"uri": uri}) from None

    def _whole(self, path: Path) -> bytes:
        if path.suffix != PRESSED or self.pressed is None:
            return path.read_bytes()
        with self.pressed.reader(path) as file:
            return file.read()

    def close(self) -> None:
        """Delete everything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._kept.clear()
        self._bytes = 0
        if self._finalizer is not None:
            self._finalizer()
            self._finalizer = self._folder = None

    def _expire(self) -> None:
        now = time.monotonic()
        while self._kept:
            uri, oldest = next(iter(self._kept.items()))
            if oldest.expires > now:
                break
            self._remove(uri)

    def _remove(self, uri: str) -> None:
        kept = self._kept.pop(uri)
        self._bytes -= kept.took
        kept.path.unlink(missing_ok=True)

    def _schedule(self) -> None:
        """Wake up when the oldest expires, so that a file goes even if nobody asks again."""
        if self._timer is None and self._kept:
            oldest = next(iter(self._kept.values()))
            # A little late rather than too early: an early wake-up would find nothing to do.
            delay = max(oldest.expires - time.monotonic(), 0.0) + 0.01
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._expire()
        self._schedule()


def discard(file: IO[bytes]) -> None:
    """Throw away a file that was never kept."""
    path = Path(file.name)
    file.close()
    path.unlink(missing_ok=True)


class Sink:
    """Collects the text that a tool produces piece by piece: in memory up to `limit`, then in a file of the spool."""

    def __init__(self, spool: Spool, limit: int) -> None:
        self._spool = spool
        self._limit = limit
        self._parts: list[str] = []
        self._held = 0
        self._file: IO[bytes] | None = None
        self._closed = False
        self.empty = True

    @property
    def spilled(self) -> bool:
        """Whether it has become too large for a message."""
        return self._file is not None

    def add(self, text: str) -> None:
        """Take one piece; after the end there is nothing to take it for."""
        if self._closed:
            return
        self.empty = False
        if self._file is not None:
            self._file.write(text.encode("utf-8", "replace"))
            return
        self._parts.append(text)
        self._held += len(text)
        if self._held > self._limit:
            self._file = self._spool.open()
            self._file.write("".join(self._parts).encode("utf-8", "replace"))
            self._parts = ["".join(self._parts)[:PREVIEW]]

    def text(self) -> str:
        """All of it, or the beginning where it has spilled."""
        return "".join(self._parts)

    def keep(self, caller: Caller) -> Spooled:
        """Keep what has spilled."""
        file, self._file = self._file, None
        if file is None:
            raise AssertionError("only what has spilled is kept")
        return self._spool.keep(file, caller)

    def close(self) -> None:
        """Throw away what was not kept."""
        self._closed = True
        if self._file is not None:
            discard(self._file)
            self._file = None
