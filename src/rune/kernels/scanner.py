"""What scanners for kinds of things in text have in common: which kinds, code points, and what is put in place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, TypeAlias

Found: TypeAlias = tuple[int, int, str]
"""(start, end, kind)"""


class Scanner(ABC):
    """A scanner for a set of kinds. It works on UTF-8; lone surrogates are fine.

    Raises:
        ValueError: for an unknown kind.
    """

    KINDS: ClassVar[tuple[str, ...]]

    def __init__(self, kinds: Iterable[str], by: str) -> None:
        self._kinds = frozenset(kinds)
        unknown = sorted(self._kinds - set(self.KINDS))
        if unknown:
            raise ValueError(f"unknown kind: {unknown[0]}")
        self._by = by

    def scan(self, text: str) -> list[Found]:
        """Sorted, without overlap, offsets in code points."""
        data = text.encode("utf-8", "surrogatepass")
        found = self._scan(data)
        if found and len(data) != len(text):
            return _to_code_points(data, found)
        return found

    def mask(self, text: str) -> str:
        """The text with everything found replaced; the very same object when there is nothing."""
        found = self.scan(text)
        if not found:
            return text
        parts: list[str] = []
        last = 0
        for start, end, _ in found:
            parts += (text[last:start], self._by)
            last = end
        parts.append(text[last:])
        return "".join(parts)

    @abstractmethod
    def _scan(self, data: bytes) -> list[Found]:
        """What is in some UTF-8: sorted, without overlap, offsets in bytes."""


def _to_code_points(data: bytes, found: list[Found]) -> list[Found]:
    """Offsets in bytes as offsets in code points."""
    points: list[Found] = []
    byte = point = 0
    for start, end, kind in found:
        first = point + _points(data, byte, start)
        point = first + _points(data, start, end)
        byte = end
        points.append((first, point, kind))
    return points


def _points(data: bytes, start: int, end: int) -> int:
    return len(data[start:end].decode("utf-8", "surrogatepass"))
