"""`rune new plugin`: what it writes, and what it refuses to."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rune import __version__
from rune.scaffold.package import LONGEST, likely, named

Rune = Callable[..., Any]


@pytest.mark.parametrize("options", [[], ["--rust"]])
@pytest.mark.parametrize("name", ["a", "hide-numbers", "n" * LONGEST])
def test_what_is_written_is_as_its_own_linter_wants_it(rune: Rune, folder: Path, name: str, options: list[str]) -> None:
    ran = rune("new", "plugin", name, *options, "--json")
    assert ran.status == 0
    module = name.replace("-", "_")
    project = folder / name
    assert (ran.json["path"], ran.json["use"], ran.json["rust"]) == (name, module, bool(options))
    assert sorted(ran.json["files"]) == sorted(
        path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file()
    )
    for check in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "."], cwd=project, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout
    meta = tomllib.loads((project / "pyproject.toml").read_text())
    (entry,) = meta["project"]["entry-points"]["rune.plugins"].items()
    assert entry == (module, f"{ran.json['class'].rpartition('.')[0]}:{ran.json['class'].rpartition('.')[2]}")
    assert meta["project"]["dependencies"] == [f"rune-mcp>={__version__}"]
    assert (project / "Cargo.toml").exists() == bool(options)
    assert (project / ".gitignore").exists()


@pytest.mark.parametrize("options", [[], ["--rust"]])
def test_nothing_is_left_to_fill_in(rune: Rune, folder: Path, options: list[str]) -> None:
    rune("new", "plugin", "my_filter", *options)
    texts = {path: path.read_text() for path in (folder / "my_filter").rglob("*") if path.is_file()}
    for token in ("@name@", "@module@", "@class@", "@version@", ".tmpl"):
        assert not [path for path, text in texts.items() if token in text or token in str(path)]
    assert "class MyFilter(TextPlugin):" in texts[folder / "my_filter" / "my_filter" / "plugin.py"]
    assert 'name = "my-filter"' in texts[folder / "my_filter" / "pyproject.toml"]
    targets = {line.partition(":")[0] for line in texts[folder / "my_filter" / "Makefile"].splitlines() if ":" in line}
    assert targets >= {"install", "develop", "test", "lint", "bench", "bench-compare"}


def test_a_person_is_told_the_folder_and_the_next_step(rune: Rune, folder: Path) -> None:
    ran = rune("new", "plugin", "shout", "--out", "deep")
    assert (ran.status, ran.out) == (0, "deep\n")
    assert ran.err.endswith("next: cd deep && make develop test\n")


@pytest.mark.parametrize("name", ["", "9x", "My Plugin", "a--b", "a_", "ä", "../x", "json", "class", "rune", "x" * 33])
def test_a_name_that_cannot_be_one_is_wrong_usage_with_one_that_can(rune: Rune, folder: Path, name: str) -> None:
    before = sorted(folder.iterdir())
    ran = rune("new", "plugin", name)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f'rune new plugin: "{name}": ')
    proposed = ran.err.partition("fix: rune new plugin ")[2].strip()
    assert named(proposed) is not None
    assert sorted(folder.iterdir()) == before


def test_the_name_that_was_meant() -> None:
    meant = {"MyPlugin": "my-plugin", "PII filter!": "pii-filter", "json": "my-json", "…": "my-plugin"}
    assert {text: likely(text) for text in meant} == meant


def test_a_plugin_that_is_built_in_keeps_its_name(rune: Rune) -> None:
    ran = rune("new", "plugin", "pii-filter")
    assert ran.status == 2
    assert ran.err == 'rune new plugin: "pii-filter" is built in\n  fix: rune new plugin my-pii-filter\n'


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_there_stays_as_it_is(rune: Rune, folder: Path, kind: str) -> None:
    place = folder / "shout"
    if kind == "folder":
        place.mkdir()
        (place / "kept").write_text("kept")
    elif kind == "file":
        place.write_text("kept")
    else:
        place.symlink_to("nowhere")
    before = sorted(folder.rglob("*"))
    ran = rune("new", "plugin", "shout", "--json")
    assert (ran.status, ran.json["error"]["message"]) == (1, "shout: is there already")
    assert ran.err.splitlines()[-1].startswith("  fix: ")
    assert sorted(folder.rglob("*")) == before


def test_where_nothing_can_be_written_nothing_is(rune: Rune, folder: Path) -> None:
    ran = rune("new", "plugin", "shout", "--out", "no/such/folder")
    assert ran.status == 1
    assert ran.err.startswith("no/such/folder: cannot be written: No such file or directory\n")
    assert not (folder / "no").exists()


def test_a_write_that_fails_half_way_leaves_nothing(rune: Rune, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(folder.rglob("*"))
    monkeypatch.setattr(Path, "rename", full)
    ran = rune("new", "plugin", "shout")
    assert (ran.status, ran.err.splitlines()[0]) == (1, "shout: cannot be written: No space left on device")
    assert sorted(folder.rglob("*")) == before


def test_without_cargo_it_is_written_and_said(rune: Rune, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    ran = rune("new", "plugin", "shout", "--rust", "--json")
    assert (ran.status, ran.json["cargo"]) == (0, False)
    assert ran.err.startswith("cargo: is not installed\n  fix: the Python half runs until it is built")
    assert (folder / "shout" / "Cargo.toml").exists()
    assert rune("new", "plugin", "loud").err.count("cargo") == 0
