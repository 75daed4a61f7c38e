"""Payloads that decode themselves: what no plugin looks at is never read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from functools import cache
from typing import Any, Final, TypeAlias

import msgspec

Raw: TypeAlias = Mapping[str, bytes]
"""The fields of a payload that may be changed, as JSON."""
Make: TypeAlias = Callable[[Raw], Any]
"""What is shown to one plugin."""

NOTHING: Final[Raw] = {}

_decode = msgspec.json.Decoder().decode
_new = object.__new__


def showing(kind: type, **given: Any) -> Make:
    """How payloads of a kind are made: `given` are fields that are not for plugins to change, functions for those that
    are made anew for each."""
    late = _late(kind)

    def make(raw: Raw) -> Any:
        made = _new(late)
        made._raw = raw
        made._given = given
        return made

    return make


def late(kind: type, given: Mapping[str, Any]) -> Any:
    """One value of a dataclass whose other fields get their defaults when somebody looks."""
    made = _new(_late(kind))
    made._raw = NOTHING
    made._given = given
    return made


def touched(payload: Any) -> list[str]:
    """The fields that somebody has looked at, or set."""
    found = []
    for name in payload.__dataclass_fields__:
        try:
            object.__getattribute__(payload, name)
        except AttributeError:
            continue
        found.append(name)
    return found


@cache
def _late(kind: type) -> Any:
    fields: Mapping[str, Any] = kind.__dataclass_fields__  # type: ignore[attr-defined]

    class Late(kind):  # type: ignore[misc]
        __slots__ = ("_given", "_raw")

        def __getattr__(self, name: str) -> Any:
            # Only what is not set yet comes here.
            if name not in fields:
                raise AttributeError(f"{kind.__name__} has no {name}")
            if name in self._raw:
                value = _decode(self._raw[name])
            elif name in self._given:
                value = self._given[name]
                value = value() if callable(value) else value
            elif fields[name].default_factory is not MISSING:
                value = fields[name].default_factory()
            else:
                value = fields[name].default
            setattr(self, name, value)
            return value

    Late.__name__, Late.__qualname__, Late.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Late
