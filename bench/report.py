"""What a run found, as text for the terminal and for RESULTS.md."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench.contenders import FASTMCP, MCP, SHARED
from bench.lines import Line
from bench.measures import Effort, Sample
from tests.serving import ROOT


@dataclass(frozen=True, slots=True)
class Outcome:
    """The samples of a line, by contender, in the order of the rounds."""

    line: Line
    samples: Mapping[str, Sequence[Sample]]

    @property
    def medians(self) -> dict[str, float]:
        return {name: median(self.values(name)) for name in self.samples}

    @property
    def failed(self) -> bool:
        """Whether a target was missed that fails the run."""
        return any(target.gate and not target.met(self.medians) for target in self.line.targets)

    def values(self, name: str) -> list[float]:
        return [sample[self.line.measure.key] for sample in self.samples[name]]

    def targets(self) -> list[list[str]]:
        """A row for each target, or one that says there is none."""
        medians = self.medians
        shown = ", ".join(f"{name} {value:g}" for name, value in medians.items())
        if not self.line.targets:
            return [[self.line.title, f"{shown} {self.line.unit}", "", ""]]
        return [
            [self.line.title, target.measured(medians), target.wanted(medians), "yes" if target.met(medians) else "NO"]
            for target in self.line.targets
        ]

    def figures(self) -> list[list[str]]:
        """A row for each contender."""
        rows = []
        for name, samples in self.samples.items():
            values = self.values(name)
            row = [self.line.title, name, f"{median(values):g}", f"{min(values):g}", f"{max(values):g}", self.line.unit]
            for key in ("per_second", "p50_ms", "p99_ms", "load_us", "rss_mb"):
                found = [sample[key] for sample in samples if key in sample]
                row.append(f"{median(found):g}" if found else "")
            rows.append(row)
        return rows


FIGURES = ["", "server", "median", "min", "max", "", "req/s", "p50 ms", "p99 ms", "loader us", "RSS MB"]
TARGETS = ["", "measured", "wanted", "met"]


def markdown(outcomes: Sequence[Outcome], effort: Effort, *, quick: bool) -> str:
    """The page RESULTS.md."""
    warning = "**A quick run: it shows that everything runs, its figures mean nothing.**\n\n" if quick else ""
    targets = [row for outcome in outcomes for row in outcome.targets()]
    figures = [row for outcome in outcomes for row in outcome.figures()]
    facts = "\n".join(f"- {name}: {value}" for name, value in machine().items())
    return f"""# Results

Written by `make bench`; `bench/README.md` says how to read it.

{warning}{facts}
- rounds: {effort.rounds} of {effort.seconds:g} s, interleaved; medians of the rounds

## Targets

{table(TARGETS, targets)}

## Figures

"us CPU" is CPU time of the server per answered request: user and system, all threads and child processes. Requests per
second, p50 and p99 depend on what else the machine does. Every answer was checked.

{table(FIGURES, figures)}
"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with straight columns."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])


def machine() -> dict[str, str]:
    """What the figures depend on."""
    ours = ", ".join(f"{name} {version(name)}" for name in ("msgspec", *SHARED))
    return {
        "commit": commit(),
        "CPU": f"{os.cpu_count()} x {cpu_model()}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": f"{ours}; official SDK: mcp {MCP}, proxy: fastmcp {FASTMCP}, both on the same {', '.join(SHARED)}",
    }


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def commit() -> str:
    """The commit that was measured, and whether the tree differs from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return (head or "none") + (" with changes" if _git("status", "--porcelain", "--", "src", "bench") else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip() if done.returncode == 0 else ""
