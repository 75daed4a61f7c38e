"""`local@domain.tld`, found from its `@`."""

from __future__ import annotations

import re
from typing import Final

from rune.kernels.pii.chars import ALNUM, DOMAIN, LETTER, LOCAL
from rune.kernels.scanner import Found

LONGEST: Final = 254
"""The longest local part and the longest domain that are looked at, in bytes."""

_LOCAL: Final = bytes(LOCAL)
_DOMAIN: Final = re.compile(rb"[A-Za-z0-9.\-\x80-\xbf\xc3-\xd3]+")


def find_all(text: bytes, found: list[Found]) -> None:
    """Add all addresses of a text."""
    place = text.find(b"@")
    while place >= 0:
        start = _local(text, place)
        if start is not None:
            end = _domain(text, place + 1)
            if end is not None:
                found.append((start, end, "email"))
        place = text.find(b"@", place + 1)


def _local(text: bytes, place: int) -> int | None:
    lowest = max(place - LONGEST, 0)
    start = lowest + len(text[lowest:place].rstrip(_LOCAL))
    if start == lowest and start > 0 and text[start - 1] in LOCAL:
        return None
    # The rest of a letter that is none of ours.
    while start < place and text[start] & 0xC0 == 0x80:
        start += 1
    while start < place and text[start] not in ALNUM and text[start] != 0x5F:
        start += 1
    return start if start < place else None


def _domain(text: bytes, first: int) -> int | None:
    match = _DOMAIN.match(text, first, first + LONGEST)
    if match is None:
        return None
    end = match.end()
    twice = text.find(b"..", first, end + 1)
    if twice >= 0:
        end = twice
    elif end == first + LONGEST and end < len(text) and text[end] in DOMAIN:
        return None
    if end == first or text[first] not in ALNUM or text[first] & 0xC0 == 0x80:
        return None
    dot = text.rfind(b".", first + 1, end)
    while dot >= 0:
        stop = _top_level(text, dot + 1, end)
        if stop is not None:
            return stop
        dot = text.rfind(b".", first + 1, dot)
    return None


def _top_level(text: bytes, begin: int, end: int) -> int | None:
    """The end of a top-level domain that begins at a place."""
    stop = begin
    if text.startswith(b"xn--", begin, end):
        while stop < end and text[stop] != 0x2E and text[stop] < 0x80:
            stop += 1
        while text[stop - 1] == 0x2D:
            stop -= 1
        return stop if stop > begin + 4 and not (stop < len(text) and text[stop] in ALNUM) else None
    while stop < end and (text[stop] in LETTER or text[stop] >= 0x80):
        stop += 1
    follows = stop < len(text) and (text[stop] in ALNUM or text[stop] == 0x5F)
    return stop if stop >= begin + 2 and not follows else None
