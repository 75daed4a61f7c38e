"""A place in broken JSON, and what can be told about it without writing anything."""

from __future__ import annotations

import re
from typing import Final

from rune.kernels.repair.ahead import REACH, SPACES, member, opening, space

_START: Final = re.compile(rb"[{\[(#/]")
_LINE: Final = re.compile(rb"[\n\r]")
_LINE_OR_BRACE: Final = re.compile(rb"[\n\r}]")
_LINE_OR_CLOSE: Final = re.compile(rb"[\n\r}\]]")
_GROUP: Final = re.compile(rb"[0-9.)({\[\"'-]|\xe2\x80[\x9c\x9d]|(?:true|false|null|none)", re.IGNORECASE)
_BLANK: Final = SPACES + b"}"
_WORD: Final = re.compile(rb"[A-Za-z0-9\x80-\xff]")
_PAIRED: Final = re.compile(rb"[0-9.,-]+[ \t\n\r\f\v,]*")


class Cursor:
    """A place in a text, so deep in its values, in so many arrays."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0
        self._arrays = 0
        self._depth = 0

    def _peek(self) -> bytes:
        return self._text[self._at : self._at + 1]

    def _skip(self) -> None:
        """Go on by one character."""
        self._at += 1
        while self._at < len(self._text) and 0x80 <= self._text[self._at] < 0xC0:
            self._at += 1

    def _seek(self) -> bool:
        """Go to where the next value begins."""
        while True:
            mark = _START.search(self._text, self._at)
            if mark is None:
                return False
            self._at = mark.start()
            if mark[0] in b"{[" or (mark[0] == b"(" and self._groups()):
                return True
            if mark[0] not in b"#/" or not self._comment():
                self._at += 1

    def _groups(self) -> bool:
        """Whether a parenthesis is a value, and no remark in a sentence."""
        text = self._text
        start = self._at
        while start and text[start - 1] in b" \t":
            start -= 1
        if start and text[start - 1] not in b"\n\r":
            return False
        line = _LINE.search(text, self._at, self._at + REACH)
        rest = text[self._at : self._at + REACH if line is None else line.start()].rstrip(SPACES)
        alone = b")" not in rest or rest.endswith(b")")
        return alone and _GROUP.match(text, space(text, self._at + 1)) is not None

    def _before(self, at: int) -> bytes:
        """The last sign before a place that is no white space."""
        while at and self._text[at - 1] in SPACES:
            at -= 1
        return self._text[at - 1 : at] if at else b""

    def _comment(self) -> bool:
        """Skip a comment that begins here."""
        text, two = self._text, self._text[self._at : self._at + 2]
        if two == b"/*":
            end = text.find(b"*/", self._at + 2)
            self._at = len(text) if end < 0 else end + 2
        elif two == b"//" or two[:1] == b"#":
            # A remark that would hide what closes a value is cut short.
            ends = _LINE if two == b"//" or not self._depth else _LINE_OR_CLOSE if self._arrays else _LINE_OR_BRACE
            mark = ends.search(text, self._at)
            self._at = len(text) if mark is None else mark.start()
        else:
            return False
        return True

    def _space(self) -> None:
        self._at = space(self._text, self._at)
        while self._peek() in (b"/", b"#") and self._comment():
            self._at = space(self._text, self._at)

    def _closes_object(self) -> bool:
        """Whether a brace in an array is that of the object around it, and the bracket was forgotten."""
        at = space(self._text, self._at + 1)
        if self._text[at : at + 1] == b",":
            return self._text.startswith(b"{", space(self._text, at + 1))
        return self._depth > 1 and self._text[at : at + 1] == b"]"

    def _continues(self) -> bool:
        """Whether an object goes on behind its closing brace."""
        at = space(self._text, self._at)
        if self._text[at : at + 1] != b",":
            return False
        at = space(self._text, at + 1)
        if not opening(self._text, at):
            return False
        self._at = at
        return True

    def _is_set(self, start: int) -> bool:
        """Whether there was something in an object without members, and no colon."""
        text, stop, self._at = self._text, min(self._at, len(self._text)), start
        while self._at < stop:
            if text[self._at] in _BLANK:
                self._at += 1
            elif text[self._at] not in b"/#" or not self._comment():
                at, self._at = self._at, stop
                return text.find(b":", at, stop) < 0 and _WORD.search(text, at, stop) is not None
        self._at = stop
        return False

    def _pairs(self) -> bool:
        """Whether the comma here stands for a colon: a number follows, and behind it the next member or the end."""
        text = self._text
        if self._peek() != b",":
            return False
        number = _PAIRED.match(text, space(text, self._at + 1))
        if number is None:
            return False
        return text[number.end() : number.end() + 1] in (b"", b"}") or member(text, number.end())
