"""Sizes, times and lists as configs have them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta

_SIZE: Final = re.compile(r"(\d+)\s*(B|[KMG]i?B)?", re.IGNORECASE)
_UNITS: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}

Texts: TypeAlias = tuple[str, ...]
Seconds: TypeAlias = Annotated[float, Meta(gt=0)]


class Size(int):
    """A number of bytes; in a file a number or a text such as "4MiB"."""


def read_size(value: Any) -> Size:
    """A Size from what stands in a file.

    Raises:
        ValueError: when it is no size.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return Size(value)
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not int(match[1]):
        raise ValueError(f'{value!r} is no size such as "4MiB" or 4194304')
    return Size(int(match[1]) * _UNITS[(match[2] or "").lower()])
