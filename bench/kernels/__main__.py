"""The command line of the kernel benchmarks: measure, print, write KERNELS.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from bench.kernels import SAMPLE_NS, Figures, Row, measure
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
    targets: list[list[str]] = []
    figures: list[list[str]] = []
    failed = False
    for name in options.kernels or KERNELS:
        module = import_module(f"bench.kernels.{name}")
        rows: list[tuple[Row, Figures]] = []
        for row in module.rows():
            ns = measure(row, rounds, sample)
            rows.append((row, ns))
            figures += ([row.title, contender, *_figure(row, value)] for contender, value in ns.items())
            failed |= any(target.gate and not target.met(row, ns) for target in row.targets)
            verdicts = [
                [row.title, each.measured(row, ns), each.wanted(), "yes" if each.met(row, ns) else "NO"]
                for each in row.targets
            ]
            print("\n".join(" | ".join(cells) for cells in verdicts or figures[-len(ns) :]), flush=True)
            targets += verdicts
        for title, measured, wanted, met in getattr(module, "together", _nothing)(rows):
            targets.append([title, measured, wanted, "yes" if met else "NO"])
            print(" | ".join(targets[-1]), flush=True)
            failed |= not met
    text = _page(targets, figures, quick=options.quick)
    print("\n" + text)
    where = options.output or (RESULTS if not options.kernels and not options.quick else None)
    if where is not None:
        known = where.read_text().partition(MARK)[0] if where.exists() else ""
        where.write_text(f"{known}{MARK}\n{text}")
    return MISSED if failed and not options.quick else 0


def _nothing(_rows: object) -> tuple[()]:
    """A kernel without a target over all of its rows."""
    return ()


def _figure(row: Row, ns: float) -> tuple[str, str]:
    return (f"{ns:,.0f}" if ns >= 1000 else f"{ns:.4g}", f"{row.size / ns:.3g}" if row.size else f"{1000 / ns:.3g} M/s")


def _page(targets: list[list[str]], figures: list[list[str]], *, quick: bool) -> str:
    warning = "\n**A quick run: it shows that everything runs, its figures mean nothing.**\n" if quick else ""
    facts = "\n".join(f"- {name}: {value}" for name, value in machine().items() if name != "packages")
    head = ["", "measured", "wanted", "met"]
    return f"""{warning}
{facts}

## Targets

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
