"""TARGETs: their grammar, the names of their sources, and when a prefix is put before the names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.config.model import SOURCE_NAME
from rune.config.targets import DEMO, check_target, load
from rune.errors import ConfigError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("tools.py", "my_tools.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "one.json").write_text('{"mcpServers": {"only": {"command": "x"}}}')
    (tmp_path / "two.json").write_text('{"mcpServers": {"a": {"command": "x"}, "b": {"url": "http://b"}}}')


def prefixes(*targets: str, command: tuple[str, ...] = (), file: str | None = None) -> dict[str, str]:
    config = load(targets, command, None if file is None else Path(file), environ={})
    return {source.name: source.prefix for source in config.sources}


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("tools.py", "tools"),
        ("./my_tools.py", "my-tools"),
        ("https://mcp.example.org/mcp", "mcp-example-org"),
        ("http://127.0.0.1:8000", "127-0-0-1"),
        ("http://[::1]:8000/mcp", "1"),
        ("https://a-very-long-host-name.example.org/", "a-very-long-host-name-ex"),
    ],
)
def test_a_lone_target_has_no_prefix(target: str, name: str) -> None:
    assert prefixes(target) == {name: ""}


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("mcp-server-time",), "time"),
        (("/opt/bin/mcp-server-git", "--repository", "."), "git"),
        (("npx", "-y", "server"), "npx"),
        (("server.exe",), "server"),
    ],
)
def test_a_lone_command_has_no_prefix(command: tuple[str, ...], name: str) -> None:
    assert prefixes(command=command) == {name: ""}


def test_several_targets_have_prefixes() -> None:
    assert prefixes("tools.py", "https://example.org", command=("mcp-server-time",)) == {
        "tools": "tools_", "example-org": "example-org_", "time": "time_",
    }  # fmt: skip


def test_servers_of_files_have_prefixes_even_alone() -> None:
    assert prefixes("one.json") == {"only": "only_"}
    assert prefixes(file="one.json") == {"only": "only_"}
    Path("rune.toml").write_text('[sources.a]\npython = "tools.py"\n[sources.b]\nurl = "http://b"\nprefix = ""')
    assert prefixes(file="rune.toml") == {"a": "a_", "b": ""}
    assert prefixes("tools.py", file="rune.toml") == {"a": "a_", "b": "", "tools": "tools_"}


def test_a_config_without_sources_leaves_a_lone_target_alone() -> None:
    Path("rune.toml").write_text("[server]\nport = 1234")
    config = load(["tools.py"], file=Path("rune.toml"), environ={})
    assert (config.server.port, config.sources[0].prefix) == (1234, "")


def test_hosts_get_their_port_when_two_need_it() -> None:
    assert set(prefixes("http://localhost:1/mcp", "http://localhost:2/mcp")) == {"localhost-1", "localhost-2"}
    assert set(prefixes("http://x.org/mcp", "wss://x.org/mcp")) == {"x-org-80", "x-org-443"}
    long = "a-very-long-host-name.example.org"
    assert set(prefixes(f"http://{long}:8000", f"http://{long}:65535")) == {
        "a-very-long-host-nam-8000".replace("nam-", "na-"), "a-very-long-host-n-65535",
    }  # fmt: skip


@pytest.mark.parametrize(
    "targets", [("tools.py", "./tools.py"), ("http://x.org/a", "http://x.org/b"), ("one.json", "one.json")]
)
def test_two_sources_of_one_name_are_refused_with_the_fix(targets: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="two sources have this name") as caught:
        load(targets, environ={})
    assert "[sources." in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("missing.py", "missing.py: no such file"),
        ("missing.json", "missing.json: no such file"),
        ("missing.wasm", "missing.wasm: no such file"),
        ("x.so", "x.so: no TARGET that is known"),
        ("what", "what: no TARGET that is known"),
        ("", "no TARGET that is known"),
        ("ftp://x.org", "ftp://x.org is no URL of an MCP server"),
        ("http://", "http:// is no URL of an MCP server"),
        ("rune.toml", "rune.toml: a config is no TARGET"),
    ],
)
def test_what_is_no_target_says_what_is_one(target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        check_target(target)
    assert caught.value.hint
    with pytest.raises(ConfigError):
        load([target], environ={})


def test_good_targets_pass_the_check() -> None:
    for target in ("tools.py", "one.json", "https://example.org/mcp"):
        check_target(target)


def test_without_anything_the_files_here_count_then_the_demo() -> None:
    demo = load([], environ={})
    assert [(source.name, source.place, source.prefix) for source in demo.sources] == [("demo", str(DEMO), "")]
    Path("mcp.json").write_text(Path("two.json").read_text())
    assert set(prefixes()) == {"a", "b"}
    Path("rune.toml").write_text('[sources.mine]\npython = "tools.py"')
    assert set(prefixes()) == {"mine"}
    assert set(prefixes("tools.py")) == {"tools"}


@given(st.text(max_size=40))
def test_any_word_is_a_target_or_a_clear_error(word: str) -> None:
    try:
        config = load([word], environ={})
    except ConfigError as error:
        said = error.message, error.hint
    else:
        said = None
        assert all(SOURCE_NAME.fullmatch(source.name) for source in config.sources)
    assert said is None or all(said)
