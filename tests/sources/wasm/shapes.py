"""Types of the component model at random, values of them, and components that give such values back."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

ECHO = """
  (core module $code
    (memory (export "memory") 64)
    (global $at (mut i32) (i32.const 4096))
    (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
      (local $found i32)
      (local.set $found (i32.and (i32.add (global.get $at) (i32.const 15)) (i32.const -16)))
      (global.set $at (i32.add (local.get $found) (local.get $new)))
      (memory.copy (local.get $found) (local.get $old) (local.get $size))
      (local.get $found))
    (func (export "done") (param i32) (global.set $at (i32.const 4096)))
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 64) (local.get 0))
      (i32.store (i32.const 68) (local.get 1))
      (i32.const 64)))
  (core instance $core (instantiate $code))
  (alias core export $core "memory" (core memory $m))
  (func (export "echo") (param "given" TYPE) (result TYPE)
    (canon lift (core func $core "echo") (memory $m) (realloc (core func $core "realloc"))
      (post-return (core func $core "done"))))
"""


class Text:
    """The text of a component that is being written: types with names are exported one by one."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def named(self, text: str) -> str:
        number = len(self.lines)
        self.lines.append(f'(type $t{number} {text}) (export $e{number} "t{number}" (type $t{number}))')
        return f"$e{number}"


@dataclass(frozen=True)
class Shape:
    """A type: how it is written, and its values as JSON has them."""

    write: Callable[[Text], str]
    values: st.SearchStrategy[Any] = field(repr=False)
    optional: bool = False
    shown: str = ""

    def __repr__(self) -> str:
        return self.shown


def echo(shape: Shape) -> str:
    """A component that gives lists of a type back as they came."""
    text = Text()
    inner = shape.write(text)
    return "(component " + " ".join(text.lines) + ECHO.replace("TYPE", f"(list {inner})") + ")"


def _atom(name: str, values: st.SearchStrategy[Any]) -> Shape:
    return Shape(lambda text: name, values, shown=name)


WHOLE = [
    _atom(f"{'s' if signed else 'u'}{bits}", st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if signed
          else st.integers(0, (1 << bits) - 1))
    for signed in (True, False) for bits in (8, 16, 32, 64)
    # A list of bytes is text in JSON.
    if signed or bits != 8
]  # fmt: skip
ATOMS = [
    *WHOLE,
    _atom("bool", st.booleans()),
    _atom("char", st.characters(exclude_categories=("Cs",))),
    _atom("string", st.text(st.characters(exclude_categories=("Cs",)), max_size=20)),
    _atom("f32", st.floats(width=32, allow_nan=False, allow_infinity=False)),
    _atom("f64", st.floats(allow_nan=False, allow_infinity=False)),
    _atom("(list u8)", st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode())),
]


def _list(inner: Shape) -> Shape:
    return Shape(
        lambda text: f"(list {inner.write(text)})", st.lists(inner.values, max_size=4), shown=f"list<{inner.shown}>"
    )


def _tuple(parts: list[Shape]) -> Shape:
    return Shape(
        lambda text: f"(tuple {' '.join(each.write(text) for each in parts)})",
        st.tuples(*(each.values for each in parts)).map(list), shown=f"tuple<{parts}>",
    )  # fmt: skip


def _option(inner: Shape) -> Shape:
    if inner.optional:
        return inner
    return Shape(lambda text: f"(option {inner.write(text)})", st.none() | inner.values, True, f"option<{inner.shown}>")


def _result(ok: Shape | None, err: Shape | None) -> Shape:
    def write(text: Text) -> str:
        good = "" if ok is None else ok.write(text)
        return f"(result {good}{'' if err is None else f' (error {err.write(text)})'})"

    values = [
        (st.none() if shape is None else shape.values).map(lambda value, key=key: {key: value})  # type: ignore[misc]
        for key, shape in (("ok", ok), ("err", err))
    ]
    return Shape(write, st.one_of(values), shown=f"result<{ok}, {err}>")


def _record(parts: list[Shape]) -> Shape:
    names = [f"field-{index}" if index else "a" for index in range(len(parts))]
    return Shape(
        lambda text: text.named(
            "(record "
            + " ".join(f'(field "{name}" {part.write(text)})' for name, part in zip(names, parts, strict=True))
            + ")"
        ),
        st.fixed_dictionaries(dict(zip(names, (part.values for part in parts), strict=True))), shown=f"record{parts}",
    )  # fmt: skip


def _variant(parts: list[Shape | None]) -> Shape:
    names = [f"case-{index}" for index in range(len(parts))]

    def write(text: Text) -> str:
        cases = [
            f'(case "{name}"{"" if part is None else " " + part.write(text)})'
            for name, part in zip(names, parts, strict=True)
        ]
        return text.named(f"(variant {' '.join(cases)})")

    values = [
        st.just({"tag": name}) if part is None else st.fixed_dictionaries({"tag": st.just(name), "val": part.values})
        for name, part in zip(names, parts, strict=True)
    ]
    return Shape(write, st.one_of(values), shown=f"variant{parts}")


def _enum(count: int) -> Shape:
    names = [f"case-{index}" for index in range(count)]
    return Shape(
        lambda text: text.named(f"(enum {' '.join(map(quoted, names))})"), st.sampled_from(names), shown=f"enum{count}"
    )


def _flags(count: int) -> Shape:
    names = [f"flag-{index}" for index in range(count)]
    chosen = st.sets(st.sampled_from(names)).map(lambda some: [name for name in names if name in some])
    return Shape(lambda text: text.named(f"(flags {' '.join(map(quoted, names))})"), chosen, shown=f"flags{count}")


def quoted(name: str) -> str:
    return f'"{name}"'


def _deeper(inner: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        inner.map(_list),
        several.map(_tuple),
        inner.map(_option),
        st.builds(_result, st.none() | inner, st.none() | inner),
        several.map(_record),
        st.lists(st.none() | inner, min_size=1, max_size=3).map(_variant),
    )


SHAPES: st.SearchStrategy[Shape] = st.recursive(
    st.one_of(
        st.sampled_from(ATOMS),
        st.sampled_from([1, 2, 255, 256, 257]).map(_enum),
        st.sampled_from([1, 8, 9, 17, 32]).map(_flags),
    ),
    _deeper,
    max_leaves=6,
)  # fmt: skip
