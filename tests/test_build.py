"""From a Config to a Gateway: Python files, their errors, names that collide, what the gateway calls itself."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rune import __version__
from rune.build import LATE, auth_of, build, late, load_server, login_command
from rune.config.files import plain_name, read_toml
from rune.config.model import AuthTable, Config, SourceConfig
from rune.config.targets import load
from rune.errors import ConfigError
from rune.gateway import Gateway
from rune.request import Caller, Request

SERVER = """
from rune import Server
server = Server("own name", version="7", instructions="be kind", title="Own")

@server.tool(execution="inline")
def {tool}(text: str) -> str:
    return "{tool}: " + text
"""


def write(path: Path, *tools: str) -> Path:
    text = SERVER.replace("{tool}", tools[0])
    text += "".join(f"\n@server.tool\ndef {tool}() -> str:\n    return ''\n" for tool in tools[1:])
    path.write_text(text)
    return path


def config_of(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "rune.toml"
    path.write_text(text)
    return read_toml(path, {})


async def names(gateway: Gateway) -> list[str]:
    result = await gateway.handle(Request("tools/list"))
    return [tool["name"] for tool in result.value["tools"]]


async def call(gateway: Gateway, name: str, arguments: dict[str, Any], caller: str = "anonymous") -> str:
    params = {"name": msgspec.Raw(msgspec.json.encode(name)), "arguments": msgspec.Raw(msgspec.json.encode(arguments))}
    result = await gateway.handle(Request("tools/call", params, caller=Caller(caller)))
    text: str = result.value["content"][0]["text"]
    return text


async def test_a_lone_file_serves_under_its_own_name(tmp_path: Path) -> None:
    path = write(tmp_path / "tools.py", "hello")
    async with asyncio.timeout(30), build(load([str(path)], environ={})) as gateway, gateway:
        identity = gateway.identity
        assert (identity.name, identity.version, identity.instructions) == ("own name", "7", "be kind")
        assert identity.title == "Own"
        assert await names(gateway) == ["hello"]
        assert await call(gateway, "hello", {"text": "x"}) == "hello: x"


async def test_the_config_may_give_another_name(tmp_path: Path) -> None:
    write(tmp_path / "tools.py", "hello")
    config = config_of(
        tmp_path, '[server]\nname = "house"\ninstructions = "be brief"\n[sources.t]\npython = "tools.py"\n'
    )
    async with build(config) as gateway:
        assert (gateway.identity.name, gateway.identity.instructions) == ("house", "be brief")


async def test_several_sources_are_merged_under_their_prefixes(tmp_path: Path) -> None:
    write(tmp_path / "one.py", "same", "search", "other")
    write(tmp_path / "two.py", "same")
    config = config_of(
        tmp_path,
        """
        [server]
        page_size = 2
        [sources.one]
        python = "one.py"
        tools = ["s*"]
        [sources.two]
        python = "two.py"
        prefix = ""
        """,
    )
    async with asyncio.timeout(30), build(config) as gateway, gateway:
        assert (gateway.identity.name, gateway.identity.version) == ("rune", __version__)
        first = (await gateway.handle(Request("tools/list"))).value
        assert [tool["name"] for tool in first["tools"]] == ["one_same", "one_search"]
        cursor = msgspec.Raw(msgspec.json.encode(first["nextCursor"]))
        second = (await gateway.handle(Request("tools/list", {"cursor": cursor}))).value
        assert [tool["name"] for tool in second["tools"]] == ["same"]
        one, two = await asyncio.gather(
            call(gateway, "one_same", {"text": "1"}, "anna"), call(gateway, "same", {"text": "2"}, "bert")
        )
        assert (one, two) == ("same: 1", "same: 2")


async def test_one_file_twice_is_two_servers(tmp_path: Path) -> None:
    write(tmp_path / "tools.py", "hello")
    config = config_of(tmp_path, '[sources.a]\npython = "tools.py"\n[sources.b]\npython = "tools.py"\n')
    async with asyncio.timeout(30), build(config) as gateway, gateway:
        assert await names(gateway) == ["a_hello", "b_hello"]
        assert [mount.source.name for mount in gateway.mounts] == ["a", "b"]


async def test_tools_of_one_name_are_refused_with_the_fix(tmp_path: Path) -> None:
    write(tmp_path / "one.py", "same")
    write(tmp_path / "two.py", "same")
    text = '[sources.one]\npython = "one.py"\nprefix = ""\n[sources.two]\npython = "two.py"\nprefix = ""\n'
    with pytest.raises(ConfigError, match=r"rune\.toml:4: two and one both offer a tool same") as caught:
        async with build(config_of(tmp_path, text)):
            pass
    assert caught.value.hint == 'give two another prefix, for example prefix = "two_"'
    shown = text.replace("[sources.two]", '[sources.two]\ntools = ["other"]')
    async with build(config_of(tmp_path, shown)) as gateway:
        assert len(gateway.mounts) == 2


async def test_tasks_are_kept_in_the_store_of_the_config(tmp_path: Path) -> None:
    write(tmp_path / "tools.py", "hello")
    config = config_of(tmp_path, '[server]\nstore = "sqlite:state.db"\n[sources.t]\npython = "tools.py"\n')
    async with asyncio.timeout(30), build(config) as gateway:
        token = gateway.seal.sign("test", "value")
        assert gateway.tasks is not None
    assert (tmp_path / "state.db").is_file()
    async with asyncio.timeout(30), build(config) as gateway:
        assert gateway.seal.verify("test", token) == "value"


async def test_servers_elsewhere_are_not_waited_for(tmp_path: Path) -> None:
    config = load(["http://127.0.0.1:9/mcp"], [sys.executable, "-c", "pass"], environ={})
    async with asyncio.timeout(30), build(config) as gateway:
        assert [mount.prefix for mount in gateway.mounts] == ["127-0-0-1_", f"{plain_name(Path(sys.executable).name)}_"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("x = 1", "tools.py: has no rune.Server", "from rune import Server"),
        (
            "from rune import Server\na = Server('a')\nb = Server('b')",
            "tools.py: has several servers: a, b",
            "call the one to serve `server`",
        ),
        ("\n1 / 0", "tools.py:2: ZeroDivisionError: division by zero", "correct the file"),
        ("def f(:\n", "tools.py:1: SyntaxError: ", "correct the file"),
        ("import nothing_of_that_name", "tools.py:1: ModuleNotFoundError: ", "install it beside rune"),
        ("import sys\nsys.exit(3)", "tools.py:2: SystemExit: 3", "correct the file"),
        (
            "from rune import Server\nserver = Server('a')\n@server.tool\ndef f(a: object()): ...",
            "tools.py:",
            None,
        ),
    ],
)
def test_files_that_cannot_be_served(tmp_path: Path, text: str, message: str, hint: str | None) -> None:
    path = tmp_path / "tools.py"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_server(path, "t")
    assert caught.value.message.startswith(message)
    assert hint is None or hint in (caught.value.hint or "")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rune\.toml:3: no such file: "):
        load_server(tmp_path / "none.py", "rune.toml:3")


def test_the_server_called_server_is_served(tmp_path: Path) -> None:
    path = tmp_path / "tools.py"
    path.write_text("from rune import Server\na = Server('a')\nserver = Server('b')")
    assert load_server(path, "t").name == "b"
    path.write_text("from rune import Server\nx = y = Server('both')")
    assert load_server(path, "t").name == "both"


def test_a_file_finds_its_neighbours_and_they_hide_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_tools.py").write_text("NAME = 'found'")
    (tmp_path / "msgspec.py").write_text("raise RuntimeError('not this one')")
    path = tmp_path / "tools.py"
    path.write_text("import msgspec, neighbour_of_tools, rune\nserver = rune.Server(neighbour_of_tools.NAME)")
    before = list(sys.path)
    try:
        assert load_server(path, "t").name == "found"
    finally:
        sys.path[:] = before


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ("https://a.example/mcp", "rune auth login https://a.example/mcp"),
        ("rune.toml:3", "rune auth login books"),
        ("mcp.json:3", "rune auth login books"),
        ("{cwd}/rune.toml:3", "rune auth login books"),
        ("other.toml:3", "rune auth login books --config other.toml"),
        ("/etc/rune/rune.toml:3", "rune auth login books --config /etc/rune/rune.toml"),
    ],
)
def test_the_command_that_signs_in_can_be_typed_here(origin: str, command: str) -> None:
    source = SourceConfig("books", "url", place="https://a.example/mcp", origin=origin.format(cwd=Path.cwd()))
    assert login_command(source) == command


def test_who_proves_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNE_HOME", str(tmp_path))
    source = SourceConfig("books", "url", place="https://a.example/mcp")
    assert type(auth_of(source)).__name__ == "Later"
    assert type(auth_of(replace(source, auth=AuthTable()))).__name__ == "OAuth"
    # A token in the headers is all there is.
    assert auth_of(replace(source, headers={"AUTHORIZATION": "Bearer x"})) is None
    assert not list(tmp_path.iterdir())


def test_every_entry_of_the_table_can_be_loaded() -> None:
    assert all(callable(late(key)) for key in LATE)
