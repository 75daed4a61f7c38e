"""Locks that hold across processes, by a file that they keep open. The end of a process frees what it held."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from rune.errors import TimedOut

if sys.platform == "win32":
    import msvcrt

    def _take(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


PAUSE: Final = 0.01


def _try(handle: int) -> bool:
    try:
        _take(handle)
    except OSError:
        return False
    return True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        yield handle
    finally:
        # Frees the lock, too.
        os.close(handle)


@contextmanager
def locked(path: Path, timeout: float = 10.0) -> Iterator[None]:
    """Hold the lock of a file, which is made if it is not there. Two holders in one process exclude each other, too.

    Raises:
        TimedOut: somebody else holds it for too long.
    """
    with _opened(path) as handle:
        until = time.monotonic() + timeout
        while not _try(handle):
            if time.monotonic() > until:
                raise TimedOut(f"{path}: locked by another process for more than {timeout:g} s")
            time.sleep(PAUSE)
        yield


@asynccontextmanager
async def holding(path: Path, timeout: float = 60.0) -> AsyncIterator[None]:
    """The same for what takes long: waiting for it does not stop the loop.

    Raises:
        TimedOut: somebody else holds it for too long.
    """
    with _opened(path) as handle:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        while not _try(handle):
            if loop.time() > until:
                raise TimedOut(f"{path}: locked by another process for more than {timeout:g} s")
            await asyncio.sleep(PAUSE)
        yield
