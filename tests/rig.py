"""`rune serve` as a process whose inside can be measured from outside: memory, descriptors, threads, how it ends.

`tests/serving.py` is enough for those who only need a URL; this one hands out the process itself.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

ROOT: Final = Path(__file__).parent.parent
RUNE: Final = str(Path(sys.executable).with_name("rune"))
START: Final = 30.0
STOP: Final = 10.0


class Rig:
    """A running `rune serve`, and what can be seen of it."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: IO[bytes]) -> None:
        self.process = process
        self.url = url
        self._log = log
        parts = urlsplit(url)
        assert parts.port is not None
        self.port = parts.port
        self.base = f"http://127.0.0.1:{self.port}"

    @property
    def rss(self) -> int:
        """Resident memory in bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def descriptors(self) -> int:
        """Open files, sockets and pipes."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @property
    def threads(self) -> int:
        """Threads of the process."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def said(self) -> str:
        """Its stderr so far."""
        self._log.seek(0)
        return self._log.read()[-6000:].decode(errors="replace")

    def healthy(self) -> bool:
        """Whether GET /health answers 200."""
        try:
            with urllib.request.urlopen(f"{self.base}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def raw(self, data: bytes, seconds: float = 5.0) -> bytes:
        """What the server answers to these bytes, until it closes the connection or says nothing more in time."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(data)
            try:
                while piece := connection.recv(65536):
                    answer += piece
            except (TimeoutError, ConnectionResetError):
                pass
        return answer

    def stop(self, seconds: float = STOP) -> int:
        """SIGTERM; the exit status.

        Raises:
            subprocess.TimeoutExpired: it has not ended in time.
        """
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL, which nothing can be done about."""
        self.process.kill()
        self.process.wait(STOP)


@contextmanager
def rig(*words: str, cwd: Path = ROOT, program: str = RUNE, environ: Mapping[str, str] | None = None) -> Iterator[Rig]:
    """`rune serve WORDS` on a free port, healthy. A server that still runs at the end must stop with status 0.
    `program` is a `rune` of another environment.

    Raises:
        RuntimeError: when it does not start or does not end well, with what it said.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [program, "serve", "--port", "0", "--json", *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=cwd,
            env=None if environ is None else {**os.environ, **environ},
        )  # fmt: skip
        try:
            found = Rig(process, _url(process, log), log)
            if not found.healthy():
                raise RuntimeError(f"rune serve is not healthy\n{found.said}")
            yield found
            if process.returncode is None:
                status = found.stop()
                if status:
                    raise RuntimeError(f"rune serve ended with status {status} after SIGTERM\n{found.said}")
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(STOP)
            if process.stdout is not None:
                process.stdout.close()


def _url(process: subprocess.Popen[bytes], log: IO[bytes]) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START)
    line = process.stdout.readline() if ready else b""
    if not line:
        log.seek(0)
        raise RuntimeError(f"rune serve did not start\n{log.read().decode(errors='replace')}")
    url: str = json.loads(line)["url"]
    return url


def config(folder: Path, source: Path, settings: Sequence[str] = (), name: str = "rune.toml") -> Path:
    """A `rune.toml` that serves one Python file without prefix, with these lines in `[server]`."""
    lines = ["[server]", *settings, "", "[sources.tools]", f'python = "{source}"', 'prefix = ""', ""]
    path = folder / name
    path.write_text("\n".join(lines))
    return path


def settled(read: object, want: object, seconds: float = 10.0) -> bool:
    """Whether `read()` becomes at most `want` in time: for what only the system can tell, such as descriptors."""
    assert callable(read)
    end = time.monotonic() + seconds
    while read() > want:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
