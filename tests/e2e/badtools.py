"""Tools that misbehave in every way that we could think of, and one that does not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from rune import Context, Server

server = Server("bad")
free = threading.Event()


@server.tool
async def echo(text: str) -> str:
    """The good one."""
    return text


@server.tool
async def anything(value: Any) -> str:
    """Take any JSON."""
    return type(value).__name__


ERRORS: dict[str, Any] = {
    "ValueError": lambda: ValueError("raised\nin two lines"),
    "silent": lambda: Exception(),
    "surrogate": lambda: Exception("\ud800 broken"),
    "long": lambda: Exception("x" * 1_000_000),
    "StopIteration": lambda: StopIteration(1),
    "StopAsyncIteration": lambda: StopAsyncIteration(),
    "CancelledError": lambda: asyncio.CancelledError("from the tool"),
    "SystemExit": lambda: SystemExit(3),
    "TimeoutError": lambda: TimeoutError(),
    "MemoryError": lambda: MemoryError(),
    "group": lambda: ExceptionGroup("several", [ValueError("a"), KeyError("b")]),
    "KeyboardInterrupt": lambda: KeyboardInterrupt(),
}


@server.tool
async def raises(kind: str) -> str:
    """Raise in an async function."""
    raise ERRORS[kind]()


@server.tool
def raises_in_thread(kind: str) -> str:
    """Raise in a thread."""
    raise ERRORS[kind]()


@server.tool
async def raises_later(kind: str, ctx: Context) -> str:
    """Raise after having suspended."""
    await ctx.progress(1)
    await asyncio.sleep(0)
    raise ERRORS[kind]()


class Strange:
    """What no encoder knows, not even its text."""

    def __repr__(self) -> str:
        raise ValueError("no text")


def _ring() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def _deep() -> Any:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    return value


VALUES: dict[str, Any] = {
    "object": object, "strange": Strange, "function": lambda: len, "ring": _ring, "deep": _deep,
    "nan": lambda: float("nan"), "inf": lambda: [float("inf")], "surrogate": lambda: "\udc80",
    "keys": lambda: {(1, 2): 3}, "huge": lambda: 10**400, "complex": lambda: 1j, "set": lambda: {"a": {1, "b"}},
    "half": lambda: {"content": [{"type": "text"}]}, "foreign": lambda: {"content": "no list"},
    "memory": lambda: memoryview(b"x"),
}  # fmt: skip


@server.tool
async def returns(kind: str) -> Any:
    """Return what cannot be sent."""
    return VALUES[kind]()


@server.tool
async def hangs() -> str:
    """Never answer."""
    await asyncio.Event().wait()
    return ""


@server.tool
async def holds(ctx: Context) -> str:
    """Say that it runs, and never answer."""
    await ctx.progress(1)
    await asyncio.Event().wait()
    return ""


@server.tool(timeout=0.2)
async def hangs_with_a_limit() -> str:
    """Never answer, and say how long that may take."""
    await asyncio.Event().wait()
    return ""


@server.tool
async def stubborn() -> str:
    """Swallow one cancellation."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    return "I do not care"


@server.tool(timeout=60)
def stays() -> str:
    """Keep a thread busy until it is let go."""
    return "let go" if free.wait(60) else "forgotten"


@server.tool
async def lets_go(now: bool) -> str:
    """Let go what holds a thread, or nothing from now on."""
    free.set() if now else free.clear()
    return "done"


@server.tool
def sleeps(seconds: float) -> str:
    """Keep a thread busy."""
    time.sleep(seconds)
    return "awake"


@server.tool
def recurses(n: int = 0) -> int:
    """Never end."""
    return recurses(n + 1)


@server.tool
async def prints(text: str) -> str:
    """Write to stdout in every way."""
    print(text, flush=True)
    sys.stdout.write(text + "\n")
    sys.__stdout__.flush()  # type: ignore[union-attr]
    os.write(1, text.encode() + b"\n")
    subprocess.run(["echo", text], check=True)
    return text


@server.tool
async def leaves() -> str:
    """Try to end the process."""
    sys.exit(7)


@server.tool
async def floods(count: int, size: int, ctx: Context) -> str:
    """Log more than anybody reads."""
    for number in range(count):
        await ctx.log("error", f"{number}:{'x' * size}")
        if number % 100 == 0:
            await asyncio.sleep(0)
    return "done"


@server.tool
async def drips(count: int, size: int) -> AsyncIterator[str]:
    """Yield more than anybody reads."""
    for _ in range(count):
        yield "x" * size


@server.tool
def breaks_off(count: int) -> Iterator[str]:
    """Yield a while, then raise."""
    for number in range(count):
        yield str(number)
    raise ValueError("broke off")


@server.tool
async def updates(uri: str, count: int) -> str:
    """Say again and again that a resource has changed."""
    for number in range(count):
        server.resource_updated(uri)
        if number % 1000 == 0:
            await asyncio.sleep(0)
    return "done"


@server.resource("thing://{id}")
async def thing(id: str) -> str:
    """To subscribe to."""
    return id
