"""`rune.wasm` in a wasmtime program of one's own: engine, stores, imports; and the example with each backend."""

from __future__ import annotations

import asyncio
import json
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

from rune import Caller, Client, ConfigError, NotFound, ProtocolError, Request
from rune.build import around
from rune.wasm import Host, add_to_linker
from tests import guests, peers, registry
from tests.rig import ROOT
from tests.sources.wasm.test_fetch import Web
from tests.sources.wasm.wat import HERE, component, tools

EXAMPLE = ROOT / "examples" / "embed" / "host.py"
DEADLINE = 60


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return component(tmp_path_factory.mktemp("shop"), (HERE / "shop.wat").read_text("utf-8"), "shop")


@pytest.fixture(scope="module")
def bad() -> Path:
    return guests.component(HERE / "guests" / "bad.c")


@pytest.fixture(scope="module")
def stay() -> Path:
    return guests.component(HERE / "seated" / "stay.c")


class Program:
    """A wasmtime program, as somebody else would write it."""

    def __init__(self, **options: Any) -> None:
        self.engine = Engine()
        self.linker = Linker(self.engine)
        self.linker.add_wasip2()
        self.made = 0
        self.host = Host("own", **options)
        add_to_linker(self.linker, self.host)

    def store(self) -> Store:
        self.made += 1
        store = Store(self.engine)
        store.set_wasi(WasiConfig())
        return store

    def open(self, path: Path, stores: Store | Callable[[], Store] | None = None) -> Host:
        self.host.open(Component.from_file(self.engine, str(path)), self.store if stores is None else stores)
        return self.host


async def counts(host: Host, tool: str = "count") -> list[Any]:
    """What a tool that counts its calls says to ann, bob and ann again."""
    found = []
    async with asyncio.timeout(DEADLINE), around(host) as gateway:
        for subject in ("ann", "bob", "ann"):
            params = {"name": json.dumps(tool).encode()}
            request = Request("tools/call", params, caller=Caller(subject))  # type: ignore[arg-type]
            value = json.loads((await gateway.handle(request)).raw)
            found.append(value.get("structuredContent", {}).get("result") or value["content"][0]["text"])
    return found


async def test_imports_of_ones_own(shop: Path) -> None:
    program = Program()
    with program.linker.root() as root, root.add_instance("example:shop/prices") as prices:
        prices.add_func("price-of", lambda _store, name: len(name) if name != "nothing" else None)
    async with asyncio.timeout(DEADLINE), Client(program.open(shop)) as client:
        assert [tool["name"] for tool in await client.list_tools()] == ["price", "asked", "trap"]
        assert (await client.call_tool("price", {"name": "kéy"}))["structuredContent"] == {"result": 3}
        assert (await client.call_tool("price", {"name": "nothing"}))["structuredContent"] == {"result": None}


async def test_a_server_of_the_proposal(bad: Path) -> None:
    steps: list[Any] = []
    host = Program().open(bad)
    async with (
        asyncio.timeout(DEADLINE),
        around(host) as gateway,
        Client(gateway, on_progress=lambda *note: steps.append(note)) as client,
    ):
        assert await host.identity() == {"name": "bad-c", "version": "1"}
        assert (await client.call_tool("good", {"text": "é"})).text == '{"text":"é"}'
        await client.call_tool("progress", {})
        assert [step[0] for step in steps] == [0.0, 1.0, 2.0]
        for _ in range(2):
            with pytest.raises(ProtocolError, match="slow down") as caught:
                await client.call_tool("err", {})
            assert caught.value.data == {"code": "rate-limited"}
            with pytest.raises(ProtocolError, match="the guest failed"):
                await client.call_tool("trap", {})
        assert (await client.read_resource("bad://good")).text == "bad://good"


async def test_a_guest_fills_in_a_form(stay: Path) -> None:
    host = Program(serve_mode="reentrant").open(stay)
    async with asyncio.timeout(DEADLINE), host:
        fields = [{"name": "who", "field-type": "string"}]
        assert await host.elicit('{"who": "é"}', fields) == {"who": "é"}
        with pytest.raises(NotFound, match="not here"):
            await host.elicit("nothing to fill in", [])


@pytest.mark.parametrize(
    ("isolation", "expected"), [("call", ["1", "1", "1"]), ("caller", ["1", "1", "2"]), ("shared", ["1", "2", "3"])]
)
async def test_guests_that_stay_in_serve(stay: Path, isolation: Any, expected: list[str]) -> None:
    program = Program(isolation=isolation, concurrency=1, serve_mode="reentrant")
    assert await counts(program.open(stay)) == expected
    alone = Program(serve_mode="reentrant")
    assert await counts(alone.open(stay, alone.store())) == ["1", "2", "3"]


async def test_a_store_that_is_the_only_one(tmp_path: Path) -> None:
    """It keeps its state, and what traps in it is the end of it; with a function the next call gets another one."""
    path = tools(tmp_path)
    program, other = Program(), Program(isolation="shared", concurrency=1)
    async with asyncio.timeout(DEADLINE), Client(program.open(path, program.store())) as client:
        said = [(await client.call_tool("number", {}))["structuredContent"] for _ in range(3)]
        assert said == [1, 2, 3]
        for _ in range(2):
            with pytest.raises(ProtocolError, match="the guest failed") as caught:
                await client.call_tool("trap", {})
        assert "failed before" in caught.value.message
        with pytest.raises(ProtocolError, match="failed before"):
            await client.call_tool("number", {})
    assert program.made == 1
    async with asyncio.timeout(DEADLINE), Client(other.open(path)) as client:
        await client.call_tool("number", {})
        with pytest.raises(ProtocolError, match="unreachable"):
            await client.call_tool("trap", {})
        assert (await client.call_tool("number", {}))["structuredContent"] == 1


async def test_what_is_missing_is_said(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no linker"):
        Host().open(None, lambda: None)  # type: ignore[arg-type]
    program = Program()
    with pytest.raises(ConfigError, match="no component"):
        await program.host.serve()
    other = Program()
    with pytest.raises(ConfigError, match="example:shop/prices"):
        await other.open(shop).serve()
    plain = Program()
    host = plain.open(tools(tmp_path))
    async with asyncio.timeout(DEADLINE), host:
        with pytest.raises(ProtocolError, match="only guests of wasi:mcp fill in forms"):
            await host.elicit("x", [])


async def test_the_way_out_is_the_one_of_the_host(tmp_path: Path) -> None:
    """Under the guard of the gateway: a host that is not named is refused, secrets do not reach the guest."""
    fetching = component(tmp_path, (HERE / "fetch.wat").read_text("utf-8"), "fetching")
    Web.files, Web.asked = {"/a": b"fetched"}, []
    with registry.served(Web) as port:
        place = f"127.0.0.1:{port}"
        secret = {"Authorization": "Bearer s3cr3t-token"}
        found = []
        for network in ([{"host": place, "private": True, "inject": secret}], [{"host": place}], []):
            async with asyncio.timeout(DEADLINE), Client(Program(network=network).open(fetching)) as client:
                answer = await client.call_tool("fetch", {"request": json.dumps({"url": f"http://{place}/a"})})
                found.append(answer)
    assert json.loads(found[0]["structuredContent"]["result"])["body"] == "fetched"
    assert Web.asked == [("/a", "Bearer s3cr3t-token")] and "s3cr3t" not in found[0].text
    assert found[1].is_error and "not a public address" in found[1].text
    assert found[2].is_error and "is not granted to own" in found[2].text
    with pytest.raises(ConfigError, match="network"):
        Program(network=[{"name": "x"}])


# --- the example -----------------------------------------------------------------------------------------------------


@contextmanager
def running(*words: str) -> Iterator[str]:
    """The example as a process that listens; its URL. It ends well when it is told to."""
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLE), *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def visit(mode: str, *target: str) -> dict[str, Any]:
    """What the official SDK sees."""
    command = [peers.program(peers.sdk(), "python"), "tests/e2e/sdk_client.py", mode, "é ✓", *target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_the_example_over_http(tmp_path: Path) -> None:
    plain = component(tmp_path, (HERE / "plain.wat").read_text("utf-8"), "plain")
    with running(str(plain), "http", "0") as url:
        assert url.startswith("http://127.0.0.1:")
        seen = visit("2026-07-28", url)
        assert ([json.loads(text) for text in seen["text"]], seen["error"]) == ([{"result": "é ✓"}], False)


async def test_the_example_over_stdio(bad: Path) -> None:
    async with asyncio.timeout(DEADLINE), Client([sys.executable, str(EXAMPLE), str(bad)]) as client:
        assert not (await client.call_tool("good", {})).is_error
        with pytest.raises(ProtocolError, match="the guest failed"):
            await client.call_tool("trap", {})
        assert not (await client.call_tool("good", {})).is_error


async def test_the_example_over_websocket(shop: Path) -> None:
    with running(str(shop), "websocket", "0") as url:
        assert url.startswith("ws://127.0.0.1:")
        async with asyncio.timeout(DEADLINE), Client(url) as client:
            assert (await client.call_tool("price", {"name": "tea"}))["structuredContent"] == {"result": 3}


def test_the_example_can_be_imported(shop: Path) -> None:
    found = runpy.run_path(str(EXAMPLE))
    assert found["host"](str(shop)).name == "shop"
