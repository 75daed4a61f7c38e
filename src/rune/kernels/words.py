"""Whether one of some words may stand in JSON, in any case.

The twin of rune-core/src/words.rs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rune.kernels.escapes import opened

_STRANGE: Final = ("\u212a".encode(), "\u0130".encode())
"""The characters beyond ASCII that have a letter of ASCII in lower case."""


class Words:
    """Words that are looked for: in lower case, as UTF-8, none of them empty."""

    def __init__(self, words: Iterable[bytes]) -> None:
        words = tuple(words)
        self._plain = tuple(word for word in words if word.isascii())
        # What they are in another case only Unicode knows.
        self._others = len(self._plain) < len(words)

    def absent(self, json: bytes) -> bool:
        """Whether certainly none of them stands in some JSON, its escapes read. Beyond ASCII there are characters that
        are others in lower case: with some of them, and with words of such, this is never certain."""
        text = opened(json)
        if not text.isascii() and (self._others or any(text.find(each) >= 0 for each in _STRANGE)):
            return False
        lower = text.lower()
        for word in self._plain:  # noqa: SIM110 - a generator would cost as much as the search
            if lower.find(word) >= 0:
                return False
        return True
