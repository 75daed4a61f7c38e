"""Broken JSON made whole: the twin of `rune-core/src/repair`. `docs/reference/json.md` says what is repaired, and how.

One pass from left to right writes valid JSON as it reads; nothing is built in between.
"""

from __future__ import annotations

import json
from typing import Any

from rune.kernels.repair.reader import EscapedError, Reader, TooDeepError


def repair(text: str) -> str | None:
    """Valid JSON; the very same object where it was valid; None where there is none in the text, or too deep."""
    try:
        json.loads(text, parse_int=len, parse_float=len, parse_constant=_refused)
        return text
    except RecursionError:
        return None
    except ValueError:
        pass
    data = text.encode("utf-8", "surrogatepass")
    try:
        whole = _read(data)
    except TooDeepError:
        return None
    return None if whole is None else whole.decode("utf-8", "surrogatepass")


def _read(data: bytes) -> bytes | None:
    try:
        return Reader(data).top()
    except EscapedError as error:
        at = error.args[0]
    rest = data[at:].replace(b'\\"', b'"').replace(b"\\'", b"'")
    return Reader(data[:at] + rest, unescaped=True).top()


def _refused(constant: str) -> Any:
    raise ValueError(constant)
