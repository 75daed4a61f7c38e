"""Servers of others as sources: what is taken along, what becomes a variable, and what is left out for which reason."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from rune.config.editors import EDITORS, Found, Machine, read
from rune.config.edits import Draft
from rune.config.files import read_toml
from rune.config.settling import locate, put, settle, waiting
from rune.config.takeover import Taken, take
from rune.errors import ConfigError

GOLDEN = Path(__file__).parent / "editors"
HERE = Path("/h/project")


def one(entry: Any, editor: str = "cursor", root: Path | None = HERE, base: Path = HERE) -> Taken:
    found = Found(EDITORS[editor], Path("mcp.json"), ("mcpServers",), {"A Server": entry}, root)
    (taken,) = take(found, Machine(Path("/h"), HERE, "linux", {}), base / "rune.toml")
    return taken


@pytest.mark.parametrize(
    ("entry", "table"),
    [
        ({"command": "npx", "args": ["-y", "x"]}, {"command": ["npx", "-y", "x"]}),
        ({"type": "stdio", "command": "x", "env": {}}, {"command": ["x"]}),
        ({"command": "x", "env": {"LEVEL": "info", "N": 3, "ON": True, "NOT": None}},
         {"command": ["x"], "env": {"LEVEL": "info", "N": "3", "ON": "true"}}),
        ({"url": "https://example.org/mcp"}, {"url": "https://example.org/mcp"}),
        ({"type": "sse", "url": "http://x/sse", "headers": {"X-Team": "red"}},
         {"url": "http://x/sse", "headers": {"X-Team": "red"}}),
        ({"command": "${userHome}/bin/x", "args": ["${workspaceFolder}/a", "${workspaceFolderBasename}${/}b"]},
         {"command": ["/h/bin/x", "/h/project/a", "project/b"]}),
        ({"command": "x", "args": ["${A:-b}"]}, {"command": ["x", "${A:-b}"]}),
        ({"command": "x", "cwd": "sub"}, {"command": ["x"], "cwd": "sub"}),
    ],
)  # fmt: skip
def test_what_is_taken_as_it_is(entry: Any, table: Any) -> None:
    taken = one(entry)
    assert (taken.name, taken.table, taken.needs, taken.remark) == ("a-server", table, [], "")


@pytest.mark.parametrize(
    ("editor", "entry", "table", "needs"),
    [
        ("cursor", {"command": "x", "env": {"K": "${env:K}", "L": "a${L}b"}},
         {"command": ["x"], "env": {"K": "${K:-}", "L": "a${L:-}b"}}, ["K", "L"]),
        ("claude-code", {"url": "${BASE:-http://x}/mcp", "headers": {"Authorization": "Bearer ${KEY}"}},
         {"url": "${BASE:-http://x}/mcp", "headers": {"Authorization": "Bearer ${KEY:-}"}}, ["KEY"]),
        ("codex", {"url": "http://x/mcp", "bearer_token_env_var": "T", "http_headers": {"X-Region": "us"},
                   "env_http_headers": {"X-Org": "ORG"}, "enabled_tools": ["a"], "tool_timeout_sec": 45},
         {"url": "http://x/mcp", "headers": {"X-Region": "us", "X-Org": "${ORG:-}", "Authorization": "Bearer ${T:-}"},
          "timeout": 45, "tools": ["a"]}, ["ORG", "T"]),
        ("codex", {"command": "x", "env_vars": ["A", {"name": "B"}, {"name": "C", "source": "local"}]},
         {"command": ["x"], "env": {"A": "${A:-}", "B": "${B:-}", "C": "${C:-}"}}, ["A", "B", "C"]),
    ],
)  # fmt: skip
def test_variables_of_the_environment(editor: str, entry: Any, table: Any, needs: list[str]) -> None:
    taken = one(entry, editor)
    assert (taken.reason, taken.table, taken.needs) == (None, table, needs)
    assert taken.remark == f"needs {', '.join(needs)} in the environment"


@pytest.mark.parametrize(
    ("entry", "table", "secrets"),
    [
        ({"command": "x", "env": {"API_KEY": "sk-1", "EMPTY_KEY": ""}},
         {"command": ["x"], "env": {"API_KEY": "${secret:a-server.API_KEY}", "EMPTY_KEY": ""}},
         {"a-server.API_KEY": "sk-1"}),
        ({"url": "http://x/mcp", "headers": {"Authorization": "Bearer sk-1", "X-Api-Key": "sk-2 3"}},
         {"url": "http://x/mcp", "headers": {"Authorization": "Bearer ${secret:a-server.Authorization}",
                                             "X-Api-Key": "${secret:a-server.X-Api-Key}"}},
         {"a-server.Authorization": "sk-1", "a-server.X-Api-Key": "sk-2 3"}),
    ],
)  # fmt: skip
def test_secrets_get_names_of_the_vault(entry: Any, table: Any, secrets: dict[str, str]) -> None:
    taken = one(entry)
    assert (taken.table, taken.secrets, taken.needs, taken.asks) == (table, secrets, [], [])
    assert taken.remark == f"{', '.join(secrets)} in the vault"


def test_what_an_editor_asks_for_is_asked_for() -> None:
    entry = {"command": "x", "args": ["${input:api-key}", "${input:api-key}"], "env": {"TOKEN_X": "${input:other}"}}
    taken = one(entry, "vscode")
    assert taken.table == {
        "command": ["x", "${secret:a-server.api-key:-}", "${secret:a-server.api-key:-}"],
        "env": {"TOKEN_X": "${secret:a-server.TOKEN_X:-}"},
    }
    assert taken.asks == ["a-server.api-key", "a-server.TOKEN_X"]
    assert taken.remark == "wants a-server.api-key, a-server.TOKEN_X: rune secret set NAME"


def test_names_of_secrets_are_names(tmp_path: Path) -> None:
    found = Found(
        EDITORS["cursor"], Path("mcp.json"), ("mcpServers",), {"9": {"command": "x", "env": {"A KEY": "sk"}}}, None
    )
    (taken,) = take(found, Machine(Path("/h"), HERE, "linux", {}), HERE / "rune.toml")
    assert taken.secrets == {"_9.A_KEY": "sk"}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("x", "it is no table"),
        ({}, "it has neither command nor url"),
        ({"command": ""}, "it has neither command nor url"),
        ({"command": "x", "disabled": True}, "it is switched off there"),
        ({"command": "x", "enabled": False}, "it is switched off there"),
        ({"command": "x", "args": "y"}, "args is no list of texts"),
        ({"command": "x", "args": [1]}, "args is no list of texts"),
        ({"command": "x", "env": []}, None),
        ({"command": "x", "env": ["A"]}, "env is no table"),
        ({"command": "x", "envFile": ".env"}, "it reads an envFile; rune.toml has only env"),
        ({"command": "x", "env_vars": [{"name": "A", "source": "remote"}]}, "its env_vars come from another machine"),
        ({"command": "x", "args": ["${command:y}"]}, "args has ${command:y}, which rune.toml does not know"),
        ({"url": "unix:///run/x.sock"}, "unix:// is no URL that Rune can reach"),
        ({"url": "https://"}, "https:// is no URL of an MCP server"),
        ({"command": "/v/bin/rune", "args": ["serve", "--stdio"]}, "it is this gateway itself"),
        ({"command": "python3", "args": ["-m", "rune", "serve"]}, "it is this gateway itself"),
        ({"command": "rune.exe", "args": ["serve", "--config", "/h/project/rune.toml"]}, "it is this gateway itself"),
        ({"command": "rune", "args": ["serve", "--config", "/h/other/rune.toml"]}, None),
        ({"command": "rune", "args": ["serve", "--stdio", "tools.py"]}, None),
        ({"command": "rune", "args": ["serve", "--", "x"]}, None),
        ({"command": "serve"}, None),
    ],
)
def test_what_is_left_out(entry: Any, reason: str | None) -> None:
    taken = one(entry)
    assert taken.reason == reason
    assert (taken.table == {}) == (reason is not None)


def test_what_depends_on_where_it_stands() -> None:
    entry = {"command": "x", "args": ["${workspaceFolder}"]}
    assert one(entry, root=None).reason == (
        "args: ${workspaceFolder} means the project that is open, and this is no config of one"
    )
    # Editors that fill in nothing mean it literally.
    literal = one({"command": "x", "env": {"A": "${B}"}}, "codex")
    assert literal.reason == "A has a ${…} that it means literally and rune.toml would fill in"
    # A rune.toml elsewhere must not change where commands run.
    assert one({"command": "./x"}, base=Path("/h")).table == {"command": ["./x"], "cwd": "/h/project"}
    assert one({"command": "x", "cwd": "sub"}, base=Path("/h")).table["cwd"] == "/h/project/sub"
    assert one({"command": "x", "cwd": "/abs"}, base=Path("/h")).table["cwd"] == "/abs"


def test_keys_that_have_no_word_here_are_named() -> None:
    taken = one({"command": "x", "autoApprove": [], "sandbox": {}, "env": {"A_KEY": "12345"}})
    assert taken.lost == ["autoApprove", "sandbox"]
    assert taken.remark == "a-server.A_KEY in the vault; without autoApprove, sandbox"
    assert one({"url": "http://x", "disabled_tools": ["b"]}).lost == ["disabled_tools"]
    fewer = one({"url": "http://x", "enabled_tools": ["a", "b"], "disabled_tools": ["b"]})
    assert (fewer.table["tools"], fewer.lost) == (["a"], [])


@pytest.mark.parametrize("name", EDITORS)
def test_the_files_of_the_documentation_become_a_good_rune_toml(tmp_path: Path, name: str) -> None:
    path = tmp_path / ("config.toml" if name == "codex" else "mcp.json")
    path.write_bytes((GOLDEN / f"{name}.before").read_bytes())
    draft = Draft(tmp_path / "rune.toml")
    outcome, kept = {}, {"secret:before": "x"}
    for place in read(EDITORS[name], path, tmp_path):
        for taken in take(place, Machine(tmp_path, tmp_path, "linux", {}), draft.path):
            settle(draft, taken, {}, kept)
            outcome[taken.key] = taken.reason or "taken"
    draft.save()
    config = read_toml(draft.path, kept)
    assert kept == {"secret:before": "x"} | (
        {"secret:airtable.AIRTABLE_API_KEY": "YOUR_KEY"} if name == "claude-code" else {}
    )
    assert outcome == {
        "claude-desktop": {"filesystem": "taken"},
        "claude-code": {"notion": "taken", "api-server": "taken", "airtable": "taken"},
        "cursor": {
            "local-server": "it reads an envFile; rune.toml has only env", "server-name": "taken",
            "oauth-server": "taken",
        },
        "vscode": {"perplexity": "taken", "context7": "taken"},
        "codex": {"context7": "taken", "figma": "taken", "chrome_devtools": "taken"},
    }[name]  # fmt: skip
    assert len(config.sources) == list(outcome.values()).count("taken")
    assert "YOUR_KEY" not in draft.text


def test_a_source_is_put_where_there_is_room(tmp_path: Path) -> None:
    (tmp_path / "rune.toml").write_text('[sources.a]\nurl = "http://a"\n\n[sources.b]\ncommand = "npx x"\n')
    draft = Draft(tmp_path / "rune.toml")
    twin, other, third = (
        Taken("B", "b", {"command": ["npx", "x"]}),
        Taken("A", "a", {"url": "http://other"}),
        Taken("A", "a", {"url": "http://third"}),
    )
    for taken in (twin, other, third):
        settle(draft, taken, {}, {})
    assert twin.reason == "it is there already, as b"
    assert (other.name, third.name) == ("a-2", "a-3")
    assert list(tomllib.loads(draft.text)["sources"]) == ["a", "b", "a-2", "a-3"]
    long = Taken("L", "l" * 24, {"url": "http://l"})
    draft.add(("sources", "l" * 24), {"url": "http://else"})
    settle(draft, long, {}, {})
    assert long.name == "l" * 22 + "-2"


def test_a_secret_does_not_take_the_place_of_another(tmp_path: Path) -> None:
    draft = Draft(tmp_path / "rune.toml")
    kept: dict[str, str] = {}
    for command, value in (("a", "one"), ("b", "one"), ("c", "two"), ("d", "three")):
        table = {"command": [command], "env": {"KEY": "${secret:s.KEY}"}}
        settle(draft, Taken("s", "s", table, secrets={"s.KEY": value}), {"secret:s.KEY-2": "three"}, kept)
    assert kept == {"secret:s.KEY": "one", "secret:s.KEY-3": "two", "secret:s.KEY-2": "three"}
    sources = tomllib.loads(draft.text)["sources"]
    assert [each["env"]["KEY"] for each in sources.values()] == [
        "${secret:s.KEY}", "${secret:s.KEY}", "${secret:s.KEY-3}", "${secret:s.KEY-2}",
    ]  # fmt: skip


def test_what_would_make_the_file_useless_is_left_out(tmp_path: Path) -> None:
    draft = Draft(tmp_path / "rune.toml")
    bad = Taken("a", "a", {"url": "http://a", "timeout": -1})
    settle(draft, bad, {}, {})
    assert "timeout" in (bad.reason or "")
    assert not draft.changed
    # So far as a name without a hint of where it came from.
    gone = Taken("b", "b", reason="before")
    settle(draft, gone, {}, {})
    assert (gone.reason, draft.changed) == ("before", False)


def test_a_name_that_is_taken_is_not_given_away(tmp_path: Path) -> None:
    (tmp_path / "rune.toml").write_text('# one\n[sources.a]\nurl = "http://a"\n\n[server]\n')
    draft = Draft(tmp_path / "rune.toml")
    same = Taken("a", "a", {"url": "http://a"})
    put(draft, same)
    assert same.reason == "it is there already"
    other = Taken("a", "a", {"url": "http://b"})
    with pytest.raises(ConfigError, match=r"rune\.toml:2: there is a source a already"):
        put(draft, other)
    put(draft, other, replace=True)
    assert tomllib.loads(draft.text) == {"sources": {"a": {"url": "http://b"}}, "server": {}}
    assert draft.text.startswith("# one\n")


def test_one_broken_file_does_not_keep_back_the_others(tmp_path: Path) -> None:
    machine = Machine(tmp_path, tmp_path / "project", "linux", {})
    for name, text in (
        ("cursor", '{"mcpServers": {"a": {"command": "x"}, "b": {"command": "rune", "args": ["serve"]}}}'),
        ("vscode", "{"),
        ("codex", "[mcp_servers.c]\nurl = 'http://c'\n"),
    ):
        path = EDITORS[name].place(machine)
        path.parent.mkdir(parents=True)
        path.write_text(text)
    places, broken = locate(EDITORS.values(), machine)
    assert [place.editor.name for place in places] == ["cursor", "codex"]
    assert [str(error).rpartition("/")[2] for error in broken] == ["mcp.json:1: expecting a key in quotes"]
    assert waiting(machine) == {"Cursor": 1, "Codex": 1}
