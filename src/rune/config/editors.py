"""The configs of programs that speak MCP: where they are on this machine, and how an entry looks in each of them.

`rune connect` writes one entry with it, `rune import` reads them all (`takeover.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from rune.config.edits import Draft
from rune.errors import ConfigError

Table: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides where a config lives."""

    home: Path = field(default_factory=Path.home)
    folder: Path = field(default_factory=Path.cwd)
    platform: str = sys.platform
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def support(self) -> Path:
        """The folder for the data of desktop programs."""
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        if self.platform == "win32":
            return Path(self.environ.get("APPDATA") or self.home / "AppData" / "Roaming")
        return Path(self.environ.get("XDG_CONFIG_HOME") or self.home / ".config")


@dataclass(frozen=True, slots=True)
class Editor:
    """One program. `project` is its config inside of a project, if it has one; `urls` whether it connects to URLs,
    `typed` which kinds of entries say their type, `variables` whether `${…}` in a value means something to it."""

    name: str
    title: str
    user: Callable[[Machine], Path]
    project: str | None
    servers: str = "mcpServers"
    urls: bool = True
    typed: tuple[str, ...] = ("stdio", "http")
    variables: bool = True

    def place(self, machine: Machine, *, project: bool = False) -> Path:
        """Its config, there or not.

        Raises:
            ConfigError: it has none for a project.
        """
        if not project:
            return self.user(machine)
        if self.project is None:
            raise ConfigError(f"{self.name}: it has no config for a project", hint="leave --project out")
        return machine.folder / self.project

    def command(self, words: list[str]) -> Table:
        """The entry of a server on stdio."""
        kind = {"type": "stdio"} if "stdio" in self.typed else {}
        return {**kind, "command": words[0], "args": words[1:]}

    def url(self, url: str) -> Table:
        """The entry of a server at a URL."""
        return {"type": "http", "url": url} if "http" in self.typed else {"url": url}


def _desktop(machine: Machine) -> Path:
    """Installed from the store, Windows gives it a folder of its own instead of %APPDATA%."""
    name = "claude_desktop_config.json"
    usual = machine.support() / "Claude" / name
    if machine.platform == "win32" and not usual.is_file():
        local = Path(machine.environ.get("LOCALAPPDATA") or machine.home / "AppData" / "Local")
        for place in sorted((local / "Packages").glob("Claude_*")):
            return place / "LocalCache" / "Roaming" / "Claude" / name
    return usual


def _code(machine: Machine) -> Path:
    return Path(machine.environ.get("CLAUDE_CONFIG_DIR") or machine.home) / ".claude.json"


def _codex(machine: Machine) -> Path:
    return Path(machine.environ.get("CODEX_HOME") or machine.home / ".codex") / "config.toml"


EDITORS: Final = {
    editor.name: editor
    for editor in (
        Editor("claude-desktop", "Claude Desktop", _desktop, None, urls=False, typed=(), variables=False),
        Editor("claude-code", "Claude Code", _code, ".mcp.json"),
        Editor(
            "cursor",
            "Cursor",
            lambda machine: machine.home / ".cursor" / "mcp.json",
            ".cursor/mcp.json",
            typed=("stdio",),
        ),
        Editor(
            "vscode",
            "VS Code",
            lambda machine: machine.support() / "Code" / "User" / "mcp.json",
            ".vscode/mcp.json",
            servers="servers",
        ),
        Editor("codex", "Codex", _codex, ".codex/config.toml", servers="mcp_servers", typed=(), variables=False),
    )
}


@dataclass(frozen=True, slots=True)
class Found:
    """The servers in one place: under these keys of this file of this editor. `root` is the project it is for."""

    editor: Editor
    path: Path
    keys: tuple[str, ...]
    servers: dict[str, Any]
    root: Path | None


def find(editor: Editor, machine: Machine) -> Iterator[Found]:
    """What an editor has on this machine for this folder, the project first.

    Raises:
        ConfigError: a file of it cannot be read.
    """
    mine = editor.user(machine)
    # In the home itself it is one and the same file.
    if editor.project is not None and (machine.folder / editor.project).resolve() != mine.resolve():
        yield from read(editor, machine.folder / editor.project, machine.folder)
    yield from read(editor, mine, None, machine.folder)


def read(editor: Editor, path: Path, root: Path | None, folder: Path | None = None) -> Iterator[Found]:
    """The servers of one file, keys that are none of ours left alone. Claude Code keeps servers of projects beside
    those of the user.

    Raises:
        ConfigError: naming file and line.
    """
    draft = Draft(path)
    places: list[tuple[tuple[str, ...], Path | None]] = []
    if editor.name == "claude-code" and root is None and folder is not None:
        places.append((("projects", str(folder), editor.servers), folder))
    places.append(((editor.servers,), root))
    for keys, owner in places:
        servers = draft.at(*keys)
        if servers is None:
            continue
        if not isinstance(servers, dict):
            raise ConfigError(f"{draft.where(*keys)}: {editor.servers} is no table", hint="correct it there")
        if servers:
            yield Found(editor, path, keys, servers, owner)


def chosen(name: str, machine: Machine) -> Editor:
    """The editor of a name; `claude` is the one of the two that is here.

    Raises:
        ConfigError: naming those that are known.
    """
    if name == "claude":
        pair = [EDITORS["claude-code"], EDITORS["claude-desktop"]]
        here = [editor for editor in pair if editor.user(machine).is_file()]
        if len(here) == 1:
            return here[0]
        raise ConfigError("claude: there are two of that name", hint="say claude-code or claude-desktop")
    if name not in EDITORS:
        raise ConfigError(f"{name}: no client that is known", hint=f"known are {', '.join(EDITORS)}")
    return EDITORS[name]
