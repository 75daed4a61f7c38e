"""`rune remove` and `rune list`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Rune = Callable[..., Any]

TOML = """\
# ours
[sources.mine]
python = "tools.py" # these
tools = ["a*", "echo"]

# those
[sources.other]
command = ["no-such-command-anywhere"]
prefix = ""

[sources.later]
enabled = false
url = "https://${UNSET}"

[server]
port = 8000
"""


@pytest.fixture
def toml(folder: Path) -> Path:
    path = folder / "rune.toml"
    path.write_text(TOML)
    return path


def test_remove(rune: Rune, toml: Path) -> None:
    ran = rune("remove", "other")
    assert (ran.status, ran.out) == (0, "")
    assert '-[sources.other]\n-command = ["no-such-command-anywhere"]\n-prefix = ""\n' in ran.err
    assert toml.read_text() == TOML.replace(
        '# those\n[sources.other]\ncommand = ["no-such-command-anywhere"]\nprefix = ""\n', "# those\n"
    )
    assert rune("remove", "mine", "later", "--json").json["removed"] == ["mine", "later"]
    assert toml.read_text() == "# ours\n\n# those\n\n[server]\nport = 8000\n"


@pytest.mark.parametrize(("name", "fix"), [("othre", "did you mean other?"), ("x", "there are mine, other, later")])
def test_remove_what_is_not_there(rune: Rune, toml: Path, name: str, fix: str) -> None:
    ran = rune("remove", "mine", name)
    assert (ran.status, ran.err) == (1, f"rune.toml: there is no source {name}\n  fix: {fix}\n")
    assert toml.read_text() == TOML


def test_remove_without_a_file(rune: Rune) -> None:
    ran = rune("remove", "x", "--config", "none.toml")
    assert (ran.status, ran.err.splitlines()[0]) == (1, "none.toml: no such file")


def test_list(rune: Rune, toml: Path) -> None:
    ran = rune("list")
    assert ran.status == 0
    mine, other, later = (line.split("\t") for line in ran.out.splitlines())
    assert mine[:3] == ["mine", "ready", "2 tools"]
    assert mine[4:] == ["mine_", str(toml.parent / "tools.py")]
    assert other == ["other", "failed", "0 tools", "about 0 tokens", "-", "no-such-command-anywhere"]
    assert later == ["later", "off"]
    assert "other: command not found" in ran.err


def test_list_as_json(rune: Rune, toml: Path) -> None:
    value = rune("list", "--json").json
    assert value["config"] == "rune.toml"
    assert "4 characters a token" in value["estimate"]
    mine, other, later = value["sources"]
    assert [tool["name"] for tool in mine["tools"]] == ["mine_add", "mine_echo"]
    assert mine["tokens"] == sum(tool["tokens"] for tool in mine["tools"])
    assert (mine["kind"], mine["prefix"], mine["revision"], mine["error"]) == ("python", "mine_", "2026-07-28", None)
    assert (other["state"], other["error"], other["revision"]) == (
        "failed", "other: command not found: no-such-command-anywhere", None,
    )  # fmt: skip
    assert later == {"name": "later", "state": "off"}


def test_list_of_targets(rune: Rune) -> None:
    ran = rune("list", "tools.py", "--", sys.executable, "-m", "rune", "serve", "--stdio", "tools.py")
    assert [line.split("\t")[:3] for line in ran.out.splitlines()] == [
        ["tools", "ready", "6 tools"], [Path(sys.executable).name.replace(".", "-"), "ready", "6 tools"],
    ]  # fmt: skip
    assert rune("list", "--config", "none.toml").status == 2


@pytest.mark.parametrize(
    ("words", "number", "offered"),
    [
        ("rune re", 1, ["remove", "resource"]),
        ("rune conn", 1, ["connect"]),
        ("rune connect c", 2, ["claude", "claude-desktop", "claude-code", "cursor", "codex"]),
        ("rune remove ", 2, ["mine", "other", "later"]),
        ("rune doctor --t", 2, ["--timeout", "--target"]),
        ("rune-cli imp", 1, ["import"]),
    ],
)
def test_shells_complete_the_verbs(toml: Path, words: str, number: int, offered: list[str]) -> None:
    command = words.split(maxsplit=1)[0]
    environ = os.environ | {"_RUNE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number)}
    done = subprocess.run(
        [Path(sys.executable).with_name(command)], env=environ, cwd=toml.parent, capture_output=True, text=True,
        timeout=30, check=False,
    )  # fmt: skip
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == offered
