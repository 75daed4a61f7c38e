"""A folder with tools, the command in this process, and real servers in others."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rune.cli import run
from tests.client.web import Handle, Web, serving

TOOLS = """
import asyncio
from rune import Context, Image, Server, ToolError

server = Server("things", version="3", instructions="be kind\\nalways")
print("loading")


@server.tool(execution="inline", annotations={"readOnlyHint": True})
def add(a: int, b: int = 2) -> int:
    "Add two numbers.\\n\\nThis line is not shown in lists."
    print("adding")
    return a + b


@server.tool(execution="inline")
def echo(text: str, tags: list[str] = []) -> str:
    return f"{text}|{tags}"


@server.tool(execution="inline")
def fail() -> str:
    raise ToolError("out of paper\\ntray 2")


@server.tool(execution="inline")
def picture() -> Image:
    return Image(b"\\x89PNG")


@server.tool
async def name(ctx: Context) -> str:
    answer = await ctx.elicit("Who are you?", str)
    return f"{answer.action} {answer.content}"


@server.tool
async def slowly(ctx: Context) -> str:
    await ctx.progress(1, 2, "half")
    await ctx.info("still here")
    return "done"


@server.resource("note://one", mime_type="text/x-note")
def one() -> str:
    "The first note."
    return "text of one\\n"


@server.resource("raw://{size}")
def raw(size: int) -> bytes:
    return b"\\x00" * size


@server.prompt
def ask(topic: str, tone: str = "dry") -> str:
    "Ask about something."
    return f"Tell me about {topic}, {tone}."
"""


class Ran(NamedTuple):
    """What a command line came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `tools.py`, and a vault of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNE_HOME", str(tmp_path / "rune-home"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    (tmp_path / "tools.py").write_text(TOOLS)
    return tmp_path


@pytest.fixture
def rune(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the command in this process."""

    def command(*words: str) -> Ran:
        capfd.readouterr()
        status = run(list(words))
        return Ran(status, *capfd.readouterr())

    return command


class Process:
    """A `rune` in a process of its own."""

    def __init__(self, *words: str, **options: Any) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "rune", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    def line(self, deadline: float = 20.0) -> str:
        """The next line of stdout."""
        assert self.child.stdout is not None
        end = time.monotonic() + deadline
        data = b""
        while not data.endswith(b"\n"):
            readable, _, _ = select.select([self.child.stdout], [], [], max(end - time.monotonic(), 0))
            assert readable, f"no line within {deadline} s, only {data!r}"
            byte = os.read(self.child.stdout.fileno(), 1)
            if not byte:
                break
            data += byte
        return data.decode().rstrip("\n")

    def stop(self, number: int = signal.SIGTERM, deadline: float = 5.0) -> tuple[int, str, str]:
        """Send a signal; the exit status and what else was printed."""
        self.child.send_signal(number)
        out, err = self.child.communicate(timeout=deadline)
        return self.child.returncode, out.decode(), err.decode()


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    """Start `rune` as a process; it does not outlive the test."""
    started: list[Process] = []

    def begin(*words: str, **options: Any) -> Process:
        started.append(Process(*words, **options))
        return started[-1]

    yield begin
    for process in started:
        if process.child.poll() is None:
            process.child.kill()
        process.child.communicate(timeout=5)


@pytest.fixture
def site() -> Iterator[Callable[[Handle], Web]]:
    """Start an HTTP server of a few lines on a loop of its own: the command line has one, too."""
    ends: list[Callable[[], None]] = []

    def begin(handle: Handle) -> Web:
        ready: Future[tuple[Web, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

        async def live() -> None:
            end = asyncio.Event()
            async with serving(handle) as web:
                ready.set_result((web, asyncio.get_running_loop(), end))
                await end.wait()

        thread = threading.Thread(target=asyncio.run, args=(live(),))
        thread.start()
        web, loop, end = ready.result(timeout=20)

        def stop() -> None:
            loop.call_soon_threadsafe(end.set)
            thread.join(timeout=20)

        ends.append(stop)
        return web

    yield begin
    for stop in ends:
        stop()
