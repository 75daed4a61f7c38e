"""The command line of the kernel benchmarks: measure, print, write KERNELS.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Final

from bench.kernels import SAMPLE_NS, YARDSTICK, Figures, Row, Target, Work, measure, scaled
from bench.kernels.sql import yardstick
from bench.report import machine, table

KERNELS: Final = ("pii", "rate", "sql", "repair", "secrets", "regex")
"""The modules of this folder that have rows."""
RESULTS: Final = Path(__file__).parents[1] / "KERNELS.md"
MARK: Final = "<!-- what follows is written by `make rust-bench` -->"
MISSED: Final = 1


def main(words: Sequence[str]) -> int:
    """0; 1 when a ratio was missed; 2 for wrong usage."""
    options = _parser().parse_args(words)
    rounds, sample = (1, 1) if options.quick else (options.rounds, SAMPLE_NS)
    yard = yardstick()
    targets: list[list[str]] = []
    figures: list[list[str]] = []
    failed = False
    for name in options.kernels or KERNELS:
        module = import_module(f"bench.kernels.{name}")
        rows: list[tuple[Row, Figures]] = []
        for row in module.rows():
            ns = _measured(row, yard, rounds, sample)
            rows.append((row, {name: figure for name, figure in ns.items() if name != YARDSTICK}))
            figures += ([row.title, contender, *_figure(row, contender, value)] for contender, value in ns.items())
            failed |= any(target.gate and not target.met(row, ns) for target in row.targets)
            verdicts = [verdict(row, each, ns) for each in row.targets]
            print("\n".join(" | ".join(cells) for cells in verdicts or figures[-len(ns) :]), flush=True)
            targets += verdicts
        for title, measured, wanted, met in getattr(module, "together", _nothing)(rows):
            targets.append([title, measured, "", wanted, "yes" if met else "NO"])
            print(" | ".join(targets[-1]), flush=True)
            failed |= not met
    text = _page(targets, figures, quick=options.quick)
    print("\n" + text)
    where = options.output or (RESULTS if not options.kernels and not options.quick else None)
    if where is not None:
        known = where.read_text().partition(MARK)[0] if where.exists() else ""
        where.write_text(f"{known}{MARK}\n{text}")
    return MISSED if failed and not options.quick else 0


def _measured(row: Row, yard: Work, rounds: int, sample_ns: int) -> Figures:
    """What each contender takes, and the yardstick among them."""
    figures = measure(replace(row, work={**row.work, YARDSTICK: yard}, calls=1), rounds, sample_ns)
    return {name: ns if name == YARDSTICK else ns / row.calls for name, ns in figures.items()}


def verdict(row: Row, target: Target, ns: Figures) -> list[str]:
    """A line of the table of targets."""
    there = scaled(ns)
    by_yardstick = "" if target.measured(row, there) == target.measured(row, ns) else target.measured(row, there)
    met = "yes" if target.met(row, ns) else "there" if target.met(row, there) else "NO"
    return [row.title, target.measured(row, ns), by_yardstick, target.wanted(), met]


def _nothing(_rows: object) -> tuple[()]:
    """A kernel without a target over all of its rows."""
    return ()


def _figure(row: Row, name: str, ns: float) -> tuple[str, str]:
    if name == YARDSTICK:
        return f"{ns:,.0f}", ""
    return (f"{ns:,.0f}" if ns >= 1000 else f"{ns:.4g}", f"{row.size / ns:.3g}" if row.size else f"{1000 / ns:.3g} M/s")


def _page(targets: list[list[str]], figures: list[list[str]], *, quick: bool) -> str:
    warning = "\n**A quick run: it shows that everything runs, its figures mean nothing.**\n" if quick else ""
    facts = "\n".join(f"- {name}: {value}" for name, value in machine().items() if name != "packages")
    head = ["", "measured", "by the yardstick", "wanted", "met"]
    return f"""{warning}
{facts}

## Targets

In every row a parser in Python takes turns too (`sqlglot`, a query of 152 bytes). Where the targets were set it takes
294 us: "by the yardstick" is what a figure would be there, and "there" what meets its target only so. Ratios need none.

{table(head, targets)}

## Figures

CPU time of a call, the least of all rounds; contenders took turns in one process.

{table(["", "contender", "ns", "GB/s or calls"], figures)}
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.kernels", description=__doc__)
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", choices=[*KERNELS, []], help=", ".join(KERNELS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="see that it runs, nothing more")
    parser.add_argument("--output", type=Path, help="write the results here")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
