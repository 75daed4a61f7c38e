"""Payloads that decode themselves: what no plugin looks at is never read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field
from functools import cache
from typing import Any, Final, TypeAlias

import msgspec

Raw: TypeAlias = Mapping[str, bytes]
"""The fields of a payload that may be changed, as JSON."""
Given: TypeAlias = Mapping[str, Any]
"""Its other fields: values, or functions for those that are made anew for each plugin that looks."""

NOTHING: Final[Raw] = {}

_decode = msgspec.json.Decoder().decode
_new = object.__new__


def shown(kind: Any, raw: Raw, given: Given = NOTHING) -> Any:
    """What one plugin gets: a payload of a kind that `lazy` has made."""
    made = _new(kind)
    made._raw = raw
    made._given = given
    made._values = {}
    return made


def late(kind: type, values: dict[str, Any]) -> Any:
    """One value of a dataclass with some of its fields; others get their defaults when somebody looks."""
    made = _new(lazy(kind))
    made._raw = made._given = NOTHING
    made._values = values
    return made


def touched(payload: Any) -> Iterable[str]:
    """The fields that somebody has looked at, or set."""
    names: Iterable[str] = payload._values
    return tuple(names)


@cache
def lazy(kind: type) -> Any:
    """A dataclass as a class whose fields get their values when somebody looks."""
    fields: Mapping[str, Any] = kind.__dataclass_fields__  # type: ignore[attr-defined]

    class Late(kind):  # type: ignore[misc]
        __slots__ = ("_given", "_raw", "_values")

    for name, field in fields.items():
        setattr(Late, name, _member(name, field))
    Late.__name__, Late.__qualname__, Late.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Late


def _member(name: str, field: Field[Any]) -> property:
    """A field that gets its value when somebody looks. A slot without a value would cost an exception."""

    def read(self: Any) -> Any:
        values: dict[str, Any] = self._values
        if name in values:
            return values[name]
        if name in self._raw:
            value = _decode(self._raw[name])
        elif name in self._given:
            value = self._given[name]
            value = value() if callable(value) else value
        else:
            value = field.default if field.default_factory is MISSING else field.default_factory()
        values[name] = value
        return value

    def write(self: Any, value: Any) -> None:
        self._values[name] = value

    return property(read, write)
