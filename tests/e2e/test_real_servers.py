"""Servers that others have written, all behind one gateway, used by a client that others have written, in both eras."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import peers
from tests.rig import ROOT, Rig, rig

DEADLINE = 60.0
MODES = {"auto": "2026-07-28", "legacy": "2025-11-25"}
COUNTS = {"everything": 13, "filesystem": 14, "memory": 9, "git": 12, "time": 2, "sqlite": 6}
MODERN = {"git", "time"}


class House:
    """The gateway with all servers, and where their data lies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.repository = folder / "repository"
        self.server: Rig

    def config(self) -> Path:
        self.files.mkdir()
        for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "the first commit"]):
            identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
            subprocess.run(
                ["git", "-C", str(self.folder), *identity, *self._place(words)], check=True, timeout=DEADLINE
            )
        commands: dict[str, list[str]] = {
            "everything": peers.everything_server(),
            "filesystem": peers.filesystem_server(str(self.files)),
            "memory": peers.memory_server(),
            "git": peers.git_server(str(self.repository)),
            "time": peers.time_server(),
            "sqlite": peers.sqlite_server(str(self.folder / "data.db")),
        }
        lines = []
        for name, command in commands.items():
            lines += [f"[sources.{name}]", f"command = {json.dumps(command)}"]
            if name == "memory":
                lines.append(f'env = {{ MEMORY_FILE_PATH = "{self.folder / "memory.jsonl"}" }}')
                # It reads its file, changes it and writes it back: two calls at a time would lose one.
                lines.append("concurrency = 1")
        path = self.folder / "rune.toml"
        path.write_text("\n".join([*lines, ""]))
        return path

    def _place(self, words: list[str]) -> list[str]:
        if words[0] == "init":
            return [*words, str(self.repository)]
        return ["-C", str(self.repository), *words]

    def children(self, source: str) -> list[int]:
        """The processes of one server."""
        own = Path(f"/proc/{self.server.process.pid}/task/{self.server.process.pid}/children").read_text().split()
        found = []
        for pid in own:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if any(word.endswith(f"mcp-server-{source}") for word in words):
                found.append(int(pid))
        return found


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("house"))
    with rig("--config", str(house.config())) as server:
        house.server = server
        yield house
        assert "Traceback" not in server.said, server.said


class Visitor:
    """The client of the official SDK in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last = 0
        self.hello: asyncio.Future[dict[str, Any]] = self._expect(0)
        self._reader = asyncio.create_task(self._read())

    def _expect(self, id: int) -> asyncio.Future[dict[str, Any]]:
        self._waiting[id] = asyncio.get_running_loop().create_future()
        return self._waiting[id]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            self._waiting.pop(answer["id"]).set_result(answer)
        for future in self._waiting.values():
            future.set_exception(ConnectionError("the client has ended"))

    def send(self, method: str, **arguments: Any) -> asyncio.Future[dict[str, Any]]:
        """Have the client do something, and do not wait for it."""
        assert self._process.stdin is not None
        self._last += 1
        order = {"id": self._last, "do": method, "with": arguments}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return self._expect(self._last)

    async def do(self, method: str, **arguments: Any) -> dict[str, Any]:
        """What comes of it, which must be no error."""
        async with asyncio.timeout(DEADLINE):
            answer = await self.send(method, **arguments)
        assert "value" in answer, answer
        value: dict[str, Any] = answer["value"]
        return value

    def call(self, name: str, **arguments: Any) -> asyncio.Future[dict[str, Any]]:
        return self.send("call_tool", name=name, arguments=arguments)

    async def tool(self, name: str, **arguments: Any) -> str:
        """The text of a tool that must not fail."""
        result = await self.do("call_tool", name=name, arguments=arguments)
        assert not result.get("isError"), result
        return "\n".join(block["text"] for block in result["content"] if "text" in block)

    async def tools(self) -> list[str]:
        return [tool["name"] for tool in (await self.do("list_tools"))["tools"]]

    async def leave(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(DEADLINE):
            assert await self._process.wait() == 0
            await self._reader


@asynccontextmanager
async def visitor(house: House, mode: str) -> AsyncIterator[Visitor]:
    """A client that has shaken hands, in the era that was meant."""
    process = await asyncio.create_subprocess_exec(
        peers.program(peers.sdk(), "python"), "tests/e2e/sdk_visitor.py", mode, house.server.url,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT, limit=1 << 24,
    )  # fmt: skip
    try:
        found = Visitor(process)
        async with asyncio.timeout(DEADLINE):
            assert (await found.hello)["value"] == {"version": MODES[mode]}
            # Servers on Python take seconds to start on a busy machine.
            while len(await found.tools()) < sum(COUNTS.values()):
                await asyncio.sleep(0.1)
        yield found
        await found.leave()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def used(house: House, guest: Visitor, source: str) -> None:
    """A call of each server whose right answer nobody could guess."""
    word = uuid.uuid4().hex
    match source:
        case "everything":
            assert await guest.tool("everything_echo", message=word) == f"Echo: {word}"
        case "filesystem":
            path = house.files / f"{word}.txt"
            await guest.tool("filesystem_write_file", path=str(path), content=f"{word} é ✓")
            assert path.read_text() == f"{word} é ✓"
            assert await guest.tool("filesystem_read_text_file", path=str(path)) == f"{word} é ✓"
        case "memory":
            entity = {"name": word, "entityType": "word", "observations": ["seen"]}
            await guest.tool("memory_create_entities", entities=[entity])
            assert json.loads(await guest.tool("memory_open_nodes", names=[word]))["entities"] == [entity]
        case "git":
            branch = f"b-{word}"
            await guest.tool("git_git_create_branch", repo_path=str(house.repository), branch_name=branch)
            assert branch in await guest.tool("git_git_branch", repo_path=str(house.repository), branch_type="local")
            assert "the first commit" in await guest.tool("git_git_log", repo_path=str(house.repository))
        case "time":
            minute = int(word, 16) % 60
            zones = {"source_timezone": "Asia/Kolkata", "target_timezone": "UTC"}
            text = await guest.tool("time_convert_time", time=f"12:{minute:02}", **zones)
            assert f"T{6 if minute < 30 else 7:02}:{(minute + 30) % 60:02}:00" in text
        case "sqlite":
            await guest.tool("sqlite_create_table", query=f"CREATE TABLE t{word} (text TEXT)")
            await guest.tool("sqlite_write_query", query=f"INSERT INTO t{word} VALUES ('{word}')")
            assert word in await guest.tool("sqlite_read_query", query=f"SELECT * FROM t{word}")


@pytest.mark.parametrize("mode", MODES)
async def test_all_of_them_are_listed_and_called(house: House, mode: str) -> None:
    async with visitor(house, mode) as guest:
        names = await guest.tools()
        counts = {source: sum(name.startswith(f"{source}_") for name in names) for source in COUNTS}
        assert counts == COUNTS
        assert len(names) == sum(COUNTS.values())
        for source in COUNTS:
            await used(house, guest, source)
        # And all at the same time.
        await asyncio.gather(*(used(house, guest, source) for source in COUNTS for _ in range(3)))


@pytest.mark.parametrize("mode", MODES)
async def test_resources_prompts_and_failing_tools_come_through(house: House, mode: str) -> None:
    async with visitor(house, mode) as guest:
        resources = (await guest.do("list_resources"))["resources"]
        templates = (await guest.do("list_resource_templates"))["resourceTemplates"]
        prompts = [prompt["name"] for prompt in (await guest.do("list_prompts"))["prompts"]]
        assert resources and templates and "everything_simple-prompt" in prompts
        contents = (await guest.do("read_resource", uri=resources[0]["uri"]))["contents"]
        assert contents[0]["uri"] == resources[0]["uri"]
        message = (await guest.do("get_prompt", name="everything_simple-prompt"))["messages"][0]
        assert message["content"]["text"]
        outside = await guest.do("call_tool", name="filesystem_read_text_file", arguments={"path": "/etc/passwd"})
        assert outside["isError"] and "root:" not in str(outside)


async def killed(house: House, guest: Visitor, source: str, **arguments: Any) -> dict[str, Any]:
    """The answer to a call over which its server was killed. A stopped process cannot have answered before."""
    for _ in range(3):
        # Whatever has to be said to a new process before the first call has been said then.
        await used(house, guest, source)
        pids = house.children(source)
        assert pids, f"{source} does not run"
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        call = guest.call(**arguments)
        # Sent after it and answered: by then the call is with its server.
        other = "time" if source != "time" else "everything"
        await used(house, guest, other)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(DEADLINE):
            answer = await call
        if "error" in answer:
            return answer
    raise AssertionError(f"no kill came in the middle of a call: {answer}")


CALLS: dict[str, dict[str, Any]] = {
    "everything": {"name": "everything_get-sum", "a": 1, "b": 2},
    "filesystem": {"name": "filesystem_list_allowed_directories"},
    "memory": {"name": "memory_read_graph"},
    "git": {"name": "git_git_status", "repo_path": "."},
    "time": {"name": "time_get_current_time", "timezone": "UTC"},
    "sqlite": {"name": "sqlite_list_tables"},
}


@pytest.mark.parametrize("mode", MODES)
async def test_one_that_is_killed_in_mid_call_says_so_and_the_next_call_works(house: House, mode: str) -> None:
    async with visitor(house, mode) as guest:
        for source, arguments in CALLS.items():
            before = house.children(source)
            answer = await killed(house, guest, source, **arguments)
            assert answer["error"].startswith(f"{source}: was killed by SIGKILL after "), answer
            await used(house, guest, source)
            after = house.children(source)
            assert after and not set(after) & set(before)
        assert len(await guest.tools()) == sum(COUNTS.values())
