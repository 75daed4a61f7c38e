"""One instance of a component: a store of its own, its time, its memory, and what it says on stdout and stderr.

A trap poisons the whole store, so that no two instances share one; an instance that failed is never called again.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from wasmtime import Engine, Store, WasiConfig, WasmtimeError
from wasmtime import _ffi as ffi
from wasmtime.component import Component, ExportIndex, FuncType, Linker
from wasmtime.component import Instance as ComponentInstance

from rune.config.policy import LimitsTable, PolicyTable
from rune.errors import ToolError
from rune.sources.wasm.atoms import Oversized
from rune.sources.wasm.calls import Signature, c_error, call
from rune.sources.wasm.engine import Machine, gist
from rune.sources.wasm.seat import Gone, Seat

if TYPE_CHECKING:
    from rune.sources.wasm.exchange import Exchange

T = TypeVar("T")

USES: Final = 1000
"""Calls after which an instance is replaced: guests leak, too."""
SAID: Final = 64 * 1024
"""Bytes of stdout and stderr of one call that are kept."""
WALL: Final = LimitsTable().wall
"""Seconds that something may take for a guest whose own time nobody keeps."""
ERROR_TYPE: Final = 1
"""Our number for the resource `wasi:mcp/types.error`."""


class Dead(Exception):
    """The guest trapped, exited or was stopped. Its instance is gone."""


class Exports:
    """The functions that a component exports, looked up once. Signatures are compiled with the first call."""

    __slots__ = ("indices", "signatures")

    def __init__(self, component: Component, engine: Engine | None = None) -> None:
        engine = Machine.get().engine if engine is None else engine
        self.indices: dict[str, ExportIndex] = {}
        self.signatures: dict[str, Signature] = {}
        for name, item in component.type.exports(engine).items():
            index = component.get_export_index(name)
            kind = item.ty
            # Types are exported, too, wherever they have a name.
            if hasattr(kind, "exports"):
                for inner, each in kind.exports(engine).items():
                    if isinstance(each.ty, FuncType):
                        self.indices[f"{name}#{inner}"] = component.get_export_index(inner, index)
            elif isinstance(kind, FuncType):
                self.indices[name] = index


class Template(Protocol):
    """What all instances of a component have in common."""

    name: str
    component: Component
    exports: Exports
    policy: PolicyTable


class _Current(threading.local):
    instance: Guest | None = None


_current = _Current()


def current() -> Guest:
    """The instance that runs in this thread."""
    found = _current.instance
    assert found is not None, "functions of the host are called by guests, and a guest runs in an instance"
    return found


class Watch:
    """What the clock and the ears of a store know: not the instance, which would then keep itself alive."""

    __slots__ = ("_cpu", "_limits", "reason", "said", "stopped", "until")

    def __init__(self, limits: LimitsTable) -> None:
        self._limits = limits
        self.stopped = False
        self.said = bytearray()
        self.begin()

    def begin(self) -> None:
        """A call begins, in this thread."""
        self.reason = ""
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


class Guest:
    """An instance of a component, whoever made its store. To be used by one thread at a time. `exchange` is the call
    that it is answering.

    The first instance of a component fills a `registry`; the others say the same again, unheard: they are `rehearsing`.
    `frozen` says that this is over, `dead` that it must not be called any more. One that stays in `serve()` has a seat.
    """

    def __init__(self, name: str, exports: Exports, most: int) -> None:
        self.name = name
        self.exports = exports
        self.exchange: Exchange | None = None
        self.rehearsing = self.frozen = self.dead = False
        self.uses = 0
        self.life: float = USES
        self.registry: Any = None
        self.errors: dict[int, tuple[str, str, bytes | None]] = {}
        self.seat: Seat | None = None
        self.store: Store
        self._most = most
        # Calls inside of the one that it waits in.
        self._inside = 0
        self._functions: dict[str, Any] = {}
        self._reps = itertools.count(1)

    def bind(self, store: Store, instance: ComponentInstance) -> None:
        """This is the instance, in this store."""
        self.store = store
        self._context = store._context()
        self._instance = instance

    def __enter__(self) -> None:
        if _current.instance is None:
            _current.instance = self
            self.wake()
        else:
            assert _current.instance is self, "a guest does not call another one"
            self._inside += 1
        self.begin()

    def __exit__(self, *exc: object) -> None:
        if self._inside:
            self._inside -= 1
        else:
            self.rest()
            _current.instance = None

    def begin(self) -> None:
        """A call begins."""

    def wake(self) -> None:
        """It runs, from now on."""

    def rest(self) -> None:
        """It does not run: its call is over, or it waits in `serve()`."""

    @property
    def until(self) -> float:
        """When its call must be over, by the clock of `time.monotonic`."""
        return time.monotonic() + WALL

    def overdue(self) -> str:
        """Why it must stop now, empty while it need not."""
        return ""

    def enter(self, name: str) -> Any:
        """Call the entry, as far as `serve()` where the guest stays in there.

        Raises:
            Dead: see `call`.
        """
        return self.call(name) if self.seat is None else self.seat.enter(partial(self.call, name))

    def do(self, work: Callable[[Any], T]) -> T:
        """Have something done with it, where it may be done.

        Raises:
            Dead: the guest is gone; whatever `work` raises.
        """
        if self.seat is None:
            return work(self)
        try:
            return self.seat.do(partial(work, self))
        except Gone as error:
            raise Dead(str(error)) from None

    def call(self, name: str, *values: Any) -> Any:
        """Call an exported function, `interface#function`.

        Raises:
            Dead: the guest is gone. ToolError: its answer is too long. ValueError: a value does not fit.
        """
        if self.dead:
            raise Dead("it failed before, and its store with it")
        function = self._functions.get(name) or self._function(name)
        signature = self.exports.signatures[name]
        with self:
            try:
                return call(function, self._context, signature, values, self._most)
            except WasmtimeError as error:
                self.dead = True
                raise Dead(self._why(error)) from None
            except Oversized as error:
                raise ToolError(too_long(self.name, error.size, self._most)) from None

    def signature(self, name: str) -> Signature:
        """The type of an exported function."""
        self._function(name)
        return self.exports.signatures[name]

    def _function(self, name: str) -> Any:
        found = self._instance.get_func(self.store, self.exports.indices[name])
        assert found is not None, "only functions are called"
        if name not in self.exports.signatures:
            self.exports.signatures[name] = Signature(found.type(self.store))
        function = self._functions[name] = found._func
        return function

    def _why(self, error: WasmtimeError) -> str:
        return gist(error)

    def close(self) -> None:
        """It is not needed any more."""
        self._functions.clear()
        if self.seat is None:
            self.free()
        else:
            self.stop()
            self.seat.leave()

    def free(self) -> None:
        """What it has is to be given back now."""

    def stop(self) -> None:
        """End what runs, from any thread, as soon as that is possible."""

    def fresh(self) -> None:
        """Whoever had it before may have wanted it stopped: that is over."""

    def new_error(self, code: str, message: str, data: bytes | None) -> int:
        """Keep an error for the guest; its number."""
        number = next(self._reps)
        self.errors[number] = code, message, data
        return number


class Instance(Guest):
    """An instance in a store of our own, with a policy."""

    def __init__(self, template: Template, linker: Linker) -> None:
        policy = template.policy
        super().__init__(template.name, template.exports, policy.limits.output)
        if policy.serve_mode == "reentrant":
            self.seat = Seat(self)
        self.watch = Watch(policy.limits)
        self._clock = Machine.get().clock
        store = _store(self.watch, policy)
        with self:
            try:
                self.bind(store, linker.instantiate(store, template.component))
            except WasmtimeError as error:
                raise Dead(self._why(error)) from None

    def begin(self) -> None:
        self.watch.begin()

    def wake(self) -> None:
        self._clock.__enter__()

    def rest(self) -> None:
        self._clock.__exit__()

    @property
    def until(self) -> float:
        return self.watch.until

    def overdue(self) -> str:
        return self.watch.overdue()

    def free(self) -> None:
        """Give its memory back now, whoever still holds it: tracebacks do, until they are collected."""
        self.store.close()

    def stop(self) -> None:
        """At the next tick."""
        self.watch.stopped = True

    def fresh(self) -> None:
        self.watch.stopped = False

    def _why(self, error: WasmtimeError) -> str:
        if self.watch.reason:
            return self.watch.reason
        said = bytes(self.watch.said).decode("utf-8", "replace").splitlines()
        told = [line.strip() for line in said if line.strip() and "RUST_BACKTRACE" not in line][-3:]
        return f"{gist(error)}{'; it said: ' if told else ''}{' / '.join(told)[:500]}"


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
