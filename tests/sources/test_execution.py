"""Where functions run: threads, the clock, processes of their own."""

from __future__ import annotations

import asyncio
import contextvars
import importlib.util
import io
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from rune.errors import ConfigError, ProtocolError, TimedOut, Unavailable
from rune.request import Request, Result
from rune.sources import child, execution, processes
from rune.sources.execution import Clock, Threads
from rune.sources.functions import Server
from rune.sources.processes import HEADER, Job, Processes, Reply

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="")


async def call(server: Server, name: str, **arguments: Any) -> dict[str, Any]:
    params = {"name": Raw(msgspec.json.encode(name)), "arguments": Raw(msgspec.json.encode(arguments))}
    result: Result = await asyncio.wait_for(server.handle(Request("tools/call", params)), 30)
    return result.value


def text(value: dict[str, Any]) -> str:
    found: str = value["content"][0]["text"]
    return found


# --- threads ---------------------------------------------------------------------------------------------------------


async def test_a_thread_carries_values_errors_and_context_variables() -> None:
    threads = Threads(2)
    VARIABLE.set("here")

    def fails(error: BaseException) -> None:
        raise error

    assert await threads.run(lambda a, b: (a + b, VARIABLE.get(), threading.current_thread().daemon), 1, 2) == (
        3,
        "here",
        True,
    )
    with pytest.raises(ValueError, match="x"):
        await threads.run(fails, ValueError("x"))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await threads.run(fails, StopIteration())
    with pytest.raises(RuntimeError, match="SystemExit: 3"):
        await threads.run(fails, SystemExit(3))
    threads.close()
    assert await threads.run(lambda: 1) == 1
    threads.close()


async def test_threads_and_their_queue_are_bounded() -> None:
    threads = Threads(1, backlog=1)
    entered, go = threading.Event(), threading.Event()

    def work() -> str:
        entered.set()
        go.wait(10)
        return threading.current_thread().name

    first = asyncio.create_task(threads.run(work))
    async with asyncio.timeout(30):
        while not entered.is_set():
            await asyncio.sleep(0.001)
    second = asyncio.create_task(threads.run(work))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="all 1 threads are busy and 1 calls wait already"):
        await threads.run(work)
    go.set()
    assert await first == await second
    threads.close()


async def test_lending_is_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "LENT", 1)
    threads = Threads(1)

    def nested() -> int:
        with threads.lend(), threads.lend():
            return threads.size

    assert await threads.run(nested) == 2
    assert threads.size == 1
    assert await asyncio.gather(*(threads.run(lambda: 1) for _ in range(5))) == [1] * 5
    threads.close()


async def test_a_cancelled_job_is_never_started() -> None:
    threads = Threads(1)
    go, ran = threading.Event(), threading.Event()
    blocker = asyncio.create_task(threads.run(go.wait, 10))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(threads.run(ran.set))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    blocker.cancel()
    go.set()
    assert await threads.run(lambda: 5) == 5
    assert not ran.is_set()
    threads.close()


async def test_several_run_at_the_same_time() -> None:
    threads = Threads(3)
    barrier = threading.Barrier(3)
    assert sorted(await asyncio.gather(*(threads.run(barrier.wait, 5) for _ in range(3)))) == [0, 1, 2]
    threads.close()


def test_a_thread_may_outlive_its_loop() -> None:
    threads = Threads(1)
    go = threading.Event()

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(threads.run(go.wait, 30), 0.01)

    asyncio.run(leave())
    go.set()
    threads.close()
    deadline = time.monotonic() + 5
    while any(thread.name == "rune-tool" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- the clock -------------------------------------------------------------------------------------------------------


async def immediately(value: Any) -> Any:
    return value


async def test_what_never_suspends_needs_no_timer() -> None:
    clock = Clock(0.0001)
    assert await clock.run(immediately(3)) == 3
    assert not clock.expired


async def test_a_body_in_time_returns_and_raises_as_it_would() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("its own")

    assert await Clock(5).run(asyncio.sleep(0.001, "done")) == "done"
    with pytest.raises(ValueError, match="its own"):
        await Clock(5).run(fails())
    with pytest.raises(asyncio.CancelledError):
        await Clock(5).run(raises_cancelled())


async def raises_cancelled() -> None:
    await asyncio.sleep(0)
    raise asyncio.CancelledError


async def test_a_body_that_takes_too_long_is_cancelled() -> None:
    seen: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(TimedOut, match=r"timed out after 0\.01 s"):
        await Clock(0.01).run(slow())
    assert seen == ["cancelled"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_body_that_survives_its_cancellation() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "late"

    async def breaks() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("broken") from None
        return ""

    assert await Clock(0.01).run(stubborn()) == "late"
    with pytest.raises(ValueError, match="broken"):
        await Clock(0.01).run(breaks())
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_from_outside_is_no_timeout() -> None:
    clock = Clock(0.01)

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # Both at once: the one from outside counts.
            task.cancel()
            raise

    task = asyncio.create_task(clock.run(body()))
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_clock_stands_still_while_it_is_paused() -> None:
    clock = Clock(0.05)

    async def body() -> str:
        await asyncio.sleep(0)
        clock.pause()
        clock.pause()
        await asyncio.sleep(0.1)
        clock.resume()
        clock.resume()
        await asyncio.sleep(0.001)
        return "in time"

    assert await clock.run(body()) == "in time"


def test_a_generator_that_is_thrown_away() -> None:
    closed: list[bool] = []

    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def main() -> None:
        work = Clock(5).run(body())
        work.send(None)
        work.close()

    asyncio.run(main())
    assert closed == [True]


# --- processes -------------------------------------------------------------------------------------------------------

TOOLS = """
from __future__ import annotations
import os, sys, time
from dataclasses import dataclass
from rune import Server, ProtocolError, ToolError

server = Server("p", execution="process")

@dataclass
class Point:
    x: int

@server.tool
def pid(point: Point, shift: int = 0) -> Point:
    print("must not disturb")
    return Point(point.x + shift)

@server.tool
async def where() -> int:
    return os.getpid()

@server.tool
def knows(variable: str) -> str:
    return os.environ.get(variable, "nothing")

@server.tool(output_schema={"type": "object"})
def own() -> dict:
    return {"a": 1}

@server.tool(input_schema={"type": "object"})
def rest(**more) -> str:
    return str(more)

@server.tool
def dies(status: int) -> str:
    os._exit(status)

@server.tool
def killed() -> str:
    os.kill(os.getpid(), 9)

@server.tool(timeout=0.5)
def hangs() -> str:
    time.sleep(60)

@server.tool
def fails() -> str:
    raise ValueError("broken")

@server.tool
def refuses() -> str:
    raise ProtocolError(-32001, "refused", data={"a": 1})

@server.tool(max_result=100)
def large(structured: bool = False) -> str:
    return "x" * 5000

@server.tool(max_result=100)
def large_list() -> list[str]:
    return ["x" * 5000]
"""


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    path = tmp_path / "process_tools.py"
    path.write_text(TOOLS)
    spec = importlib.util.spec_from_file_location("process_tools", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["process_tools"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def server(module: ModuleType) -> AsyncIterator[Server]:
    made: Server = module.server
    made._services.processes.size = 1
    async with made:
        yield made


async def test_a_process_takes_and_gives_what_the_signature_says(server: Server) -> None:
    assert (await call(server, "pid", point={"x": 1}, shift=2))["structuredContent"] == {"x": 3}
    assert text(await call(server, "pid", point={})) == "invalid arguments for tool pid: point.x: is missing"
    assert (await call(server, "own"))["structuredContent"] == {"a": 1}
    assert text(await call(server, "rest", a=[1])) == "{'a': [1]}"
    first = await call(server, "where")
    assert first == await call(server, "where")
    assert text(await call(server, "fails")) == "tool fails failed: ValueError: broken"
    with pytest.raises(ProtocolError, match="refused") as caught:
        await call(server, "refuses")
    assert (caught.value.code, caught.value.data) == (-32001, {"a": 1})


async def test_a_process_does_not_get_the_passphrase_of_the_vault(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNE_VAULT_PASSPHRASE", "s3cr3t")
    monkeypatch.setenv("ANYTHING_ELSE", "is theirs")
    assert text(await call(server, "knows", variable="RUNE_VAULT_PASSPHRASE")) == "nothing"
    assert text(await call(server, "knows", variable="ANYTHING_ELSE")) == "is theirs"


async def test_a_process_that_dies_or_hangs_is_replaced(server: Server) -> None:
    first = (await call(server, "where"))["structuredContent"]
    assert text(await call(server, "dies", status=3)) == "tool dies failed: its process died (exit status 3)"
    second = (await call(server, "where"))["structuredContent"]
    assert text(await call(server, "killed")) == "tool killed failed: its process died (SIGKILL)"
    value = await call(server, "hangs")
    assert value["isError"]
    assert text(value) == "tool hangs timed out after 0.5 s"
    third = (await call(server, "where"))["structuredContent"]
    assert len({first, second, third}) == 3


async def test_large_results_of_processes_are_kept_here(server: Server) -> None:
    value = await call(server, "large")
    link = value["content"][1]
    assert link["type"] == "resource_link"
    assert link["size"] == 5000
    assert "isError" not in value
    value = await call(server, "large_list")
    assert value["isError"]
    assert value["content"][1]["size"] == 5004
    assert len(server.spool) == 2


async def test_only_functions_of_a_module_run_in_processes() -> None:
    server = Server(execution="process")

    def local() -> str:
        return ""

    async def streams() -> Any:
        yield ""

    with pytest.raises(ConfigError, match="tool local: another process cannot find it"):
        server.tool(local)
    with pytest.raises(ConfigError, match="can neither yield nor take a Context"):
        server.tool(streams)


async def test_processes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "WAITING", 0)
    job = Job(path="", module="", function="", name="t", arguments=Raw(b"{}"), search=[])
    with pytest.raises(Unavailable, match="processes are busy"):
        await Processes(1).call(job)


async def test_closing_kills_what_is_busy(module: ModuleType) -> None:
    server: Server = module.server
    running = asyncio.create_task(call(server, "hangs"))
    async with asyncio.timeout(30):
        while not server._services.processes._busy:
            await asyncio.sleep(0.005)
    await server.__aexit__()
    value = await running
    assert value["isError"]
    assert "died" in text(value)


def test_signals_without_a_name() -> None:
    assert processes._reason(-99) == "signal 99"


def answers(*jobs: Job) -> list[Reply]:
    source = io.BytesIO(b"".join(HEADER.pack(len(data)) + data for data in map(msgspec.json.encode, jobs)))
    target = io.BytesIO()
    child.serve(source, target)
    target.seek(0)
    found = []
    while header := target.read(HEADER.size):
        found.append(msgspec.json.decode(target.read(*HEADER.unpack(header)), type=Reply))
    return found


def test_the_child_answers_job_by_job(module: ModuleType, tmp_path: Path) -> None:
    path = str(tmp_path / "process_tools.py")

    def job(function: str, arguments: bytes = b"{}", **more: Any) -> Job:
        fields: dict[str, Any] = {"path": path, "module": "process_tools", "search": [str(tmp_path)], **more}
        return Job(function=function, name=function, arguments=Raw(arguments), **fields)

    found = answers(
        job("pid", b'{"point":{"x":1}}'), job("pid", b'{"point":{"x":2}}'), job("refuses"), job("nothing"),
        job("pid", module="__main__"),
    )  # fmt: skip
    assert b'"structuredContent":{"x":2}' in bytes(found[1].result)
    assert (found[2].code, found[2].message, found[2].data) == (-32001, "refused", {"a": 1})
    assert found[3].message.startswith("tool nothing: AttributeError")
    assert found[3].code == -32603
    sys.modules.pop("process_tools")
    assert b'"structuredContent":{"x":1}' in bytes(answers(job("pid", b'{"point":{"x":1}}'))[0].result)
    sys.modules.pop("process_tools")
    renamed = job("pid", b'{"point":{"x":1}}', module="another_name", search=[])
    assert b'"structuredContent":{"x":1}' in bytes(answers(renamed)[0].result)
    sys.modules.pop("another_name")
    sys.path.remove(str(tmp_path))
