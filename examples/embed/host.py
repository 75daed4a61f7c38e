"""A wasmtime program of one's own that serves a component over MCP.

    python host.py shop.wasm              on stdin and stdout
    python host.py shop.wasm http         at http://127.0.0.1:7331/mcp
    python host.py shop.wasm websocket 0  at a free port

The engine, the limits and what the component may import are this program's: here a shop that knows its prices.
"""

from __future__ import annotations

import sys

from wasmtime import Config, Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

from rune.wasm import Backend, Host, HttpBackend, StdioBackend, WebSocketBackend, add_to_linker

PRICES = {"tea": 3, "cake": 5}


def host(path: str) -> Host:
    """The component in a file, ready to be served."""
    engine = Engine(Config())
    linker = Linker(engine)
    linker.add_wasip2()
    with linker.root() as root, root.add_instance("example:shop/prices") as prices:
        prices.add_func("price-of", lambda _store, name: PRICES.get(name))

    def store() -> Store:
        made = Store(engine)
        made.set_wasi(WasiConfig())
        made.set_limits(memory_size=64 << 20)
        return made

    found = Host("shop")
    add_to_linker(linker, found)
    found.open(Component.from_file(engine, path), store)
    return found


def backend(kind: str, port: int) -> Backend:
    """What carries the messages."""
    if kind == "stdio":
        return StdioBackend()
    return (WebSocketBackend if kind == "websocket" else HttpBackend)(
        port=port, ready=lambda url: print(url, flush=True)
    )


if __name__ == "__main__":
    path, *words = sys.argv[1:]
    kind = words[0] if words else "stdio"
    host(path).run(backend(kind, int(words[1]) if len(words) > 1 else 7331))
