"""What a policy denies, tried by a guest in Python: files, environment, sockets, the network, memory, time."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from rune import Client
from rune.build import around
from rune.config.policy import LimitsTable, NetworkTable, PolicyTable, StorageTable
from rune.config.sizes import Size
from rune.sources.wasm.component import WasmSource
from rune.sources.wasm.engine import load
from tests import guests, peers

DEADLINE = 120
SECRET = "s3cr3t-token"


@pytest.fixture(scope="module")
def attacks() -> Path:
    found = guests.component(Path(__file__).with_name("guests") / "attacks.py")
    # Compiling it takes longer than a call may.
    load(found, peers.cache() / "compiled")
    return found


class Mirror(BaseHTTPRequestHandler):
    """Says back what it was told; `/large` is a megabyte, `/away` leads elsewhere."""

    def do_GET(self) -> None:
        told = json.dumps({"path": self.path, "headers": dict(self.headers)}).encode()
        body = b"x" * (1 << 20) if self.path == "/large" else told
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def mirror() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


async def said(attacks: Path, policy: PolicyTable | None, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    """What each call says; `!` stands before what failed."""
    source = WasmSource("attacks", attacks, policy, peers.cache() / "compiled")
    found = []
    async with asyncio.timeout(DEADLINE), around(source) as gateway, Client(gateway) as client:
        for name, arguments in calls:
            answer = await client.call_tool(name, arguments)
            found.append(("!" if answer.get("isError") else "") + answer.text)
    return found


async def test_without_a_policy_there_is_nothing_to_see(attacks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", SECRET)
    calls = [("read", {"path": path}) for path in ("/etc/passwd", "../../etc/passwd", "/proc/self/environ")]
    files = await said(attacks, None, *calls, ("write", {"path": "/x", "text": "x"}))
    assert all(each.startswith("!") for each in files)
    environ, socket, fetched = await said(
        attacks, None, ("environ", {}), ("connect", {"host": "127.0.0.1", "port": 80}),
        ("fetch", {"request": {"url": "https://example.org/"}}),
    )  # fmt: skip
    assert json.loads(environ) == {}
    assert socket.startswith("!")
    assert 'its policy would allow it with network = [{ host = "example.org" }]' in fetched


async def test_a_folder_is_granted_and_nothing_beside_it(attacks: Path, tmp_path: Path) -> None:
    granted, outside = tmp_path / "granted", tmp_path / "outside"
    granted.mkdir()
    outside.write_text("hidden")
    (granted / "note").write_text("seen")
    (granted / "way-out").symlink_to(outside)
    (granted / "up").symlink_to("..")
    reading = PolicyTable(storage=(StorageTable(path=str(granted), mount="/data"),))
    found = await said(
        attacks, reading, ("read", {"path": "/data/note"}), ("read", {"path": "/data/way-out"}),
        ("read", {"path": "/data/../outside"}), ("read", {"path": "/data/up/outside"}),
        ("write", {"path": "/data/new", "text": "x"}), ("read", {"path": str(outside)}),
    )  # fmt: skip
    assert found[0] == "seen"
    assert all(each.startswith("!") and "hidden" not in each for each in found[1:])
    assert not (granted / "new").exists()
    writing = PolicyTable(storage=(StorageTable(path=str(granted), mount="/data", access="write"),))
    found = await said(
        attacks, writing, ("write", {"path": "/data/new", "text": "x"}),
        ("link", {"target": str(outside), "path": "/data/abs"}),
        ("link", {"target": "../outside", "path": "/data/rel"}),
        ("write", {"path": "/data/way-out", "text": "x"}),
    )  # fmt: skip
    assert found[0] == "written" and (granted / "new").read_text() == "x"
    assert all(each.startswith("!") and "hidden" not in each for each in found[1:])
    assert outside.read_text() == "hidden"


async def test_only_granted_variables_are_seen(attacks: Path) -> None:
    (found,) = await said(attacks, PolicyTable(environment={"LEVEL": "3"}), ("environ", {}))
    assert json.loads(found) == {"LEVEL": "3"}


async def test_the_network_is_what_the_policy_names(attacks: Path, mirror: int) -> None:
    host = f"127.0.0.1:{mirror}"
    url = f"http://{host}"
    bearer = {"Authorization": f"Bearer {SECRET}"}
    grant = NetworkTable(host=host, private=True, methods=("GET",), inject=bearer)
    policy = PolicyTable(network=(grant,), limits=LimitsTable(output=Size(1 << 16)))
    headers = {"authorization": "mine", "Host": "other", "X-Kept": "yes"}
    got, posted, other, away, large, user = await said(
        attacks, policy,
        ("fetch", {"request": {"url": f"{url}/a?b=c", "headers": headers}}),
        ("fetch", {"request": {"url": url, "method": "POST", "body": "x"}}),
        ("fetch", {"request": {"url": f"http://localhost:{mirror}/"}}),
        ("fetch", {"request": {"url": f"{url}/away"}}),
        ("fetch", {"request": {"url": f"{url}/large"}}),
        ("fetch", {"request": {"url": f"http://u:p@{host}/"}}),
    )  # fmt: skip
    seen = json.loads(json.loads(got)["body"])
    assert seen["path"] == "/a?b=c"
    assert (seen["headers"]["Host"], seen["headers"]["X-Kept"]) == (host, "yes")
    # It was sent, and came back blotted out.
    assert seen["headers"]["Authorization"] == "Bearer ***" and "authorization" not in seen["headers"]
    assert "POST is not granted" in posted
    assert f"localhost:{mirror} is not granted" in other
    assert "denied" in away and "longer than 65536 bytes" in large and "no user" in user
    assert SECRET not in "".join((got, posted, other, away, large, user))


async def test_a_name_that_leads_inside_is_refused(attacks: Path, mirror: int) -> None:
    """What counts is the address that is connected to, whatever the name is."""
    names = ("localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254")
    policy = PolicyTable(network=tuple(NetworkTable(host=f"{name.strip('[]')}:{mirror}") for name in names))
    calls = [("fetch", {"request": {"url": f"http://{name}:{mirror}/"}}) for name in names]
    found = await said(attacks, policy, *calls)
    assert all(each.startswith("denied") for each in found), found


async def test_a_name_that_changes_its_mind_leads_nowhere_inside(
    attacks: Path, mirror: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that says something else each time it is asked: what was looked at is what is connected to."""
    loop = asyncio.get_running_loop()
    outside, inside = "93.184.216.34", "127.0.0.1"
    answers: list[list[str]] = [[outside], [inside], [outside, inside], [inside, outside], [outside]]
    asked: list[str] = []
    reached: list[str] = []

    async def resolve(host: str, port: int, **more: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in answers[len(asked) - 1]]

    async def connect(_sock: socket.socket, address: tuple[str, int]) -> None:
        reached.append(address[0])
        raise ConnectionRefusedError(111, "refused")

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    monkeypatch.setattr(loop, "sock_connect", connect)
    policy = PolicyTable(network=(NetworkTable(host=f"rebind.example:{mirror}"),))
    url = f"http://rebind.example:{mirror}/"
    found = await said(attacks, policy, *[("fetch", {"request": {"url": url}})] * len(answers))
    # Each call asks once: between the look and the connection there is no second question.
    assert asked == ["rebind.example"] * len(answers)
    assert reached == [outside] * 4
    assert "not a public address" in found[1]
    assert all(each.startswith("denied") for each in found), found


async def test_memory_ends_at_its_limit(attacks: Path) -> None:
    policy = PolicyTable(limits=LimitsTable(memory=Size(64 << 20)), isolation="shared")
    found = await said(attacks, policy, ("hoard", {"size": 200 << 20}), ("echo", {"text": "on"}))
    assert found[0].startswith("!MemoryError") and found[1] == "on"


async def test_long_calls_run_at_the_same_time(attacks: Path) -> None:
    """Two of four are at work in the same moment, each in an instance and a thread of its own."""
    source = WasmSource("attacks", attacks, None, peers.cache() / "compiled")
    async with asyncio.timeout(DEADLINE), around(source) as gateway, Client(gateway) as client:
        await client.list_tools()
        calls = asyncio.gather(*(client.call_tool("work", {"rounds": 300_000}) for _ in range(4)))
        most = 0
        while not calls.done():
            assert source.pool is not None
            most = max(most, sum(ticket.instance is not None for ticket in source.pool.running))
            await asyncio.sleep(0.005)
        assert most > 1
        assert len({answer.text for answer in await calls}) == 1
