"""Looks ahead in broken JSON: what follows a quote, a comma, a brace.

Never further than REACH, so that time stays linear.
"""

from __future__ import annotations

import re
from typing import Final

REACH: Final = 2048
"""How many bytes are looked at to judge one of them."""

SPACES: Final = b" \t\n\r\f\v"
_SPACE: Final = re.compile(rb"[ \t\n\r\f\v]*")
_COMMENTS: Final = re.compile(rb"(?:[ \t\n\r\f\v]|//[^\n\r]*|#[^\n\r]*|/\*(?:[^*]|\*(?!/))*\*/)*")
_BARE: Final = re.compile(rb"[A-Za-z0-9_\x80-\xff][A-Za-z0-9_\x80-\xff-]*")
_VALUE: Final = re.compile(rb"[\"'{\[0-9-]|\xe2\x80[\x9c\x9d]|(?:true|false|null)(?=[ \t\n\r\f\v,}\]]|\Z)")
_QUOTE_OR_BRACE: Final = re.compile(rb"[\"'}]|\xe2\x80[\x9c\x9d]")
_NEXT: Final = {
    close: re.compile(rb"\\.|" + close, re.DOTALL) for close in (b'"', b"'", b"\xe2\x80\x9d")
}  # fmt: skip
_OPENS: Final = {b'"': b'"', b"'": b"'", b"\xe2\x80\x9c": b"\xe2\x80\x9d", b"\xe2\x80\x9d": b"\xe2\x80\x9d"}


class Quotes:
    """The next closing quotes of a text, however far away. Places only grow: each part is searched once."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._found: dict[bytes, tuple[int, int]] = {}

    def find(self, close: bytes, at: int) -> int:
        """The next one that is not escaped; -1 where there is none."""
        start, end = self._found.get(close, (0, -2))
        if not (start <= at and (at <= end or end == -1)):
            end = find(self.text, close, at, len(self.text))
            self._found[close] = at, end
        return end


def space(text: bytes, at: int) -> int:
    """Behind white space."""
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def comments(text: bytes, at: int) -> int:
    """Behind white space and comments."""
    match = _COMMENTS.match(text, at, at + REACH)
    return at if match is None else match.end()


def opening(text: bytes, at: int) -> bytes:
    """The quote that begins a string here; empty where there is none."""
    byte = text[at : at + 1]
    if byte == b"\xe2":
        byte = text[at : at + 3]
    return byte if byte in _OPENS else b""


def closing(quote: bytes) -> bytes:
    """What ends a string that began with a quote."""
    return _OPENS[quote]


def find(text: bytes, close: bytes, at: int, reach: int = REACH) -> int:
    """The next closing quote that is not escaped; -1 where there is none within reach."""
    pattern, stop = _NEXT[close], min(len(text), at + reach)
    while True:
        match = pattern.search(text, at, stop)
        if match is None:
            return -1
        if match[0] == close:
            return match.start()
        at = match.end()


def member(text: bytes, at: int) -> bool:
    """Whether a key in quotes and its colon begin here."""
    quote = opening(text, at)
    if not quote:
        return False
    close = closing(quote)
    end = find(text, close, at + len(quote))
    return end >= 0 and colon(text, end + len(close))


def colon(text: bytes, at: int) -> bool:
    """Whether a colon is what follows."""
    at = space(text, at)
    return text[at : at + 1] == b":"


def bare_key(text: bytes, at: int) -> int:
    """Behind a key without quotes and its colon; -1 where there is none."""
    match = _BARE.match(text, at, at + REACH)
    if match is None:
        return -1
    end = space(text, match.end())
    return end + 1 if text[end : end + 1] == b":" else -1


def bare_member(text: bytes, at: int) -> bool:
    """Whether a key without quotes begins here whose value can be told from prose."""
    end = bare_key(text, at)
    if end < 0:
        return False
    end = space(text, end)
    if _VALUE.match(text, end):
        return True
    mark = _QUOTE_OR_BRACE.search(text, end, end + REACH)
    return mark is not None and mark[0] == b"}"


def ends_member(text: bytes, at: int) -> bool:
    """Whether the comma at a place ends the value before it: a member or the end follows."""
    at = space(text, at + 1)
    if at >= len(text) or text[at] == 0x7D or member(text, at):
        return True
    return bare_key(text, at + 1) >= 0 if text[at] == 0x60 else bare_member(text, at)
