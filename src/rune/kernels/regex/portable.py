"""What of Python's patterns means the same to the regex crate of Rust, written so that it cannot mean anything else.

The parser is Python's own. Every sign becomes a class of code points as Python sees them, so that neither tables of
Unicode nor rules of writing can differ. What has no counterpart is refused.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

Ranges = list[tuple[int, int]]
"""Code points: first and last of each run, sorted and apart."""

ASCII: Final = 0x7F
SURROGATES: Final = (0xD800, 0xDFFF)
_CATEGORIES: Final = {
    f"CATEGORY_{name}{kind}": (sign, bool(name))
    for name in ("", "NOT_")
    for kind, sign in (("DIGIT", "d"), ("SPACE", "s"), ("WORD", "w"))
}
_FOLDED: Final = "\u0130\u0131\u017f\u212a"
"""What some letters of ASCII match beyond it where case is ignored."""


class NotPortableError(Exception):
    """A pattern means something else to Rust, or nothing."""


@dataclass(frozen=True, slots=True)
class Program:
    """A pattern as Rust reads it. `wide` is for texts beyond ASCII, None where those are for Python alone;
    `closed`: a text that ends with a line end is for Python too."""

    ascii: str
    wide: str | None
    closed: bool


def program(tree: Any) -> Program:
    """A parsed pattern for Rust.

    Raises:
        NotPortableError: where it cannot be written for it.
    """
    if tree.getwidth()[0] == 0:
        raise NotPortableError("it matches where there is nothing")
    ascii, wide = _Writer(ASCII), _Writer(sys.maxunicode)
    flags = tree.state.flags
    written = ascii.sequence(tree, flags)
    return Program(written, None if ascii.words else wide.sequence(tree, flags), ascii.closed)


class _Writer:
    """Writes a pattern for texts up to a code point."""

    def __init__(self, most: int) -> None:
        self._most = most
        # Whether it asks where words of Unicode begin and end, and where the text ends.
        self.words = False
        self.closed = False

    def sequence(self, tree: Any, flags: int) -> str:
        return "".join(self._one(str(operator), value, flags) for operator, value in tree)

    def _one(self, operator: str, value: Any, flags: int) -> str:
        if operator in ("MAX_REPEAT", "MIN_REPEAT"):
            return self._repeat(value, flags) + ("?" if operator == "MIN_REPEAT" else "")
        if operator == "BRANCH":
            return "(?:" + "|".join(self.sequence(each, flags) for each in value[1]) + ")"
        if operator == "SUBPATTERN":
            group, more, less, body = value
            return ("(?:" if group is None else "(") + self.sequence(body, (flags | more) & ~less) + ")"
        if operator == "AT":
            return self._place(str(value), flags)
        if operator == "ANY":
            return self._class([] if flags & re.DOTALL else [(10, 10)], negated=True)
        if operator in ("LITERAL", "NOT_LITERAL"):
            return self._class(_folded(value, value, flags), negated=operator == "NOT_LITERAL")
        if operator == "IN":
            negated = str(value[0][0]) == "NEGATE"
            parts = (_members(str(kind), what, flags) for kind, what in value[negated:])
            return self._class([run for part in parts for run in part], negated=negated)
        raise NotPortableError(f"{operator.lower().replace('_', ' ')} has no counterpart in linear time")

    def _repeat(self, value: Any, flags: int) -> str:
        least, most, body = value
        if body.getwidth()[0] == 0:
            raise NotPortableError("it repeats what may be empty")
        last = "" if most is re._constants.MAXREPEAT else most  # type: ignore[attr-defined]
        if last == 0:
            raise NotPortableError("it repeats nothing")
        return f"(?:{self.sequence(body, flags)}){{{least},{last}}}"

    def _place(self, name: str, flags: int) -> str:
        if name == "AT_BEGINNING_STRING" or (name == "AT_BEGINNING" and not flags & re.MULTILINE):
            return r"\A"
        if name == "AT_BEGINNING":
            return "(?m:^)"
        if name == "AT_END" and flags & re.MULTILINE:
            return "(?m:$)"
        if name in ("AT_END", "AT_END_STRING"):
            self.closed |= name == "AT_END"
            return r"\z"
        self.words |= not flags & re.ASCII
        return r"(?-u:\b)" if name == "AT_BOUNDARY" else r"(?-u:\B)"

    def _class(self, runs: Iterable[tuple[int, int]], *, negated: bool) -> str:
        ranges = _joined(runs)
        if negated:
            ranges = _others(ranges)
        # Texts with halves of surrogate pairs are for Python alone.
        whole = (part for run in ranges for part in _without_surrogates(*run))
        clipped = [(first, min(last, self._most)) for first, last in whole if first <= self._most]
        if not clipped:
            return r"[^\x{0}-\x{10FFFF}]"
        return "[" + "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in clipped) + "]"


def _members(kind: str, what: Any, flags: int) -> Ranges:
    if kind == "LITERAL":
        return _folded(what, what, flags)
    if kind == "RANGE":
        return _folded(what[0], what[1], flags)
    sign, negated = _CATEGORIES[str(what)]
    ranges = _category(sign, bool(flags & re.ASCII))
    return _others(ranges) if negated else ranges


def _folded(first: int, last: int, flags: int) -> Ranges:
    """A run of code points, with what is the same where case is ignored."""
    ranges = [(first, last)]
    if flags & re.IGNORECASE:
        if last > ASCII:
            raise NotPortableError("it ignores the case of letters beyond ASCII")
        for letter in filter(str.isalpha, map(chr, range(first, last + 1))):
            same = [letter.swapcase(), *_same(letter, bool(flags & re.ASCII))]
            ranges += [(ord(each), ord(each)) for each in same]
    return ranges


@cache
def _same(letter: str, ascii: bool) -> list[str]:
    compiled = re.compile(letter, re.IGNORECASE | (re.ASCII if ascii else 0))
    return [each for each in _FOLDED if compiled.fullmatch(each)]


@cache
def _category(sign: str, ascii: bool) -> Ranges:
    """The code points of `\\d`, `\\s` or `\\w`, as this Python has them."""
    every = "".join(map(chr, range(ASCII + 1 if ascii else sys.maxunicode + 1)))
    found = re.finditer(rf"\{sign}+", every, re.ASCII if ascii else 0)
    return [(match.start(), match.end() - 1) for match in found]


def _joined(runs: Iterable[tuple[int, int]]) -> Ranges:
    joined: Ranges = []
    for first, last in sorted(runs):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _others(ranges: Ranges) -> Ranges:
    """All other code points."""
    others, start = [], 0
    for first, last in ranges:
        if first > start:
            others.append((start, first - 1))
        start = last + 1
    return [*others, (start, sys.maxunicode)] if start <= sys.maxunicode else others


def _without_surrogates(first: int, last: int) -> Iterator[tuple[int, int]]:
    low, high = SURROGATES
    if last < low or first > high:
        yield first, last
        return
    if first < low:
        yield first, low - 1
    if last > high:
        yield high + 1, last
