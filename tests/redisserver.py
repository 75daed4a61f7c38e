"""A Redis of our own: on a socket in a folder that only we can read, with nothing written to disk."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from tests import peers

START: Final = 30.0


class RedisServer:
    """It can be stopped the hard way and started again: then it knows nothing any more."""

    def __init__(self, folder: Path, *settings: str, port: int = 0) -> None:
        self.path = folder / "redis.sock"
        self.port = port
        self._command = [
            peers.redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", str(self.path),
            "--save", "", "--appendonly", "no", "--dir", str(folder), *settings,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @classmethod
    @contextmanager
    def running(cls, *settings: str, port: int = 0) -> Iterator[Self]:
        """One, until the end of the block."""
        # The path of a socket must be short.
        folder = Path(tempfile.mkdtemp(prefix="rune-redis-"))
        server = cls(folder, *settings, port=port)
        try:
            yield server
        finally:
            server.kill()
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """What a store is told."""
        return f"unix://{self.path}"

    def start(self) -> None:
        """Run, and answer.

        Raises:
            RuntimeError: it does not, with what it said.
        """
        with tempfile.TemporaryFile() as log:
            self._process = process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            end = time.monotonic() + START
            while True:
                try:
                    # It may want a password first: that is an answer, too.
                    if self.ask("PING"):
                        return
                except OSError:
                    if process.poll() is None and time.monotonic() < end:
                        time.sleep(0.02)
                        continue
                log.seek(0)
                raise RuntimeError(f"redis-server does not answer\n{log.read()[-2000:].decode(errors='replace')}")

    def ask(self, *words: str) -> bytes:
        """What it says to a command: one line of it."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(START)
            connection.connect(str(self.path))
            connection.sendall((" ".join(words) + "\r\n").encode())
            return connection.recv(4096)

    def stall(self) -> None:
        """It is there and says nothing, until `go_on`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It answers again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: connections break, and what it knew is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.path.unlink(missing_ok=True)
