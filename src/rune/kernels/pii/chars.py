"""Classes of bytes. Word rules are ASCII on purpose: a number right after a Chinese word is still a number."""

from __future__ import annotations

import string
from typing import Final

DIGIT: Final = frozenset(string.digits.encode())
LETTER: Final = frozenset(string.ascii_letters.encode())
UPPER: Final = frozenset(string.ascii_uppercase.encode())
HEX: Final = frozenset(string.hexdigits.encode())
WORD: Final = DIGIT | LETTER | {0x5F}
JOINT: Final = frozenset(b" -./()")
"""Between groups of digits."""
LETTERS_BEYOND: Final = frozenset(range(0xC3, 0xD4)) | frozenset(range(0x80, 0xC0))
"""All bytes of the letters from U+00C0 to U+04FF."""
ALNUM: Final = DIGIT | LETTER | LETTERS_BEYOND
LOCAL: Final = ALNUM | frozenset(b"._%+'-")
DOMAIN: Final = ALNUM | frozenset(b".-")
KEY: Final = WORD | {0x2D}
VALUE: Final = KEY | frozenset(b"./+~")
ASSIGN: Final = frozenset(b" \"':=>")

_JOINED: Final = frozenset(b"-./")


def free_left(text: bytes, place: int) -> bool:
    """Nothing word-like touches the place from the left, neither directly nor joined by one `-`, `.` or `/`."""
    if place == 0:
        return True
    last = text[place - 1]
    return not (last in WORD or (last in _JOINED and place > 1 and text[place - 2] in WORD))


def free_right(text: bytes, place: int) -> bool:
    """Nothing word-like follows, and no digit that is joined by one `-` or `.`."""
    if place >= len(text):
        return True
    following = text[place]
    if following in WORD:
        return False
    return not (following in b"-." and place + 1 < len(text) and text[place + 1] in DIGIT)
