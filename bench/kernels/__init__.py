"""Kernels against the best that others have: `python -m bench.kernels`, or `make rust-bench`.

A module for each kernel offers `rows()`. What is measured is CPU time of this thread per call, the least of all rounds,
and the contenders of a row take turns in one process, so that what else the machine does hits them alike.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

Work: TypeAlias = Callable[[], object]
Figures: TypeAlias = Mapping[str, float]
"""Contender -> nanoseconds per call."""

SAMPLE_NS: Final = 4_000_000

YARDSTICK: Final = "yardstick"
"""A contender of every row: a parser in Python that has nothing to do with kernels."""
YARD_NS: Final = 294_000.0
"""What it takes on the machine that the absolute targets were set for: a slower one is judged by the ratio."""


@dataclass(frozen=True, slots=True)
class Row:
    """The same work done by several contenders, ours first; `size` is in bytes where a rate makes sense. Work that is
    `calls` calls counts as so many."""

    title: str
    work: Mapping[str, Work]
    size: int = 0
    targets: Sequence[Target] = field(default=())
    calls: int = 1


class Target(Protocol):
    """What a row has to reach. Only ratios fail a run: they hold on any machine."""

    @property
    def gate(self) -> bool: ...

    def wanted(self) -> str: ...

    def measured(self, row: Row, ns: Figures) -> str: ...

    def met(self, row: Row, ns: Figures) -> bool: ...


@dataclass(frozen=True, slots=True)
class Rate:
    """At least so many gigabytes per second."""

    least: float
    gate = False

    def wanted(self) -> str:
        return f">= {self.least:g} GB/s"

    def measured(self, row: Row, ns: Figures) -> str:
        return f"{self._rate(row, ns):.3g} GB/s"

    def met(self, row: Row, ns: Figures) -> bool:
        return self._rate(row, ns) >= self.least

    def _rate(self, row: Row, ns: Figures) -> float:
        return row.size / ns[next(iter(row.work))]


@dataclass(frozen=True, slots=True)
class Within:
    """At most so many nanoseconds per call."""

    most: float
    gate = False

    def wanted(self) -> str:
        return f"<= {self.most:g} ns"

    def measured(self, row: Row, ns: Figures) -> str:
        return f"{ns[next(iter(row.work))]:.3g} ns"

    def met(self, row: Row, ns: Figures) -> bool:
        return ns[next(iter(row.work))] <= self.most


@dataclass(frozen=True, slots=True)
class Times:
    """So many times as fast as a peer; `ours` is the first contender where it is not named."""

    least: float
    peer: str
    ours: str = ""
    gate = True

    def wanted(self) -> str:
        return f">= {self.least:g}x {self.peer}"

    def measured(self, row: Row, ns: Figures) -> str:
        return f"{self.ours}{' ' * bool(self.ours)}{self.ratio(row, ns):.1f}x"

    def met(self, row: Row, ns: Figures) -> bool:
        return self.ratio(row, ns) >= self.least

    def ratio(self, row: Row, ns: Figures) -> float:
        return ns[self.peer] / ns[self.ours or next(iter(row.work))]


def scaled(ns: Figures) -> dict[str, float]:
    """The figures as they would be on the machine that the targets were set for; as they are where nothing tells."""
    slower = ns.get(YARDSTICK, YARD_NS) / YARD_NS
    return {name: figure / slower for name, figure in ns.items()}


def measure(row: Row, rounds: int, sample_ns: int = SAMPLE_NS) -> dict[str, float]:
    """The least nanoseconds per call of each contender."""
    counts = {name: _count(work, sample_ns) for name, work in row.work.items()}
    best = dict.fromkeys(row.work, float("inf"))
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, work in row.work.items():
                best[name] = min(best[name], _sample(work, counts[name]))
    finally:
        gc.enable()
    return {name: ns / row.calls for name, ns in best.items()}


def _count(work: Work, sample_ns: int) -> int:
    """How many calls make a sample."""
    count = 1
    while (took := _sample(work, count) * count) < sample_ns:
        count = max(2 * count, int(count * sample_ns / max(took, 1)) if took > sample_ns / 100 else 0)
    return count


def _sample(work: Work, count: int) -> float:
    calls = range(count)
    began = time.thread_time_ns()
    for _ in calls:
        work()
    return (time.thread_time_ns() - began) / count
