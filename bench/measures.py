"""How something is measured: each Measure prepares a contender and then takes one sample of it per round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from bench.contenders import LEAN, Contender
from bench.load.proc import rss_kb
from tests.serving import ROOT

Sample = dict[str, Any]
PATIENCE = 300
SETTLE = 0.5


class BenchError(Exception):
    """A measurement that could not be taken, or a server that answered wrongly."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long and how often."""

    rounds: int = 3
    seconds: float = 2.0
    connected: int = 1000


class Measure(Protocol):
    @property
    def key(self) -> str:
        """The member of a sample that counts."""
        ...

    def prepared(self, contender: Contender, effort: Effort) -> AbstractContextManager[Callable[[], Sample]]: ...


@dataclass(frozen=True, slots=True)
class HttpLoad:
    """CPU per request of a server that many clients call with a text of `size`; one process for all rounds. The
    `yardstick` is measured by plain calls of 32 clients, whatever the others have to do."""

    era: str
    method: str = "call"
    tools: int = 1
    clients: int = 32
    key: str = "cpu_us"
    yardstick: str = ""
    size: int = 16

    @contextmanager
    def prepared(self, contender: Contender, effort: Effort) -> Iterator[Callable[[], Sample]]:
        with contender.serving() as server:
            plain = contender.name == self.yardstick
            method, clients = ("call", 32) if plain else (self.method, self.clients)
            words = ["http", server.url, "--pid", str(server.pid), "--era", self.era, "--method", method]
            words += ["--tools", str(self.tools), "-c", str(clients), "-d", str(effort.seconds)]
            words += [] if plain else ["--size", str(self.size)]
            yield lambda: loader(words)


@dataclass(frozen=True, slots=True)
class StdioLoad:
    """CPU per request, or the time to the first answer, of a server that is started for each round."""

    era: str
    depth: int = 1
    key: str = "cpu_us"

    @contextmanager
    def prepared(self, contender: Contender, effort: Effort) -> Iterator[Callable[[], Sample]]:
        seconds = 0.1 if self.key == "start_s" else effort.seconds
        words = ["stdio", "--era", self.era, "--depth", str(self.depth), "-d", str(seconds), "--", *contender.command()]
        if self.key == "start_s":
            loader(words)  # writes the bytecode, where it is missing
        yield lambda: loader(words)


@dataclass(frozen=True, slots=True)
class Guests:
    """What a component costs in a process of its own, by `python -m bench.wasm`; the contender is a language. The lean
    core is the yardstick: its plain calls."""

    what: str
    key: str = "took"

    @contextmanager
    def prepared(self, contender: Contender, effort: Effort) -> Iterator[Callable[[], Sample]]:
        if contender.name == LEAN:
            with HttpLoad("modern").prepared(contender, effort) as take:

                def plain() -> Sample:
                    sample = take()
                    return {**sample, "took": sample["cpu_us"]}

                yield plain
            return
        words = [*contender.words, "--seconds", str(effort.seconds), "--calls", str(effort.connected * 10)]
        # The first time it is built and compiled, which takes a minute.
        loader(["cold", *words], "bench.wasm")
        yield lambda: loader([self.what, *words], "bench.wasm")


@dataclass(frozen=True, slots=True)
class Connected:
    """Memory per connected client; a fresh server for each round."""

    era: str
    listen: bool = False
    key: str = "kb_per_client"

    @contextmanager
    def prepared(self, contender: Contender, effort: Effort) -> Iterator[Callable[[], Sample]]:
        def sample() -> Sample:
            with contender.serving() as server:
                words = ["memory", server.url, "--pid", str(server.pid), "--era", self.era]
                words += ["-c", str(effort.connected), *(["--listen"] if self.listen else [])]
                return loader(words)

        yield sample


@dataclass(frozen=True, slots=True)
class Idle:
    """Memory of a server that has just started."""

    key: str = "rss_mb"

    @contextmanager
    def prepared(self, contender: Contender, effort: Effort) -> Iterator[Callable[[], Sample]]:
        def sample() -> Sample:
            with contender.serving() as server:
                time.sleep(SETTLE)
                return {"rss_mb": round(rss_kb([server.pid]) / 1024, 1)}

        yield sample


@dataclass(frozen=True, slots=True)
class Run:
    """Wall time of a Python that runs the words of the contender and ends."""

    key: str = "wall_s"

    @contextmanager
    def prepared(self, contender: Contender, effort: Effort) -> Iterator[Callable[[], Sample]]:
        def sample() -> Sample:
            begin = time.perf_counter()
            command = [sys.executable, *contender.words]
            subprocess.run(command, cwd=ROOT, env=installed(), check=True, timeout=PATIENCE)
            return {"wall_s": round(time.perf_counter() - begin, 3)}

        sample()  # writes the bytecode, where it is missing
        yield sample


def installed() -> dict[str, str]:
    """An environment in which Python keeps its bytecode, as the installer of a package writes it: without it each start
    would compile all that it imports."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def loader(words: Sequence[str], module: str = "bench.load") -> Sample:
    """What the load generator, or another module, found in a process of its own.

    Raises:
        BenchError: when an answer was wrong, or did not come.
    """
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(
        command, cwd=ROOT, env=installed(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
    )
    if done.returncode:
        raise BenchError(f"{' '.join(words)}:\n{done.stderr[-2000:]}")
    sample: Sample = json.loads(done.stdout)
    return sample
