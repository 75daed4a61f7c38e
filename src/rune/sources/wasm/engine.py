"""The engine of this process, its clock, and components compiled once: kept beside the catalogs, loaded from there.

Compiled components are native code. Only files that this user wrote are loaded, from a folder that is theirs alone.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import wasmtime
from wasmtime import Config, Engine, WasmtimeError
from wasmtime.component import Component

from rune.config.places import put
from rune.errors import ConfigError
from rune.sources.wasm.asks import check_kind

TICK: Final = 0.005
"""Seconds of the clock by which guests that run too long are stopped."""
SMALL: Final = 256 * 1024
"""Bytes of a component that is compiled here. Larger ones take seconds and 300 MB: another process does that."""
COMPILE_TIMEOUT: Final = 600

_SETTINGS: Final = "epoch"
_STACK: Final = ("error while executing at wasm backtrace", "0x")
_NUMBERED: Final = re.compile(r"^\d+:\s+")


class Clock:
    """Moves the epoch of the engine on while guests run; else it sleeps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._running = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._running += 1
            if self._running == 1:
                self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rune-wasm-clock", daemon=True)
                self._thread.start()

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                self._wake.clear()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wake.wait()
            self._engine.increment_epoch()
            pause.wait(TICK)


class Machine:
    """The engine and its clock. Made when the first component is loaded: the engine takes over the signals by which
    guests trap, and whoever takes them over later, as `faulthandler` does, would end the process at the first trap."""

    _lock = threading.Lock()
    _only: Machine | None = None

    def __init__(self) -> None:
        config = Config()
        config.wasm_component_model = True
        config.epoch_interruption = True
        self.engine = Engine(config)
        self.clock = Clock(self.engine)

    @classmethod
    def get(cls) -> Machine:
        """The one of this process."""
        if cls._only is None:
            with cls._lock:
                cls._only = cls._only or cls()
        return cls._only


class Compilers(set["subprocess.Popen[bytes]"]):
    """The processes that compile for somebody, who may lose interest."""

    def stop(self) -> None:
        """End them."""
        for each in tuple(self):
            each.kill()


def load(path: Path, cache: Path | None, compilers: Compilers | None = None, known: str = "") -> tuple[Component, str]:
    """The component in a file, and the digest of the file. `cache` is the folder for compiled ones; without it they are
    compiled anew each time. If its digest is `known`, one that was compiled before is not read.

    Raises:
        ConfigError: it is no component, or cannot be compiled.
    """
    if known and cache is not None and (found := _kept(_folder(cache), known)) is not None:
        return found, known
    try:
        if cache is not None:
            # One that was compiled before is not kept in memory to be looked at.
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if (found := _kept(_folder(cache), digest)) is not None:
                return found, digest
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path.name}: {(error.strerror or str(error)).lower()}", hint="check the path") from None
    check_kind(path.name, data)
    digest = hashlib.sha256(data).hexdigest()
    if cache is None:
        return _compiled(path.name, data), digest
    _compile(path, data, (out := _file(cache, digest)), compilers)
    return Component.deserialize_file(Machine.get().engine, str(out)), digest


def _file(cache: Path, digest: str) -> Path:
    return cache / f"{digest}-{version()}-{_SETTINGS}.cwasm"


def _kept(cache: Path, digest: str) -> Component | None:
    """The component with this digest, if it was compiled before."""
    file = _file(cache, digest)
    if not _ours(file):
        return None
    try:
        return Component.deserialize_file(Machine.get().engine, str(file))
    except WasmtimeError:
        # Not whole, or not for this machine: made once more.
        file.unlink(missing_ok=True)
        return None


def version() -> str:
    """The version of the engine."""
    return importlib.metadata.version(wasmtime.__name__)


def _compiled(name: str, data: bytes) -> Component:
    try:
        return Component(Machine.get().engine, data)
    except WasmtimeError as error:
        raise ConfigError(f"{name}: cannot be compiled: {gist(error)}") from None


def gist(error: BaseException) -> str:
    """What an error of the engine says, without the stack of the guest: the trap, or the chain of its causes."""
    lines = [_NUMBERED.sub("", line.strip()) for line in str(error).splitlines()]
    trap = next((line for line in lines if line.startswith("wasm trap:")), None)
    if trap is not None:
        return trap.removeprefix("wasm trap: ")
    told = [line for line in lines if line and line != "Caused by:" and not line.startswith(_STACK)]
    return ": ".join(dict.fromkeys(told))[:1000] or type(error).__name__


def _folder(cache: Path) -> Path:
    """The folder, made for this user alone.

    Raises:
        ConfigError: it belongs to somebody else, or others may write there.
    """
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = cache.stat()
    if os.name == "posix" and (found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise ConfigError(
            f"{cache}: compiled components are native code, and others may write into this folder",
            hint=f"chmod 700 {cache}, or name another one in RUNE_CACHE_DIR",
        )
    return cache


def _ours(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and (os.name != "posix" or found.st_uid == os.geteuid())


def _compile(path: Path, data: bytes, out: Path, compilers: Compilers | None) -> None:
    if len(data) <= SMALL:
        write(_compiled(path.name, data), out)
        return
    command = [sys.executable, "-m", "rune.sources.wasm.compile", str(out), path.name]
    known = Compilers() if compilers is None else compilers
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        known.add(process)
        try:
            _, said = process.communicate(data, timeout=COMPILE_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise ConfigError(f"{path.name}: not compiled within {COMPILE_TIMEOUT} s") from None
        finally:
            known.discard(process)
            process.kill()
    if process.returncode:
        lines = said.decode("utf-8", "replace").strip().splitlines()
        raise ConfigError(lines[-1] if lines else f"{path.name}: the compiler ended with status {process.returncode}")


def write(component: Component, out: Path) -> None:
    """Put a compiled component where it is looked for, for this user alone.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        put(out, component.serialize(), durable=False)
    except OSError as error:
        raise ConfigError(f"{out.parent}: {(error.strerror or str(error)).lower()}", hint="check its rights") from None
