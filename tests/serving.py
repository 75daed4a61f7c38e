"""Servers as processes: `rune serve` and those of other makers, started, waited for and ended."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from tests.rig import ROOT, RUNE, START, STOP, rig

__all__ = ["ROOT", "RUNE", "START", "STOP", "Serving", "foreign", "free_port", "rune"]


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that answers at `url`."""

    url: str
    pid: int


@contextmanager
def rune(*words: str) -> Iterator[Serving]:
    """`rune serve WORDS` on a free port, for those who need no more than its URL. It must end with status 0 when it is
    told to.

    Raises:
        RuntimeError: when it does not start or does not end well, with what it said.
    """
    with rig(*words) as found:
        yield Serving(found.url, found.process.pid)


@contextmanager
def foreign(command: Sequence[str], port: int, environ: Mapping[str, str] | None = None) -> Iterator[Serving]:
    """Any server that listens on this port of the loopback, with its endpoint at /mcp.

    Raises:
        RuntimeError: when it does not start, with what it said.
    """
    with _running(command, environ or {}) as (process, log):
        end = time.monotonic() + START
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{' '.join(command)}: does not listen on {port}\n{_said(log)}")
            time.sleep(0.05)
        yield Serving(f"http://127.0.0.1:{port}/mcp", process.pid)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _running(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """The process and the file that holds what it says."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, env={**os.environ, **environ}
        )
        try:
            yield process, log
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _said(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read()[-4000:].decode(errors="replace")
