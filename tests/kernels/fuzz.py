"""Gives both PII scanners texts of new seeds until the time is up: `python -m tests.kernels.fuzz --minutes 10`.

A text that they differ about is printed with what each of them found; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from rune import native
from rune.kernels.pii import KINDS
from tests.kernels.corpus import labelled
from tests.kernels.texts import ibans, mutants, texts

PORTION = 2_000


def main(minutes: float, seed: int) -> int:
    rust, python = (native.make_pii(name, KINDS, "#")[0] for name in ("rust", "python"))
    known = [text for text, _ in labelled(5_000, seed)]
    dice = random.Random(seed)
    ends = time.monotonic() + minutes * 60
    count = found = 0
    while time.monotonic() < ends:
        for stream in (texts(dice.getrandbits(64)), mutants(known, dice.getrandbits(64)), ibans(dice.getrandbits(64))):
            for _ in range(PORTION):
                text = next(stream)
                count += 1
                ours, twins = rust.scan(text), python.scan(text)
                if ours != twins or rust.mask(text) != python.mask(text):
                    found += 1
                    print(f"differ: {text!r}\n  rust   {ours}\n  python {twins}", flush=True)
    print(f"{count} texts in {minutes:g} minutes, {found} differences (seed {seed})")
    return int(found > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.kernels.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    sys.exit(main(options.minutes, options.seed))
