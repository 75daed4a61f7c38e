"""Words that give a number its meaning: what stands just before it, in the common languages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

REACH: Final = 40
"""Bytes before a number in which its word may stand; no digit and no line end may come in between."""

_PHONE: Final = (
    "tel", "phone", "fon", "mobile", "mobil", "cell", "celular", "fax", "call", "handy", "gsm", "sms", "whatsapp",
    "tlf", "tfn", "tfno", "puh", "telefoon", "portable", "tél", "móvil", "тел", "Тел", "τηλ", "电话", "電話", "手机",
    "手機", "携帯", "전화", "휴대", "هاتف", "טלפון", "फ़ोन", "फोन", "โทร",
)  # fmt: skip
_BIRTH: Final = (
    "dob", "d.o.b", "born", "birth", "geb", "naissance", "né le", "née le", "nacimiento", "nacido", "nacida",
    "nascita", "nato il", "nata il", "nascimento", "nascido", "nascida", "geboorte", "urodz", "рожден", "родил",
    "生日", "生年月日", "出生", "생년월일",
)  # fmt: skip
_SSN: Final = ("ssn", "social security", "social sec", "soc sec")


def _plain() -> bytes:
    """Letters in lower case, a line end for what cuts a word off from a number, `~` beyond ASCII, else a space."""
    table = bytearray(b" " * 128 + b"~" * 128)
    table[0x30:0x3A] = b"\n" * 10
    table[0x0A] = 0x0A
    for letter in b"abcdefghijklmnopqrstuvwxyz":
        table[letter] = table[letter - 32] = letter
    return bytes(table)


_PLAIN: Final = _plain()


class Words:
    """Some words, each meant at the start of a word, its ASCII letters in any case."""

    def __init__(self, words: Sequence[str]) -> None:
        latin = [re.escape(word.encode()) for word in words if word[0].isascii()]
        others = [re.escape(word.encode()) for word in words if not word[0].isascii()]
        either = b"(?<![A-Za-z])(?:" + b"|".join(latin) + b")"
        self._pattern = re.compile(b"|".join([either, *others]), re.IGNORECASE)

    def before(self, text: bytes, shapes: bytes, place: int) -> bool:
        """Whether one of the words stands before the place."""
        if not may_be_named(text, place):
            return False
        low = max(place - REACH, 0)
        low = max(low, shapes.rfind(b"0", low, place) + 1, text.rfind(b"\n", low, place) + 1)
        return self._pattern.search(text, low, place) is not None


PHONE: Final = Words(_PHONE)
BIRTH: Final = Words(_BIRTH)
SSN: Final = Words(_SSN)

_HEADS: Final = frozenset(
    word.encode().translate(_PLAIN).split()[0][:3] for word in (*_PHONE, *_BIRTH, *_SSN) if word[0].isascii()
)


def may_be_named(text: bytes, place: int) -> bool:
    """Whether any of the words can stand before the place: nearly always none begins as one of ours does."""
    window = text[max(place - REACH, 0) : place].translate(_PLAIN)
    words = window[window.rfind(b"\n") + 1 :]
    return b"~" in words or not _HEADS.isdisjoint([word[:3] for word in words.split()])
