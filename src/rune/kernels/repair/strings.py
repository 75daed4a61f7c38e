"""Strings of broken JSON: where they end, and what stands in them, as the inside of a JSON string."""

from __future__ import annotations

import re
from typing import Final

from rune.kernels.repair.ahead import (
    REACH,
    Quotes,
    bare_key,
    closing,
    comments,
    ends_member,
    find,
    member,
    opening,
    space,
)

KEY, VALUE, ITEM = range(3)
"""Where a string stands: before a colon, behind one, in an array."""

_FIT: Final = (b":", b",}", b",])")
"""What follows a string there when all is well."""
_SIMPLE: Final = {
    b'"': re.compile(rb"\"([^\"\\\x00-\x1f]*)\""),
    b"'": re.compile(rb"'([^'\"\\\x00-\x1f]*)'"),
}
"""Strings in which nothing is to be made right."""
_AWKWARD: Final = re.compile(rb"[\\\x00-\x1f]")
_SPECIAL: Final = tuple(re.compile(rb"[\\\x00-\x1f\"'\xe2" + more + rb"]") for more in (b":", b",{}\\]", b"\\]"))
_ESCAPES: Final = {8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r"}
_BACKSLASHES: Final = re.compile(rb"\\+")
_HEX4: Final = re.compile(rb"[0-9a-fA-F]{4}")
_HEX2: Final = re.compile(rb"[0-9a-fA-F]{2}")
_BARE_KEY: Final = re.compile(rb"[: \t\n\r\f\v,}]")
_BARE_ITEM: Final = re.compile(rb"[,\]})\"]")
_BARE_VALUE: Final = re.compile(rb"[,{}\]\"]")
_CLASS_END: Final = re.compile(rb"[\] \t\n\r\f\v]")
_QUOTE_OR_BRACE: Final = re.compile(rb"[\"'}]")
_LOW: Final = b"\xe2\x80\x9e"
_HIGH: Final = b"\xe2\x80\x9d"


class _Body:
    """The inside of a quoted string while it is read."""

    __slots__ = ("arrays", "at", "braces", "close", "pair", "parts", "place", "quotes", "span", "start", "text")

    def __init__(self, quotes: Quotes, at: int, place: int, *, arrays: bool) -> None:
        self.quotes, self.text = quotes, quotes.text
        self.at, self.start, self.place, self.arrays = at, at, place, arrays
        self.close = b'"'
        self.parts: list[bytes] = []
        # Quotes that were content: the next one is the other of the pair.
        self.pair = False
        self.span = False
        self.braces = 0

    def find(self) -> int:
        """The next closing quote that is not escaped, however far away; -1 where there is none."""
        return self.quotes.find(self.close, self.at)


def quoted(quotes: Quotes, at: int, place: int, *, arrays: bool) -> tuple[bytes, int]:
    """The inside of the string that begins with the quote at a place, and where it has ended."""
    text = quotes.text
    quote = opening(text, at)
    simple = _SIMPLE.get(quote)
    if simple is not None:
        match = simple.match(text, at)
        if match is not None and _fits(text, match.end(), place):
            return match[1], match.end()
    body = _Body(quotes, at + len(quote), place, arrays=arrays)
    close = body.close = closing(quote)
    end = body.find()
    if end >= 0 and _fits(text, end + len(close), place):
        _copy(body, end)
        return _stripped(body, newline=True), end + len(close)
    if text.startswith(close, body.at):
        ended = _doubled(body)
        if ended is not None:
            return ended
    closed = _read(body)
    return _stripped(body, newline=closed), body.at


def _fits(text: bytes, at: int, place: int) -> bool:
    at = space(text, at)
    return at >= len(text) or text[at] in _FIT[place]


def _doubled(body: _Body) -> tuple[bytes, int] | None:
    """A string that begins with two quotes: empty, or one of them is too much, or all are doubled."""
    text, close, size = body.text, body.close, len(body.close)
    behind = body.at + size
    if text.startswith(close, behind):
        return b"", behind
    next_close = find(text, close, behind)
    if next_close >= 0 and text.startswith(close, next_close + size):
        body.at = behind
        _copy(body, next_close)
        return _stripped(body, newline=True), next_close + 2 * size
    after = space(text, behind)
    if after >= len(text) or text[after] in b",]}{[" or opening(text, after):
        return b"", behind
    if body.place == VALUE and next_close >= 0 and not _fits(text, next_close + size, VALUE):
        body.parts.append(_as_content(close))
        body.pair = True
    body.at = behind
    return None


def _as_content(quote: bytes) -> bytes:
    return b'\\"' if quote == b'"' else quote


def _copy(body: _Body, end: int) -> None:
    """All up to a place, escapes and control characters made right."""
    text = body.text
    while body.at < end:
        mark = _AWKWARD.search(text, body.at, end)
        start = end if mark is None else mark.start()
        _plain(body, start)
        if mark is not None:
            _escape(body)


def _plain(body: _Body, end: int) -> None:
    part = body.text[body.at : end]
    if body.close != b'"' and b'"' in part:
        part = part.replace(b'"', b'\\"')
    body.parts.append(part)
    body.at = end


def _escape(body: _Body) -> None:
    """A backslash with what it escapes, or a control character."""
    text, at = body.text, body.at
    byte = text[at]
    if byte != 0x5C:
        body.parts.append(_ESCAPES.get(byte) or b"\\u%04x" % byte)
        body.at += 1
        return
    sign = text[at + 1 : at + 2]
    if sign and sign in b'"\\/bfnrt':
        body.parts.append(text[at : at + 2])
        body.at += 2
    elif sign == b"u" and _HEX4.match(text, at + 2):
        body.parts.append(text[at : at + 6])
        body.at += 6
    elif sign == b"x" and _HEX2.match(text, at + 2):
        body.parts.append(b"\\u00" + text[at + 2 : at + 4])
        body.at += 4
    else:
        # A quote that needs no escape loses it; every other backslash is one that is meant.
        quote = sign == b"'" or text.startswith((_LOW, _HIGH, b"\xe2\x80\x9c"), at + 1)
        size = len(opening(text, at + 1)) or 3
        body.parts.append(text[at + 1 : at + 1 + size] if quote else b"\\\\")
        body.at += 1 + size if quote else 1


def _read(body: _Body) -> bool:
    """Up to where the string ends, by quote (then true) or by what follows."""
    text, pattern = body.text, _SPECIAL[body.place]
    while True:
        mark = pattern.search(text, body.at)
        _plain(body, len(text) if mark is None else mark.start())
        if mark is None:
            return False
        sign = mark[0]
        if sign < b" " or (sign == b"\\" and not _escaped_again(body)):
            _escape(body)
        elif sign == b"\\":
            body.parts.append(_as_content(body.close))
        elif text.startswith(_LOW, body.at):
            body.span = True
            _plain(body, body.at + 3)
        elif text.startswith(body.close, body.at) or (body.span and text.startswith((b'"', _HIGH), body.at)):
            if _quote(body):
                return True
        elif sign in b",:{}]" and _stops(body, sign):
            return False
        else:
            _plain(body, body.at + 1)


def _quote(body: _Body) -> bool:
    """A quote: whether it ends the string. If not, it is content."""
    text, at = body.text, body.at
    quote = opening(text, at)
    if not body.span and _closes(body, at + len(quote)):
        body.at += len(quote)
        if body.pair and body.place == VALUE and text.startswith(b"}", space(text, body.at)):
            # It is the other of a pair, and the one that ends the string was forgotten.
            body.parts.append(_as_content(quote))
        return True
    if body.span:
        body.span = False
    elif body.place != VALUE or not _in_class(body):
        body.pair = not body.pair
    body.parts.append(_as_content(quote))
    body.at += len(quote)
    return False


def _escaped_again(body: _Body) -> bool:
    """Pass several backslashes and a quote that is content: a text that was escaped more than once."""
    text, at = body.text, body.at
    if at > body.start and text[at - 1] == 0x5C:
        return False
    run = _BACKSLASHES.match(text, at)
    end = at if run is None else run.end()
    behind = end + len(body.close)
    if end - at < 2 or not text.startswith(body.close, end) or ((end - at) % 2 == 0 and _closes(body, behind)):
        return False
    body.at = behind
    return True


def _closes(body: _Body, behind: int) -> bool:
    text, place = body.text, body.place
    at = space(text, behind)
    if at >= len(text):
        return True
    sign = text[at : at + 1]
    if place == KEY:
        return sign in b":,}" or _value_fits(text, at)
    if place == ITEM:
        return _closes_item(body, at, sign)
    if _in_class(body):
        return False
    if sign == b"}":
        return body.braces == 0
    if sign == b",":
        return ends_member(text, at) or not _closed_later(body, at)
    if sign == b"]":
        return body.arrays
    if opening(text, at):
        return member(text, at) or (at > behind and _spare(text, at))
    if sign == b":":
        # Nobody writes this in a sentence.
        return text.startswith((b"{}", b"[]"), space(text, at + 1))
    if sign in b"`/#":
        return sign == b"#" or text.startswith((b"```", b"//", b"/*"), at)
    if body.pair:
        return False
    # What follows is a remark when the object ends behind it, or the next member begins.
    mark = _QUOTE_OR_BRACE.search(text, at, at + REACH)
    if mark is None:
        return at + REACH >= len(text)
    return mark[0] == b"}" or member(text, mark.start())


def _closes_item(body: _Body, at: int, sign: bytes) -> bool:
    text = body.text
    if sign in b",])}#/":
        return True
    if body.pair:
        return False
    if opening(text, at):
        return True
    end = text.find(b"]", at, at + REACH)
    count = text.count(body.close, at, end if end >= 0 else at + REACH)
    return count == 0 or count % 2 == 1


def _value_fits(text: bytes, at: int) -> bool:
    """Whether a string and what ends a value follow."""
    quote = opening(text, at)
    if not quote:
        return False
    close = closing(quote)
    end = find(text, close, at + len(quote))
    return end >= 0 and _fits(text, end + len(close), VALUE)


def _spare(text: bytes, at: int) -> bool:
    """Whether a quote is one too many: the object ends behind it, and no member follows."""
    at = space(text, at + len(opening(text, at)))
    if at < len(text) and text[at] == 0x2C:
        at = comments(text, at + 1)
        return not member(text, at) and bare_key(text, at) < 0
    return at >= len(text) or text[at] == 0x7D


def _in_class(body: _Body) -> bool:
    """Whether a quote stands in a character class of a pattern."""
    text, at = body.text, body.at
    start = text.rfind(b"[", max(at - 64, body.start), at)
    if start < 0 or _CLASS_END.search(text, start, at):
        return False
    return text.find(b"]", at, at + 64) >= 0


def _closed_later(body: _Body, at: int) -> bool:
    """Whether a later quote would end the string better."""
    text, close = body.text, body.close
    end = find(text, close, at)
    return end >= 0 and _fits(text, end + len(close), VALUE)


def _stops(body: _Body, sign: bytes) -> bool:
    """Whether a string without its second quote has ended before this sign."""
    text, at, close = body.text, body.at, body.close
    if sign == b":":
        start = find(text, close, at)
        end = -1 if start < 0 else find(text, close, start + len(close))
        return start < 0 or (end >= 0 and _fits(text, end + len(close), VALUE))
    if sign == b"{":
        body.braces += 1
        return False
    if sign == b",":
        return body.braces == 0 and ends_member(text, at)
    if sign == b"]":
        return body.arrays and body.find() < 0
    if body.braces:
        body.braces -= 1
        return False
    after = space(text, at + 1)
    if after >= len(text):
        return True
    end = body.find()
    if end < 0:
        return True
    return not _fits(text, end + len(close), VALUE) and member(text, end)


def _stripped(body: _Body, *, newline: bool) -> bytes:
    """`newline`: it has ended well, and loses white space behind it only when that ends with a line end."""
    inside = b"".join(body.parts)
    if newline and not inside.endswith(b"\\n"):
        return inside
    return stripped(inside)


def stripped(inside: bytes) -> bytes:
    """Without white space at its end, escaped or not."""
    end = len(inside)
    while end:
        if inside[end - 1] in b" \t":
            end -= 1
        elif inside[end - 1] in b"tnrf" and _odd(inside, end - 1):
            end -= 2
        else:
            break
    return inside[:end]


def _odd(inside: bytes, end: int) -> bool:
    """Whether an odd number of backslashes ends at a place."""
    start = end
    while start and inside[start - 1] == 0x5C:
        start -= 1
    return (end - start) % 2 == 1


def bare(text: bytes, at: int, place: int, *, arrays: bool) -> tuple[bytes, int]:
    """The inside of a string without quotes that begins at a place, and where it has ended."""
    start = at
    if place == KEY:
        mark = _BARE_KEY.search(text, at)
        end = len(text) if mark is None else mark.start()
        return _escaped(text[start:end]), end
    pattern, braces = _BARE_ITEM if place == ITEM else _BARE_VALUE, 0
    while True:
        mark = pattern.search(text, at)
        if mark is None:
            return stripped(_escaped(text[start:])), len(text)
        end = mark.start()
        sign = mark[0]
        if sign == b"{":
            braces += 1
        elif sign == b"}" and braces:
            braces -= 1
        elif sign == b'"':
            after = end if place == VALUE and member(text, end) else end + 1
            return stripped(_escaped(text[start:end])), after
        elif (sign != b"," or place == ITEM or ends_member(text, end)) and (sign != b"]" or arrays):
            return stripped(_escaped(text[start:end])), end
        at = end + 1


def _escaped(part: bytes) -> bytes:
    body = _Body(Quotes(part), 0, KEY, arrays=False)
    body.close = b""
    _copy(body, len(part))
    return b"".join(body.parts)
