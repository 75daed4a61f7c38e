"""Reads broken JSON from left to right and writes it whole as it goes."""

from __future__ import annotations

import re
from typing import Final

from rune.kernels.repair.ahead import REACH, SPACES, Quotes, colon, member, opening, space
from rune.kernels.repair.shape import decimal, empty, same
from rune.kernels.repair.strings import ITEM, KEY, VALUE, bare, quoted

DEPTH: Final = 100
"""How deep a value may be nested that is repaired."""

SETS: Final = 2
"""How deep sets may be nested: each is read twice."""

_START: Final = re.compile(rb"[{\[(#/]")
_LINE: Final = re.compile(rb"[\n\r]")
_LINE_OR_BRACE: Final = re.compile(rb"[\n\r}]")
_LINE_OR_CLOSE: Final = re.compile(rb"[\n\r}\]]")
_NUMBER: Final = re.compile(rb"(?:[0-9.eE/_-]|(?<=[eE])\+)+")
_NUMBERS: Final = re.compile(rb"(?:[0-9.eE/_-]|(?<=[eE])\+|,(?=[0-9]))+")
_LITERAL: Final = re.compile(rb"(true|false|null|none)(?=[ \t\n\r\f\v,)\]}]|\Z)", re.IGNORECASE)
_BARE: Final = re.compile(rb"[A-Za-z\x80-\xff]")
_KEY_START: Final = re.compile(rb"[A-Za-z0-9_\x80-\xff\"':}\[]")
_GROUP: Final = re.compile(rb"[0-9.)({\[\"'-]|\xe2\x80[\x9c\x9d]|(?:true|false|null|none)", re.IGNORECASE)
_BLANK: Final = SPACES + b"}"
_WORD: Final = re.compile(rb"[A-Za-z0-9\x80-\xff]")
_FENCE: Final = b"```json"


class TooDeepError(Exception):
    """The text is nested deeper than what is repaired."""


class EscapedError(Exception):
    """From a place on all quotes stand behind a backslash."""


class Reader:
    """Reads a text. `out` is what has been written. `unescaped`: quotes without backslashes have been tried."""

    def __init__(self, text: bytes, *, unescaped: bool = False) -> None:
        self._text = text
        self._quotes = Quotes(text)
        self._unescaped = unescaped
        self._at = 0
        self._arrays = 0
        self._sets = 0
        self._depth = 0
        self.out: list[bytes] = []

    def _peek(self) -> bytes:
        return self._text[self._at : self._at + 1]

    def _skip(self) -> None:
        """Go on by one character."""
        self._at += 1
        while self._at < len(self._text) and 0x80 <= self._text[self._at] < 0xC0:
            self._at += 1

    def top(self) -> bytes | None:
        """All values of the text, as an array when there are several; None where there is none."""
        whole: list[bytes] = []
        while self._seek():
            # A comma between two values says that both are meant; without one the later may be the better.
            apart = self._before() == b","
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

    def _before(self) -> bytes:
        """The last sign before this place that is no white space."""
        at = self._at
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

    def _value(self, place: int, *, top: bool = False) -> bool:
        """Write the next value; false where there is none."""
        while True:
            self._space()
            sign = self._peek()
            if sign == b"{":
                self._at += 1
                self._object(top=top)
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
        commas = 0
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
            if count:
                self.out.append(b", ")
            if self._item():
                count += 1
            else:
                del self.out[mark:]
        self._arrays -= 1
        self._depth -= 1
        self.out.append(b"]")
        return count, commas

    def _closes_object(self) -> bool:
        """Whether a brace in an array is that of the object around it, and the bracket was forgotten."""
        at = space(self._text, self._at + 1)
        if self._text[at : at + 1] == b",":
            return self._text.startswith(b"{", space(self._text, at + 1))
        return self._depth > 1 and self._text[at : at + 1] == b"]"

    def _item(self) -> bool:
        start = len(self.out)
        if member(self._text, self._at):
            # Its brace was forgotten.
            self._object(top=False)
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

    def _object(self, *, top: bool) -> None:
        """Members up to the closing brace; a set when there are none."""
        self._enter()
        start, mark = self._at, len(self.out)
        self.out.append(b"{")
        count = self._members(0)
        while top and count and self._continues():
            count = self._members(count)
        self.out.append(b"}")
        self._depth -= 1
        if not count and self._sets < SETS and self._is_set(start):
            del self.out[mark:]
            self._at = start
            self._sets += 1
            self._array(b"}")
            self._sets -= 1

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

    def _members(self, count: int) -> int:
        """Members up to the closing brace, which is passed, or to a bracket, which is not; how many there are."""
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
                # The array before it goes on.
                self._at += 1
                self.out.pop()
                self._items(b"]", 0 if self.out[-1] == b"[" else 1)
                continue
            if not _KEY_START.match(self._text, self._at):
                self._unescape()
                continue
            mark = len(self.out)
            if count:
                self.out.append(b", ")
            if self._member():
                count += 1
                array = self.out[-1] == b"]"
            else:
                del self.out[mark:]

    def _unescape(self) -> None:
        """A sign that begins no key; quotes behind a backslash say that all of them have one."""
        if not self._unescaped and self._text.startswith((b'\\"', b"\\'"), self._at):
            raise EscapedError(self._at)
        self._skip()

    def _member(self) -> bool:
        text = self._text
        if self._peek() == b":":
            self._at += 1
            self._space()
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
            start = self._at
            key, self._at = bare(text, self._at, KEY, arrays=self._arrays > 0)
            if not key and self._at == start:
                return False
            if not colon(text, self._at):
                return False
        self._space()
        sign = self._peek()
        if sign == b":":
            self._at += 1
        elif not sign or sign == b"}" or not opening(text, self._at):
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
