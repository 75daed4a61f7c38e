"""`rune connect` and `rune import`, and the line of `rune serve` about them: in a home of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from rune import Client
from rune.cli import screen
from rune.config.editors import EDITORS, Machine
from tests import peers
from tests.conformance.suite import node
from tests.serving import RUNE
from tests.sizes import LONG

Rune = Callable[..., Any]


CURSOR = """\
{
  // servers of mine
  "mcpServers": {
    "Things": {"command": "PYTHON", "args": ["-m", "rune", "serve", "--stdio", "tools.py"],
      "env": {"API_KEY": "sk-1234"}},
    "files": {"command": "npx", "args": ["fs"], "envFile": ".env"},
  },
  "other": true,
}
""".replace("PYTHON", sys.executable)


@pytest.fixture
def home(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with nothing in it; the current folder is a project below."""
    for name in ("XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    # What is installed for tests stays where it is.
    monkeypatch.setenv("RUNE_TEST_CACHE", str(peers.cache()))
    monkeypatch.setenv("HOME", str(tmp_path))
    project = tmp_path / "project"
    project.mkdir()
    (folder / "tools.py").rename(project / "tools.py")
    monkeypatch.chdir(project)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def entry(editor: str, path: Path, name: str = "rune") -> Any:
    text = path.read_text()
    value = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    return value[EDITORS[editor].servers][name]


@pytest.mark.parametrize("name", EDITORS)
async def test_what_is_written_is_what_the_editor_can_start(rune: Rune, home: Path, name: str) -> None:
    write(home / "project" / "rune.toml", '[sources.mine]\npython = "tools.py"\n')
    ran = await asyncio.to_thread(rune, "connect", name, "--json")
    path = EDITORS[name].place(Machine(home, home / "project", environ={}))
    assert ran.json == {
        "client": name, "config": str(path), "changed": True, "written": True, "backup": None, "diff": ran.json["diff"],
    }  # fmt: skip
    started = entry(name, path)
    assert [started["command"], *started["args"]] == [
        RUNE, "serve", "--stdio", "--config", str(home / "project" / "rune.toml"),
    ]  # fmt: skip
    # Editors start it somewhere else, with little in the environment.
    os.chdir(home)
    async with Client([started["command"], *started["args"]]) as client:
        assert (await client.call_tool("mine_add", {"a": 1, "b": 1})).structured == 2


@pytest.mark.parametrize("name", ["claude-code", "cursor", "vscode", "codex"] if LONG else ["vscode", "codex"])
def test_a_client_of_others_finds_it_there(rune: Rune, home: Path, name: str) -> None:
    """mcporter reads the configs of all these editors."""
    assert rune("connect", name, "-t", "tools.py").status == 0
    mcporter = peers.program(peers.npm("mcporter", "mcporter@0.12.3"), "mcporter")
    said = ran([node(), mcporter, "call", "rune.echo", "text=hello from afar"], home)
    assert "hello from afar" in said


def ran(command: list[str], home: Path) -> str:
    """What a program prints in this home."""
    done = subprocess.run(
        command, env={"HOME": str(home), "PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_rest_stays_and_a_backup_is_kept(rune: Rune, home: Path) -> None:
    path = write(home / ".cursor" / "mcp.json", CURSOR)
    path.chmod(0o600)
    ran = rune("connect", "cursor", "-t", "tools.py")
    assert (ran.status, ran.out) == (0, "")
    assert '+    "rune": {' in ran.err
    assert "sk-1234" not in ran.err
    assert f"{path}: written, as it was before: {path}.rune-backup\nnext: start Cursor again" in ran.err
    lines = path.read_text().splitlines()
    assert [line for line in CURSOR.splitlines() if line not in lines] == []
    assert (home / ".cursor" / "mcp.json.rune-backup").read_text() == CURSOR
    assert path.stat().st_mode & 0o777 == 0o600
    again = rune("connect", "cursor", "-t", "tools.py", "--json").json
    assert (again["changed"], again["written"], again["backup"]) == (False, False, None)
    assert rune("connect", "cursor", "--remove").status == 0
    assert path.read_bytes() == CURSOR.encode()
    ran = rune("connect", "cursor", "--remove")
    assert (ran.status, ran.err.splitlines()[0]) == (1, f"{path}: there is no server rune")


def test_print_writes_nothing(rune: Rune, home: Path) -> None:
    ran = rune("connect", "vscode", "-t", "tools.py", "--print")
    assert (ran.status, ran.err) == (0, "")
    assert '+  "servers": {' in ran.out
    assert rune("connect", "vscode", "-t", "tools.py", "--print", "--json").json["written"] is False
    assert sorted(path.name for path in home.iterdir()) == ["project"]


def test_another_entry_of_the_name(rune: Rune, home: Path) -> None:
    path = write(home / ".codex" / "config.toml", '# mine\n[mcp_servers.rune]\nurl = "http://else"\n')
    before = path.read_bytes()
    ran = rune("connect", "codex", "-t", "tools.py")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (f"{path}:2: there is another server rune already\n  fix: --replace, or --name OTHER\n")
    assert path.read_bytes() == before
    assert rune("connect", "codex", "-t", "tools.py", "--name", "mine").status == 0
    assert entry("codex", path)["url"] == "http://else"
    assert rune("connect", "codex", "-t", "tools.py", "--replace").status == 0
    assert entry("codex", path)["command"] == RUNE
    assert path.read_text().startswith("# mine\n")


@pytest.mark.parametrize(
    ("words", "entries"),
    [
        (("vscode", "--url", "http://127.0.0.1:7331/mcp"), {"type": "http", "url": "http://127.0.0.1:7331/mcp"}),
        (("cursor", "--url", "http://127.0.0.1:7331/mcp"), {"url": "http://127.0.0.1:7331/mcp"}),
        (("codex", "--url", "http://127.0.0.1:7331/mcp"), {"url": "http://127.0.0.1:7331/mcp"}),
        (
            ("claude-desktop", "--url", "http://127.0.0.1:7331/mcp"),
            {"command": RUNE, "args": ["serve", "--stdio", "http://127.0.0.1:7331/mcp"]},
        ),
        (
            ("claude-code", "-t", "http://x/mcp", "-t", "tools.py", "--", "srv", "-v"),
            {
                "type": "stdio",
                "command": RUNE,
                "args": ["serve", "--stdio", "http://x/mcp", "{}/tools.py", "--", "srv", "-v"],
            },
        ),
    ],
)
def test_what_it_connects_to(rune: Rune, home: Path, words: tuple[str, ...], entries: dict[str, Any]) -> None:
    assert rune("connect", *words).status == 0
    path = EDITORS[words[0]].place(Machine(home, home / "project", environ={}))
    assert json.dumps(entry(words[0], path)) == json.dumps(entries).replace("{}", str(home / "project"))


def test_a_profile(rune: Rune, home: Path) -> None:
    write(
        home / "project" / "rune.toml", '[server]\nport = 8123\nhost = "0.0.0.0"\n\n[profiles.review]\ntools = ["*"]\n'
    )
    assert rune("connect", "vscode", "--profile", "review").status == 0
    assert rune("connect", "cursor", "--profile", "review", "--url", "https://far/mcp/").status == 0
    assert rune("connect", "claude-desktop", "--profile", "review").status == 0
    urls = [
        entry("vscode", home / ".config/Code/User/mcp.json")["url"],
        entry("cursor", home / ".cursor/mcp.json")["url"],
    ]
    assert urls == ["http://127.0.0.1:8123/mcp/review", "https://far/mcp/review"]
    desktop = entry("claude-desktop", home / ".config/Claude/claude_desktop_config.json")
    assert desktop["args"] == ["serve", "--stdio", "http://127.0.0.1:8123/mcp/review"]
    ran = rune("connect", "codex", "--profile", "reviw")
    assert (ran.status, ran.err) == (2, "rune connect: there is no profile reviw\n  fix: did you mean review?\n")


def test_in_a_project(rune: Rune, home: Path) -> None:
    assert rune("connect", "vscode", "--project", "-t", "tools.py").status == 0
    assert entry("vscode", home / "project" / ".vscode" / "mcp.json")["type"] == "stdio"
    ran = rune("connect", "claude-desktop", "--project", "-t", "tools.py")
    assert (ran.status, ran.err.splitlines()[0]) == (2, "rune connect: claude-desktop: it has no config for a project")


def test_what_cannot_be_written(rune: Rune, home: Path) -> None:
    for path, text, message in (
        (home / ".cursor" / "mcp.json", '{\n  "mcpServers": {\n', "mcp.json:3: expecting a key in quotes"),
        (home / ".codex" / "config.toml", "[mcp_servers\n", "config.toml:1: "),
        (home / ".claude.json", "[]", ".claude.json: it is no object"),
        (home / ".config" / "Code" / "User" / "mcp.json", '{"servers": 1}', "mcp.json:1: servers is no table"),
    ):
        write(path, text)
        (name,) = (name for name in EDITORS if EDITORS[name].place(Machine(home, home, environ={})) == path)
        ran = rune("connect", name, "-t", "tools.py")
        assert (ran.status, ran.out) == (1, "")
        assert message in ran.err
        assert "  fix: " in ran.err
        assert path.read_text() == text
        assert not path.with_name(f"{path.name}.rune-backup").exists()


def test_the_clients_of_this_machine(rune: Rune, home: Path) -> None:
    write(home / ".codex" / "config.toml", "[mcp_servers\n")
    write(home / ".cursor" / "mcp.json", CURSOR)
    rune("connect", "claude-code", "-t", "tools.py")
    states = {each["client"]: each["state"] for each in rune("connect", "--json").json["clients"]}
    assert states.pop("codex").startswith(f"{home}/.codex/config.toml:1: ")
    assert states == {
        "claude-desktop": "not here", "claude-code": "connected", "cursor": "not connected", "vscode": "not here",
    }  # fmt: skip
    assert rune("connect").out.splitlines()[2] == f"cursor\tnot connected\t{home}/.cursor/mcp.json"


@pytest.mark.parametrize(
    ("words", "err"),
    [
        (("emacs",), "rune connect: invalid value for '[CLIENT]'"),
        (("claude",), "rune connect: claude: there are two of that name\n  fix: say claude-code or claude-desktop\n"),
        (("cursor",), "rune connect: there is no rune.toml here\n  fix: rune add NAME URL makes one; or -t tools.py\n"),
        (("cursor", "--url", "x"), "rune connect: x is no URL of an MCP server"),
        (("cursor", "--url", "http://x", "-t", "tools.py"), "rune connect: --url names a running gateway"),
    ],
)
def test_wrong_usage_is_status_2(rune: Rune, home: Path, words: tuple[str, ...], err: str) -> None:
    ran = rune("connect", *words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(err)
    assert sorted(path.name for path in home.iterdir()) == ["project"]


# --- import ---


def test_import(rune: Rune, home: Path) -> None:
    path = write(home / ".cursor" / "mcp.json", CURSOR)
    write(home / "project" / "rune.toml", "# ours\n[server]\nport = 8000\n")
    ran = rune("import", "cursor")
    assert ran.status == 0
    assert ran.out.splitlines() == [
        "cursor\tThings\tnow things\tthings.API_KEY in the vault",
        "cursor\tfiles\tleft out\tit reads an envFile; rune.toml has only env",
    ]
    assert "+[sources.things]\n" in ran.err
    assert "sk-1234" not in ran.err + ran.out
    text = (home / "project" / "rune.toml").read_text()
    assert text.startswith("# ours\n[server]\nport = 8000\n")
    assert "sk-1234" not in text
    assert path.read_text() == CURSOR
    assert rune("secret", "list").out == "things.API_KEY\n"
    assert rune("tool", "call", "things_add", "a=1").out == "3\n"
    again = rune("import", "--json").json
    assert (again["taken"], again["written"]) == ([], False)
    assert again["left_out"][0] == {
        "client": "cursor", "file": str(path), "server": "Things", "reason": "it is there already, as things",
    }  # fmt: skip
    assert (home / "project" / "rune.toml").read_text() == text


def test_import_takes_all_there_is(rune: Rune, home: Path) -> None:
    write(home / ".cursor" / "mcp.json", CURSOR)
    write(home / ".codex" / "config.toml", '[mcp_servers.docs]\nurl = "https://example.org/mcp"\n')
    write(home / "project" / ".vscode" / "mcp.json", "{")
    write(
        home / "project" / ".mcp.json", '{"mcpServers": {"docs": {"type": "http", "url": "https://example.com/mcp"}}}'
    )
    printed = rune("import", "--print", "--json")
    assert printed.json["written"] is False
    assert rune("secret", "list").out == ""
    assert not (home / "project" / "rune.toml").exists()
    ran = rune("import")
    assert ran.status == 1
    assert ".vscode/mcp.json:1: expecting a key in quotes" in ran.err
    assert list(tomllib.loads((home / "project" / "rune.toml").read_text())["sources"]) == ["docs", "things", "docs-2"]
    assert rune("check").status == 0


def test_import_asks_for_what_vscode_asks_for(rune: Rune, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"a": {"command": "x", "env": {"KEY_A": "${input:k}"}}, "b": {"command": "y", "args": ["${input:k}"]}}
    write(home / ".config" / "Code" / "User" / "mcp.json", json.dumps({"servers": entries}))
    ran = rune("import", "vscode")
    assert "vscode\ta\tnow a\twants a.KEY_A: rune secret set NAME" in ran.out
    assert rune("check").status == 0, "a secret that is not there yet does not make the file useless"
    (home / "project" / "rune.toml").unlink()
    monkeypatch.setattr(screen, "interactive", lambda: True)
    monkeypatch.setattr(click, "prompt", lambda text, **_: "typed" if text == "value of a.KEY_A" else "")
    assert rune("import", "vscode").status == 0
    assert rune("secret", "list").out == "a.KEY_A\n"


def test_import_of_nothing(rune: Rune, home: Path) -> None:
    ran = rune("import", "codex")
    assert (ran.status, ran.err) == (1, f"no servers found\n  fix: looked at {home}/.codex/config.toml\n")
    assert rune("import").status == 1
    write(home / ".codex" / "config.toml", "[mcp_servers.a]\nurl = 'http://a'\n")
    write(home / "project" / "rune.toml", "[sources.a]\nulr = 'x'\n")
    ran = rune("import")
    assert ran.status == 1
    assert 'rune.toml:2: unknown key "ulr"' in ran.err


# --- serve ---


def test_serve_offers_them_and_takes_nothing(start: Callable[..., Any], home: Path) -> None:
    write(home / ".cursor" / "mcp.json", CURSOR)
    write(home / ".codex" / "config.toml", "[mcp_servers\n")
    process = start("serve", "--port", "0")
    line = process.line()
    while not line.startswith("next:"):
        line = process.line()
    found = process.line()
    assert found.startswith("found:   servers of other programs (1 of Cursor): ")
    assert found.endswith(" import takes them over")
    assert process.stop(signal.SIGTERM)[0] == 0
    assert not (home / "project" / "rune.toml").exists()
    process = start("serve", "--port", "0", "--json")
    assert json.loads(process.line())["found"] == {"Cursor": 1}
    process.stop(signal.SIGTERM)


# --- the real programs ---


@pytest.mark.skipif(not LONG, reason="600 MB of programs: RUNE_LONG=1")
def test_the_real_programs_read_it(rune: Rune, home: Path) -> None:
    folder = peers.npm("editors", "@openai/codex@0.169.0", "@anthropic-ai/claude-code@2.1.197")
    codex, claude = [node(), peers.program(folder, "codex")], [peers.program(folder, "claude")]
    write(home / ".codex" / "config.toml", '# mine\nmodel = "x"\n')
    for name in ("codex", "claude-code"):
        assert rune("connect", name, "-t", "tools.py").status == 0
    listed = json.loads(ran([*codex, "mcp", "list", "--json"], home))
    assert [(each["name"], each["transport"]["command"]) for each in listed] == [("rune", RUNE)]
    # It starts the server and shakes hands with it.
    assert "Connected" in ran([*claude, "mcp", "get", "rune"], home)
    # And what they write themselves is taken over.
    ran([*codex, "mcp", "add", "far", "--url", "http://127.0.0.1:9/mcp"], home)
    ran([*claude, "mcp", "add", "-s", "user", "near", "--env", "API_KEY=sk-1234", "--", "srv", "-v"], home)
    assert rune("import", "codex").status == 0
    assert rune("import", "claude-code").status == 0
    sources = tomllib.loads((home / "project" / "rune.toml").read_text())["sources"]
    assert sources["far"] == {"url": "http://127.0.0.1:9/mcp"}
    assert sources["near"] == {"command": ["srv", "-v"], "env": {"API_KEY": "${secret:near.API_KEY}"}}
    for name in ("codex", "claude-code"):
        assert rune("connect", name, "--remove").status == 0
    assert "rune" not in [each["name"] for each in json.loads(ran([*codex, "mcp", "list", "--json"], home))]
