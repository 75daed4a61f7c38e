"""Values of the component model that hold no others: numbers, texts and bytes, between Python and the C API.

`list<u8>` takes a fast path that knows how C values lie in memory. It is tried at import; where it fails, bytes go one
by one, as the stock converters of wasmtime do it.
"""

from __future__ import annotations

import base64
import binascii
import ctypes
import math
from collections.abc import Callable
from ctypes import byref, string_at
from typing import Any, Final, NamedTuple

from wasmtime import _ffi as ffi
from wasmtime.component import _types as types

from rune.errors import ToolError

Lower = Callable[[Any, Any, Any], None]
"""(context, Python value, C value) -> None. The C value is whole at any time: it can be deleted after an error."""
Lift = Callable[[Any, int], Any]
"""(C value, most bytes of one string) -> Python value. Nothing is taken out of the C value."""


class Oversized(Exception):
    """A text or list of the guest that is longer than allowed."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


class Unsupported(Exception):
    """A type that has no JSON."""


class Shape(NamedTuple):
    """A type, compiled. `optional` says that a field of it may be missing."""

    lower: Lower
    lift: Lift
    schema: dict[str, Any]
    problem: str = ""
    optional: bool = False


VAL: Final = ffi.wasmtime_component_val_t
SIZE: Final = ctypes.sizeof(VAL)
_OFFSET: Final = VAL.of.offset
_KIND: Final = VAL.kind.offset
_U8: Final = ffi.WASMTIME_COMPONENT_U8.value

_new_bytes = ffi.dll["wasm_byte_vec_new"]
_new_bytes.restype = None
_new_bytes.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]


def text_of(vector: Any) -> str:
    return string_at(vector.data, vector.size).decode() if vector.size else ""


def set_text(vector: Any, text: str) -> None:
    data = text.encode()
    _new_bytes(byref(vector), len(data), data)


def refused(what: str) -> Shape:
    def lower(context: Any, value: Any, out: Any) -> None:
        raise Unsupported(f"{what} have no JSON")

    def lift(value: Any, most: int) -> Any:
        raise Unsupported(f"{what} have no JSON")

    return Shape(lower, lift, {}, what)


# --- numbers, texts --------------------------------------------------------------------------------------------------


def _integer(kind: int, field: str, low: int, high: int) -> Shape:
    def lower(context: Any, value: Any, out: Any) -> None:
        if isinstance(value, float) and value.is_integer():
            # 1.0 is an integer in JSON.
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"expected an integer from {low} to {high}")
        out.kind = kind
        setattr(out.of, field, value)

    return Shape(lower, lambda c, most: getattr(c.of, field), {"type": "integer", "minimum": low, "maximum": high})


def _number(kind: int, field: str) -> Shape:
    def lower(context: Any, value: Any, out: Any) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ValueError("expected a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        out.kind = kind
        setattr(out.of, field, number)
        if not math.isfinite(getattr(out.of, field)):
            raise ValueError(
                f"{value:.3g} does not fit into an {field}" if number != math.inf else f"too large for an {field}"
            )

    def lift(c: Any, most: int) -> float:
        number: float = getattr(c.of, field)
        if not math.isfinite(number):
            raise ToolError(f"the answer holds {number}, which has no JSON")
        return number

    return Shape(lower, lift, {"type": "number"})


def _lower_bool(context: Any, value: Any, out: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    out.kind = ffi.WASMTIME_COMPONENT_BOOL.value
    out.of.boolean = value


def _lower_char(context: Any, value: Any, out: Any) -> None:
    if not isinstance(value, str) or len(value) != 1 or 0xD800 <= ord(value) <= 0xDFFF:
        raise ValueError("expected one character")
    out.kind = ffi.WASMTIME_COMPONENT_CHAR.value
    out.of.character = ord(value)


def _lower_string(context: Any, value: Any, out: Any) -> None:
    if not isinstance(value, str):
        raise ValueError("expected a string")
    data = value.encode()
    _new_bytes(byref(out.of.string), len(data), data)
    out.kind = ffi.WASMTIME_COMPONENT_STRING.value


def _lift_string(c: Any, most: int) -> str:
    vector = c.of.string
    size: int = vector.size
    if size > most:
        raise Oversized(size)
    return string_at(vector.data, size).decode() if size else ""


def _bits(signed: bool, bits: int) -> Shape:
    name = f"{'s' if signed else 'u'}{bits}"
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return _integer(getattr(ffi, f"WASMTIME_COMPONENT_{name.upper()}").value, name, low, high)


ATOMS: Final[dict[type, Shape]] = {
    types.Bool: Shape(_lower_bool, lambda c, most: bool(c.of.boolean), {"type": "boolean"}),
    types.Char: Shape(
        _lower_char, lambda c, most: chr(c.of.character), {"type": "string", "minLength": 1, "maxLength": 1}
    ),
    types.String: Shape(_lower_string, _lift_string, {"type": "string"}),
    types.F32: _number(ffi.WASMTIME_COMPONENT_F32.value, "f32"),
    types.F64: _number(ffi.WASMTIME_COMPONENT_F64.value, "f64"),
    **{getattr(types, f"S{bits}"): _bits(True, bits) for bits in (8, 16, 32, 64)},
    **{getattr(types, f"U{bits}"): _bits(False, bits) for bits in (8, 16, 32, 64)},
}


# --- bytes -----------------------------------------------------------------------------------------------------------


def new_list(out: Any, size: int) -> Any:
    """A list of `size` values that are all false so far."""
    raw = ffi.wasmtime_component_vallist_t()
    ffi.wasmtime_component_vallist_new_uninit(byref(raw), size)
    if size:
        ctypes.memset(raw.data, 0, size * SIZE)
    out.of.list = raw
    out.kind = ffi.WASMTIME_COMPONENT_LIST.value
    return raw.data


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise ValueError("expected base64")


def _lower_bytes(context: Any, value: Any, out: Any) -> None:
    data = _as_bytes(value)
    place = new_list(out, len(data))
    if data:
        write_bytes(place, data)


def _write_strided(place: Any, data: bytes) -> None:
    """All at once: a C value for each byte, all of them the same but for that byte."""
    buffer = bytearray(len(data) * SIZE)
    buffer[_KIND::SIZE] = bytes((_U8,)) * len(data)
    buffer[_OFFSET::SIZE] = data
    ctypes.memmove(place, (ctypes.c_char * len(buffer)).from_buffer(buffer), len(buffer))


def _read_strided(data: Any, size: int) -> bytes:
    return string_at(data, size * SIZE)[_OFFSET::SIZE]


def _write_each(place: Any, data: bytes) -> None:
    for index, byte in enumerate(data):
        place[index].kind = _U8
        place[index].of.u8 = byte


def _read_each(data: Any, size: int) -> bytes:
    return bytes(data[index].of.u8 for index in range(size))


def strided() -> bool:
    """Whether C values lie in memory as the fast path for bytes takes for granted: checked with a list of each."""
    sample = bytes(range(256))
    one, other = VAL(), VAL()
    try:
        _write_each(new_list(one, 256), sample)
        _write_strided(new_list(other, 256), sample)
        kinds = {other.of.list.data[index].kind for index in range(256)}
        return (
            kinds == {_U8}
            and _read_strided(one.of.list.data, 256) == sample
            and _read_each(other.of.list.data, 256) == sample
        )
    finally:
        ffi.wasmtime_component_val_delete(byref(one))
        ffi.wasmtime_component_val_delete(byref(other))


FAST: Final = strided()
write_bytes = _write_strided if FAST else _write_each
read_bytes = _read_strided if FAST else _read_each


def _lift_bytes(c: Any, most: int) -> bytes:
    raw = c.of.list
    size: int = raw.size
    if size > most:
        raise Oversized(size)
    return read_bytes(raw.data, size) if size else b""


BYTES: Final = Shape(_lower_bytes, _lift_bytes, {"type": "string", "contentEncoding": "base64"})
