"""A server of somebody else's config as a source of `rune.toml`, with what could not be taken along and why.

Called by `rune import` and `rune add mcp.json`. Secrets stay where they are: the source refers to a variable.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rune.config.editors import EDITORS, Editor, Found, Machine, Table, find
from rune.config.edits import Draft
from rune.config.files import check_url, plain_name, read_toml
from rune.errors import ConfigError

_SECRET: Final = re.compile(r"key|token|secret|passw|auth|credential|cookie", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_READ: Final = {
    "name", "type", "command", "args", "env", "cwd", "url", "headers", "disabled", "enabled",
    "env_vars", "bearer_token_env_var", "http_headers", "env_http_headers", "tool_timeout_sec", "enabled_tools",
}  # fmt: skip
_FOLDERS: Final = ("userHome", "workspaceFolder", "workspaceFolderBasename")
_OPEN: Final = "means the project that is open, and this is no config of one"
_URLS: Final = ("http", "https", "ws", "wss")


def locate(editors: Iterable[Editor], machine: Machine) -> tuple[list[Found], list[ConfigError]]:
    """What can be read, and what cannot: one broken file does not keep back the others."""
    places, broken = [], []
    for editor in editors:
        try:
            places += list(find(editor, machine))
        except ConfigError as error:
            broken.append(error)
    return places, broken


def waiting(machine: Machine) -> dict[str, int]:
    """How many servers the editors on this machine have that could be taken over."""
    counts: dict[str, int] = {}
    for place in locate(EDITORS.values(), machine)[0]:
        good = sum(each.reason is None for each in take(place, machine, machine.folder / "rune.toml"))
        if good:
            counts[place.editor.title] = counts.get(place.editor.title, 0) + good
    return counts


class LeftOut(Exception):
    """A server that cannot be taken over; the text says why."""


@dataclass(slots=True)
class Taken:
    """One server: as a table of `rune.toml`, or why not. `needs` are the variables that it needs, `lost` the keys that
    rune.toml has no word for."""

    key: str
    name: str
    table: Table = field(default_factory=dict)
    reason: str | None = None
    needs: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def leave(self, reason: str) -> None:
        """Leave it out."""
        self.table, self.reason = {}, reason

    @property
    def remark(self) -> str:
        """What is to be known about it."""
        parts = [f"needs {', '.join(self.needs)} in the environment"] if self.needs else []
        return "; ".join([*parts, f"without {', '.join(self.lost)}"] if self.lost else parts)


def take(found: Found, machine: Machine, file: Path) -> list[Taken]:
    """All servers of one place, for this rune.toml."""
    taken = [Taken(key, plain_name(key)) for key in found.servers]
    for each in taken:
        try:
            Reading(found, machine, each, file.absolute()).run(found.servers[each.key])
        except LeftOut as left:
            each.leave(str(left))
    return taken


def put(draft: Draft, taken: Taken, *, replace: bool = False) -> None:
    """Put a source into a draft under its name, if it is not there already.

    Raises:
        ConfigError: another source has that name.
    """
    keys = ("sources", taken.name)
    there = draft.at(*keys)
    if there == taken.table:
        taken.leave("it is there already")
        return
    if there is not None:
        if not replace:
            raise ConfigError(
                f"{draft.where(*keys)}: there is a source {taken.name} already", hint="another name, or --replace"
            )
        draft.drop(keys)
    draft.add(keys, taken.table)


def settle(draft: Draft, taken: Taken, environ: Mapping[str, str]) -> None:
    """Put a source of somebody else's into a draft, under a free name; one that is there, or would make the file
    useless, is left out."""
    if taken.reason is not None:
        return
    sources = draft.at("sources") or {}
    twin = next((name for name, other in sources.items() if isinstance(other, dict) and same(taken.table, other)), None)
    if twin is not None:
        taken.leave(f"it is there already, as {twin}")
        return
    base, number = taken.name, 2
    while taken.name in sources:
        taken.name, number = f"{base[: 23 - len(str(number))].rstrip('-')}-{number}", number + 1
    before = draft.text, draft.value
    try:
        draft.add(("sources", taken.name), taken.table)
        read_toml(draft.path, environ, draft.text)
    except ConfigError as error:
        draft.text, draft.value = before
        taken.leave(error.message.removeprefix(f"{draft.path}:"))


class Reading:
    """One entry on its way."""

    def __init__(self, found: Found, machine: Machine, taken: Taken, file: Path) -> None:
        self._found = found
        self._machine = machine
        self._file = file
        self._taken = taken

    def run(self, entry: Any) -> None:
        """Fill the table.

        Raises:
            LeftOut: with the reason.
        """
        if not isinstance(entry, dict):
            raise LeftOut("it is no table")
        if entry.get("disabled") is True or entry.get("enabled") is False:
            raise LeftOut("it is switched off there")
        table = self._taken.table
        if isinstance(entry.get("url"), str):
            table["url"] = self._url(entry["url"])
            headers = self._headers(entry)
            if headers:
                table["headers"] = headers
        elif isinstance(entry.get("command"), str) and entry["command"]:
            self._command(entry)
        else:
            raise LeftOut("it has neither command nor url")
        if isinstance(entry.get("tool_timeout_sec"), int | float) and entry["tool_timeout_sec"] > 0:
            table["timeout"] = entry["tool_timeout_sec"]
        if isinstance(entry.get("enabled_tools"), list):
            without = self._texts(entry, "disabled_tools")
            table["tools"] = [name for name in self._texts(entry, "enabled_tools") if name not in without]
        known = _READ | {"disabled_tools"} if "tools" in table else _READ
        self._taken.lost = [key for key in entry if key not in known]

    def _command(self, entry: Table) -> None:
        words = [self._text("command", entry["command"])]
        words += [self._text("args", word) for word in self._texts(entry, "args")]
        if _serves(words, self._file):
            raise LeftOut("it is this gateway itself")
        if "envFile" in entry:
            raise LeftOut("it reads an envFile; rune.toml has only env")
        table = self._taken.table
        table["command"] = words
        env = {key: self._value(key, text) for key, text in self._pairs(entry, "env").items()}
        for name in entry.get("env_vars") or ():
            if isinstance(name, dict) and name.get("source") in (None, "local"):
                name = name.get("name")
            if not isinstance(name, str):
                raise LeftOut("its env_vars come from another machine")
            env[name] = self._variable(name)
        if env:
            table["env"] = env
        root = self._found.root
        cwd = self._text("cwd", entry["cwd"]) if isinstance(entry.get("cwd"), str) else None
        if root is not None and root != self._file.parent and not (cwd or "").startswith("${"):
            # Commands of a project run in its folder, those of a rune.toml in the folder of that file.
            cwd = str(root / (cwd or ""))
        if cwd is not None:
            table["cwd"] = cwd

    def _url(self, url: str) -> str:
        url = self._text("url", url)
        scheme = url.partition(":")[0].lower()
        if scheme not in _URLS and not url.startswith("${"):
            raise LeftOut(f"{scheme}:// is no URL that Rune can reach")
        if not url.startswith("${"):
            try:
                check_url(url)
            except ConfigError as error:
                raise LeftOut(error.message) from None
        return url

    def _headers(self, entry: Table) -> dict[str, str]:
        given = {**self._pairs(entry, "headers"), **self._pairs(entry, "http_headers")}
        headers = {key: self._header(key, text) for key, text in given.items()}
        headers |= {key: self._variable(name) for key, name in self._pairs(entry, "env_http_headers").items()}
        if isinstance(entry.get("bearer_token_env_var"), str):
            headers["Authorization"] = f"Bearer {self._variable(entry['bearer_token_env_var'])}"
        return headers

    def _texts(self, entry: Table, key: str) -> list[str]:
        items = entry.get(key) or []
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise LeftOut(f"{key} is no list of texts")
        return items

    def _pairs(self, entry: Table, key: str) -> dict[str, str]:
        items = entry.get(key) or {}
        if not isinstance(items, dict):
            raise LeftOut(f"{key} is no table")
        # Numbers and the like are what editors make a text of, too; null unsets.
        return {
            name: item if isinstance(item, str) else _word(item) for name, item in items.items() if item is not None
        }

    # --- values ---

    def _value(self, key: str, text: str) -> str:
        """The value of a variable of the environment: not what is secret itself."""
        if "${" in text:
            return self._text(key, text, own=key)
        return self._variable(key) if text and _SECRET.search(key) else text

    def _header(self, key: str, text: str) -> str:
        if "${" in text:
            return self._text(key, text)
        if not _SECRET.search(key):
            return text
        name = f"{self._taken.name}_{key}".upper().replace("-", "_")
        kind, _, rest = text.partition(" ")
        return (
            f"{kind} {self._variable(name)}"
            if rest and kind.lower() in ("bearer", "basic", "token")
            else (self._variable(name))
        )

    def _variable(self, name: str) -> str:
        """A reference that leaves the rest of the file usable while the variable is not set."""
        if name not in self._taken.needs:
            self._taken.needs.append(name)
        return f"${{{name}:-}}"

    def _text(self, where: str, text: str, own: str | None = None) -> str:
        """A text with the variables of the editor written as ours; `own` is the one that an input stands for."""
        if "${" not in text:
            return text
        if not self._found.editor.variables:
            raise LeftOut(f"{where} has a ${{…}} that it means literally and rune.toml would fill in")
        return _VARIABLE.sub(lambda match: self._one(where, match[1], own), text)

    def _one(self, where: str, inner: str, own: str | None) -> str:
        name, dash, _ = inner.partition(":-")
        kind, _, rest = inner.partition(":")
        if inner in _FOLDERS:
            return self._folder(where, inner)
        if _NAME.fullmatch(name):
            return f"${{{inner}}}" if dash else self._variable(name)
        if kind == "env" and _NAME.fullmatch(rest):
            return self._variable(rest)
        if kind == "input" and rest:
            return self._variable(own or re.sub(r"[^A-Za-z0-9]+", "_", rest).strip("_").upper() or "INPUT")
        if inner in ("pathSeparator", "/"):
            return "\\" if self._machine.platform == "win32" else "/"
        raise LeftOut(f"{where} has ${{{inner}}}, which rune.toml does not know")

    def _folder(self, where: str, inner: str) -> str:
        if inner == "userHome":
            return str(self._machine.home)
        if self._found.root is None:
            raise LeftOut(f"{where}: ${{{inner}}} {_OPEN}")
        return str(self._found.root) if inner == "workspaceFolder" else self._found.root.name


def _word(item: Any) -> str:
    return str(item).lower() if isinstance(item, bool) else str(item)


def _serves(words: list[str], file: Path) -> bool:
    """Whether a command serves this very rune.toml: behind itself a gateway would call itself for ever."""
    names = [Path(word).name.removesuffix(".exe") for word in words]
    if "serve" not in words or not (names[0] in ("rune", "rune-cli") or words[1:3] == ["-m", "rune"]):
        return False
    told = words[words.index("serve") + 1 :]
    if "--config" in told[:-1]:
        return Path(told[told.index("--config") + 1]).expanduser().absolute() == file
    return not [word for word in told if word == "--" or not word.startswith("-")]


def same(table: Table, other: Mapping[str, Any]) -> bool:
    """Whether two sources lead to the same server."""
    command = other.get("command")
    words = shlex.split(command) if isinstance(command, str) else command
    return (table.get("url"), table.get("command")) == (other.get("url"), words)
