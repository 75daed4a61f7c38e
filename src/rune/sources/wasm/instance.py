"""One instance of a component: a store of its own, its time, its memory, and what it says on stdout and stderr.

A trap poisons the whole store, so that no two instances share one; an instance that failed is never called again.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from wasmtime import Store, WasiConfig, WasmtimeError
from wasmtime import _ffi as ffi
from wasmtime.component import Component, ExportIndex, Linker

from rune.config.policy import LimitsTable, PolicyTable
from rune.errors import ToolError
from rune.sources.wasm.atoms import Oversized
from rune.sources.wasm.calls import Signature, c_error, call
from rune.sources.wasm.engine import Machine, gist

if TYPE_CHECKING:
    from rune.sources.wasm.exchange import Exchange

SAID: Final = 64 * 1024
"""Bytes of stdout and stderr of one call that are kept."""
ERROR_TYPE: Final = 1
"""Our number for the resource `wasi:mcp/types.error`."""


class Dead(Exception):
    """The guest trapped, exited or was stopped. Its instance is gone."""


class Exports:
    """The functions that a component exports, looked up once. Signatures are compiled with the first call."""

    __slots__ = ("indices", "signatures")

    def __init__(self, component: Component) -> None:
        self.indices: dict[str, ExportIndex] = {}
        self.signatures: dict[str, Signature] = {}
        for name, item in component.type.exports(Machine.get().engine).items():
            index = component.get_export_index(name)
            kind = item.ty
            if hasattr(kind, "exports"):
                for inner in kind.exports(Machine.get().engine):
                    self.indices[f"{name}#{inner}"] = component.get_export_index(inner, index)
            else:
                self.indices[name] = index


class Template(Protocol):
    """What all instances of a component have in common."""

    name: str
    component: Component
    exports: Exports
    policy: PolicyTable


class _Current(threading.local):
    instance: Instance | None = None


_current = _Current()


def current() -> Instance:
    """The instance that runs in this thread."""
    found = _current.instance
    assert found is not None, "functions of the host are called by guests, and a guest runs in an instance"
    return found


class Watch:
    """What the clock and the ears of a store know: not the instance, which would then keep itself alive."""

    __slots__ = ("_cpu", "_limits", "reason", "said", "stopped", "until")

    def __init__(self, limits: LimitsTable) -> None:
        self._limits = limits
        self.said = bytearray()
        self.begin()

    def begin(self) -> None:
        """A call begins, in this thread."""
        self.stopped, self.reason = False, ""
        self.until = time.monotonic() + self._limits.wall
        self._cpu = time.thread_time()

    def overdue(self) -> str:
        """Why the guest must stop now, empty while it need not. Asked by the clock, in the thread of the guest."""
        limits = self._limits
        if self.stopped:
            self.reason = "stopped: the call is over"
        elif time.monotonic() > self.until:
            self.reason = f"stopped after {limits.wall:g} s (limits.wall)"
        elif time.thread_time() - self._cpu > limits.cpu_time:
            self.reason = f"stopped after {limits.cpu_time:g} s of CPU time (limits.cpu-time)"
        return self.reason

    def hear(self, data: bytes) -> int:
        """What the guest writes to stdout or stderr: the beginning is kept."""
        room = SAID - len(self.said)
        if room > 0:
            self.said += data[:room]
        return len(data)


class Instance:
    """To be used by one thread at a time. `exchange` is the call that it is answering.

    The first instance of a component fills a `registry`; the others say the same again, unheard: they are `rehearsing`.
    `frozen` says that this is over.
    """

    def __init__(self, template: Template, linker: Linker) -> None:
        self.template = template
        self.exchange: Exchange | None = None
        self.rehearsing = self.frozen = False
        self.uses = 0
        self.registry: Any = None
        self.errors: dict[int, tuple[str, str, bytes | None]] = {}
        self.watch = Watch(template.policy.limits)
        self._functions: dict[str, Any] = {}
        self._reps = itertools.count(1)
        self._clock = Machine.get().clock
        self.store = _store(self.watch, template.policy)
        self._context = self.store._context()
        with self:
            try:
                self._instance = linker.instantiate(self.store, template.component)
            except WasmtimeError as error:
                raise Dead(self._why(error)) from None

    def __enter__(self) -> None:
        assert _current.instance is None, "a guest does not call another one"
        _current.instance = self
        self.watch.begin()
        self._clock.__enter__()

    def __exit__(self, *exc: object) -> None:
        self._clock.__exit__()
        _current.instance = None

    def call(self, name: str, *values: Any) -> Any:
        """Call an exported function, `interface#function`.

        Raises:
            Dead: the guest is gone. ToolError: its answer is too long. ValueError: a value does not fit.
        """
        function = self._functions.get(name) or self._function(name)
        signature = self.template.exports.signatures[name]
        most = self.template.policy.limits.output
        with self:
            try:
                return call(function, self._context, signature, values, most)
            except WasmtimeError as error:
                raise Dead(self._why(error)) from None
            except Oversized as error:
                raise ToolError(too_long(self.template.name, error.size, most)) from None

    def signature(self, name: str) -> Signature:
        """The type of an exported function."""
        self._function(name)
        return self.template.exports.signatures[name]

    def _function(self, name: str) -> Any:
        found = self._instance.get_func(self.store, self.template.exports.indices[name])
        assert found is not None, "only functions are called"
        if name not in self.template.exports.signatures:
            self.template.exports.signatures[name] = Signature(found.type(self.store))
        function = self._functions[name] = found._func
        return function

    def close(self) -> None:
        """Give its memory back now, whoever still holds it: tracebacks do, until they are collected."""
        self._functions.clear()
        self.store.close()

    def stop(self) -> None:
        """End what runs, from any thread, at the next tick."""
        self.watch.stopped = True

    def _why(self, error: WasmtimeError) -> str:
        if self.watch.reason:
            return self.watch.reason
        said = bytes(self.watch.said).decode("utf-8", "replace").splitlines()
        told = [line.strip() for line in said if line.strip() and "RUST_BACKTRACE" not in line][-3:]
        return f"{gist(error)}{'; it said: ' if told else ''}{' / '.join(told)[:500]}"

    def new_error(self, code: str, message: str, data: bytes | None) -> int:
        """Keep an error for the guest; its number."""
        number = next(self._reps)
        self.errors[number] = code, message, data
        return number


def too_long(name: str, size: int, most: int) -> str:
    """What to say about an answer that is longer than its policy allows."""
    return f"{name}: the answer has {size} bytes, more than {most} (limits.output)"


def _store(watch: Watch, policy: PolicyTable) -> Store:
    store = Store(Machine.get().engine)
    wasi = WasiConfig()
    wasi.env = list(policy.environment.items())
    for each in policy.storage:
        wasi.preopen_dir(each.path, each.mount, each.access == "write")
    wasi.stdout_custom = wasi.stderr_custom = lambda data: watch.hear(bytes(data))
    store.set_wasi(wasi)
    store.set_limits(memory_size=policy.limits.memory)
    number = next(_numbers)
    _watched[number] = watch
    ffi.wasmtime_store_epoch_deadline_callback(store.ptr(), _due, number, _forget)
    store.set_epoch_deadline(1)
    return store


_watched: Final[dict[int, Watch]] = {}
_numbers = itertools.count(1)

_DUE = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.POINTER(ffi.wasmtime_context_t),
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.POINTER(ffi.wasmtime_update_deadline_kind_t),
)


@_DUE  # type: ignore[untyped-decorator]
def _due(context: Any, number: Any, delta: Any, kind: Any) -> Any:
    try:
        reason = _watched[number].overdue()
    except Exception as error:  # noqa: BLE001 - it must not leave here; the guest ends with its text
        reason = f"{type(error).__name__}: {error}"
    if reason:
        return c_error(reason)
    delta[0] = 1
    kind[0] = 0
    return 0


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # type: ignore[untyped-decorator]
def _forget(number: Any) -> None:
    if _watched:
        _watched.pop(number, None)
