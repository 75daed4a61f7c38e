"""Personal data: `mask(str)` with all kinds on, against cpex-pii-filter and against a naive sequence of `re`."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import prod
from typing import Any, Final

from bench.kernels import Figures, Rate, Row, Target, Times
from bench.kernels.peers import peer
from rune.plugins.pii import PiiFilter

RUST, PYTHON, CPEX, NAIVE = "rust", "python", "cpex-pii-filter 0.3.9", "re, one after the other"
CPEX_PACKAGE: Final = "cpex-pii-filter==0.3.9"
SIZES: Final = {"1 kB": 1_000, "10 kB": 10_000, "1 MB": 1_000_000}
DENSE: Final = 100_000
LARGEST: Final = 50_000_000

_TEXT: Final = (
    "the of and to in is that for it with as was on be at by this from they we you have not are but or an their one "
    "all would there which when who will more no if out so said what up its about into than them can only other new "
    "some could time these two may then do first any my now such like our over man me even most made after also did "
    "many before must through back years where much your way well down should because each just those people how too "
    "little state good very make world still own see men work long get here between both life being under never day "
    "same another know while last might us great old year off come since against go came right used take three"
)
_WORDS: Final = _TEXT.split()
_NAIVE: Final = [
    re.compile(pattern, re.ASCII | re.IGNORECASE)
    for pattern in (
        r"\b[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}\b", r"\b[0-9]{4}(?:[ -]?[0-9]){9,15}\b",
        r"\b[A-Za-z0-9][\w.+-]*@[A-Za-z0-9][\w.-]*\.[A-Za-z]{2,}\b", r"\b[0-9]{3}\)?[ .-]?[0-9]{3}[ .-]?[0-9]{4}\b",
        r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b", r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
        r"\b[01][0-9][/-][0-3][0-9][/-](?:19|20)[0-9]{2}\b", r"\b(?:[0-9A-F]{1,4}:){3,7}[0-9A-F]{1,4}\b",
        r"\b[0-9A-F]{2}(?:[:-][0-9A-F]{2}){5}\b", r"\bAKIA[0-9A-Z]{16}\b", r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}\b",
        r"\b(?:sk|pk|rk)[-_][\w-]{20,}\b", r"\bgh[pousr]_[A-Za-z0-9]{30,}\b",
        r"\b(?:api|access|secret)[_ -]?(?:key|token)[\"' :=]{1,6}[\w./+~-]{16,}",
    )
]  # fmt: skip
"""A lean set: one pattern for each kind, none of them slow."""


def rows() -> Iterator[Row]:
    """Prose without and with personal data, log lines full of digits, and texts made to be slow."""
    rust, python = PiiFilter(implementation="rust").mask, PiiFilter(implementation="python").mask
    detector = peer("cpex_pii_filter", CPEX_PACKAGE).PIIDetectorRust({"max_text_bytes": LARGEST})
    cpex = partial(_cpex, detector)
    for share in (0.0, 0.05):
        for name, size in SIZES.items():
            least = 2 if share else 3 if size == SIZES["1 kB"] else 5
            factor = 8 if size == SIZES["1 kB"] else 10
            text = prose(size, share)
            targets = (Rate(least), Times(factor, CPEX), Times(8, NAIVE, PYTHON))
            yield _row(f"prose {name}, {share:.0%} PII", text, targets, rust, cpex, python, _naive)
    yield _row("JSON lines full of digits", digits(DENSE), (Rate(1), Times(8, CPEX)), rust, cpex, python)
    for piece in ("1 ", "@", "a@a.", "1", "1:", "1.1.", "A00A", "tel 1 1 1 ", "555 234 5678 ", "-", "a_1", "0-0"):
        for size in (DENSE, 8 * DENSE):
            text = (piece * (size // len(piece) + 1))[:size]
            yield _row(f"{piece!r} for {size // 1000} kB", text, (Rate(0.1),), rust)


def together(found: Sequence[tuple[Row, Figures]]) -> Iterator[tuple[str, str, str, bool]]:
    """What holds for several rows: the twin on prose, and that no text takes more than its share of time."""
    ratios = [ns[NAIVE] / ns[PYTHON] for _, ns in found if NAIVE in ns]
    mean = prod(ratios) ** (1 / len(ratios))
    yield "python on prose, geometric mean", f"{mean:.1f}x", f">= 15x {NAIVE}", mean >= 15
    hostile = [(row, ns[RUST]) for row, ns in found if list(ns) == [RUST]]
    worst = max(
        longer / shorter / (large.size / small.size)
        for (small, shorter), (large, longer) in zip(hostile[::2], hostile[1::2], strict=True)
    )
    yield "hostile texts, cost per byte of the eight times longer one", f"{worst:.2f}x", "<= 2x", worst <= 2


def prose(size: int, share: float, seed: int = 7) -> str:
    """Words, two of a hundred with digits that mean nothing, and so large a share of personal data."""
    dice = random.Random(seed)
    parts: list[str] = []
    length = personal = 0
    while length < size:
        if personal < share * length:
            part = _entity(dice)
            personal += len(part)
        elif dice.random() < 0.02:
            part = _figure(dice)
        else:
            part = dice.choice(_WORDS)
        parts.append(part)
        length += len(part) + 1
    return " ".join(parts)


def digits(size: int, seed: int = 7) -> str:
    """Log lines as JSON: time stamps, durations, identifiers, sizes, versions; nothing personal."""
    dice = random.Random(seed)
    lines: list[str] = []
    length = 0
    while length < size:
        stamp = (
            f"2026-0{dice.randrange(1, 10)}-1{dice.randrange(10)}T{dice.randrange(10, 24)}:{dice.randrange(10, 60)}:07"
        )
        line = (
            f'{{"ts":"{stamp}.{dice.randrange(1000):03}Z","id":{dice.randrange(10**8)},"ms":{dice.random() * 99:.3f},'
            f'"size":{dice.randrange(10**6)},"trace":"{dice.getrandbits(64):016x}","code":{dice.choice((200, 404))},'
            f'"xy":[{dice.random():.4f},{dice.random():.4f},{dice.randrange(1000)}],"v":"1.{dice.randrange(30)}.0"}}'
        )
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines)


def _figure(dice: random.Random) -> str:
    return dice.choice(
        (
            str(dice.randrange(1000)), f"v{dice.randrange(9)}.{dice.randrange(20)}.{dice.randrange(9)}",
            f"2026-0{dice.randrange(1, 9)}-1{dice.randrange(9)}", f"#{dice.randrange(99999)}",
            f"{dice.randrange(24):02}:{dice.randrange(60):02}",
        )
    )  # fmt: skip


def _entity(dice: random.Random) -> str:
    area, exchange, line = dice.randrange(200, 999), dice.randrange(200, 999), dice.randrange(10_000)
    card = dice.choice(("4111 1111 1111 1111", "5500-0055-5555-5559", "378282246310005", "6011111111111117"))
    iban = dice.choice(("DE89370400440532013000", "GB82 WEST 1234 5698 7654 32", "FR1420041010050500013M02606"))
    return dice.choice(
        (
            f"{dice.choice(_WORDS)}.{dice.choice(_WORDS)}{dice.randrange(99)}@example.{dice.choice(('com', 'org'))}",
            f"{dice.randrange(1, 666):03}-{dice.randrange(1, 100):02}-{dice.randrange(1, 10_000):04}",
            f"{area}-{exchange}-{line:04}", f"({area}) {exchange}-{line:04}", f"{area}.{exchange}.{line:04}",
            card, iban,
            f"10.{dice.randrange(256)}.{dice.randrange(256)}.{dice.randrange(256)}",
            f"born {dice.randrange(1, 13):02}/{dice.randrange(1, 29):02}/19{dice.randrange(40, 99)}",
        )
    )  # fmt: skip


def _row(title: str, text: str, targets: Sequence[Target], *work: Callable[[str], object]) -> Row:
    names = (RUST, CPEX, PYTHON, NAIVE)
    contenders = {name: partial(each, text) for name, each in zip(names, work, strict=False)}
    return Row(title, contenders, len(text.encode()), targets)


def _cpex(detector: Any, text: str) -> object:
    found = detector.detect(text)
    return detector.mask(text, found) if found else text


def _naive(text: str) -> str:
    for pattern in _NAIVE:
        text = pattern.sub("[REDACTED]", text)
    return text
