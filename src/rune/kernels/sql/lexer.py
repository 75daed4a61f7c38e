"""One pass over a query: words, names, strings, numbers, signs. Comments are skipped and remembered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeAlias

from rune.kernels.sql.words import COMMENT, UNTERMINATED

WORD, NAME, TEXT, NUMBER, SIGN = range(5)
"""What a token is."""

Token: TypeAlias = tuple[int, int, int]
"""What it is, where it starts, where it ends."""

DIALECTS: Final = ("generic", "postgres", "mysql", "sqlite", "tsql", "oracle")
"""The languages of databases, where they differ in strings, names and comments."""

_SPACE: Final = re.compile(rb"[ \t\n\r\x0b\x0c\0]+")
_REST: Final = re.compile(rb"[A-Za-z0-9_$\x80-\xff]*")
_REST_TSQL: Final = re.compile(rb"[A-Za-z0-9_$\x80-\xff#@]*")
_NUMBER: Final = re.compile(
    rb"(?=\.?[0-9])[0-9.](?:(?=[xX])[A-Za-z0-9_$.\x80-\xff]*"
    rb"|(?:[A-Za-z0-9_$.\x80-\xff]|(?<=[eE])[+-](?=[0-9]))*)"
)
_DIGITS: Final = re.compile(rb"[0-9]*")
_TAG: Final = re.compile(rb"\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$")
_BLOCK: Final = re.compile(rb"/\*|\*/")
_CLOSERS: Final = {b"[": b"]", b"(": b")", b"{": b"}", b"<": b">"}
_FIRST: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") | frozenset(range(0x80, 0x100))
_PAIRS: Final = frozenset((b"<=", b">=", b"!=", b"==", b"<>", b"||", b"&&"))
_PREFIXES: Final = frozenset((b"N", b"B", b"X"))


class Lexer:
    """The tokens of a text; `facts` about comments and ends are whole when the last one has been taken."""

    def __init__(self, text: bytes, dialect: str) -> None:
        self._text = text
        self._dialect = dialect
        self._line_end = re.compile(rb"[\n\r]" if dialect == "postgres" else rb"\n")
        self._rest = _REST_TSQL if dialect == "tsql" else _REST
        self._code = 0
        self.facts = 0

    def tokens(self) -> Iterator[Token]:
        """All tokens, in their order."""
        text, at = self._text, 0
        while at < len(text):
            space = _SPACE.match(text, at)
            after = space.end() if space is not None else self._comment(at)
            if after != at:
                at = after
                continue
            kind, end = self._token(at)
            yield kind, at, end
            at = end

    def _comment(self, at: int) -> int:
        """Behind a comment that begins here; here where there is none."""
        text, two = self._text, self._text[at : at + 2]
        mysql = self._dialect == "mysql"
        if (two == b"--" and (not mysql or text[at + 2 : at + 3] <= b" ")) or (mysql and two[:1] == b"#"):
            self.facts |= COMMENT
            end = self._line_end.search(text, at)
            return len(text) if end is None else end.start()
        if two == b"/*":
            self.facts |= COMMENT
            if not mysql or text[at + 2 : at + 3] != b"!":
                return self._block(at + 2)
            self._code += 1
            digits = _DIGITS.match(text, at + 3)
            return at + 3 if digits is None else digits.end()
        if two == b"*/" and self._code > 0:
            self._code -= 1
            return at + 2
        return at

    def _block(self, at: int) -> int:
        nested, depth = self._dialect in ("postgres", "tsql"), 1
        while True:
            mark = _BLOCK.search(self._text, at)
            if mark is None:
                self.facts |= UNTERMINATED
                return len(self._text)
            if mark[0] == b"*/":
                depth -= 1
            elif nested:
                depth += 1
            else:
                # A slash and a star, and the star may be the first sign of the end.
                at = mark.start() + 1
                continue
            at = mark.end()
            if depth == 0:
                return at

    def _token(self, at: int) -> tuple[int, int]:
        text = self._text
        byte = text[at]
        if byte in _FIRST:
            return self._word(at, at)
        number = _NUMBER.match(text, at)
        if number is not None:
            return NUMBER, number.end()
        return self._other(at, text[at : at + 1])

    def _word(self, start: int, at: int) -> tuple[int, int]:
        text = self._text
        rest = self._rest.match(text, at)
        end = at if rest is None else rest.end()
        if text[end : end + 1] != b"'":
            return WORD, end
        word = text[start:end].upper()
        if word in (b"Q", b"NQ") and self._dialect == "oracle":
            return TEXT, self._chosen(end)
        if word == b"E":
            return TEXT, self._quoted(end, b"'", escapes=self._dialect not in ("sqlite", "tsql", "oracle"))
        if word in _PREFIXES:
            return TEXT, self._quoted(end, b"'", escapes=self._dialect == "mysql")
        return WORD, end

    def _other(self, at: int, sign: bytes) -> tuple[int, int]:
        dialect = self._dialect
        if sign == b"'":
            return TEXT, self._quoted(at, sign, escapes=dialect == "mysql")
        if sign == b'"':
            return TEXT if dialect == "mysql" else NAME, self._quoted(at, sign, escapes=dialect == "mysql")
        if sign == b"`" and dialect not in ("postgres", "tsql", "oracle"):
            return NAME, self._quoted(at, sign, escapes=False)
        if sign == b"[" and dialect in ("tsql", "sqlite"):
            return NAME, self._quoted(at, b"]", escapes=False)
        if sign in (b"@", b"#") and dialect == "tsql":
            return self._word(at, at + 1)
        if sign == b"$" and dialect in ("postgres", "generic"):
            return self._dollar(at)
        return SIGN, at + (2 if self._text[at : at + 2] in _PAIRS else 1)

    def _quoted(self, at: int, close: bytes, *, escapes: bool) -> int:
        """Behind the sign that ends what begins here; a doubled one is part of it."""
        text, at = self._text, at + 1
        end = -2
        while True:
            # What has been found once is not looked for again: texts may be full of backslashes.
            if end < at and end != -1:
                end = text.find(close, at)
            slash = text.find(b"\\", at, end if end >= 0 else len(text)) if escapes else -1
            if slash >= 0:
                at = slash + 2
            elif end < 0:
                self.facts |= UNTERMINATED
                return len(text)
            elif text[end + 1 : end + 2] == close:
                at = end + 2
            else:
                return end + 1

    def _dollar(self, at: int) -> tuple[int, int]:
        """`$tag$ … $tag$`, or a lone `$`."""
        tag = _TAG.match(self._text, at)
        if tag is None:
            return SIGN, at + 1
        end = self._text.find(tag[0], tag.end())
        if end < 0:
            self.facts |= UNTERMINATED
            return TEXT, len(self._text)
        return TEXT, end + len(tag[0])

    def _chosen(self, quote: int) -> int:
        """Oracle's `q'[…]'`: the sign behind the quote chooses how it ends."""
        sign = self._text[quote + 1 : quote + 2]
        end = self._text.find(_CLOSERS.get(sign, sign) + b"'", quote + 2) if sign else -1
        if end < 0:
            self.facts |= UNTERMINATED
            return len(self._text)
        return end + 2
