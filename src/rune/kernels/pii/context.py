"""Words that give a number its meaning: what stands just before it, in the common languages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rune.kernels.pii.chars import LETTER

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


class Words:
    """Some words, each meant at the start of a word, its ASCII letters in any case."""

    def __init__(self, words: Sequence[str]) -> None:
        # Without anything before the words the search skips to the bytes that they begin with. Where it stops it tries
        # one branch after the other, so there is only one for each of those bytes.
        rests: dict[bytes, list[bytes]] = {}
        for word in words:
            lower = word.encode().lower()
            rests.setdefault(lower[:1], []).append(re.escape(lower[1:]))
        branches = (re.escape(first) + b"(?:" + b"|".join(rest) + b")" for first, rest in rests.items())
        self._words = re.compile(b"|".join(branches)).search

    def before(self, lower: bytes, shapes: bytes, place: int) -> bool:
        """Whether one of the words stands before the place of a text, which is given in lower case."""
        low = place - REACH if place > REACH else 0
        low = max(low, shapes.rfind(b"0", low, place) + 1, lower.rfind(b"\n", low, place) + 1)
        match = self._words(lower, low, place)
        while match is not None:
            first = match.start()
            # Only Latin words have a beginning that can be told.
            if first == 0 or lower[first] >= 0x80 or lower[first - 1] not in LETTER:
                return True
            match = self._words(lower, first + 1, place)
        return False


PHONE: Final = Words(_PHONE)
BIRTH: Final = Words(_BIRTH)
SSN: Final = Words(_SSN)
ANY: Final = Words((*_PHONE, *_BIRTH, *_SSN))
