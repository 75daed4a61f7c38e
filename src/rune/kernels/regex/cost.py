"""How many steps a search by Python's `re` may take: its time grows with a power of the length of a text, or worse."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

_REPEATS: Final = frozenset({"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"})
_MANY: Final = 16
"""Repeats up to which a count is a factor, and no power of the length."""


@dataclass(frozen=True, slots=True)
class Cost:
    """At most `factor * length ** power` steps."""

    power: int = 1
    factor: int = 1

    def steps(self, length: int) -> int:
        """Steps for a text of a length."""
        return int(self.factor * (length + 1) ** self.power)


class _EndlessError(Exception):
    """There are texts for which the steps double with each character."""


def cost(tree: Any) -> Cost | None:
    """What a search for a parsed pattern costs; None where no power of the length is enough."""
    try:
        power, factor = _cost(tree, within=False)
    except _EndlessError:
        return None
    return Cost(1 + power, factor)


def _cost(tree: Any, *, within: bool) -> tuple[int, int]:
    power, factor = 0, 1
    for operator, value in tree:
        more, times = _one(str(operator), value, within=within)
        power += more
        factor *= times
    return power, factor


def _one(operator: str, value: Any, *, within: bool) -> tuple[int, int]:
    """Powers and factor of one part; `within`: it is repeated, so that what may match in two ways multiplies."""
    if operator in _REPEATS:
        least, most, body = value
        if least == most:
            power, factor = _cost(body, within=within)
            return power * min(least, _MANY), factor ** min(least, _MANY)
        if within:
            raise _EndlessError
        power, factor = _cost(body, within=True)
        few = most - least < _MANY if most is not re._constants.MAXREPEAT else False  # type: ignore[attr-defined]
        return power + (0 if few else 1), factor * (most - least + 1 if few else 1)
    if operator == "BRANCH":
        if within:
            raise _EndlessError
        parts = [_cost(each, within=within) for each in value[1]]
        return max(power for power, _ in parts), sum(factor for _, factor in parts)
    if operator == "SUBPATTERN":
        return _cost(value[-1], within=within)
    if operator == "ATOMIC_GROUP":
        return _cost(value, within=within)
    if operator in ("ASSERT", "ASSERT_NOT"):
        return _cost(value[1], within=within)
    if operator == "GROUPREF_EXISTS":
        parts = [_cost(each, within=within) for each in value[1:] if each is not None]
        return max(power for power, _ in parts), sum(factor for _, factor in parts)
    return (1, 1) if operator == "GROUPREF" else (0, 1)
