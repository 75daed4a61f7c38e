"""`rune serve` follows its config: what has not changed runs on, and nothing that a client holds is lost."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.peers import program, sdk, sdk_legacy
from tests.rig import ROOT, RUNE, Rig, rig
from tests.sizes import LONG
from tests.wire.client import WAIT, Refused, text_of, word
from tests.wire.duplex import Connection, DuplexClient, SocketLink, SseLink, StdioLink
from tests.wire.http import HttpClient

LEGACY, MODERN = "2025-11-25", "2026-07-28"
FORM = {"elicitation": {"form": {}}}
DEADLINE = 30.0

TOOLS = """
import os
from rune import Context, Server

server = Server("tools")

@server.tool(execution="inline")
def said() -> str:
    return "WORD"

@server.tool(execution="inline")
def pid() -> int:
    return os.getpid()

@server.tool
async def ask(ctx: Context) -> str:
    answer = await ctx.elicit("Who?", str)
    return f"WORD {answer.content}"

@server.tool
async def more() -> str:
    server.add_tool(extra)
    return "ok"

def extra() -> str:
    return "extra"
"""


class Place:
    """A folder with a `rune.toml`, and the gateway that serves it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.toml = folder / "rune.toml"
        self.rig: Rig | None = None

    def tools(self, name: str, text: str) -> None:
        """A Python file whose `said` answers with a word."""
        (self.folder / f"{name}.py").write_text(TOOLS.replace("WORD", text))

    def config(self, *sources: str, head: str = "", hurry: bool = False) -> None:
        """Write the config in one step, as editors do; with `hurry` the gateway need not find out by itself."""
        new = self.folder / "new"
        new.write_text("\n".join([*([head] if head else ()), *sources]))
        new.replace(self.toml)
        if hurry:
            self.hurry()

    def hurry(self) -> None:
        """Do not wait for the gateway to look."""
        assert self.rig is not None
        self.rig.process.send_signal(signal.SIGHUP)

    async def told(self, text: str, times: int = 1) -> None:
        """Wait until the log says something so many times."""
        assert self.rig is not None
        end = time.monotonic() + DEADLINE
        while self.rig.said.count(text) < times:
            assert time.monotonic() < end, f"never said: {text}\n{self.rig.said}"
            await asyncio.sleep(0.02)

    async def loaded(self, times: int = 1) -> None:
        """Wait until the config has been loaded again so often."""
        await self.told(": loaded again", times)


def child(name: str, mark: str = "0") -> str:
    python = program(sdk_legacy(), "python")
    command = json.dumps([python, str(ROOT / "tests/e2e/legacy_server.py")])
    return f'[sources.{name}]\ncommand = {command}\nenv = {{ MARK = "{mark}" }}\n'


def python(name: str) -> str:
    return f'[sources.{name}]\npython = "{name}.py"\n'


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def start(place: Place) -> Iterator[Callable[[], str]]:
    """Serve the config of the place; the URL."""
    running = []

    def begin() -> str:
        serving = rig("--config", str(place.toml))
        running.append(serving)
        place.rig = serving.__enter__()
        return place.rig.url

    yield begin
    for serving in running:
        serving.__exit__(None, None, None)


@pytest_asyncio.fixture
async def connect() -> AsyncIterator[Callable[..., Any]]:
    """A raw client, closed at the end."""
    clients: list[HttpClient] = []

    async def connect(url: str, revision: str, capabilities: Any = None) -> HttpClient:
        client = HttpClient(url, revision, capabilities)
        clients.append(client)
        if revision != MODERN:
            await client.initialize()
        return client

    yield connect
    await asyncio.gather(*(client.close() for client in clients))


async def names(client: Any) -> set[str]:
    return {tool["name"] for tool in (await client.request("tools/list"))["tools"]}


async def there(client: Any, name: str) -> None:
    """Servers of children come when they have started."""
    async with asyncio.timeout(DEADLINE):
        while name not in await names(client):
            await asyncio.sleep(0.05)


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    async with asyncio.timeout(DEADLINE):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.02)


async def retry(client: HttpClient, name: str, asked: dict[str, Any], answer: Any) -> str:
    """Answer the one question of an input_required result."""
    (key,) = asked["inputRequests"]
    answers = {key: {"action": "accept", "content": answer}}
    params = {"name": name, "arguments": {}, "inputResponses": answers, "requestState": asked["requestState"]}
    return text_of(await client.request("tools/call", params))


async def test_a_reload_with_one_changed_source(place: Place, start: Any, connect: Any) -> None:
    place.tools("own", "first")
    place.config(child("same"), child("other"), python("own"))
    url = start()
    modern, legacy = await connect(url, MODERN, FORM), await connect(url, LEGACY, FORM)
    # One that cannot be asked: its calls all go to the first connection of a child.
    plain = await connect(url, MODERN)
    await there(plain, "other_wait")
    await there(plain, "same_wait")
    same, other = int(await plain.text("same_pid")), int(await plain.text("other_pid"))
    # Held over the reload: parked calls here and in both children, a call in flight, a question on a legacy stream.
    waiting = {name: await modern.tool(name) for name in ("same_greet", "other_greet", "own_ask")}
    assert all(asked["resultType"] == "input_required" for asked in waiting.values())
    go = place.folder / "go"
    flying = await plain.start("other_wait", path=str(go))
    question = await legacy.start("same_greet")
    await question.next("elicitation/create")
    before = children()
    assert {same, other} < before
    place.tools("own", "second")
    place.config(child("same"), child("other", mark="1"), python("own"))
    await place.loaded()
    await there(plain, "other_wait")
    assert int(await plain.text("same_pid")) == same
    assert await plain.text("own_said") == "second"
    assert int(await plain.text("other_pid")) not in before
    # The old child lives for those who wait for it, and no longer.
    assert await greeted(modern, "same_greet", waiting, "ann") in before
    assert await retry(modern, "own_ask", waiting["own_ask"], {"value": "bob"}) == "first bob"
    assert not flying.over.is_set()
    go.touch()
    assert text_of(await flying.result()) == str(other)
    assert other in children()
    assert await greeted(modern, "other_greet", waiting, "eve") in before
    await gone(other)
    # The legacy session has seen nothing of it.
    frame = question.frames[-1]
    await legacy.tell({"jsonrpc": "2.0", "id": frame["id"], "result": {"action": "accept", "content": {"name": "x"}}})
    assert text_of(await question.result()).startswith("hello x from ")
    assert await legacy.text("own_said") == "second"
    with pytest.raises(Refused):
        await retry(modern, "other_greet", waiting["other_greet"], {"name": "eve"})


async def greeted(client: HttpClient, name: str, waiting: dict[str, Any], who: str) -> int:
    """The child that has gone on with a call which asked for a name."""
    text = await retry(client, name, waiting[name], {"name": who})
    assert text.startswith(f"hello {who} from "), text
    return int(text.rpartition(" ")[2])


def children() -> set[int]:
    """The processes of all children of these tests."""
    found = set()
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().split(b"\0")
        except OSError:
            continue
        if str(ROOT / "tests/e2e/legacy_server.py").encode() in words:
            found.add(int(line.parent.name))
    return found


async def test_listens_go_on_and_hear_what_is_new(place: Place, start: Any, connect: Any) -> None:
    place.tools("one", "one")
    place.tools("two", "two")
    place.config(python("one"))
    url = start()
    modern, legacy = await connect(url, MODERN), await connect(url, LEGACY)
    listen = await modern.open("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    everything = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
    idle = await modern.open("subscriptions/listen", {"notifications": {**everything, "toolsListChanged": False}})
    await listen.next("notifications/subscriptions/acknowledged")
    await idle.next("notifications/subscriptions/acknowledged")
    await legacy.hear()
    place.config(python("one"), python("two"))
    await listen.next("notifications/tools/list_changed")
    await legacy.heard("notifications/tools/list_changed")
    assert (
        await names(modern)
        == await names(legacy)
        == {f"{a}_{b}" for a in ("one", "two") for b in ("said", "pid", "ask", "more")}
    )
    # A change of the source that was not there when the listen began.
    await modern.tool("two_more")
    await listen.next("notifications/tools/list_changed")
    await legacy.heard("notifications/tools/list_changed")
    assert "two_extra" in await names(modern)
    # A call in flight at a source that is taken away still ends; its tools are gone.
    asking = await connect(url, MODERN, FORM)
    waiting = await asking.tool("two_ask")
    place.config(python("one"), hurry=True)
    await listen.next("notifications/tools/list_changed")
    with pytest.raises(Refused) as refused:
        await modern.tool("two_said")
    assert refused.value.code == -32602
    assert await retry(asking, "two_ask", waiting, {"value": "x"}) == "two x"
    # Other callers of the same tool find it as gone, with or without a state.
    with pytest.raises(Refused):
        await asking.tool("two_ask")
    # What is not different is not announced.
    before = len(listen.frames)
    place.config(python("one"), head='[server]\nname = "house"', hurry=True)
    await place.loaded(3)
    assert await modern.text("one_said") == "one"
    result = await modern.tool("one_said")
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "house"
    assert len(listen.frames) == before
    assert [frame["method"] for frame in idle.frames] == ["notifications/subscriptions/acknowledged"]


async def test_profiles_come_change_and_go(place: Place, start: Any, connect: Any) -> None:
    place.tools("one", "one")
    place.config(python("one"), '[profiles.part]\ntools = ["one_said", "one_ask"]')
    url = start()
    whole, part, old = (
        await connect(url, MODERN),
        await connect(f"{url}/part", MODERN, FORM),
        await connect(f"{url}/part", LEGACY),
    )
    listens = []
    for client in (whole, part):
        listens.append(await client.open("subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
        await listens[-1].next("notifications/subscriptions/acknowledged")
    await old.hear()
    waiting = await part.tool("one_ask")
    place.config(
        python("one"), '[profiles.part]\ntools = ["one_pid", "one_ask"]\n[profiles.new]\ntools = ["*"]', hurry=True
    )
    await listens[1].next("notifications/tools/list_changed")
    await old.heard("notifications/tools/list_changed")
    assert await names(part) == await names(old) == {"one_pid", "one_ask"}
    assert len(await names(await connect(f"{url}/new", MODERN))) == len(await names(whole)) == 4
    for client in (part, old):
        with pytest.raises(Refused):
            await client.tool("one_said")
    assert await retry(part, "one_ask", waiting, {"value": "x"}) == "one x"
    # What only a profile shows is no news for the whole.
    assert [frame["method"] for frame in listens[0].frames] == ["notifications/subscriptions/acknowledged"]
    place.config(python("one"), hurry=True)
    await place.loaded(2)
    assert (await listens[1].result())["resultType"] == "complete"
    for client in (part, old):
        status, _, _ = await client.post(json.dumps(client.message("tools/list")).encode())
        assert status == 404
    assert await whole.text("one_said") == "one"
    assert not listens[0].over.is_set()


async def test_every_wire_hears_of_it(place: Place, start: Any) -> None:
    place.tools("one", "one")
    place.tools("two", "two")
    place.config(python("one"))
    start()
    assert place.rig is not None
    socket = f"ws://127.0.0.1:{place.rig.port}/mcp"
    links = [await SocketLink.open(socket), await SocketLink.open(socket), await SseLink.open(place.rig.base)]
    revisions = (MODERN, LEGACY, "2024-11-05")
    clients = [DuplexClient(Connection(link), revision) for link, revision in zip(links, revisions, strict=True)]
    try:
        for client in clients[1:]:
            await client.initialize()
            # The handshake is over for both sides once a request has been answered.
            await client.text("one_said")
        listen = await clients[0].open("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
        await listen.next("notifications/subscriptions/acknowledged")
        place.config(python("one"), python("two"), hurry=True)
        await listen.next("notifications/tools/list_changed")
        for client in clients[1:]:
            await client.heard("notifications/tools/list_changed")
        assert [await client.text("two_said") for client in clients] == ["two"] * 3
        await clients[0].cut(listen)
    finally:
        for client in clients:
            await client.connection.close()


BAD = [
    ("\na = ", "rune.toml:2: invalid value"),
    ("\n[sources.one]\npyton = 'one.py'", 'rune.toml:3: unknown key "pyton"'),
    ("[sources.one]\npython = 'one.py'\n[sources.two]\npython = 'no.py'", "rune.toml:4: no such file"),
    ("[sources.one]\npython = 'one.py'\n[sources.two]\npython = 'bad.py'", "bad.py:2: ZeroDivisionError"),
    (
        "[sources.one]\npython = 'one.py'\nprefix = ''\n[sources.two]\npython = 'two.py'\nprefix = ''",
        "two and one both offer a tool said",
    ),
    ("[sources.one]\nurl = '${NOT_SET_ANYWHERE}'", "rune.toml:2: ${NOT_SET_ANYWHERE} is not set"),
    ("[profiles.a]\ntool = ['x']", 'rune.toml:2: unknown key "tool" in [profiles.a] (did you mean "tools"?)'),
]


async def test_a_bad_config_changes_nothing_and_says_why(place: Place, start: Any, connect: Any) -> None:
    place.tools("one", "one")
    place.tools("two", "two")
    (place.folder / "bad.py").write_text("a = 1\n1 / 0\n")
    place.config(python("one"), child("kept"))
    url = start()
    client = await connect(url, MODERN)
    await there(client, "kept_pid")
    pid = await client.text("kept_pid")
    listen = await client.open("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    await listen.next("notifications/subscriptions/acknowledged")
    for text, said in BAD:
        place.config(text, hurry=True)
        await place.told(said)
        assert await client.text("one_said") == "one"
    place.toml.unlink()
    place.hurry()
    await place.told("rune.toml: no such file")
    assert await client.text("kept_pid") == pid
    assert place.rig is not None
    log = place.rig.said
    assert log.count("nothing is changed") == len(BAD) + 1
    assert all(line.startswith("rune.reload: ") for line in log.splitlines()), log
    assert [frame["method"] for frame in listen.frames] == ["notifications/subscriptions/acknowledged"]
    # A file that was missing is waited for.
    place.config(python("one"), python("three"), child("kept"))
    place.hurry()
    await place.told("three.py")
    place.tools("three", "three")
    await place.loaded()
    assert await client.text("three_said") == "three"
    assert await client.text("kept_pid") == pid


async def test_sighup_reads_the_config_at_once(place: Place, start: Any, connect: Any) -> None:
    place.tools("one", "one")
    place.config(python("one"))
    client = await connect(start(), MODERN)
    for times in (1, 2):
        place.hurry()
        await place.loaded(times)
    assert await client.text("one_said") == "one"
    assert place.rig is not None
    assert "started anew" not in place.rig.said


async def test_what_can_change_does_and_what_is_fixed_is_named(place: Place, start: Any, connect: Any) -> None:
    place.tools("one", "one")
    place.config(python("one"))
    url = start()
    client = await connect(url, MODERN)
    ask = json.dumps(client.message("tools/list"))
    assert (await client.post(ask.encode(), host="rune.example.org"))[0] == 403
    head = f'[server]\nport = 1\nhost = "::1"\nstore = "sqlite:{place.folder}/x.db"\ninstructions = "new ones"'
    head += '\nallowed_hosts = ["rune.example.org"]'
    place.config(python("one"), head=head, hurry=True)
    await place.loaded()
    assert place.rig is not None
    for line, key in ((2, "port"), (3, "host"), (4, "store")):
        assert f"rune.toml:{line}: server.{key} holds only after a new start" in place.rig.said
    assert await client.text("one_said") == "one"
    assert (await client.request("server/discover"))["instructions"] == "new ones"
    assert (await client.post(ask.encode(), host="rune.example.org"))[0] != 403
    assert not (place.folder / "x.db").exists()


async def test_a_target_and_an_mcp_json_are_followed(tmp_path: Path, connect: Any) -> None:
    place = Place(tmp_path)
    place.tools("own", "first")
    place.tools("child", "child")
    servers = {"a": {"command": RUNE, "args": ["serve", "--stdio", str(tmp_path / "child.py")]}}
    targets = tmp_path / "mcp.json"
    targets.write_text(json.dumps({"mcpServers": servers}))
    with rig(str(targets), str(tmp_path / "own.py")) as place.rig:
        client = await connect(place.rig.url, MODERN)
        await there(client, "a_pid")
        pid = await client.text("a_pid")
        # Of the same length within the same second: what was compiled before must not be taken for it.
        place.tools("own", "other")
        place.hurry()
        await place.loaded()
        assert await client.text("own_said") == "other"
        servers["b"] = servers["a"]
        targets.write_text(json.dumps({"mcpServers": servers}))
        await place.loaded(2)
        await there(client, "b_pid")
        assert await client.text("a_pid") == pid != await client.text("b_pid")


@pytest.mark.parametrize("revision", [MODERN, LEGACY])
async def test_stdio_follows_too(place: Place, revision: str) -> None:
    place.tools("one", "one")
    place.tools("two", "two")
    place.config(python("one"))
    connection = Connection(await StdioLink.open("--config", str(place.toml)))
    try:
        client = DuplexClient(connection, revision, FORM)
        listen = None
        if client.modern:
            listen = await client.open("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
            await listen.next("notifications/subscriptions/acknowledged")
            waiting = await client.tool("one_ask")
        else:
            await client.initialize()
            flying = await client.start("one_ask")
            question = await flying.next("elicitation/create")
        place.tools("one", "new")
        place.config(python("one"), python("two"))
        if listen is not None:
            await listen.next("notifications/tools/list_changed")
            assert await retry(client, "one_ask", waiting, {"value": "x"}) == "one x"  # type: ignore[arg-type]
        else:
            await client.heard("notifications/tools/list_changed")
            answer = {"action": "accept", "content": {"value": "x"}}
            await client.tell({"jsonrpc": "2.0", "id": question["id"], "result": answer})
            assert text_of(await flying.result()) == "one x"
        assert await client.text("two_said") == "two"
        assert await client.text("one_said") == "new"
        if listen is not None:
            await client.cut(listen)
    finally:
        await connection.close()


async def test_a_terminal_that_is_closed_ends_it(place: Place) -> None:
    """SIGHUP has two meanings: this is the older one."""
    place.tools("one", "one")
    place.config(python("one"))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(RUNE, [RUNE, "serve", "--port", "0", "--json", "--config", str(place.toml)])
    try:
        seen = b""
        async with asyncio.timeout(DEADLINE):
            while b'"url"' not in seen:
                seen += await asyncio.to_thread(os.read, terminal, 4096)
        os.kill(pid, signal.SIGHUP)
        async with asyncio.timeout(DEADLINE):
            while b"loaded again" not in seen:
                seen += await asyncio.to_thread(os.read, terminal, 4096)
    finally:
        os.close(terminal)
    async with asyncio.timeout(DEADLINE):
        while (done := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            await asyncio.sleep(0.02)
    assert os.waitstatus_to_exitcode(done[1]) == 0


@pytest.mark.parametrize("mode", ["legacy", MODERN] if LONG else ["legacy"])
async def test_the_official_sdk_lives_through_it(place: Place, start: Any, mode: str) -> None:
    """Its client answers the question of a call after the reload that happened meanwhile, and goes on."""
    text = word()
    place.tools("one", "one")
    place.tools("two", text)
    place.config(python("one"))
    command = [program(sdk(), "python"), "tests/e2e/sdk_reload.py", mode, start()]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        assert json.loads(await asyncio.to_thread(process.stdout.readline)) == {"asked": "Who?"}
        place.tools("one", "new")
        place.config(python("one"), python("two"))
        await place.loaded()
        process.stdin.write("go\n")
        process.stdin.flush()
        seen = json.loads(await asyncio.to_thread(process.stdout.readline))
        assert seen == {"text": "one carl", "after": [text, "new"], "tools": 8}
        async with asyncio.timeout(WAIT):
            assert await asyncio.to_thread(process.wait) == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
