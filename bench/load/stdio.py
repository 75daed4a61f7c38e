"""Load over stdio: newline-delimited JSON, one request after the other or a window of them."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final, cast

from bench.load.messages import HELLO, READY, Messages, WrongAnswer, decode
from bench.load.proc import cpu_seconds, percentile, rss_kb

CHUNK: Final = 1 << 18
WARM_CALLS: Final = 100
PATIENCE: Final = 20.0


class Lines:
    """The lines of a child, read and written without buffers between us and the pipes."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._in = cast(IO[bytes], child.stdin).fileno()
        self._out = cast(IO[bytes], child.stdout).fileno()
        self._waiting: deque[bytes] = deque()
        self._rest = b""

    def send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(self._in, left) :]

    def receive(self) -> bytes:
        """The next line that is not empty."""
        while not self._waiting:
            if not select.select([self._out], [], [], PATIENCE)[0]:
                raise WrongAnswer(f"no answer within {PATIENCE:g} s")
            data = os.read(self._out, CHUNK)
            if not data:
                raise WrongAnswer("the server closed its output")
            *lines, self._rest = (self._rest + data).split(b"\n")
            self._waiting.extend(line for line in lines if line.strip())
        return self._waiting.popleft()


def load(command: Sequence[str], messages: Messages, depth: int, seconds: float) -> dict[str, Any]:
    """Start the server and keep `depth` requests in flight for so long."""
    begin = time.perf_counter()
    with _child(command) as child:
        lines = Lines(child)
        if messages.era == "modern":
            lines.send(messages.request(0) + b"\n")
            messages.check(lines.receive(), 0)
        else:
            lines.send(HELLO + b"\n")
            if "result" not in decode(lines.receive()):
                raise WrongAnswer("initialize: no result")
        start = time.perf_counter() - begin
        if messages.era != "modern":
            lines.send(READY + b"\n")
        _run(lines, messages, 1, lambda sent: sent < WARM_CALLS, first=1)

        pids = [child.pid]
        server, loader, begin = cpu_seconds(pids), time.process_time(), time.perf_counter()
        end = begin + seconds
        times = _run(lines, messages, depth, lambda _: time.perf_counter() < end, first=WARM_CALLS + 1)
        wall = time.perf_counter() - begin
        server, loader = cpu_seconds(pids) - server, time.process_time() - loader
        memory = rss_kb(pids)
    answered = len(times)
    return {
        "era": messages.era,
        "depth": depth,
        "answered": answered,
        "per_second": round(answered / wall),
        "p50_ms": round(percentile(times, 0.5) * 1e3, 3),
        "p99_ms": round(percentile(times, 0.99) * 1e3, 3),
        "cpu_us": round(server / answered * 1e6, 2),
        "load_us": round(loader / answered * 1e6, 2),
        "rss_mb": round(memory / 1024, 1),
        "start_s": round(start, 3),
    }


def _run(lines: Lines, messages: Messages, depth: int, more: Callable[[int], bool], *, first: int) -> list[float]:
    """The sorted times of the calls, numbered from `first`, that were begun while there were `more` to send."""
    clock = time.perf_counter
    begun: dict[int, float] = {}
    times: list[float] = []
    sent = 0
    while True:
        if more(sent):
            batch = []
            while len(begun) < depth:
                number = first + sent
                batch.append(messages.request(number))
                begun[number] = clock()
                sent += 1
            batch.append(b"")
            lines.send(b"\n".join(batch))
        elif not begun:
            return sorted(times)
        answer = decode(lines.receive())
        number = answer.get("id")
        if number is None:  # a notification
            continue
        if number not in begun:
            raise WrongAnswer(f"an answer to {number!r}, which is not in flight")
        messages.verify(answer, number)
        times.append(clock() - begun.pop(number))


@contextmanager
def _child(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The server; it has to end when its input ends."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    try:
        yield child
        cast(IO[bytes], child.stdin).close()
        child.wait(PATIENCE)
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            cast(IO[bytes], pipe).close()
