"""`rune serve x.wasm` as a process, for a client that is not ours, in both eras; and without the engine."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rune.sources.wasm.engine import SMALL
from tests import guests
from tests.peers import program, sdk
from tests.rig import rig
from tests.serving import ROOT, RUNE, rune
from tests.sources.wasm.wat import HERE, component, tools
from tests.wire.http import HttpClient

DEADLINE = 60
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
LEGACY, MODERN = "2025-11-25", "2026-07-28"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return component(tmp_path_factory.mktemp("plain"), (HERE / "plain.wat").read_text("utf-8"), "plain")


@pytest.fixture(scope="module")
def url(plain: Path) -> Iterator[str]:
    with rune(str(plain)) as server:
        yield server.url


@pytest.mark.parametrize(("mode", "version"), [("legacy", LEGACY), (MODERN, MODERN)])
def test_the_official_sdk_calls_a_component(url: str, mode: str, version: str) -> None:
    command = [program(sdk(), "python"), "tests/e2e/sdk_client.py", mode, "é ✓", url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["version"], seen["error"]) == (version, False)
    assert set(seen["tools"]) == {"echo", "bytes", "whole_add", "whole_divide"}
    assert [json.loads(text) for text in seen["text"]] == [{"result": "é ✓"}]


def test_a_component_beside_others_in_a_config(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "rune.toml").write_text(f"[sources.math]\nwasm = '{plain}'\n")
    command = [RUNE, "tool", "call", "math_whole_add", "a:=2", "b:=3", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["structuredContent"] == {"result": 5}


def test_without_the_engine_the_extra_is_named(plain: Path, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    hook = "import sys\nclass No:\n    def find_spec(self, name, *a):\n"
    hook += "        if name.partition('.')[0] == 'wasmtime': raise ModuleNotFoundError(name, name='wasmtime')\n"
    (hidden / "sitecustomize.py").write_text(hook + "sys.meta_path.insert(0, No())\n")
    done = subprocess.run(
        [sys.executable, "-m", "rune", "tool", "list", "-t", str(plain)],
        env={**os.environ, "PYTHONPATH": str(hidden)}, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "WebAssembly needs the package wasmtime" in done.stderr
    assert "pip install 'rune-mcp[wasm]'" in done.stderr


def test_a_component_that_is_being_compiled_does_not_keep_the_gateway(tmp_path: Path) -> None:
    """It is large enough to be compiled by another process, which ends with the gateway."""
    functions = "".join(
        f'(func (export "f{each}") (param i32) (result i32) {"(local.get 0) (i32.const 3) i32.mul (local.set 0)" * 400}'
        " (local.get 0))"
        for each in range(400)
    )
    path = component(tmp_path, f"(component (core module {functions}))", "large")
    assert path.stat().st_size > SMALL
    with rig(str(path)) as server:
        assert server.stop() == 0


async def test_a_component_that_changes_is_read_again_unless_it_asks_for_more(tmp_path: Path) -> None:
    path = tools(tmp_path, ("echo",))
    (tmp_path / "rune.toml").write_text(f"[sources.hand]\nwasm = '{path}'\nprefix = ''\n")
    with rig("--config", str(tmp_path / "rune.toml")) as server:
        client = HttpClient(server.url, MODERN, None)

        async def names() -> list[str]:
            return [tool["name"] for tool in (await client.request("tools/list"))["tools"]]

        async def until(text: str) -> None:
            async with asyncio.timeout(DEADLINE):
                while text not in server.said:
                    await asyncio.sleep(0.05)

        try:
            # It is compiled in the background: the first list may come before it.
            async with asyncio.timeout(DEADLINE):
                while await names() != ["echo"]:
                    await asyncio.sleep(0.05)
            listen = await client.open("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
            await listen.next("notifications/subscriptions/acknowledged")
            tools(tmp_path, ("echo", "number"))
            await listen.next("notifications/tools/list_changed")
            assert await names() == ["echo", "number"]
            tools(tmp_path, ("who",), asks=("wasi:filesystem/preopens@0.2.0",))
            await until("an update is held: it asks for storage; the version before it is served")
            assert await names() == ["echo", "number"]
            granted = [RUNE, "wasm", "grant", str(path)]
            assert subprocess.run(granted, capture_output=True, timeout=DEADLINE, check=True).returncode == 0
            await listen.next("notifications/tools/list_changed")
            assert await names() == ["who"]
        finally:
            await client.close()


async def test_what_a_guest_says_reaches_the_client_of_its_call(tmp_path: Path) -> None:
    """Progress, log lines and news of resources, with two clients of one era and one of the other at the same time."""
    bad = guests.component(ROOT / "tests/sources/wasm/guests/bad.c")
    (tmp_path / "rune.toml").write_text(f"[sources.bad]\nwasm = '{bad}'\nprefix = ''\n")
    with rig("--config", str(tmp_path / "rune.toml")) as server:
        one, other, legacy = (HttpClient(server.url, era, None) for era in (MODERN, MODERN, LEGACY))
        try:
            await legacy.initialize()
            await legacy.request("logging/setLevel", {"level": "debug"})
            async with asyncio.timeout(DEADLINE):
                while "progress" not in [tool["name"] for tool in (await one.request("tools/list"))["tools"]]:
                    await asyncio.sleep(0.05)
            wanted = {"resourceSubscriptions": ["bad://good"]}
            listen = await one.open("subscriptions/listen", {"notifications": wanted})
            deaf = await other.open("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
            for each in (listen, deaf):
                await each.next("notifications/subscriptions/acknowledged")
            calls = [(client, await client.start("progress")) for _ in range(3) for client in (one, other, legacy)]
            quiet = [await client.start("good") for client in (one, other, legacy)]
            tokens = set()
            for _, call in calls:
                await call.result()
                notes = call.notes("notifications/progress")
                assert [note["progress"] for note in notes] == [0, 1, 2]
                tokens |= {note["progressToken"] for note in notes}
            assert len(tokens) == len(calls)
            for call in quiet:
                await call.result()
                assert not call.notes("notifications/progress")
            told = await one.open("tools/call", {"name": "notes", "arguments": {}}, meta={LOG_LEVEL: "info"})
            unheard = await other.start("notes")
            older = await legacy.start("notes")
            for call, lines in ((told, 1), (unheard, 0), (older, 1)):
                await call.result()
                said = [note["data"] for note in call.notes("notifications/message")]
                assert said == [{"message": "told", "data": {"k": 1}}] * lines
            for _ in range(3):
                note = await listen.next("notifications/resources/updated")
                assert note["params"]["uri"] == "bad://good"
            assert len(deaf.frames) == 1
        finally:
            for client in (one, other, legacy):
                await client.close()
