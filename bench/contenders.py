"""Who is measured: Rune, the official SDK, FastMCP's proxy, and the lean core that shows what the machine can do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from typing import Final

from tests.peers import program, python_venv
from tests.serving import RUNE, Serving, foreign, free_port, rune

MCP: Final = "2.3.0"
FASTMCP: Final = "4.1.6"
SHARED: Final = ("uvicorn", "uvloop", "httptools")
"""What Rune and its peers in Python all run on, in the same versions."""

OURS: Final = "Rune"
OURS_ASGI: Final = "Rune, plain ASGI"
OURS_PLUGGED: Final = "Rune, three plugins"
OURS_C: Final = "Rune, C guest"
OURS_JS: Final = "Rune, QuickJS guest"
OURS_PYTHON: Final = "Rune, Python guest"
OFFICIAL: Final = "official SDK"
PROXY: Final = "FastMCP proxy"
LEAN: Final = "lean core"
FLOOR: Final = "lean core, own protocol"
RELAY: Final = "bare relay"
BARE: Final = "bare Python"


@dataclass(frozen=True, slots=True)
class Contender:
    """A server, as its words after the interpreter; `{port}` stands for the port where it is to listen, `{upstream}`
    for the URL of the server that it is a gateway to."""

    name: str
    words: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    upstream: Contender | None = None

    def command(self) -> list[str]:
        """How it is started. A peer is installed when it is wanted for the first time."""
        if self.name in (OURS, OURS_PLUGGED):
            return [RUNE, "serve", *self.words]
        return [_PYTHONS.get(self.name, lambda: sys.executable)(), *self.words]

    @contextmanager
    def serving(self) -> Iterator[Serving]:
        """It listens over HTTP. Its upstream runs beside it and is not its child: what that costs is not counted."""
        if self.upstream is not None:
            with self.upstream.serving() as behind:
                words = tuple(word.replace("{upstream}", behind.url) for word in self.words)
                with replace(self, words=words, upstream=None).serving() as server:
                    yield server
            return
        if self.name in (OURS, OURS_PLUGGED):
            with rune(*self.words) as server:
                yield server
            return
        port = free_port()
        command = [word.replace("{port}", str(port)) for word in self.command()]
        with foreign(command, port, self.environ) as server:
            yield server


@cache
def official_python() -> str:
    """The interpreter that has the official SDK, of the same version as ours."""
    folder = python_venv("bench-official", f"mcp=={MCP}", *(f"{name}=={version(name)}" for name in SHARED))
    return program(folder, "python")


@cache
def fastmcp_python() -> str:
    """The interpreter that has FastMCP."""
    folder = python_venv("bench-fastmcp", f"fastmcp=={FASTMCP}", *(f"{name}=={version(name)}" for name in SHARED))
    return program(folder, "python")


_PYTHONS: Final[Mapping[str, Callable[[], str]]] = {OFFICIAL: official_python, PROXY: fastmcp_python}
_PEER: Final = "bench/peers/official.py"
_MANY: Final = {"TOOLS": "500"}

RUNE_HTTP: Final = Contender(OURS, ("bench/echo.py",))
RUNE_PLUGGED: Final = Contender(OURS_PLUGGED, ("--config", "bench/plugins.toml"))
RUNE_ASGI: Final = Contender(OURS_ASGI, ("-m", "bench.asgi", "{port}"))
RUNE_STDIO: Final = Contender(OURS, ("--stdio", "bench/echo.py"))
RUNE_MANY: Final = Contender(OURS, ("bench/many.py",))
OFFICIAL_JSON: Final = Contender(OFFICIAL, (_PEER, "{port}", "stateless-json"))
OFFICIAL_STATEFUL: Final = Contender(OFFICIAL, (_PEER, "{port}", "stateful"))
OFFICIAL_STDIO: Final = Contender(OFFICIAL, (_PEER, "stdio"))
OFFICIAL_MANY: Final = Contender(OFFICIAL, (_PEER, "{port}", "stateless-json"), _MANY)
LEAN_ASGI: Final = Contender(LEAN, ("-m", "bench.limit.asgi", "{port}"))
LEAN_PROTOCOL: Final = Contender(FLOOR, ("-m", "bench.limit.protocol", "{port}"))
LEAN_STDIO: Final = Contender(LEAN, ("-m", "bench.limit.stdio"))
RUNE_HOP: Final = Contender(OURS, ("{upstream}",), upstream=LEAN_PROTOCOL)
RUNE_HOP_STDIO: Final = Contender(OURS, ("--", sys.executable, "-m", "bench.limit.stdio"))
RELAY_HOP: Final = Contender(RELAY, ("-m", "bench.limit.relay", "{port}", "{upstream}"), upstream=LEAN_PROTOCOL)
PROXY_HOP: Final = Contender(PROXY, ("bench/peers/proxy.py", "{port}", "{upstream}"), upstream=LEAN_PROTOCOL)
GUESTS: Final = tuple(
    Contender(name, (language,)) for name, language in ((OURS_C, "C"), (OURS_JS, "QuickJS"), (OURS_PYTHON, "Python"))
)
"""For the measure of the same name; they are not started as servers."""
