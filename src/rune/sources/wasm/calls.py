"""Calls in both directions between Python and a component, around the C API itself.

An exception must not leave a function of the host: wasmtime-py carries it through one global, where it can reach
another thread. Here each call has its own.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
from collections.abc import Callable
from ctypes import byref
from typing import Any, Final

from wasmtime import StoreContext, WasmtimeError
from wasmtime import _ffi as ffi
from wasmtime.component import FuncType, LinkerInstance

from rune.sources.wasm.atoms import VAL, Shape
from rune.sources.wasm.values import compiled, place

log = logging.getLogger("rune.wasm")

HostFunction = Callable[..., Any]
"""(context of the store, arguments) -> result."""


class Signature:
    """The type of a function, compiled."""

    __slots__ = ("array", "params", "result")

    def __init__(self, ty: Any) -> None:
        self.params: list[tuple[str, Shape]] = [(name, compiled(each)) for name, each in ty.params]
        result = ty.result
        self.result: Shape | None = None if result is None else compiled(result)
        self.array = VAL * len(self.params)

    @property
    def problem(self) -> str:
        """What of it has no JSON, empty if all has."""
        shapes = [*(shape for _, shape in self.params), *((self.result,) if self.result else ())]
        return next((shape.problem for shape in shapes if shape.problem), "")


def call(function: Any, context: Any, signature: Signature, values: tuple[Any, ...], most: int) -> Any:
    """Call an export with as many values as it has parameters. `most` bounds each text of the result, in bytes.

    Raises:
        ValueError: a value does not fit its type. WasmtimeError: the guest trapped. Oversized: see `most`.
    """
    params = signature.params
    count = len(params)
    array = signature.array()
    index = 0
    try:
        try:
            for index in range(count):
                params[index][1].lower(context, values[index], array[index])
        except ValueError as wrong:
            place(params[index][0], wrong)
            raise
        shape = signature.result
        if shape is None:
            error = ffi.wasmtime_component_func_call(byref(function), context, array, count, None, 0)
            if error:
                raise WasmtimeError._from_ptr(error)
            return None
        result = VAL()
        error = ffi.wasmtime_component_func_call(byref(function), context, array, count, byref(result), 1)
        if error:
            raise WasmtimeError._from_ptr(error)
        try:
            return shape.lift(result, most)
        finally:
            ffi.wasmtime_component_val_delete(byref(result))
    finally:
        for index in range(count):
            ffi.wasmtime_component_val_delete(byref(array[index]))


class Trap(Exception):
    """Raise it in a function of the host to end the guest."""


_MOST: Final = 64 << 20
"""Bytes of one text that a guest may hand to the host."""


class _Offered:
    """A function that the host offers. Its type is compiled when it is first called."""

    __slots__ = ("agrees", "function", "signature")

    def __init__(self, function: HostFunction, agrees: Callable[[], bool] | None) -> None:
        self.function = function
        self.agrees = agrees
        self.signature: Signature | None = None

    def answer(self, context: Any, ty: Any, args: Any, results: Any) -> None:
        if self.agrees is not None and self.agrees():
            results[0].of.result.is_ok, results[0].of.result.val = True, None
            results[0].kind = ffi.WASMTIME_COMPONENT_RESULT.value
            return
        signature = self.signature
        if signature is None:
            signature = self.signature = Signature(FuncType._from_ptr(ty, owner=self))
        values = [shape.lift(args[index], _MOST) for index, (_, shape) in enumerate(signature.params)]
        result = self.function(context, *values)
        if signature.result is not None:
            signature.result.lower(context, result, results[0])


_offered: Final[dict[int, _Offered]] = {}
_numbers = itertools.count(1)


@ffi.wasmtime_component_func_callback_t  # type: ignore[untyped-decorator]
def _callback(number: Any, context: Any, ty: Any, args: Any, *rest: Any) -> Any:
    try:
        _, results, _ = rest
        _offered[number].answer(context, ty, args, results)
        return 0
    except BaseException as error:
        # It must not leave here; the guest ends with its text.
        if not isinstance(error, Trap):
            log.debug("a function of the host failed", exc_info=error)
        return c_error(f"{error}" if isinstance(error, Trap) else f"{type(error).__name__}: {error}")


def context_of(context: Any) -> StoreContext:
    """What the classes of wasmtime want where only the pointer is at hand."""
    return StoreContext(context)


def c_error(text: str) -> Any:
    """An error of the C API, owned by whom it is handed to."""
    return ctypes.cast(WasmtimeError(text)._consume(), ctypes.c_void_p).value


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # type: ignore[untyped-decorator]
def _finalize(number: Any) -> None:
    # At the end of the process the table may be gone before the last linker is.
    if _offered:
        _offered.pop(number, None)


def offer(
    instance: LinkerInstance, name: str, function: HostFunction, agrees: Callable[[], bool] | None = None
) -> None:
    """Define a function of the host in an instance of a linker. While `agrees` says so it is not called: whatever the
    arguments are, they are not read, and the guest hears `ok`."""
    number = next(_numbers)
    _offered[number] = _Offered(function, agrees)
    data = name.encode()
    error = ffi.wasmtime_component_linker_instance_add_func(
        instance.ptr(), ctypes.create_string_buffer(data), len(data), _callback, number, _finalize
    )
    if error:
        raise WasmtimeError._from_ptr(error)
