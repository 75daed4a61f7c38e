"""What a client can do, as one text: what an older server is told of its client, and what may decide what it offers.

Clients that can do the same have the same text, however they put it; those that can do nothing have an empty one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec

from rune.protocol.methods import TASKS

CACHED: Final = 2048
"""Bytes of capabilities that are worth remembering."""

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def abilities(capabilities: bytes) -> str:
    """The text for a ClientCapabilities object."""
    return _known(capabilities) if len(capabilities) <= CACHED else _abilities(capabilities)


def _abilities(capabilities: bytes) -> str:
    try:
        declared = _decode(capabilities or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    known: dict[str, Any] = {}
    if isinstance(modes := declared.get("elicitation"), dict):
        # Only forms is what an empty object means.
        known["elicitation"] = {mode: {} for mode in ("form", "url") if mode in modes} if "url" in modes else {}
    if isinstance(sampling := declared.get("sampling"), dict):
        known["sampling"] = {part: {} for part in ("context", "tools") if part in sampling}
    if "roots" in declared:
        # Whether they change is not passed on.
        known["roots"] = {}
    extensions = declared.get("extensions")
    rest = {name: value for name, value in extensions.items() if name != TASKS} if isinstance(extensions, dict) else {}
    if rest:
        known["extensions"] = rest
    if declared.get("experimental"):
        known["experimental"] = declared["experimental"]
    return _encode(known).decode() if known else ""


_known = lru_cache(1024)(_abilities)
