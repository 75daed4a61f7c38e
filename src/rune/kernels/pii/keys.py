"""Secrets with a shape: JSON Web Tokens, AWS key ids, keys of well-known services, values of named keys."""

from __future__ import annotations

import re
from typing import Final

from rune.kernels.pii.chars import ASSIGN, KEY, LETTER, VALUE, WORD
from rune.kernels.scanner import Found

REACH: Final = 128
"""How far before its first digit a key may begin, in bytes."""
SHORTEST: Final = 16
"""The shortest value of a named key."""

PREFIXES: Final = (
    (b"sk-", 20), (b"sk_live_", 16), (b"sk_test_", 16), (b"rk_live_", 16), (b"rk_test_", 16), (b"pk_live_", 16),
    (b"pk_test_", 16), (b"ghp_", 30), (b"gho_", 30), (b"ghu_", 30), (b"ghs_", 30), (b"ghr_", 30),
    (b"github_pat_", 22), (b"glpat-", 16), (b"xoxb-", 16), (b"xoxp-", 16), (b"xoxa-", 16), (b"xoxr-", 16),
    (b"xoxs-", 16), (b"AIza", 30), (b"npm_", 30), (b"hf_", 30), (b"pypi-", 30), (b"dop_v1_", 40), (b"shpat_", 30),
)  # fmt: skip
"""How a key of a service begins, and how many characters follow at least."""

_AWS: Final = re.compile(rb"A(?:KIA|SIA|BIA|CCA|GPA|IDA|IPA|NPA|NVA|PKA|ROA)[A-Z0-9]{16}(?![A-Za-z0-9_])")
_DASHED: Final = re.compile(rb"-(?:(?<=sk-)|(?<=glpat-)|(?<=pypi-)|(?<=xox[abprs]-))")
_FIRST_DIGIT: Final = re.compile(rb"[A-Za-z_-]*[0-9]")
_VALUE_DIGIT: Final = re.compile(rb"[A-Za-z_./+~-]*[0-9]")
_KEY_RUN: Final = re.compile(rb"[A-Za-z0-9_-]*")
_VALUE_RUN: Final = re.compile(rb"[A-Za-z0-9_./+~-]*")
_ASSIGNED: Final = re.compile(rb"[ \"':=>]{1,6}(?=[A-Za-z0-9_./+~-])")
_NAME: Final = re.compile(
    rb"(?:(?:api|access|secret|private|auth)[_ -]?key|(?:api|access|auth|refresh|bearer)[_ -]?token"
    rb"|(?:api|client|app)[_ -]?secret|bearer)\Z",
    re.IGNORECASE,
)
_KEY_OR_TOKEN: Final = re.compile(rb"k(?:ey|(?<=tok)en)")
_KEYS: Final = bytes(KEY)
_VALUES: Final = bytes(VALUE)


def find(text: bytes, lower: bytes, capitals: list[int], found: list[Found]) -> None:
    """Add all keys of a text. `capitals` are the places where an AWS key id, `AIza` or the `J` of `eyJ` may stand."""
    places: set[int] = set()
    for at in capitals:
        match = _AWS.match(text, at)
        if match is not None and (at == 0 or text[at - 1] not in WORD):
            found.append((at, match.end(), "aws_access_key"))
        if text.startswith(b"AIza", at):
            _note(text, at, places)
        elif at >= 2 and text.startswith(b"eyJ", at - 2):
            _note(text, at - 2, places)
    for match in _DASHED.finditer(text):
        _note_run(text, match.start(), places)
    at = text.find(b"_")
    while at >= 0:
        _note_run(text, at, places)
        at = text.find(b"_", at + 1)
    _note_named(text, lower, places)
    for place in sorted(places):
        entity = _find(text, place)
        if entity is not None:
            found.append(entity)


def _note_run(text: bytes, end: int, places: set[int]) -> None:
    """Where the key that goes up to a place begins: no prefix has more than eleven characters."""
    low = max(end - 11, 0)
    _note(text, low + len(text[low:end].rstrip(_KEYS)), places)


def _note(text: bytes, start: int, places: set[int]) -> None:
    """The first digit of a key that begins at a place."""
    match = _FIRST_DIGIT.match(text, start)
    if match is not None and (start == 0 or text[start - 1] not in KEY):
        places.add(match.end() - 1)


def _note_named(text: bytes, lower: bytes, places: set[int]) -> None:
    """The first digit of every value that stands behind the name of a key."""
    ends = [match.end() for match in _KEY_OR_TOKEN.finditer(lower)]
    for name in (b"secret", b"bearer"):
        at = lower.find(name)
        while at >= 0:
            ends.append(at + len(name))
            at = lower.find(name, at + 1)
    for end in ends:
        assigned = _ASSIGNED.match(text, end)
        match = None if assigned is None else _VALUE_DIGIT.match(text, assigned.end())
        if match is not None:
            places.add(match.end() - 1)


def _find(text: bytes, place: int) -> Found | None:
    """What a token with its first digit at a place may be."""
    lowest = max(place - REACH, 0)
    for at in range(place - 1, lowest - 1, -1):
        if text[at] in b"0123456789":
            lowest = at + 1
            break
    window = text[lowest:place]
    value = lowest + len(window.rstrip(_VALUES))
    token = max(lowest + len(window.rstrip(_KEYS)), value)
    if value == lowest and value > 0 and text[value - 1] in VALUE:
        # It began longer ago than a key may, or has been looked at already.
        return None if token == value else _prefixed(text, token, place)
    return _prefixed(text, token, place) or _named(text, value)


def _prefixed(text: bytes, start: int, place: int) -> Found | None:
    if start > 0 and text[start - 1] in WORD:
        return None
    if text.startswith(b"eyJ", start):
        end = _jwt(text, start, place)
        return None if end is None else (start, end, "jwt")
    for prefix, shortest in PREFIXES:
        if text.startswith(prefix, start):
            end = _run(_KEY_RUN, text, start)
            if end - start >= len(prefix) + shortest:
                return start, end, "api_key"
            return None
    return None


def _jwt(text: bytes, start: int, place: int) -> int | None:
    """Three parts in base64url joined by dots, five when it is encrypted; the first begins `{"`."""
    head = _run(_KEY_RUN, text, start)
    if head < start + 10 or place >= head or text[head : head + 1] != b".":
        return None
    body = _run(_KEY_RUN, text, head + 1)
    if text[body : body + 1] != b".":
        return None
    end = _run(_KEY_RUN, text, body + 1)
    if not text.startswith(b"eyJ", head + 1, body) and (end < body + 17 or body < head + 5):
        return None
    for _ in range(2):
        if text[end : end + 1] == b"." and end + 1 < len(text) and text[end + 1] in KEY:
            end = _run(_KEY_RUN, text, end + 1)
    return end


def _named(text: bytes, start: int) -> Found | None:
    """A value that begins at a place, when the name of a key stands before it."""
    if start == 0 or text[start - 1] not in ASSIGN:
        return None
    end = _run(_VALUE_RUN, text, start)
    while end > start and text[end - 1] == 0x2E:
        end -= 1
    for _ in range(2):
        if text[end : end + 1] == b"=":
            end += 1
    if end - start < SHORTEST or LETTER.isdisjoint(text[start:end]):
        return None
    stop = start
    while stop > 0 and start - stop < 6 and text[stop - 1] in ASSIGN:
        stop -= 1
    if _NAME.search(text, max(stop - 16, 0), stop) is None:
        return None
    return start, end, "api_key"


def _run(pattern: re.Pattern[bytes], text: bytes, start: int) -> int:
    match = pattern.match(text, start)
    assert match is not None, "an empty run matches"
    return match.end()
