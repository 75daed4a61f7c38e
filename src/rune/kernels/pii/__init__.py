"""Personal data in text: the twin of `rune-core/src/pii`. `docs/reference/pii.md` is the grammar of both.

Works on UTF-8. Byte searches in C find the few places worth looking at; Python judges only those.
"""

from __future__ import annotations

import re
from typing import Final

from rune.kernels.escapes import opened
from rune.kernels.pii import email, keys, numbers, tokens
from rune.kernels.scanner import Found, Scanner

KINDS: Final = (
    "email", "phone", "ssn", "credit_card", "iban", "ipv4", "ipv6", "mac_address", "date_of_birth", "jwt",
    "aws_access_key", "api_key",
)  # fmt: skip
"""All kinds. The order decides between two of the same extent."""

_RANK: Final = {kind: rank for rank, kind in enumerate(KINDS)}
_SHAPES: Final = bytes.maketrans(b"123456789BCDEFGHIJKLMNOPQRSTUVWXYZ", b"0" * 9 + b"A" * 25)
_CAPITALS: Final = re.compile(rb"A(?:(?<=eyA)|(?=A(?:00|AA|za)))")
"""In shapes: an IBAN, an AWS key id, a key of Google, or the beginning of a JSON Web Token."""


class Pii(Scanner):
    """A scanner for a set of kinds, with the interface of `rune_native.Pii`."""

    KINDS = KINDS

    def clean(self, json: bytes) -> bool:
        """Whether nothing is in the texts of some JSON. A quote is part of no entity, and no rule lets something pass
        because of what stands before it: all of them are read as one."""
        return not self._scan(opened(json))

    def _scan(self, data: bytes) -> list[Found]:
        shapes = data.translate(_SHAPES)
        lower = data.lower()
        found: list[Found] = []
        numbers.find(lower, shapes, found)
        email.find_all(data, found)
        capitals = [match.start() for match in _CAPITALS.finditer(shapes)]
        tokens.find(data, capitals, found)
        keys.find(data, lower, capitals, found)
        if len(self._kinds) < len(KINDS):
            found = [entity for entity in found if entity[2] in self._kinds]
        return _fuse(found) if len(found) > 1 else found


def _fuse(found: list[Found]) -> list[Found]:
    """Entities that overlap become one that covers them all, of the kind of the longest."""
    found.sort()
    fused: list[Found] = []
    longest = 0
    for start, end, kind in found:
        length = end - start
        if fused and start < fused[-1][1]:
            first, last, known = fused[-1]
            if length > longest or (length == longest and _RANK[kind] < _RANK[known]):
                known, longest = kind, length
            fused[-1] = first, max(last, end), known
        else:
            fused.append((start, end, kind))
            longest = length
    return fused
