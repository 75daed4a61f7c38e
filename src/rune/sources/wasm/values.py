"""Values of the component model as JSON-able Python values, and back; their types as JSON Schema.

Types are compiled once into Shapes: the stock converters of wasmtime build every type anew in every call. A record is a
dict, a variant `{"tag": …, "val": …}`, a result `{"ok": …}` or `{"err": …}`, an option None or the value, an enum a
string, flags a list of strings, a tuple and a list a list, `list<u8>` bytes (and base64 in JSON).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from ctypes import byref
from typing import Any, Final

from wasmtime import StoreContext
from wasmtime import _ffi as ffi
from wasmtime.component import ResourceAny, ResourceHost
from wasmtime.component import _types as types

from rune.sources.wasm.atoms import ATOMS, BYTES, SIZE, VAL, Shape, Unsupported, new_list, refused, set_text, text_of


def compiled(ty: Any) -> Shape:
    """The Shape of a type of wasmtime."""
    simple = ATOMS.get(type(ty))
    if simple is not None:
        return simple
    made = _COMPOSED.get(type(ty))
    if made is None:
        return refused(f"{type(ty).__name__.removesuffix('Type').lower()} values")
    return made(ty)


def _list(ty: Any) -> Shape:
    if isinstance(ty.element, types.U8):
        return BYTES
    lower_each, lift_each, schema, problem, _ = compiled(ty.element)

    def lower(context: Any, value: Any, out: Any) -> None:
        if not isinstance(value, list | tuple):
            raise ValueError("expected a list")
        data = new_list(out, len(value))
        for index, each in enumerate(value):
            with _at(index):
                lower_each(context, each, data[index])

    def lift(c: Any, most: int) -> Any:
        raw = c.of.list
        data = raw.data
        return [lift_each(data[index], most) for index in range(raw.size)]

    return Shape(lower, lift, {"type": "array", "items": schema}, problem)


class _at:
    """Says in an error where in the value it is."""

    __slots__ = ("key",)

    def __init__(self, key: object) -> None:
        self.key = key

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError):
            place(self.key, error)


def place(key: object, error: ValueError) -> None:
    """Say in an error where in the value it is."""
    if not isinstance(error, UnicodeError):
        text = str(error)
        error.args = (f"{key}.{text}" if text.startswith("\0") else f"\0{key}: {text}",)


def reason(error: ValueError) -> str:
    """What a ValueError of `lower` says, with the place."""
    return str(error).replace(".\0", ".").lstrip("\0")


# --- records, tuples -------------------------------------------------------------------------------------------------


def _record(ty: Any) -> Shape:
    fields = [(name, compiled(each)) for name, each in ty.fields]
    names = [name for name, _ in fields]
    known = frozenset(names)

    def lower(context: Any, value: Any, out: Any) -> None:
        if not isinstance(value, Mapping):
            raise ValueError(f"expected an object with {', '.join(names)}")
        unknown = value.keys() - known
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(map(str, unknown)))}")
        raw = ffi.wasmtime_component_valrecord_t()
        ffi.wasmtime_component_valrecord_new_uninit(byref(raw), len(fields))
        ctypes.memset(raw.data, 0, len(fields) * ctypes.sizeof(ffi.wasmtime_component_valrecord_entry_t))
        out.of.record = raw
        out.kind = ffi.WASMTIME_COMPONENT_RECORD.value
        data = raw.data
        for index, (name, shape) in enumerate(fields):
            entry = data[index]
            set_text(entry.name, name)
            if name not in value and not shape.optional:
                raise ValueError(f"{name} is missing")
            with _at(name):
                shape.lower(context, value.get(name), entry.val)

    def lift(c: Any, most: int) -> Any:
        data = c.of.record.data
        return {name: shape.lift(data[index].val, most) for index, (name, shape) in enumerate(fields)}

    return Shape(lower, lift, object_schema(fields), _problem(shape for _, shape in fields))


def object_schema(fields: Sequence[tuple[str, Shape]]) -> dict[str, Any]:
    """An object with these fields and no others."""
    required = [name for name, shape in fields if not shape.optional]
    schema: dict[str, Any] = {"type": "object", "properties": {name: shape.schema for name, shape in fields}}
    return schema | ({"required": required} if required else {}) | {"additionalProperties": False}


def _problem(shapes: Iterable[Shape | None]) -> str:
    return next((shape.problem for shape in shapes if shape is not None and shape.problem), "")


def _tuple(ty: Any) -> Shape:
    shapes = [compiled(each) for each in ty.elements]

    def lower(context: Any, value: Any, out: Any) -> None:
        if not isinstance(value, list | tuple) or len(value) != len(shapes):
            raise ValueError(f"expected a list of {len(shapes)}")
        raw = ffi.wasmtime_component_valtuple_t()
        ffi.wasmtime_component_valtuple_new_uninit(byref(raw), len(shapes))
        ctypes.memset(raw.data, 0, len(shapes) * SIZE)
        out.of.tuple = raw
        out.kind = ffi.WASMTIME_COMPONENT_TUPLE.value
        for index, shape in enumerate(shapes):
            with _at(index):
                shape.lower(context, value[index], raw.data[index])

    def lift(c: Any, most: int) -> Any:
        data = c.of.tuple.data
        return [shape.lift(data[index], most) for index, shape in enumerate(shapes)]

    size = len(shapes)
    items = {"prefixItems": [shape.schema for shape in shapes], "items": False, "minItems": size, "maxItems": size}
    return Shape(lower, lift, {"type": "array", **items}, _problem(shapes))


# --- one of several --------------------------------------------------------------------------------------------------


def _boxed(shape: Shape, context: Any, value: Any, put: Any) -> None:
    """A value in a box of its own, which `put` hangs where it belongs before it is filled."""
    empty = VAL()
    box = ffi.wasmtime_component_val_new(byref(empty))
    put(box)
    shape.lower(context, value, box.contents)


def _option(ty: Any) -> Shape:
    shape = compiled(ty.payload)
    if shape.optional:
        return refused("options of options")

    def lower(context: Any, value: Any, out: Any) -> None:
        out.of.option = None
        out.kind = ffi.WASMTIME_COMPONENT_OPTION.value
        if value is not None:
            _boxed(shape, context, value, lambda box: setattr(out.of, "option", box))

    def lift(c: Any, most: int) -> Any:
        box = c.of.option
        return shape.lift(box.contents, most) if box else None

    return Shape(lower, lift, {"anyOf": [shape.schema, {"type": "null"}]}, shape.problem, optional=True)


def _variant(ty: Any) -> Shape:
    cases = {name: None if each is None else compiled(each) for name, each in ty.cases}

    def lower(context: Any, value: Any, out: Any) -> None:
        tag = value.get("tag") if isinstance(value, Mapping) else None
        if not isinstance(tag, str) or tag not in cases or value.keys() - {"tag", "val"}:
            raise ValueError(f'expected an object with "tag", one of {", ".join(cases)}, and its "val"')
        shape = cases[tag]
        variant = out.of.variant
        variant.val = None
        set_text(variant.discriminant, tag)
        out.kind = ffi.WASMTIME_COMPONENT_VARIANT.value
        if shape is not None:
            with _at(tag):
                _boxed(shape, context, value.get("val"), lambda box: setattr(variant, "val", box))
        elif value.get("val") is not None:
            raise ValueError(f"{tag} has no val")

    def lift(c: Any, most: int) -> Any:
        tag = text_of(c.of.variant.discriminant)
        shape = cases[tag]
        return {"tag": tag} if shape is None else {"tag": tag, "val": shape.lift(c.of.variant.val.contents, most)}

    schemas = [_case("tag", name, shape) for name, shape in cases.items()]
    return Shape(lower, lift, {"oneOf": schemas}, _problem(cases.values()))


def _case(key: str, name: str, shape: Shape | None) -> dict[str, Any]:
    properties: dict[str, Any] = {key: {"const": name}}
    required = [key]
    if shape is not None:
        properties["val"] = shape.schema
        if not shape.optional:
            required.append("val")
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _result(ty: Any) -> Shape:
    ok, err = (None if each is None else compiled(each) for each in (ty.ok, ty.err))

    def lower(context: Any, value: Any, out: Any) -> None:
        if not isinstance(value, Mapping) or len(value) != 1 or not value.keys() <= {"ok", "err"}:
            raise ValueError('expected an object with either "ok" or "err"')
        ((key, payload),) = value.items()
        result = out.of.result
        result.is_ok, result.val = key == "ok", None
        out.kind = ffi.WASMTIME_COMPONENT_RESULT.value
        shape = ok if key == "ok" else err
        if shape is not None:
            with _at(key):
                _boxed(shape, context, payload, lambda box: setattr(result, "val", box))
        elif payload is not None:
            raise ValueError(f"{key} has no value but null")

    def lift(c: Any, most: int) -> Any:
        result = c.of.result
        shape = ok if result.is_ok else err
        payload = None if shape is None else shape.lift(result.val.contents, most)
        return {"ok" if result.is_ok else "err": payload}

    cases = [
        {
            "type": "object",
            "properties": {key: {"type": "null"} if shape is None else shape.schema},
            "required": [key],
            "additionalProperties": False,
        }
        for key, shape in (("ok", ok), ("err", err))
    ]
    return Shape(lower, lift, {"oneOf": cases}, _problem((ok, err)))


def _enum(ty: Any) -> Shape:
    names = list(ty.names)

    def lower(context: Any, value: Any, out: Any) -> None:
        if value not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        set_text(out.of.enumeration, value)
        out.kind = ffi.WASMTIME_COMPONENT_ENUM.value

    return Shape(lower, lambda c, most: text_of(c.of.enumeration), {"type": "string", "enum": names})


def _flags(ty: Any) -> Shape:
    names = list(ty.names)

    def lower(context: Any, value: Any, out: Any) -> None:
        if not isinstance(value, list | tuple | set) or not all(each in names for each in value):
            raise ValueError(f"expected a list of {', '.join(names)}")
        raw = ffi.wasmtime_component_valflags_t()
        chosen = sorted(set(value), key=names.index)
        ffi.wasmtime_component_valflags_new_uninit(byref(raw), len(chosen))
        for index, name in enumerate(chosen):
            set_text(raw.data[index], name)
        out.of.flags = raw
        out.kind = ffi.WASMTIME_COMPONENT_FLAGS.value

    def lift(c: Any, most: int) -> Any:
        data = c.of.flags.data
        return [text_of(data[index]) for index in range(c.of.flags.size)]

    return Shape(lower, lift, {"type": "array", "items": {"type": "string", "enum": names}, "uniqueItems": True})


def _handle(ty: Any) -> Shape:
    """A resource, for what the host itself offers: no JSON can stand for one."""

    def lower(context: Any, value: Any, out: Any) -> None:
        if not isinstance(value, ResourceHost):
            raise Unsupported("resources have no JSON")
        out.of.resource = value.to_any(StoreContext(context))._consume()
        out.kind = ffi.WASMTIME_COMPONENT_RESOURCE.value

    def lift(c: Any, most: int) -> Any:
        return ResourceAny._from_ptr(ffi.wasmtime_component_resource_any_clone(c.of.resource))

    return Shape(lower, lift, {}, "resources")


_COMPOSED: Final = {
    types.ListType: _list,
    types.RecordType: _record,
    types.TupleType: _tuple,
    types.VariantType: _variant,
    types.EnumType: _enum,
    types.OptionType: _option,
    types.ResultType: _result,
    types.FlagsType: _flags,
    types.OwnType: _handle,
    types.BorrowType: _handle,
}
