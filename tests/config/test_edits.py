"""Drafts: a file changes as a whole or not at all, and only where it was meant to."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rune.config.edits import Draft
from rune.errors import ConfigError

JSON = '{\n  // mine\n  "mcpServers": {\n    "a": {"command": "x", "env": {"API_KEY": "sk-very-secret"}}\n  }\n}\n'
TOML = '# mine\n[mcp_servers.a]\ncommand = "x" # why\n\n[mcp_servers.a.env]\nAPI_KEY = "sk-very-secret"\n'
OURS = {"command": "rune", "args": ["serve"]}

CASES = [("mcp.json", JSON, ("mcpServers", "rune")), ("config.toml", TOML, ("mcp_servers", "rune"))]


@pytest.mark.parametrize(("name", "text", "keys"), CASES)
def test_there_and_back_again(tmp_path: Path, name: str, text: str, keys: tuple[str, ...]) -> None:
    path = tmp_path / name
    path.write_text(text)
    path.chmod(0o640)
    draft = Draft(path)
    assert not draft.changed
    draft.add(keys, OURS)
    assert draft.at(*keys) == OURS
    draft.save(backup=True)
    assert path.read_text() == draft.text != text
    assert draft.backup.read_text() == text
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, draft.backup)] == [0o640, 0o640]
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([name, f"{name}.rune-backup"])
    again = Draft(path)
    again.drop(keys)
    again.save(backup=True)
    assert path.read_bytes() == text.encode()


ODD = [
    ("mcp.json", "{}"),
    ("mcp.json", "{\n}"),
    ("mcp.json", '{"a": 1}'),
    ("mcp.json", '{\n  "mcpServers": {\n\n  }\n}'),
    ("mcp.json", '\ufeff{"mcpServers": {}}\r\n'),
    ("mcp.json", " \n"),
    ("config.toml", "\ufeff# bom\n"),
    ("config.toml", "\n\n"),
    ("config.toml", 'model = "x"\r\n'),
]


@pytest.mark.parametrize(("name", "text"), ODD)
def test_also_where_the_text_alone_does_not_say_what_was_there(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    for change in (
        lambda draft: draft.add(("mcpServers", "rune"), OURS),
        lambda draft: draft.drop(("mcpServers", "rune")),
    ):
        draft = Draft(path)
        change(draft)
        draft.save(backup=True)
    assert path.read_bytes() == text.encode()


def test_what_somebody_wrote_in_between_stays(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{"a": 1}')
    draft = Draft(path)
    draft.add(("mcpServers", "rune"), OURS)
    draft.save(backup=True)
    path.write_text(path.read_text().replace('"a": 1', '"a": 2'))
    draft = Draft(path)
    draft.drop(("mcpServers", "rune"))
    draft.save(backup=True)
    assert json.loads(path.read_text()) == {"a": 2, "mcpServers": {}}


def test_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "mcp.json"
    draft = Draft(path)
    assert (draft.before, draft.value, draft.where("x")) == (None, {}, f"{path}:1")
    draft.add(("servers", "rune"), OURS)
    draft.save(backup=True)
    assert json.loads(path.read_text()) == {"servers": {"rune": OURS}}
    assert not draft.backup.exists()


def test_an_unchanged_draft_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    Draft(path).save(backup=True)
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json", b'{\n"a": }', "a.json:2: expecting a value"),
        ("a.json", b"[1]", "a.json: it is no object"),
        ("a.json", b"\xff", "a.json: not UTF-8 at byte 0"),
        ("a.json", b"[" * 3000, "a.json:1: nested too deeply"),
        ("a.toml", b"a = \n", "a.toml:1: invalid value"),
    ],
)
def test_a_broken_file_is_no_draft(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        Draft(path)
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(message)
    assert caught.value.hint
    assert path.read_bytes() == data


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        Draft(tmp_path)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    target = tmp_path / "dotfiles" / "mcp.json"
    target.write_text("{}")
    link = tmp_path / "mcp.json"
    link.symlink_to(target)
    draft = Draft(link)
    draft.add(("servers", "rune"), OURS)
    draft.save(backup=True)
    assert link.is_symlink()
    assert "rune" in target.read_text()
    assert draft.backup == target.with_name("mcp.json.rune-backup")


def test_a_file_that_changed_meanwhile_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    draft = Draft(path)
    draft.add(("servers", "rune"), OURS)
    path.write_text('{"new": 1}')
    with pytest.raises(ConfigError, match="has changed meanwhile"):
        draft.save(backup=True)
    path.unlink()
    with pytest.raises(ConfigError, match="has changed meanwhile"):
        draft.save()
    assert list(tmp_path.iterdir()) == []
    new = Draft(path)
    new.add(("servers", "rune"), OURS)
    path.write_text("{}")
    with pytest.raises(ConfigError, match="has changed meanwhile"):
        new.save()
    assert path.read_text() == "{}"


def test_a_read_only_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    path.chmod(0o400)
    draft = Draft(path)
    draft.add(("servers", "rune"), OURS)
    with pytest.raises(ConfigError, match="it is read-only; nothing was written"):
        draft.save(backup=True)
    assert path.read_text() == "{}"
    assert not draft.backup.exists()


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    draft = Draft(tmp_path / "file" / ".." / "other" / "mcp.json")
    (tmp_path / "other").write_text("")
    draft.add(("servers", "rune"), OURS)
    with pytest.raises(ConfigError, match="cannot be written"):
        draft.save()


@pytest.mark.parametrize(
    ("name", "text", "keys"),
    [
        ("a.toml", "mcp_servers = { a = { url = 'x' } }\n", ("mcp_servers", "rune")),
        ("a.json", '{"servers": {"b": 1, "b": 2}}', ("servers", "b")),
    ],
)
def test_what_cannot_be_edited_safely_is_left_alone(
    tmp_path: Path, name: str, text: str, keys: tuple[str, ...]
) -> None:
    path = tmp_path / name
    path.write_text(text)
    draft = Draft(path)
    with pytest.raises(ConfigError, match="cannot be edited safely") as caught:
        draft.add(keys, OURS) if name == "a.toml" else draft.drop(keys)
    assert "by hand" in (caught.value.hint or "")
    assert not draft.changed


def test_something_else_is_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{\n"servers": 1}')
    with pytest.raises(ConfigError, match=r"a\.json:2: servers is no table"):
        Draft(path).add(("servers", "rune"), OURS)


def test_the_diff_shows_what_changes_and_no_secret(tmp_path: Path) -> None:
    entry = {
        "env": {"A": "alpha-1", "B": 'be"ta'}, "headers": {"Authorization": "Bearer gamma-1"},
        "args": ["--api-key", "delta-1", "--token=epsilon-1", "-H", "Authorization: Bearer zeta-1", "plain"],
    }  # fmt: skip
    path = tmp_path / "mcp.json"
    for indent in (None, 1):
        path.write_text(json.dumps({"servers": {"a": entry}}, indent=indent))
        draft = Draft(path)
        draft.add(("servers", "b"), {"command": "rune", **entry})
        shown = draft.diff()
        for secret in ("alpha", "be", "gamma", "delta", "epsilon", "zeta"):
            assert secret not in shown
        assert "•••" in shown
        assert all(len(line) <= 160 for line in shown.splitlines())
    assert '+  "b": {\n+   "command": "rune",' in shown
    assert "plain" in shown


SCRIPT = """
import sys
from pathlib import Path
from rune.config.edits import Draft
from rune.errors import ConfigError
path, name = Path(sys.argv[1]), sys.argv[2]
for attempt in range(200):
    draft = Draft(path)
    draft.add(("sources", name), {"url": "http://x"})
    try:
        draft.save()
        break
    except ConfigError as error:
        assert "has changed meanwhile" in str(error)
else:
    raise SystemExit(1)
"""


def test_processes_that_write_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rune.toml"
    children = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, str(path), f"s{index}"], env=os.environ) for index in range(6)
    ]
    assert [child.wait(timeout=60) for child in children] == [0] * 6
    assert sorted(Draft(path).at("sources")) == [f"s{index}" for index in range(6)]
    assert [each.name for each in tmp_path.iterdir()] == ["rune.toml"]
