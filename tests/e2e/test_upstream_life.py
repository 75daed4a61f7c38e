"""The life of servers behind `rune serve` as a process: asleep, dead, restarted, killed, and what is left of them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.rig import Rig, rig, settled
from tests.wire.client import Refused, word
from tests.wire.http import HttpClient
from tests.wire.schemas import MODERN

SERVER = Path(__file__).with_name("soakserver.py")
DEADLINE = 60.0


def config(folder: Path, *lines: str, script: Path = SERVER, prelude: str = "") -> Path:
    """One server on stdio, started by a shell that notes each start."""
    command = f'echo $$ >> "{folder}/starts"; {prelude} exec "{sys.executable}" "{script}"'
    path = folder / "rune.toml"
    path.write_text("\n".join(["[sources.it]", f"command = ['sh', '-c', '{command}']", *lines, ""]))
    return path


def starts(folder: Path) -> list[int]:
    """The processes that have been started so far."""
    path = folder / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@asynccontextmanager
async def guest(server: Rig) -> AsyncIterator[HttpClient]:
    client = HttpClient(server.url, MODERN, {})
    try:
        async with asyncio.timeout(DEADLINE):
            yield client
    finally:
        await client.close()


async def names(client: HttpClient) -> set[str]:
    return {tool["name"] for tool in (await client.request("tools/list"))["tools"]}


async def listed(client: HttpClient) -> None:
    """A server that is started now takes its time."""
    while "it_echo" not in await names(client):
        await asyncio.sleep(0.05)


async def test_it_sleeps_without_use_and_wakes_with_a_call_also_after_a_restart(tmp_path: Path) -> None:
    path = str(config(tmp_path, "idle = 0.5"))
    with rig("--config", path) as server:
        async with guest(server) as client:
            await listed(client)
            text = word()
            assert await client.text("it_echo", text=text) == text
            seen = starts(tmp_path)
            while not ended(seen[-1]):
                await asyncio.sleep(0.05)
            assert "it_echo" in await names(client)
            assert starts(tmp_path) == seen, "a list wakes nobody"
            texts = [word() for _ in range(10)]
            assert await asyncio.gather(*(client.text("it_echo", text=text) for text in texts)) == texts
            assert len(starts(tmp_path)) == len(seen) + 1
    before = len(starts(tmp_path))
    with rig("--config", path) as server:
        async with guest(server) as client:
            assert "it_echo" in await names(client)
            await asyncio.sleep(0.3)
            assert len(starts(tmp_path)) == before, "it is listed from the disk"
            assert await client.text("it_echo", text="x") == "x"
            assert len(starts(tmp_path)) == before + 1


async def test_a_dead_server_is_listed_after_a_restart_but_not_for_another_credential(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(SERVER.read_text())
    with rig("--config", str(config(tmp_path, 'env = { TOKEN = "ann" }', script=script))) as server:
        async with guest(server) as client:
            await listed(client)
    (kept,) = (Path(os.environ["RUNE_CACHE_DIR"]) / "catalogs").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "ann" not in kept.name and b"ann" not in kept.read_bytes()
    script.write_text("import sys; sys.exit('no configuration')")
    with rig("--config", str(config(tmp_path, 'env = { TOKEN = "ann" }', script=script))) as server:
        async with guest(server) as client:
            assert "it_echo" in await names(client)
            with pytest.raises(Refused) as caught:
                await client.text("it_echo", text="x")
            assert re.fullmatch(r"it: exited 1 after .* s\n  stderr: no configuration", caught.value.message)
            assert "it_echo" in await names(client)
    with rig("--config", str(config(tmp_path, 'env = { TOKEN = "bob" }', script=script))) as server:
        async with guest(server) as client:
            assert await names(client) == set()
    kept.write_bytes(b"{")
    with rig("--config", str(config(tmp_path, 'env = { TOKEN = "ann" }', script=script))) as server:
        async with guest(server) as client:
            assert await names(client) == set()
        assert server.said.count("is of no use") == 1


async def test_a_full_queue_answers_at_once_and_names_the_server(tmp_path: Path) -> None:
    with rig("--config", str(config(tmp_path, "concurrency = 2", "queue = 3"))) as server:
        async with guest(server) as client:
            await listed(client)
            (pid,) = starts(tmp_path)
            os.kill(pid, signal.SIGSTOP)
            calls = [asyncio.create_task(client.text("it_echo", text=str(number))) for number in range(9)]
            done: set[asyncio.Task[str]] = set()
            while len(done) < 4:
                done, _ = await asyncio.wait(calls, timeout=0.05)
            for call in done:
                error = call.exception()
                assert isinstance(error, Refused) and error.message == "it: busy, 3 calls wait already"
            os.kill(pid, signal.SIGCONT)
            rest = [call for call in calls if call not in done]
            assert len(rest) == 5
            assert [await call for call in rest] == [str(number) for number, call in enumerate(calls) if call in rest]


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
async def test_nothing_outlives_the_gateway(tmp_path: Path, how: str) -> None:
    """Not even a server that ignores both the end of its input and TERM, and what it has started itself."""
    script = tmp_path / "server.py"
    script.write_text(SERVER.read_text().replace("\nmain()\n", "\nmain()\nimport time\ntime.sleep(600)\n"))
    prelude = 'trap "" TERM; sleep 600 & echo $! >> "FOLDER/starts";'.replace("FOLDER", str(tmp_path))
    with rig("--config", str(config(tmp_path, script=script, prelude=prelude))) as server:
        async with guest(server) as client:
            await listed(client)
        pids = starts(tmp_path)
        assert len(pids) == 2
        assert not any(ended(pid) for pid in pids)
        began = time.monotonic()
        if how == "SIGTERM":
            assert server.stop() == 0
            assert time.monotonic() - began < 5 + 3, "5 s, and something for a busy machine"
            assert all(ended(pid) for pid in pids)
        else:
            server.kill()
        assert settled(lambda: sum(not ended(pid) for pid in pids), 0, 20)
