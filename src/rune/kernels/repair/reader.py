"""Reads broken JSON from left to right and writes it whole as it goes."""

from __future__ import annotations

import re
from typing import Final

from rune.kernels.repair.ahead import REACH, Quotes, colon, member, opening, space
from rune.kernels.repair.cursor import Cursor
from rune.kernels.repair.shape import Rows, decimal, empty, same
from rune.kernels.repair.strings import ITEM, KEY, VALUE, bare, quoted

DEPTH: Final = 100
"""How deep a value may be nested that is repaired."""

SETS: Final = 2
"""How deep sets may be nested: each is read twice."""

_NUMBER: Final = re.compile(rb"(?:[0-9.eE/_-]|(?<=[eE])\+)+")
_NUMBERS: Final = re.compile(rb"(?:[0-9.eE/_-]|(?<=[eE])\+|,(?=[0-9]))+")
_LITERAL: Final = re.compile(rb"(true|false|null|none)(?=[ \t\n\r\f\v,)\]}]|\Z)", re.IGNORECASE)
_BARE: Final = re.compile(rb"[A-Za-z\x80-\xff]")
_KEY_START: Final = re.compile(rb"[A-Za-z0-9_\x80-\xff\"':}\[]")
_FENCE: Final = b"```json"


_LETTER: Final = re.compile(rb"[A-Za-z\x80-\xff]")
_HANGS: Final = re.compile(rb"[^,\]}\"]*")


class TooDeepError(Exception):
    """The text is nested deeper than what is repaired."""


class EscapedError(Exception):
    """From a place on all quotes stand behind a backslash."""


class Reader(Cursor):
    """Reads a text. `out` is what has been written. `unescaped`: quotes without backslashes have been tried."""

    def __init__(self, text: bytes, *, unescaped: bool = False) -> None:
        super().__init__(text)
        self._quotes = Quotes(text)
        self._unescaped = unescaped
        self._sets = 0
        # The object before this place lost its end: what comes next is another one of an array.
        self._again = False
        # Of the array that was closed last.
        self._rows = Rows(0)
        self.out: list[bytes] = []

    def top(self) -> bytes | None:
        """All values of the text, as an array when there are several; None where there is none."""
        whole: list[bytes] = []
        while self._seek():
            # A comma between two values says that both are meant; without one the later may be the better.
            apart = self._before(self._at) == b","
            self._value(VALUE, top=True)
            value = b"".join(self.out)
            self.out.clear()
            if whole and empty(value):
                continue
            if whole and (empty(whole[-1]) or (not apart and same(whole[-1], value))):
                whole.pop()
            whole.append(value)
        if not whole:
            return None
        return whole[0] if len(whole) == 1 else b"[" + b", ".join(whole) + b"]"

    def _value(self, place: int, *, top: bool = False) -> bool:
        """Write the next value; false where there is none."""
        while True:
            self._space()
            sign = self._peek()
            if sign == b"{":
                self._at += 1
                self._object(place, top=top)
            elif sign == b"[":
                self._at += 1
                self._array(b"]")
            elif sign == b"(":
                self._group()
            elif opening(self._text, self._at):
                self._string(place)
            elif _BARE.match(sign):
                self._bare(place)
            elif sign and sign in b"0123456789-.":
                return self._number(place)
            elif not sign or sign in b",}])":
                return False
            else:
                self._skip()
                continue
            return True

    def _string(self, place: int) -> None:
        text, at = self._text, self._at
        start = at + len(opening(text, at))
        if text.startswith(_FENCE, start) and text.find(b"`", start + 7, start + 7 + REACH) >= 0:
            # A value in a fence in a string.
            self._at = space(text, start + 7)
            if self._peek() in (b"{", b"["):
                self._value(place)
                self._at = space(self._text, self._at)
                if self._text.startswith(b"```", self._at):
                    self._at += 3
                return
        self._at = at
        self.out += (b'"', self._quoted(place), b'"')

    def _quoted(self, place: int) -> bytes:
        inside, self._at = quoted(self._quotes, self._at, place, arrays=self._arrays > 0)
        return inside

    def _bare(self, place: int) -> None:
        literal = _LITERAL.match(self._text, self._at)
        if literal is not None:
            word = literal[0].lower()
            self.out.append(b"null" if word == b"none" else word)
            self._at = literal.end()
            return
        self._word(place)

    def _word(self, place: int) -> None:
        """A string without quotes."""
        inside, self._at = bare(self._text, self._at, place, arrays=self._arrays > 0)
        self.out += (b'"', inside, b'"')

    def _number(self, place: int) -> bool:
        start = self._at
        run = (_NUMBERS if place == VALUE else _NUMBER).match(self._text, start)
        end = start if run is None else run.end()
        if _BARE.match(self._text[end : end + 1]):
            self._word(place)
            return True
        written = self._text[start:end].replace(b"_", b"")
        written = written.rstrip(b"+-eE/,")
        self._at = end
        if written:
            self.out.append(decimal(written) or b'"' + written + b'"')
        return bool(written)

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > DEPTH:
            raise TooDeepError

    def _group(self) -> None:
        """Parentheses: a tuple, or one value that is put in them for nothing."""
        mark = len(self.out)
        self._at += 1
        count, commas = self._array(b")")
        if count == 1 and not commas:
            del self.out[mark]
            self.out.pop()

    def _array(self, close: bytes) -> tuple[int, int]:
        """Items up to a closing sign; how many, and how many commas."""
        self.out.append(b"[")
        return self._items(close, 0)

    def _items(self, close: bytes, count: int) -> tuple[int, int]:
        self._enter()
        self._arrays += 1
        commas, rows = 0, Rows(count)
        while True:
            self._space()
            sign = self._peek()
            if not sign or sign in (close, b"}"):
                if sign == close or not self._closes_object():
                    self._at += 1
                break
            if sign == b",":
                commas += 1
                self._at += 1
                continue
            if self._text.startswith(b"...", self._at):
                self._at += 3
                continue
            mark = len(self.out)
            if rows.count:
                self.out.append(b", ")
            start = len(self.out)
            if self._item():
                rows.add(self.out, start, self._rows.count)
            else:
                del self.out[mark:]
        self._arrays -= 1
        self._depth -= 1
        self.out.append(b"]")
        self._rows = rows
        return rows.count, commas

    def _go_on(self) -> None:
        """The array that a member has goes on: with another row where it has rows, else with more items."""
        rows = self._rows
        self._at += 1
        self.out.pop()
        if rows.width and rows.loose == rows.width:
            # A row that lost its bracket.
            self.out.insert(rows.tail + 1, b"[")
            self.out.append(b"]")
        if not rows.width or self._text.startswith(b"[", space(self._text, self._at)):
            self._items(b"]", rows.count)
            return
        self.out.append(b", ")
        count, _ = self._array(b"]")
        self._rows = Rows(1)
        self._rows.width = rows.width if count == rows.width else 0
        self._rows.tail = len(self.out)
        self.out.append(b"]")

    def _item(self) -> bool:
        start = len(self.out)
        again, self._again = self._again, False
        if again or member(self._text, self._at):
            # Its brace was forgotten.
            self._object(ITEM, top=False)
        elif not self._value(ITEM):
            self._skip()
            return False
        out, count = self.out, len(self.out) - start
        if count == 2 and out[start] in b"[{" and self._peek() not in (b"]", b",", b")", b"}"):
            # What looked like a value was none.
            self._skip()
            return False
        if count == 2 and out[start] == b"{" and self._text[self._at - 1] != 0x7D:
            return False
        if count == 3 and not out[start + 1] and self._at >= len(self._text):
            return False
        if self._peek() == b"}" and out[-1] == b"}":
            self._at += 1
        return True

    def _object(self, place: int, *, top: bool) -> None:
        """Members up to the closing brace; a set when there are none."""
        self._enter()
        start, mark = self._at, len(self.out)
        self.out.append(b"{")
        count = self._members(0, mark + 1 if place == ITEM else None)
        while top and count and self._continues():
            count = self._members(count, None)
        self.out.append(b"}")
        self._depth -= 1
        if not count and self._sets < SETS and self._is_set(start):
            del self.out[mark:]
            self._at = start
            self._sets += 1
            self._array(b"}")
            self._sets -= 1
            hangs = _HANGS.match(self._text, self._at)
            if place == ITEM and hangs is not None and _LETTER.match(hangs[0]):
                # What hangs on its brace is no item.
                self._at = hangs.end()

    def _members(self, count: int, first: int | None) -> int:
        """Members up to the closing brace, which is passed, or to a bracket, which is not; how many there are.

        `first`: where the first key of an object in an array is written, with which the next one may begin too.
        """
        array = False
        while True:
            self._space()
            sign = self._peek()
            if not sign or sign == b"}":
                self._at += 1
                return count
            if sign == b"]" and self._arrays:
                return count
            if sign == b"[" and array:
                self._go_on()
                continue
            if not _KEY_START.match(self._text, self._at):
                self._unescape()
                continue
            mark = len(self.out)
            if count:
                self.out.append(b", ")
            if self._member(first if count else None):
                count += 1
                array = self.out[-1] == b"]"
            else:
                del self.out[mark:]
                if self._again:
                    return count

    def _unescape(self) -> None:
        """A sign that begins no key; quotes behind a backslash say that all of them have one."""
        if not self._unescaped and self._text.startswith((b'\\"', b"\\'"), self._at):
            raise EscapedError(self._at)
        self._skip()

    def _member(self, first: int | None) -> bool:
        text = self._text
        if self._peek() == b":":
            self._at += 1
            self._space()
        start = self._at
        if opening(text, self._at):
            key = self._quoted(KEY)
        elif self._peek() == b"[":
            self._at = space(text, self._at + 1)
            if not opening(text, self._at):
                return False
            key = self._quoted(ITEM)
            self.out += (b'"', key, b'": ""')
            self._at = space(text, self._at)
            self._at += self._peek() == b"]"
            return True
        else:
            key, self._at = bare(text, self._at, KEY, arrays=self._arrays > 0)
            if not key and self._at == start:
                return False
            if not colon(text, self._at):
                return False
        self._space()
        sign = self._peek()
        if first is not None and self._repeats(first, key, start):
            self._at, self._again = start, True
            return False
        if sign == b":" or self._pairs():
            self._at += 1
        elif not key or not sign or sign == b"}" or not opening(text, self._at):
            return False
        self.out += (b'"', key, b'": ')
        self._space()
        if self._peek() in (b",", b"}") or not self._value(VALUE):
            self.out.append(b'""')
        self._space()
        quote = opening(text, self._at)
        if quote and not member(text, self._at):
            # One too many.
            self._at += len(quote)
        if self._peek() == b",":
            self._at += 1
        return True

    def _repeats(self, first: int, key: bytes, start: int) -> bool:
        """Whether a key is the first one of its object again, and a comma before it or a colon behind it is missing."""
        return self.out[first + 1] == key and (self._peek() != b":" or self._before(start) != b",")
