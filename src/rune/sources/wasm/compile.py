"""`python -m rune.sources.wasm.compile OUT NAME`: compiles the component on stdin, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from wasmtime import WasmtimeError
from wasmtime.component import Component

from rune.sources.wasm.engine import Machine, gist, write


def main(out: str, name: str) -> None:
    """Write the compiled component to `out`, or leave with what is wrong with it."""
    try:
        component = Component(Machine.get().engine, sys.stdin.buffer.read())
    except WasmtimeError as error:
        sys.exit(f"{name}: cannot be compiled: {gist(error)}")
    write(component, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
