"""How long an answer holds, for whom, and what a notification makes old (2026-07-28, caching)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

MAX_TTL: Final = 86_400_000
"""Milliseconds after which everybody asks again, whatever a server says."""

_decode = msgspec.json.Decoder().decode
_LISTS: Final[Mapping[str, tuple[str, ...]]] = {
    "notifications/tools/list_changed": ("tools/list",),
    "notifications/prompts/list_changed": ("prompts/list",),
    "notifications/resources/list_changed": ("resources/list", "resources/templates/list"),
}


class Freshness(NamedTuple):
    """What a result says of itself: `ttl` in milliseconds, and whether it is for this authorization context alone."""

    ttl: int
    private: bool


def freshness(members: Mapping[str, msgspec.Raw]) -> Freshness:
    """Of the members of a result. What is missing or makes no sense does not last, and is for nobody else."""
    try:
        ttl = _decode(members.get("ttlMs", b"0"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        ttl = 0
    if isinstance(ttl, bool) or not isinstance(ttl, int | float):
        ttl = 0
    return Freshness(int(min(max(ttl, 0), MAX_TTL)), bytes(members.get("cacheScope", b"")) != b'"public"')


def outdated(note: str) -> tuple[str, ...]:
    """The lists that a notification makes old."""
    return _LISTS.get(note, ())
