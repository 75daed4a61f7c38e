"""Patterns of operators against Python's `re`, the twin: on texts with few matches, and on one made to hurt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from bench.kernels import Rate, Row, Times
from rune.plugins.regex import RegexSub

RUST, PYTHON = "rust", "re.sub"
PROSE: Final = "The quick brown fox jumps over the lazy dog, said Ada, and her number was gone by then. "
PATTERNS: Final = (
    ("a word", r"\bconfidential\b", "***"),
    ("tickets", r"\b[A-Z]{3,5}-\d+\b", "ticket"),
    ("addresses", r"([\w.-]+)@([\w-]+\.\w+)", r"\1 at \2"),
)
SIZES: Final = (("1 kB", 12), ("100 kB", 1200))


def rows() -> Iterator[Row]:
    """Three patterns on prose, and one that keeps `re` busy for years on a text that it never ends with."""
    for name, search, replace in PATTERNS:
        for size, times in SIZES:
            text = (PROSE * times) + "OPS-123 for ada@example.org is confidential. "
            rust = RegexSub(search, replace, implementation="rust")
            work: dict[str, Callable[[], object]] = {
                RUST: partial(rust.sub, text), PYTHON: partial(re.compile(search).sub, replace, text),
            }  # fmt: skip
            assert work[RUST]() == work[PYTHON](), "a bench of wrong results measures nothing"
            yield Row(f"regex, {name}, {size}", work, len(text), [Times(2, PYTHON)])
    text = "a" * 100_000
    yield Row("regex, (a+)+b on many a", {RUST: partial(RegexSub("(a+)+b", "").sub, text)}, len(text), [Rate(0.1)])
