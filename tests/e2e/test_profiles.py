"""Profiles through the front door: every revision and wire sees the part, and nothing leaves it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.peers import program, sdk
from tests.rig import ROOT, Rig, rig
from tests.wire.client import TASKS, Client, Refused, text_of
from tests.wire.duplex import Connection, DuplexClient, SocketLink, SseLink
from tests.wire.http import HttpClient

MODERN, LEGACY = "2026-07-28", "2025-11-25"
ABLE = {"elicitation": {"form": {}}, "extensions": {TASKS: {}}}

SOURCE = """
import asyncio
from rune import Context, Server

server = Server("tools", instructions="NAME is here")

@server.tool
async def echo(text: str) -> str:
    return "NAME " + text

@server.tool
async def ask(ctx: Context) -> str:
    answer = await ctx.elicit("Who?", str)
    return f"NAME {answer.content}"

@server.tool(task="optional")
async def later(text: str) -> str:
    return text

@server.tool
async def large() -> str:
    return "x" * 2_000_000

@server.prompt
async def plan() -> str:
    return "NAME plan"

@server.resource("NAME://page")
async def page() -> str:
    return "NAME page"
"""

CONFIG = """
[server]
page_size = 2
[sources.gh]
python = "gh.py"
[sources.db]
python = "db.py"
[profiles.review]
tools = ["gh_*"]
prompts = ["gh_p*"]
[profiles.other]
tools = ["gh_*"]
resources = ["db://*"]
[profiles.empty]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("profiles")
    for name in ("gh", "db"):
        (folder / f"{name}.py").write_text(SOURCE.replace("NAME", name))
    (folder / "rune.toml").write_text(CONFIG)
    with rig("--config", str(folder / "rune.toml")) as found:
        yield found
        assert "Traceback" not in found.said, found.said


@pytest_asyncio.fixture
async def connect(server: Rig) -> AsyncIterator[Any]:
    clients: list[Client] = []

    async def connect(profile: str, revision: str, wire: str = "http") -> Any:
        path = f"/{profile}" if profile else ""
        client: Client
        if wire == "http":
            client = HttpClient(server.url + path, revision, ABLE)
        elif wire == "ws":
            link = await SocketLink.open(f"ws://127.0.0.1:{server.port}/mcp{path}")
            client = DuplexClient(Connection(link), revision, ABLE)
        else:
            link = await SseLink.open(server.base, f"/sse{path}")
            client = DuplexClient(Connection(link), revision, ABLE)
        clients.append(client)
        if not client.modern:
            await client.initialize()
        return client

    yield connect
    for client in clients:
        await client.close()
        if isinstance(client, DuplexClient):
            await client.connection.close()


async def everything(client: Client, method: str, members: str) -> list[str]:
    found: list[str] = []
    more: dict[str, Any] = {}
    while True:
        page = await client.request(method, more)
        assert len(page[members]) <= 2
        found += [entry["name"] for entry in page[members]]
        if "nextCursor" not in page:
            return found
        more = {"cursor": page["nextCursor"]}


WIRES = [
    *(("http", revision) for revision in (MODERN, LEGACY, "2025-06-18", "2025-03-26")),
    *(("ws", revision) for revision in (MODERN, LEGACY)),
    ("sse", "2024-11-05"),
]


@pytest.mark.parametrize(("wire", "revision"), WIRES)
async def test_every_revision_sees_the_part(connect: Any, wire: str, revision: str) -> None:
    client = await connect("review", revision, wire)
    shown = ["gh_echo", "gh_ask", "gh_later", "gh_large"]
    assert await everything(client, "tools/list", "tools") == shown
    assert await everything(client, "prompts/list", "prompts") == ["gh_plan"]
    assert await everything(client, "resources/list", "resources") == []
    assert await client.text("gh_echo", text="x") == await client.text("echo", text="x") == "gh x"
    for name in ("db_echo", "db_ask", "GH_ECHO", "gh_echo/", "../gh_echo"):
        with pytest.raises(Refused) as refused:
            await client.tool(name, text="x")
        assert refused.value.code == -32602
    for method, params in (
        ("prompts/get", {"name": "db_plan"}),
        ("resources/read", {"uri": "gh://page"}),
        ("resources/read", {"uri": "db://page"}),
    ):
        with pytest.raises(Refused):
            await client.request(method, params)
    discovered = client.initialized if not client.modern else await client.request("server/discover")
    assert discovered["instructions"] == "gh is here"
    # The whole is what it was.
    whole = await connect("", revision)
    assert len(await everything(whole, "tools/list", "tools")) == 8
    assert await whole.text("db_echo", text="x") == "db x"


async def test_a_large_result_can_be_read_where_it_was_made(connect: Any) -> None:
    client, other = await connect("review", MODERN), await connect("", MODERN)
    blocks = (await client.tool("gh_large"))["content"]
    (uri,) = [block["uri"] for block in blocks if block["type"] == "resource_link"]
    read = await client.request("resources/read", {"uri": uri})
    assert read["contents"][0]["text"] == "x" * 2_000_000
    for elsewhere in (other, await connect("other", MODERN)):
        with pytest.raises(Refused):
            await elsewhere.request("resources/read", {"uri": uri})


async def test_sessions_do_not_cross(server: Rig, connect: Any) -> None:
    inside, outside = await connect("review", LEGACY), await connect("", LEGACY)
    for client, url in ((inside, outside.url), (outside, inside.url), (inside, f"{server.url}/other")):
        body = json.dumps(client.message("tools/list")).encode()
        async with client.http.post(url, data=body, headers=client.headers()) as response:
            assert response.status == 404
        async with client.http.delete(url, headers=client.headers()) as response:
            assert response.status == 404
    assert await inside.text("gh_echo", text="x") == await outside.text("gh_echo", text="x")


async def test_tasks_states_and_cursors_do_not_cross(connect: Any) -> None:
    clients = {profile: await connect(profile, MODERN) for profile in ("", "review", "other")}
    for profile, client in clients.items():
        made = await client.tool("gh_later", text="x")
        asked = await client.tool("gh_ask")
        cursor = (await client.request("tools/list"))["nextCursor"]
        (key,) = asked["inputRequests"]
        answer = {key: {"action": "accept", "content": {"value": "v"}}}
        retry = {"name": "gh_ask", "arguments": {}, "inputResponses": answer, "requestState": asked["requestState"]}
        for other, elsewhere in clients.items():
            if other == profile:
                continue
            for method, params in (
                ("tasks/get", {"taskId": made["taskId"]}),
                ("tasks/cancel", {"taskId": made["taskId"]}),
                ("tools/call", retry),
                ("tools/list", {"cursor": cursor}),
            ):
                with pytest.raises(Refused) as refused:
                    await elsewhere.request(method, params)
                assert refused.value.code == -32602
            listen = await elsewhere.open("subscriptions/listen", {"notifications": {"taskIds": [made["taskId"]]}})
            frame = await listen.next("notifications/subscriptions/acknowledged")
            assert frame["params"]["notifications"] == {}
        assert (await client.request("tasks/get", {"taskId": made["taskId"]}))["taskId"] == made["taskId"]
        assert text_of(await client.request("tools/call", retry)) == "gh v"
        assert (await client.request("tools/list", {"cursor": cursor}))["tools"]


async def test_resources_by_glob(connect: Any) -> None:
    client = await connect("other", MODERN)
    assert await everything(client, "resources/list", "resources") == ["page"]
    assert (await client.request("resources/read", {"uri": "db://page"}))["contents"][0]["text"] == "db page"
    with pytest.raises(Refused):
        await client.request("resources/read", {"uri": "gh://page"})


async def test_a_profile_that_names_nothing_has_nothing(connect: Any) -> None:
    client = await connect("empty", MODERN)
    for method, members in (("tools/list", "tools"), ("prompts/list", "prompts"), ("resources/list", "resources")):
        assert await everything(client, method, members) == []
    with pytest.raises(Refused):
        await client.tool("echo", text="x")


async def test_an_unknown_profile_is_not_found(server: Rig) -> None:
    client = HttpClient(f"{server.url}/nobody", MODERN)
    try:
        status, body, _ = await client.post(json.dumps(client.message("tools/list")).encode())
        assert (status, body["error"]["message"]) == (404, "there is no such profile")
        for path in (
            "/mcp/",
            "/mcp/review/",
            "/mcp/review/x",
            "/mcp//review",
            "/mcp/REVIEW",
            "/sse/nobody",
            "/messages/x",
        ):
            async with client.http.get(server.base + path) as response:
                assert response.status == 404, path
        # The same path in another spelling is the same profile, not another door.
        async with client.http.post(
            f"{server.base}/mcp/rev%69ew",
            data=json.dumps(client.message("tools/call", {"name": "db_echo", "arguments": {"text": "x"}})),
            headers=client.headers(client.message("tools/call", {"name": "db_echo"})),
        ) as response:
            assert (await response.json())["error"]["code"] == -32602
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.http.ws_connect(f"{server.base}/mcp/nobody")
        assert refused.value.status == 403
    finally:
        await client.close()


async def test_profiles_guard_the_host_as_well(server: Rig) -> None:
    client = HttpClient(f"{server.url}/review", MODERN)
    try:
        status, _, _ = await client.post(b"{}", origin="https://evil.example")
        assert status == 403
    finally:
        await client.close()


def test_the_official_sdk_in_a_profile(server: Rig) -> None:
    code = (
        "import asyncio, json, sys\nfrom mcp import Client\n"
        "async def main(mode):\n"
        "    async with Client(sys.argv[1], mode=mode) as client:\n"
        "        tools = (await client.list_tools()).tools\n"
        "        result = await client.call_tool('gh_echo', {'text': 'x'})\n"
        "        return [[tool.name for tool in tools], result.content[0].text]\n"
        "print(json.dumps([asyncio.run(main(mode)) for mode in sys.argv[2:]]))\n"
    )
    command = [program(sdk(), "python"), "-c", code, f"{server.url}/review", "legacy", MODERN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    for tools, text in json.loads(done.stdout):
        assert text == "gh x"
        # The first page, of two.
        assert tools == ["gh_echo", "gh_ask"]


async def test_two_at_once(connect: Any) -> None:
    """Calls in a profile and in the whole, at the same time on the same running source."""
    inside, outside = await connect("review", MODERN), await connect("", MODERN)
    texts = await asyncio.gather(
        *(client.text("gh_echo", text=f"{name}{number}") for number in range(20)
          for name, client in (("i", inside), ("o", outside)))
    )  # fmt: skip
    assert sorted(texts) == sorted(f"gh {name}{number}" for number in range(20) for name in "io")
