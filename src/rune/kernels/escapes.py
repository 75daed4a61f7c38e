"""JSON with its escapes read: each of its texts stands in it between quotes, as programs see it.

The twin of rune-core/src/escapes.rs.
"""

from __future__ import annotations

import re
from typing import Final

_ESCAPE: Final = re.compile(
    rb'\\(?:(["\\/bfnrt])|u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))'
)
_PLAIN: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def opened(json: bytes) -> bytes:
    """The JSON, with every escape in it replaced by what it stands for; lone surrogates become three bytes. What is no
    escape stays as it is."""
    # `in` would cost an exception, see `jsonrpc.holds`.
    return json if json.find(b"\\") < 0 else _ESCAPE.sub(_read, json)


def _read(match: re.Match[bytes]) -> bytes:
    plain, high, low, unit = match.groups()
    if plain:
        return _PLAIN.get(plain, plain)
    code = int(unit, 16) if unit else 0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00)
    return chr(code).encode("utf-8", "surrogatepass")
