"""What has been written: numbers, whether a value is empty, whether two are of one shape."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

_EMPTY: Final = frozenset((b'""', b"[]", b"{}", b"0", b"-0", b"0.0", b"false", b"null"))
_TOKEN: Final = re.compile(rb'("(?:[^"\\]|\\.)*")(: )?|([-0-9][0-9.eE+-]*)|([a-z]+)|[\[\]{},]')
_DECIMAL: Final = re.compile(rb"(-?)([0-9]*)(?:(\.)([0-9]*))?(?:[eE]([+-]?[0-9]+))?")


def empty(value: bytes) -> bool:
    """Whether a value says nothing."""
    return value in _EMPTY


def same(one: bytes, two: bytes) -> bool:
    """Whether two values have the same members and items in one order, whatever stands in them."""
    return all(a == b for a, b in zip_longest(_shape(one), _shape(two)))


def _shape(value: bytes) -> Iterator[bytes]:
    for token in _TOKEN.finditer(value):
        text, key, number, word = token.groups()
        if text is not None:
            yield text if key else b'"'
        elif number is not None:
            yield b"1.5" if any(sign in number for sign in (b".", b"e", b"E")) else b"1"
        else:
            yield token[0] if word is None else b"null" if word == b"null" else b"true"


def decimal(written: bytes) -> bytes:
    """A number as JSON has it; empty when it is none."""
    match = _DECIMAL.fullmatch(written)
    if match is None or not (match[2] or match[4]):
        return b""
    whole = match[2].lstrip(b"0") or b"0"
    part = b"" if not match[3] else b"." + (match[4] or b"0")
    return match[1] + whole + part + (b"" if match[5] is None else b"e" + match[5])


class Rows:
    """The items of an array, as far as they are arrays of one length."""

    __slots__ = ("count", "loose", "tail", "width")

    def __init__(self, count: int) -> None:
        # How many items the array itself has.
        self.count = count
        # The length that its items have in common; 0 where there is none.
        self.width = 0
        # Where the items behind the last row begin in what is written, and how many there are.
        self.tail = 0
        self.loose = 0

    def add(self, out: list[bytes], start: int, inner: int) -> None:
        """An item has been written from a place on; where it is an array it has `inner` items."""
        self.count += 1
        if out[start] != b"[":
            self.loose += 1
            return
        self.width = inner if self.count == 1 or (self.width == inner and not self.loose) else 0
        self.tail, self.loose = len(out), 0
