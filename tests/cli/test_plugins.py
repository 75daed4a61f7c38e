"""`rune plugins`: what a config has, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Rune = Callable[..., Any]

TOML = """
[sources.mine]
python = "tools.py"

[[plugins]]
use = "deny_list"
config = { words = ["s3cret"] }

[[plugins]]
use = "pii_filter"
name = "mask"
priority = 7
config = { implementation = "python" }
conditions = [{ tools = ["a*"] }]

[[plugins]]
use = "cache"
mode = "disabled"
"""


@pytest.fixture
def toml(folder: Path) -> Path:
    path = folder / "rune.toml"
    path.write_text(TOML)
    return path


def test_the_list_is_in_the_order_in_which_they_run(rune: Rune, toml: Path) -> None:
    found = rune("plugins", "list", "--json").json["plugins"]
    assert [each["name"] for each in found] == ["mask", "deny_list", "cache"]
    assert found[1]["hooks"] == ["prompt_pre_fetch", "tool_pre_invoke", "tools_post_list"]
    lines = rune("plugins", "list").out.splitlines()
    assert lines[0].startswith("mask\tsequential\t7\tpython\tprompt_pre_fetch ")
    assert lines[2] == "cache\tdisabled\t100\tpython\t-"


def test_one_is_shown_without_its_secrets(rune: Rune, toml: Path) -> None:
    ran = rune("plugins", "show", "deny_list")
    assert "config_keys\twords" in ran.out
    assert "must not stand in arguments" in ran.out
    assert "s3cret" not in ran.out + rune("plugins", "show", "deny_list", "--json").out
    shown = rune("plugins", "show", "mask", "--json").json
    assert (shown["conditions"], shown["on_error"], shown["deadline"]) == ([{"tools": ["a*"]}], "fail", 5.0)
    missing = rune("plugins", "show", "musk")
    assert (missing.status, "did you mean mask?" in missing.err) == (1, True)


def test_they_are_measured(rune: Rune, toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rune.cli.plugins.CALLS", 3)
    found = rune("plugins", "bench", "--json").json["plugins"]
    assert [sorted(each) for each in found] == [
        ["implementation", "name", "tool_post_invoke", "tool_pre_invoke"],
        ["implementation", "name", "tool_pre_invoke"],
        ["implementation", "name"],
    ]
    assert found[0]["tool_pre_invoke"] > 0
    line = f"deny_list\t{found[1]['implementation']}\ttool_pre_invoke "
    assert rune("plugins", "bench", "deny_list").out.startswith(line)


def test_a_config_without_any_says_how_to_have_one(rune: Rune, folder: Path) -> None:
    (folder / "rune.toml").write_text('[sources.mine]\npython = "tools.py"\n')
    ran = rune("plugins", "list")
    assert (ran.status, "has no plugins" in ran.err) == (1, True)
