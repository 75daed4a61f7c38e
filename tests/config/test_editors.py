"""Editors: where their configs are, and what an entry of ours makes of the files that their own documentation shows."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from rune.config import jsontext
from rune.config.editors import EDITORS, Machine, chosen, find
from rune.config.edits import Draft
from rune.errors import ConfigError

GOLDEN = Path(__file__).parent / "editors"
COMMAND = ["/opt/rune", "serve", "--stdio", "--config", "/work dir/rune.toml"]


def machine(home: Path, platform: str = "linux", **environ: str) -> Machine:
    return Machine(home, home / "project", platform, environ)


@pytest.mark.parametrize(
    ("name", "linux", "mac", "windows"),
    [
        (
            "claude-desktop", ".config/Claude/claude_desktop_config.json",
            "Library/Application Support/Claude/claude_desktop_config.json",
            "AppData/Roaming/Claude/claude_desktop_config.json",
        ),
        ("claude-code", ".claude.json", ".claude.json", ".claude.json"),
        ("cursor", ".cursor/mcp.json", ".cursor/mcp.json", ".cursor/mcp.json"),
        (
            "vscode", ".config/Code/User/mcp.json", "Library/Application Support/Code/User/mcp.json",
            "AppData/Roaming/Code/User/mcp.json",
        ),
        ("codex", ".codex/config.toml", ".codex/config.toml", ".codex/config.toml"),
    ],
)  # fmt: skip
def test_places(tmp_path: Path, name: str, linux: str, mac: str, windows: str) -> None:
    for platform, place in (("linux", linux), ("darwin", mac), ("win32", windows)):
        assert EDITORS[name].place(machine(tmp_path, platform)) == tmp_path / place


def test_places_that_the_environment_moves(tmp_path: Path) -> None:
    moved = machine(tmp_path, XDG_CONFIG_HOME="/x", CLAUDE_CONFIG_DIR="/c", CODEX_HOME="/d")
    assert {name: str(editor.place(moved)) for name, editor in EDITORS.items()} == {
        "claude-desktop": "/x/Claude/claude_desktop_config.json", "claude-code": "/c/.claude.json",
        "cursor": f"{tmp_path}/.cursor/mcp.json", "vscode": "/x/Code/User/mcp.json", "codex": "/d/config.toml",
    }  # fmt: skip
    windows = machine(tmp_path, "win32", APPDATA="/a", LOCALAPPDATA=str(tmp_path))
    assert str(EDITORS["vscode"].place(windows)) == "/a/Code/User/mcp.json"
    store = tmp_path / "Packages" / "Claude_x1" / "LocalCache" / "Roaming" / "Claude"
    store.mkdir(parents=True)
    assert EDITORS["claude-desktop"].place(windows) == store / "claude_desktop_config.json"


def test_places_in_a_project(tmp_path: Path) -> None:
    found = {
        name: EDITORS[name].place(machine(tmp_path), project=True).relative_to(tmp_path / "project").as_posix()
        for name in EDITORS if name != "claude-desktop"
    }  # fmt: skip
    assert found == {
        "claude-code": ".mcp.json", "cursor": ".cursor/mcp.json", "vscode": ".vscode/mcp.json",
        "codex": ".codex/config.toml",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="no config for a project"):
        EDITORS["claude-desktop"].place(machine(tmp_path), project=True)


@pytest.mark.parametrize("name", EDITORS)
def test_our_entry_in_the_file_of_its_documentation(tmp_path: Path, name: str) -> None:
    """`NAME.before` is in the shape that the program's own pages show, `NAME.after` is what `rune connect` makes."""
    editor = EDITORS[name]
    before, after = (GOLDEN / f"{name}.{part}" for part in ("before", "after"))
    path = tmp_path / ("config.toml" if name == "codex" else "mcp.json")
    path.write_bytes(before.read_bytes())
    draft = Draft(path)
    draft.add((editor.servers, "rune"), editor.command(COMMAND))
    draft.add((editor.servers, "far"), editor.url("http://127.0.0.1:7331/mcp"))
    assert draft.text == after.read_text()
    # What others parse is what was there, and ours.
    parse = tomllib.loads if name == "codex" else (lambda text: jsontext.parse(text).value)
    old, new = parse(before.read_text()), parse(after.read_text())
    assert [new[editor.servers].pop(each)["url" if each == "far" else "command"] for each in ("far", "rune")] == [
        "http://127.0.0.1:7331/mcp", "/opt/rune",
    ]  # fmt: skip
    assert new == old
    draft.drop((editor.servers, "far"))
    draft.drop((editor.servers, "rune"))
    assert draft.text == before.read_text()


@pytest.mark.parametrize("name", [name for name in EDITORS if name not in ("codex", "vscode")])
def test_files_that_must_be_plain_json_stay_plain(name: str) -> None:
    json.loads((GOLDEN / f"{name}.after").read_text())


def put(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def test_claude_code_keeps_servers_in_three_places(tmp_path: Path) -> None:
    here = machine(tmp_path)
    put(here.folder / ".mcp.json", {"mcpServers": {"shared": {"command": "a"}}})
    put(
        tmp_path / ".claude.json",
        {
            "mcpServers": {"mine": {"command": "b"}},
            "projects": {str(here.folder): {"mcpServers": {"local": {}}}, "/else": {"mcpServers": {"not": {}}}},
        },
    )
    found = list(find(EDITORS["claude-code"], here))
    assert [(list(each.servers), each.root) for each in found] == [
        (["shared"], here.folder), (["local"], here.folder), (["mine"], None),
    ]  # fmt: skip


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    put(tmp_path / ".cursor" / "mcp.json", {"mcpServers": {}})
    assert [list(find(editor, machine(tmp_path))) for editor in EDITORS.values()] == [[]] * 5


def test_a_home_is_no_project(tmp_path: Path) -> None:
    put(tmp_path / ".cursor" / "mcp.json", {"mcpServers": {"a": {}}})
    assert [each.root for each in find(EDITORS["cursor"], Machine(tmp_path, tmp_path, "linux", {}))] == [None]


def test_servers_that_are_no_table(tmp_path: Path) -> None:
    put(tmp_path / ".cursor" / "mcp.json", {"mcpServers": []})
    with pytest.raises(ConfigError, match=r"mcp\.json:1: mcpServers is no table"):
        list(find(EDITORS["cursor"], machine(tmp_path)))


def test_which_claude(tmp_path: Path) -> None:
    here = machine(tmp_path)
    with pytest.raises(ConfigError, match="two of that name"):
        chosen("claude", here)
    put(tmp_path / ".claude.json", {})
    assert chosen("claude", here).name == "claude-code"
    put(EDITORS["claude-desktop"].place(here), {})
    with pytest.raises(ConfigError, match="two of that name"):
        chosen("claude", here)
    assert chosen("codex", here).title == "Codex"
    with pytest.raises(ConfigError, match="no client that is known"):
        chosen("emacs", here)
