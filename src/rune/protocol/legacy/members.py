"""JSON objects whose members stay encoded: the few moves that every translation in this folder makes."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from rune.protocol.jsonrpc import holds

Members: TypeAlias = dict[str, Any]
"""Members of a JSON object: `msgspec.Raw` as they came, Python values where we put something else."""

encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode

_ESCAPE: Final = b"\\u00"
"""How JSON may hide an ASCII name from a byte search."""


def needles(*names: str) -> tuple[bytes, ...]:
    """What `mentions` searches for to find these names as keys or strings."""
    return (*(b'"%b"' % name.encode() for name in names), _ESCAPE)


def mentions(raw: bytes | msgspec.Raw, wanted: tuple[bytes, ...]) -> bool:
    """Whether JSON may hold one of the names; wrong only on the safe side."""
    data = bytes(raw)
    for needle in wanted:  # noqa: SIM110  (any() over a generator takes three times as long)
        if holds(data, needle):
            return True
    return False


def is_object(raw: Any) -> bool:
    """Whether a member is a JSON object."""
    return bytes(memoryview(raw)[:1]) == b"{"


def as_objects(raw: Any) -> list[Members] | None:
    """A member that is a list of objects, None when it is something else."""
    try:
        return _decode_list(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def as_members(raw: Any) -> Members | None:
    """A member that is an object, None when it is something else."""
    try:
        return _decode_members(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def as_text(raw: Any) -> str | None:
    """A member that is a string, None when it is absent or something else."""
    if raw is None:
        return None
    try:
        return _decode_text(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def drop_meta(members: Members, *keys: str) -> None:
    """Take keys out of `_meta`; an empty `_meta` goes too."""
    raw = members.get("_meta")
    meta = None if raw is None else as_members(raw)
    if meta is None:
        return
    kept = {key: value for key, value in meta.items() if key not in keys}
    if not kept:
        del members["_meta"]
    elif len(kept) < len(meta):
        members["_meta"] = kept
