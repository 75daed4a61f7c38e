"""The command line of the benchmarks: measure, print, write RESULTS.md."""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.lines import LINES, Line
from bench.measures import BenchError, Effort, Sample
from bench.report import TARGETS, Outcome, markdown, table

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
QUICK: Final = Effort(rounds=1, seconds=0.2, connected=50)
DESCRIPTORS: Final = 20_000
MISSED, BROKEN = 1, 3


def main(words: Sequence[str]) -> int:
    """0; 1 when a target was missed that fails the run; 2 for wrong usage; 3 when a measurement could not be taken."""
    options = _parser().parse_args(words)
    unknown = [name for name in options.lines if name not in LINES]
    if unknown:
        print(f"bench: no such line: {', '.join(unknown)}\n  fix: one of {', '.join(LINES)}", file=sys.stderr)
        return 2
    effort = QUICK if options.quick else Effort(options.rounds, options.seconds)
    enough_descriptors()
    outcomes: list[Outcome] = []
    for name in options.lines or LINES:
        try:
            outcomes.append(measure(LINES[name], effort))
        except (BenchError, RuntimeError, OSError) as error:
            print(f"bench: {name}: {error}", file=sys.stderr)
            return BROKEN
        for row in outcomes[-1].targets():
            print(f"{name}: {' | '.join(cell for cell in row[1:] if cell)}", flush=True)
    print("\n" + table(TARGETS, [row for outcome in outcomes for row in outcome.targets()]))
    where = options.output or (RESULTS if not options.lines and not options.quick else None)
    if where is not None:
        where.write_text(markdown(outcomes, effort, quick=options.quick))
        print(f"\nwritten to {where}")
    # A quick run only shows that everything still runs: its figures mean nothing.
    return MISSED if not options.quick and any(outcome.failed for outcome in outcomes) else 0


def measure(line: Line, effort: Effort) -> Outcome:
    """All rounds of a line. The contenders take turns, so that what else the machine does hits them alike."""
    rounds = effort.rounds if line.rounds is None else line.rounds
    with ExitStack() as stack:
        takers = {each.name: stack.enter_context(line.measure.prepared(each, effort)) for each in line.contenders}
        samples: dict[str, list[Sample]] = {name: [] for name in takers}
        for _ in range(rounds):
            for name, take in takers.items():
                samples[name].append(take())
    return Outcome(line, samples)


def enough_descriptors() -> None:
    """A thousand clients with two connections each; the servers inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, epilog=f"lines: {', '.join(LINES)}")
    parser.add_argument(
        "lines", nargs="*", metavar="LINE", help="only these; without any all, and RESULTS.md is written"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a round of a load takes")
    parser.add_argument("--quick", action="store_true", help="see that it runs and all answers are right, nothing more")
    parser.add_argument("--output", type=Path, help="write the results here")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
