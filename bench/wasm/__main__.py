"""`python -m bench.wasm WHAT LANGUAGE`: a sample, a JSON object on stdout. The guest is built when it is first wanted.

All of it runs in this process: what the wires cost is measured elsewhere. Every answer is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from msgspec import Raw

from bench.load.proc import rss_kb
from rune import Client
from rune.app.http import keep_memory
from rune.build import around
from rune.config.policy import Isolation, LimitsTable, PolicyTable
from rune.request import Request
from rune.sources.wasm.component import WasmSource
from rune.sources.wasm.loaded import Loaded
from tests import guests

HERE: Final = Path(__file__).parent
SUFFIXES: Final = {"C": ".c", "QuickJS": ".js", "Python": ".py"}
MEGABYTE: Final = 1_000_000
ROUNDS: Final = {"C": 20_000_000, "QuickJS": 2_000_000, "Python": 1_000_000}
"""How much a long call computes: some tenths of a second each."""
AT_ONCE: Final = 4


class Wrong(Exception):
    """A guest answered something else."""


class Bench:
    """One guest, and how long it may be measured."""

    def __init__(self, language: str, seconds: float, calls: int) -> None:
        self.language = language
        self.path = guests.served(HERE / f"echo{SUFFIXES[language]}")
        self.cache = guests.compiled() / "wasm"
        self.seconds = seconds
        self.calls = calls

    # --- one instance, without a pool ---

    def call(self) -> float:
        """CPU us of a call of an instance that is used again."""
        return self._reused(b'"echo"', "0123456789", "0123456789")

    def argument(self) -> float:
        """The same with an argument of 1 MB."""
        return self._reused(b'"length"', "x" * MEGABYTE, str(MEGABYTE))

    def large(self) -> float:
        """The same with 1 MB both ways."""
        return self._reused(b'"echo"', "x" * MEGABYTE, "x" * MEGABYTE)

    def cold(self) -> float:
        """Wall us from nothing to the first answer; what was compiled lies in the cache."""
        begin = time.perf_counter()
        self._asking(b'"echo"', "cold", "cold")
        return (time.perf_counter() - begin) * 1e6

    def _asking(self, name: bytes, text: str, answer: str) -> Callable[[], None]:
        loaded = Loaded("echo", self.path, PolicyTable(isolation="shared"), self.cache)
        instance = loaded.make()
        params: dict[str, Any] = {"name": Raw(name), "arguments": Raw(json.dumps({"text": text}).encode())}
        request = Request("tools/call", params)
        first = loaded.dialect.answer(instance, request)
        if first.value["content"] != [{"type": "text", "text": answer}]:
            raise Wrong(f"{name.decode()}: another answer")

        def once() -> None:
            # What it says was looked at; to look for it in a megabyte would be measured, too.
            if len(loaded.dialect.answer(instance, request).raw) != len(first.raw):
                raise Wrong(f"{name.decode()}: another answer")

        return once

    def _reused(self, name: bytes, text: str, answer: str) -> float:
        once = self._asking(name, text, answer)
        for _ in range(20):
            once()
        calls, begin, cpu = 0, time.perf_counter(), time.process_time()
        while not calls or time.perf_counter() - begin < self.seconds:
            once()
            calls += 1
        return (time.process_time() - cpu) / calls * 1e6

    # --- as a source, with its pool ---

    async def fresh(self, *, wall: bool) -> float:
        """us of a call that gets an instance of its own: the median that a client waits, or CPU with what makes the
        next instance."""
        waited: list[float] = []
        async with self._source("call") as source, around(source) as gateway, Client(gateway) as client:
            await self._say(client, "warm")
            begin, cpu = time.perf_counter(), time.process_time()
            while not waited or time.perf_counter() - begin < self.seconds:
                assert source.pool is not None, "it has answered"
                await asyncio.gather(*source.pool._refills)
                start = time.perf_counter()
                await self._say(client, "fresh")
                waited.append((time.perf_counter() - start) * 1e6)
            return median(waited) if wall else (time.process_time() - cpu) / len(waited) * 1e6

    async def flat(self) -> float:
        """KB that the process has grown by after so many calls."""
        async with self._source("shared") as source, around(source) as gateway, Client(gateway) as client:
            for _ in range(max(self.calls // 5, 1)):
                await self._say(client, "warm")
            before = rss_kb([_ME])
            for _ in range(self.calls):
                await self._say(client, "flat")
            return max(rss_kb([_ME]) - before, 0)

    async def parallel(self) -> float:
        """How long long calls take at once, in percent of what they take one after the other."""
        arguments = {"rounds": ROUNDS[self.language]}
        async with self._source("shared") as source, around(source) as gateway, Client(gateway) as client:

            async def one() -> None:
                await client.call_tool("work", arguments)

            await asyncio.gather(*(one() for _ in range(AT_ONCE)))
            begin = time.perf_counter()
            for _ in range(AT_ONCE):
                await one()
            after = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(AT_ONCE)))
            return (time.perf_counter() - after) / (after - begin) * 100

    def _source(self, isolation: Isolation) -> WasmSource:
        limits = LimitsTable(concurrency=AT_ONCE)
        return WasmSource("echo", self.path, PolicyTable(isolation=isolation, limits=limits), self.cache)

    @staticmethod
    async def _say(client: Client, text: str) -> None:
        if (await client.call_tool("echo", {"text": text})).text != text:
            raise Wrong("echo: another answer")


_ME: Final = int(Path("/proc/self").resolve().name)
WHATS: Final[dict[str, Callable[[Bench], float]]] = {
    "call": Bench.call,
    "argument": Bench.argument,
    "large": Bench.large,
    "cold": Bench.cold,
    "fresh-wall": lambda bench: asyncio.run(bench.fresh(wall=True)),
    "fresh-cpu": lambda bench: asyncio.run(bench.fresh(wall=False)),
    "flat": lambda bench: asyncio.run(bench.flat()),
    "parallel": lambda bench: asyncio.run(bench.parallel()),
}


def main(words: Sequence[str]) -> int:
    """0, or 3 when an answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.wasm", description=__doc__)
    parser.add_argument("what", choices=WHATS)
    parser.add_argument("language", choices=SUFFIXES)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--calls", type=int, default=10_000)
    options = parser.parse_args(words)
    # As a gateway that serves.
    gc.freeze()
    keep_memory()
    try:
        took = WHATS[options.what](Bench(options.language, options.seconds, options.calls))
    except Wrong as wrong:
        print(f"bench: {wrong}", file=sys.stderr)
        return 3
    print(json.dumps({"took": round(took, 1)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
