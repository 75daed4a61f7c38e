"""A server of somebody else's config as a source of `rune.toml`, with what could not be taken along and why.

Called by `rune import` and `rune add mcp.json`. Secrets become names of the vault: a rune.toml tends to be committed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rune.config.editors import Found, Machine, Table
from rune.config.files import check_url, plain_name
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


class LeftOut(Exception):
    """A server that cannot be taken over; the text says why."""


@dataclass(slots=True)
class Taken:
    """One server: as a table of `rune.toml`, or why not. `needs` are variables that it wants from the environment,
    `secrets` what is to be kept in the vault under which name, `asks` the secrets that its config does not hold,
    `lost` the keys that rune.toml has no word for."""

    key: str
    name: str
    table: Table = field(default_factory=dict)
    reason: str | None = None
    needs: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    asks: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def leave(self, reason: str) -> None:
        """Leave it out."""
        self.table, self.reason, self.secrets, self.asks = {}, reason, {}, []

    @property
    def remark(self) -> str:
        """What is to be known about it."""
        parts = (
            ("needs {} in the environment", self.needs),
            ("{} in the vault", self.secrets),
            ("wants {}: rune secret set NAME", self.asks),
            ("without {}", self.lost),
        )
        return "; ".join(text.format(", ".join(names)) for text, names in parts if names)


def take(found: Found, machine: Machine, file: Path) -> list[Taken]:
    """All servers of one place, for this rune.toml."""
    taken = [Taken(key, plain_name(key)) for key in found.servers]
    for each in taken:
        try:
            Reading(found, machine, each, file.absolute()).run(found.servers[each.key])
        except LeftOut as left:
            each.leave(str(left))
    return taken


def plain_secrets(table: Table) -> list[str]:
    """The names in a table that sound like secrets and have a value that everybody can read."""
    pairs = [pair for key in ("env", "headers") for pair in table.get(key, {}).items()]
    return [name for name, text in pairs if text and "${" not in text and _SECRET.search(name)]


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
        return self._secret(key, text) if text and _SECRET.search(key) else text

    def _header(self, key: str, text: str) -> str:
        if "${" in text:
            return self._text(key, text)
        if not _SECRET.search(key):
            return text
        kind, _, rest = text.partition(" ")
        if rest and kind.lower() in ("bearer", "basic", "token"):
            return f"{kind} {self._secret(key, rest)}"
        return self._secret(key, text)

    def _named(self, key: str) -> str:
        """The name of a secret in the vault."""
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{self._taken.name}.{key}")[:64]
        return name if name[0].isalpha() else f"_{name[:63]}"

    def _secret(self, key: str, value: str) -> str:
        name = self._named(key)
        self._taken.secrets[name] = value
        return f"${{secret:{name}}}"

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
            name = self._named(own or rest)
            if name not in self._taken.asks:
                self._taken.asks.append(name)
            return f"${{secret:{name}:-}}"
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
