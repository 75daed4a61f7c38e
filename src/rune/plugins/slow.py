"""Searches that a text may make slow, with a deadline: by Python's `re` in a child process."""

from __future__ import annotations

import marshal
import signal
import socket
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from typing import Final

from rune.errors import TimedOut, Unavailable
from rune.kernels.regex import Pattern, child

PATIENCE: Final = 60.0
"""Seconds that an answer is waited for at all, on a machine that has no time for the child."""


class SlowSearch:
    """Searches for at most so many `seconds` of CPU each, one after the other. The child starts with the first one."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def sub(self, pattern: Pattern, text: str) -> str:
        """The text with every match replaced; the very same object when there is none.

        Raises:
            TimedOut: when it took too long.
            Unavailable: when the child has died.
        """
        with self._lock:
            running = self._child = self._child or _Child(self._seconds)
            try:
                changed = running.ask((pattern.compiled.pattern, pattern.replace, text))
            except (OSError, EOFError) as error:
                self._child = None
                if running.end() == -signal.SIGVTALRM:
                    raise TimedOut(
                        f"pattern {pattern.compiled.pattern!r}: no answer after {self._seconds:g} s",
                        hint="write it so that no text makes it slow, or within what Rust runs",
                    ) from None
                raise Unavailable(f"pattern {pattern.compiled.pattern!r}: its process died: {error}") from error
        return text if changed is None else changed

    def close(self) -> None:
        """End the child. A later search starts another one."""
        with self._lock:
            if self._child is not None:
                self._child.end()
                self._child = None


class _Child:
    def __init__(self, seconds: float) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", child.__file__, str(theirs.fileno()), str(seconds)],
                pass_fds=[theirs.fileno()], env={}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        ours.settimeout(PATIENCE)
        self._socket = ours
        # Whatever becomes of a plugin, its child does not stay.
        self._end = weakref.finalize(self, _end, self._process, ours)

    def ask(self, what: tuple[str, str, str]) -> str | None:
        request = marshal.dumps(what)
        self._socket.sendall(len(request).to_bytes(8) + request)
        answer: str | None = marshal.loads(self._read(int.from_bytes(self._read(8))))
        return answer

    def _read(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._socket.recv(min(count - len(parts), 1 << 20))
            if not part:
                raise EOFError("it closed its socket")
            parts += part
        return bytes(parts)

    def end(self) -> int:
        """Its exit status, after it was ended if it still ran."""
        self._end()
        return self._process.returncode


def _end(process: subprocess.Popen[bytes], ours: socket.socket) -> None:
    ours.close()
    # One that was ended by its timer has closed its socket a moment before it is gone.
    with suppress(subprocess.TimeoutExpired):
        process.wait(1)
    process.kill()
    process.wait()
