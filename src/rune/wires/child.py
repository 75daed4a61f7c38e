"""An MCP server as a child process: lines out by stdin, lines in by stdout, its last words kept from stderr.

Opened by the client rim. A child gets its own process group, so that nothing it started outlives it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Final, cast

from rune.errors import Unavailable
from rune.wires.allowance import Allowance
from rune.wires.orphans import orphanage

log = logging.getLogger("rune.child")

INHERITED: Final = (
    "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "NODE_EXTRA_CA_CERTS", "PATH", "SHELL", "SSL_CERT_DIR",
    "SSL_CERT_FILE", "SYSTEMROOT", "TEMP", "TERM", "TMP", "TMPDIR", "TZ", "USER", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
    "XDG_DATA_HOME", "XDG_RUNTIME_DIR",
)  # fmt: skip
"""What a child sees of our environment; everything else, tokens above all, has to be configured for it."""

MAX_LINE: Final = 64 << 20
HIGH_WATER: Final = 4 << 20
LAST_LINES: Final = 20
STDERR: Final = (4 << 20, 1 << 20)
"""Bytes of stderr that are read at once, and per second after that: a flood there must not cost the others."""
LINGER: Final = 0.25
"""Seconds between the exit of a child and the end of its pipes, or the other way round."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


class Child(asyncio.SubprocessProtocol):
    """One process. `on_line` gets each line of stdout, `on_end` once why there will be no more."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | PathLike[str] | None = None,
        max_line: int = MAX_LINE,
        grace: float = 1.0,
    ) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.pid: int | None = None
        self._env = {key: os.environ[key] for key in INHERITED if key in os.environ} | dict(env or {})
        self._cwd = None if cwd is None else str(cwd)
        self._max_line = max_line
        self._grace = grace
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._outgoing: list[bytes] = []
        self._partial: list[bytes] = []
        self._partial_size = 0
        self._stderr: deque[str] = deque(maxlen=LAST_LINES)
        self._stderr_tail = b""
        self._talk = Allowance(*STDERR)
        self._held: dict[int, float] = {}
        self._on_line: Callable[[bytes], None] = lambda line: None
        self._on_end: Callable[[str], None] = lambda reason: None
        self._exited = asyncio.Event()
        self._room = asyncio.Event()
        self._reason: str | None = None
        self._closing = False
        self._started = 0.0
        self._reaper: asyncio.Task[None] | None = None

    async def open(self, on_line: Callable[[bytes], None], on_end: Callable[[str], None]) -> None:
        """Start the process.

        Raises:
            Unavailable: when there is no such command or directory.
        """
        self._on_line, self._on_end = on_line, on_end
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._room.set()
        try:
            transport, _ = await self._loop.subprocess_exec(
                lambda: self, *self.argv, env=self._env, cwd=self._cwd, start_new_session=True
            )
        except FileNotFoundError:
            raise self._not_found() from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"{self.name}: cannot start {self.argv[0]}: {error}") from None
        self._transport = transport
        self.pid = transport.get_pid()
        orphanage.watch(self.pid)
        self._stdin = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
        # One that has ended already has closed it, and not every event loop takes that lightly.
        if not self._stdin.is_closing():
            self._stdin.set_write_buffer_limits(high=HIGH_WATER)

    def _not_found(self) -> Unavailable:
        # Not every event loop says which of the two it did not find.
        if self._cwd is not None and not Path(self._cwd).is_dir():
            return Unavailable(f"{self.name}: no directory {self._cwd}", hint="check cwd in the config")
        return Unavailable(f"{self.name}: command not found: {self.argv[0]}", hint="install it, or give its full path")

    # --- to the child ---

    def send(self, line: bytes) -> None:
        """Queue one line; all that is queued in one turn of the loop leaves in one write."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(line)

    def _flush(self) -> None:
        lines, self._outgoing = self._outgoing, []
        if lines and self._stdin is not None and not self._stdin.is_closing():
            lines.append(b"")
            self._stdin.write(b"\n".join(lines))

    @property
    def full(self) -> bool:
        """Whether the child does not keep up reading; then wait for `room`."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Wait until the child has read what was sent to it, or has ended."""
        await self._room.wait()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    # --- from the child ---

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._complain(data)
            return
        if self._reason is not None:
            return
        first, *rest = data.split(b"\n")
        self._partial_size += len(first)
        if self._partial_size > self._max_line:
            self._partial = []
            self._end(f"sent a line of more than {self._max_line} bytes")
            return
        if not rest:
            self._partial.append(first)
            return
        rest.insert(0, b"".join((*self._partial, first)) if self._partial else first)
        last = rest.pop()
        self._partial = [last] if last else []
        self._partial_size = len(last)
        for line in rest:
            if line:
                self._on_line(line)

    def hold(self, seconds: float) -> None:
        """Read nothing from its stdout for a while: it sends more than anybody wants."""
        self._hold(1, seconds)

    def _hold(self, fd: int, seconds: float) -> None:
        if fd not in self._held:
            self._reader(fd, "pause_reading")
            self._loop.call_later(seconds, self._go_on, fd)
        self._held[fd] = self._loop.time() + seconds

    def _go_on(self, fd: int) -> None:
        left = self._held[fd] - self._loop.time()
        if left > 0:
            self._loop.call_later(left, self._go_on, fd)
        else:
            del self._held[fd]
            self._reader(fd, "resume_reading")

    def _reader(self, fd: int, step: str) -> None:
        pipe = None if self._transport is None else self._transport.get_pipe_transport(fd)
        if pipe is not None and not pipe.is_closing():
            getattr(pipe, step)()

    def _complain(self, data: bytes) -> None:
        wait = self._talk.spend(len(data), self._loop.time())
        if wait:
            self._hold(2, wait)
        *lines, tail = (self._stderr_tail + data).split(b"\n")
        self._stderr_tail = tail[:4096]
        if not log.isEnabledFor(logging.DEBUG):
            # Only the last ones are ever shown.
            lines = lines[-2 * LAST_LINES :]
        for line in lines:
            text = _CONTROL.sub("", line[:2000].decode(errors="replace")).rstrip()
            if text:
                self._stderr.append(text[:300])
                log.debug("%s: %s", self.name, text)

    @property
    def last_words(self) -> list[str]:
        """The last lines of stderr, the newest at the end."""
        tail = _CONTROL.sub("", self._stderr_tail.decode(errors="replace")).strip()
        return [*self._stderr, tail[:300]] if tail else list(self._stderr)

    # --- the end ---

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 0:
            self._room.set()
        elif fd == 1:
            self._loop.call_later(LINGER, self._end, "closed its stdout")

    def process_exited(self) -> None:
        self._exited.set()
        # Its last lines may still be in the pipes; a grandchild may hold them open for ever.
        self._loop.call_later(LINGER, self._end, "")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("")

    def _end(self, reason: str) -> None:
        if self._reason is not None:
            return
        transport = self._transport
        code = transport.get_returncode() if transport is not None and self._exited.is_set() else None
        if code is not None:
            after = self._loop.time() - self._started
            how = f"was killed by {_signal_name(-code)}" if code < 0 else f"exited {code}"
            reason = f"{how} after {after:.1f} s"
        self._reason = reason or "ended"
        self._room.set()
        self._on_end(self._reason)
        if self._reaper is None and not self._closing:
            self._reaper = self._loop.create_task(self._reap((None, signal.SIGTERM, signal.SIGKILL)))

    async def close(self) -> None:
        """Close stdin and wait, then TERM, then KILL; returns when neither the child nor its children are left."""
        if self._transport is None:
            return
        self._closing = True
        if self._reaper is None:
            self._flush()
            self._reaper = self._loop.create_task(self._reap((None, signal.SIGTERM, signal.SIGKILL)))
        await asyncio.shield(self._reaper)

    async def _reap(self, steps: tuple[signal.Signals | None, ...]) -> None:
        assert self._transport is not None, "only a started child is reaped"
        if self._stdin is not None:
            self._stdin.close()
        for step in steps:
            if self._exited.is_set():
                break
            self._signal(step)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._grace):
                    await self._exited.wait()
        await self._sweep()
        assert self.pid is not None, "only a started child is reaped"
        orphanage.forget(self.pid)
        self._transport.close()
        self._end("was closed")

    async def _sweep(self) -> None:
        """What the child itself had started: a short while to end, then KILL."""
        for step in (signal.SIGTERM, signal.SIGKILL):
            if not self._signal(step):
                return
            for _ in range(10):
                await asyncio.sleep(self._grace / 40)
                if not self._signal(None):
                    return

    def _signal(self, step: signal.Signals | None) -> bool:
        """Send a signal to the group of the child; None only looks whether somebody is left there."""
        assert self.pid is not None, "only a started child gets signals"
        try:
            os.killpg(self.pid, 0 if step is None else step)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
