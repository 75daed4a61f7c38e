"""`rune serve`: real processes on HTTP and stdio, what they print, how they stop."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rune import __version__
from rune.auth.guard import loopback
from rune.build import build
from rune.cli.serve import address, example, listening
from rune.config.files import plain_name
from rune.config.model import ServerTable
from rune.config.targets import load

Rune = Callable[..., Any]
Start = Callable[..., Any]


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.2", False), ("example.org", False), ("", False),
    ],
)  # fmt: skip
def test_loopback(host: str, answer: bool) -> None:
    assert loopback(host) is answer


def test_addresses_in_urls() -> None:
    assert address("127.0.0.1", 1) == "127.0.0.1:1"
    assert address("::1", 1) == "[::1]:1"
    assert address("0.0.0.0", 1) == "127.0.0.1:1"
    assert address("::", 1) == "[::1]:1"


def test_the_server_table_says_how_to_listen() -> None:
    listen = listening(ServerTable(port=8, allowed_hosts=("a",), max_sessions=3))
    assert (listen.port, listen.allowed_hosts, listen.max_sessions, listen.max_body) == (8, ("a",), 3, 4 * 2**20)


async def test_the_first_call_to_try(folder: Path) -> None:
    async def first(*targets: str) -> str:
        config = load(targets, environ={})
        async with build(config) as gateway:
            return await example(gateway, config)

    assert await first("tools.py") == "tool call add a=1"
    assert await first("http://127.0.0.1:9/mcp", "tools.py") == "tool call tools_add a=1"
    (folder / "other.py").write_text(
        "from rune import Server\nserver = Server('x')\n"
        "@server.tool(annotations={'readOnlyHint': True})\ndef f(x: dict[str, int]) -> str: ...\n"
        "@server.tool\ndef g(x: int) -> str: ...\n"
    )
    assert await first("other.py") == "tool list"
    assert await first("http://127.0.0.1:9/mcp") == "tool list"


def test_http_prints_the_url_a_snippet_and_what_works_next(rune: Rune, start: Start) -> None:
    process = start("serve", "tools.py", "--port", "0")
    assert process.line() == f"rune {__version__} serves tools"
    assert process.line() == ""
    url = process.line().strip()
    assert process.line() == ""
    client, snippet = process.line().split(maxsplit=1)
    label, *step = process.line().split()
    assert (client, label) == ("client:", "next:")
    assert json.loads(snippet) == {"mcpServers": {"rune": {"type": "http", "url": url}}}
    assert step[:3] == [Path(sys.executable).name, "-m", "rune"]
    assert rune(*step[3:]).out == "3\n"
    with urllib.request.urlopen(url.removesuffix("/mcp") + "/health", timeout=5) as answer:
        assert answer.status == 200
    ran = rune("inspect", url, "--json")
    assert ran.json["servers"][0]["serverInfo"]["name"] == "things"
    assert ran.json["servers"][0]["revisions"] == ["2026-07-28"]
    status, out, err = process.stop()
    assert (status, out) == (0, "adding\n")
    assert "Traceback" not in err


def test_profiles_are_printed(start: Start, folder: Path) -> None:
    (folder / "rune.toml").write_text('[sources.a]\npython = "tools.py"\n[profiles.review]\ntools = ["a_*"]\n')
    process = start("serve", "--port", "0")
    process.line(), process.line()
    url = process.line().strip()
    assert process.line().strip() == f"{url}/review"
    assert process.stop()[0] == 0
    process = start("serve", "--port", "0", "--json")
    told = json.loads(process.line())
    assert told["profiles"] == {"review": f"{told['url']}/review"}
    assert process.stop()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_json_is_one_line(start: Start, folder: Path, number: int) -> None:
    (folder / "rune.toml").write_text('[server]\nport = 0\nname = "house"\n[sources.a]\npython = "tools.py"\n')
    process = start("serve", "--json")
    told = json.loads(process.line())
    assert told["sources"] == ["a"]
    assert told["url"].startswith("http://127.0.0.1:")
    assert told["websocket"] == told["url"].replace("http", "ws", 1)
    assert told["next"].endswith(f"tool call a_add a=1 --url {told['url']}")
    assert process.stop(number)[0] == 0


def test_the_options_override_the_config(start: Start, folder: Path) -> None:
    (folder / "rune.toml").write_text('[server]\nhost = "0.0.0.0"\nport = 1\n[sources.a]\npython = "tools.py"\n')
    process = start("serve", "--config", "rune.toml", "--host", "localhost", "--port", "0", "--json")
    assert json.loads(process.line())["url"].startswith("http://localhost:")
    assert process.stop()[0] == 0


@pytest.mark.parametrize("words", [("--host", "0.0.0.0"), ("--config", "rune.toml")])
def test_another_host_than_loopback_needs_a_word(rune: Rune, folder: Path, words: tuple[str, ...]) -> None:
    (folder / "rune.toml").write_text('[server]\nhost = "::"\n')
    ran = rune("serve", *words)
    assert (ran.status, ran.out) == (2, "")
    assert "fix: --host 127.0.0.1, or --allow-anonymous" in ran.err


def test_with_that_word_it_is_served(start: Start) -> None:
    process = start("serve", "tools.py", "--host", "0.0.0.0", "--port", "0", "--allow-anonymous", "--json")
    told = json.loads(process.line())
    with urllib.request.urlopen(told["url"].removesuffix("/mcp") + "/health", timeout=5) as answer:
        assert answer.status == 200
    assert process.stop()[0] == 0


def test_a_port_in_use_is_an_error(rune: Rune) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = rune("serve", "tools.py", "--port", str(taken.getsockname()[1]))
    assert ran.status == 1
    assert "in use" in ran.err
    assert "fix: choose another port" in ran.err


def test_a_broken_file_is_an_error(rune: Rune, folder: Path) -> None:
    (folder / "tools.py").write_text("1 / 0")
    ran = rune("serve", "tools.py", "--stdio")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "tools.py:1: ZeroDivisionError: division by zero\n  fix: correct the file\n"


def test_stdio_prints_nothing_but_messages(start: Start) -> None:
    process = start("serve", "--stdio", "tools.py")
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    for id, tool in enumerate(("add", "echo")):
        params = {"name": tool, "arguments": {"a": 1} if tool == "add" else {"text": "x"}, "_meta": meta}
        message = {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}
        process.child.stdin.write(json.dumps(message).encode() + b"\n")
        process.child.stdin.flush()
        assert json.loads(process.line())["id"] == id
    out, err = process.child.communicate(timeout=5)
    assert process.child.returncode == 0
    assert out == b""
    assert err.decode().splitlines() == ["loading", "adding"]


def test_stdio_loads_no_more_than_it_needs() -> None:
    code = (
        "import atexit, sys; from rune.cli import run\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); run(['serve', '--stdio', 'tools.py'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="", capture_output=True, text=True, timeout=20, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "rune" in loaded
    assert not loaded & {"aiohttp", "starlette", "keyring", "jsonschema_rs", "rich", "uvicorn", "websockets"}


def test_two_sources_behind_one_endpoint(rune: Rune, start: Start) -> None:
    command = (sys.executable, "-m", "rune", "serve", "--stdio", "tools.py")
    process = start("serve", "tools.py", "--port", "0", "--json", "--", *command)
    url = json.loads(process.line())["url"]
    listed = rune("tool", "list", "--url", url).out
    other = plain_name(Path(sys.executable).name)
    assert "tools_add\t" in listed
    assert f"{other}_add\t" in listed
    assert rune("tool", "call", f"{other}_add", "a=1", "b=4", "--url", url).out == "5\n"
    assert process.stop()[0] == 0
