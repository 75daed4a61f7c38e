"""Changes to a config file: made as text, checked by a parser, shown as a diff, and written in one piece or not at all.

The verbs that edit `rune.toml` and the configs of editors go through here.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from difflib import unified_diff
from pathlib import Path
from typing import Any, Final

from rune.config import jsontext, tomltext
from rune.config.files import syntax_error
from rune.config.lines import find, toml_lines
from rune.errors import ConfigError

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

BACKUP: Final = ".rune-backup"
_WIDTH: Final = 160
_PRIVATE: Final = re.compile(r"env|headers|key|token|secret|passw|auth|credential", re.IGNORECASE)
_FLAG: Final = re.compile(r"--?[\w-]*(?:key|token|secret|passw|auth)[\w-]*(?:=(?P<value>.+))?", re.IGNORECASE)
_BEARER: Final = re.compile(r"Bearer\s+(\S+)", re.IGNORECASE)


class Draft:
    """A config file as it is, and as it shall be. A file that is not there yet is an empty one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Through a link its target is written; the link stays.
        self.real = path.expanduser().resolve()
        self.before = self._read()
        try:
            text = (self.before or b"").decode()
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not UTF-8 at byte {error.start}", hint="save it as UTF-8") from None
        self.mark = "\ufeff" if text.startswith("\ufeff") else ""
        self.text = self.original = text.removeprefix("\ufeff")
        self.value: dict[str, Any] = self._parse(self.text)

    @property
    def toml(self) -> bool:
        """Whether it is TOML; everything else is JSON."""
        return self.path.suffix == ".toml"

    @property
    def changed(self) -> bool:
        return self.text != self.original

    def _read(self) -> bytes | None:
        try:
            return self.real.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{self.path}: {_why(error)}", hint="check the path and its permissions") from None

    def _parse(self, text: str) -> dict[str, Any]:
        """What a text means.

        Raises:
            ConfigError: naming file and line.
        """
        try:
            if self.toml:
                return tomllib.loads(text)
            value = _json(text) if text.strip() else {}
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(syntax_error(self.path, text, error), hint="correct the syntax there") from None
        except jsontext.Malformed as error:
            raise ConfigError(f"{self.path}:{error.line}: {error}", hint="correct the syntax there") from None
        except RecursionError:
            raise ConfigError(f"{self.path}: nested too deeply", hint="a config is a few tables deep") from None
        if not isinstance(value, dict):
            raise ConfigError(f"{self.path}: it is no object", hint='it looks like {"mcpServers": {…}}')
        return value

    def at(self, *keys: str) -> Any:
        """What stands under these keys; None when there is nothing."""
        found: Any = self.value
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def where(self, *keys: str) -> str:
        """`file:line` of a key."""
        if self.toml:
            line = find(toml_lines(self.text.replace("\r\n", "\n")), keys)
        else:
            line = jsontext.line_of(self.text, keys) if self.text.strip() else 1
        return f"{self.path}:{line}"

    # --- changes ---

    def add(self, keys: tuple[str, ...], value: dict[str, Any]) -> None:
        """Put a table where there is none.

        Raises:
            ConfigError: the file is written in a way in which this cannot be done without rewriting it.
        """
        expected = deepcopy(self.value)
        inner = expected
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{self.where(*keys[:-1])}: {key} is no table", hint="correct it there")
        inner[keys[-1]] = value
        edit = tomltext.insert if self.toml else jsontext.insert
        self._take(lambda: edit(self.text, keys, value), (expected,), f"write {'.'.join(keys)} into it by hand")

    def put(self, keys: tuple[str, ...], value: dict[str, Any], *, kind: str, hint: str, replace: bool) -> bool:
        """Put a table, unless it is there already; whether it was not. `kind` and `hint` are for the error.

        Raises:
            ConfigError: there is another table and it is not to be replaced; and as for `add`.
        """
        there = self.at(*keys)
        if there == value:
            return False
        if there is not None:
            if not replace:
                raise ConfigError(f"{self.where(*keys)}: there is {kind} {keys[-1]} already", hint=hint)
            self.drop(keys)
        self.add(keys, value)
        return True

    def drop(self, keys: tuple[str, ...]) -> None:
        """Take out a table. If nothing else has changed since the backup was made, the file is what it was then.

        Raises:
            ConfigError: as for `add`.
        """
        expected = deepcopy(self.value)
        inner = expected
        for key in keys[:-1]:
            inner = inner[key]
        gone = inner.pop(keys[-1])
        old = self._backup()
        if old is not None and self._gave(old, keys, gone):
            self.text, self.value = old, self._parse(old)
            return
        edit = tomltext.remove if self.toml else jsontext.remove
        # In TOML a table without a header of its own goes with its last subtable.
        without = {key: item for key, item in expected.items() if key != keys[0] or item}
        self._take(lambda: edit(self.text, keys), (expected, without), f"take {'.'.join(keys)} out by hand")

    def _take(self, edit: Callable[[], str], expected: tuple[dict[str, Any], ...], hint: str) -> None:
        """The new text, if it means exactly what it should."""
        text, value = "", None
        try:
            text = edit()
            value = self._parse(text)
        except (ValueError, ConfigError):
            pass
        if value is None or value not in expected:
            raise ConfigError(f"{self.path}: it is written in a way that cannot be edited safely", hint=hint)
        self.text, self.value = text, value

    def _backup(self) -> str | None:
        with suppress(OSError, UnicodeDecodeError):
            return self.backup.read_bytes().decode().removeprefix("\ufeff")
        return None

    def _gave(self, old: str, keys: tuple[str, ...], value: dict[str, Any]) -> bool:
        """Whether the text of now came from an older one by adding this."""
        edit = tomltext.insert if self.toml else jsontext.insert
        try:
            self._parse(old)
            return edit(old, keys, value) == self.text
        except (ValueError, ConfigError):
            return False

    # --- the outcome ---

    @property
    def backup(self) -> Path:
        """Where the file of before is kept."""
        return self.real.with_name(self.real.name + BACKUP)

    def diff(self) -> str:
        """What changes, without the values of tokens and the like."""
        lines = unified_diff(
            self.original.splitlines(), self.text.splitlines(), str(self.path), str(self.path), n=1, lineterm=""
        )
        hidden = sorted({*private(self.value), *private(self._parse(self.original))}, key=len)
        return "\n".join(_shown(line, hidden) for line in list(lines)[2:])

    def save(self, *, backup: bool = False) -> None:
        """Write it, as one replacement of the file.

        Raises:
            ConfigError: the file may not be written, or somebody else has changed it since it was read.
        """
        if not self.changed:
            return
        try:
            self.real.parent.mkdir(parents=True, exist_ok=True)
            with _lock(self.real.parent):
                if self._read() != self.before:
                    raise ConfigError(
                        f"{self.path}: it has changed meanwhile; nothing was written", hint="run it again"
                    )
                mode = None if self.before is None else stat.S_IMODE(self.real.stat().st_mode)
                if mode is not None and not (mode & 0o222 and os.access(self.real, os.W_OK)):
                    raise ConfigError(
                        f"{self.path}: it is read-only; nothing was written", hint=f"chmod u+w {self.path}"
                    )
                if backup and self.before is not None:
                    _replace(self.backup, self.before, mode, self.real)
                _replace(self.real, (self.mark + self.text).encode(), mode, self.real)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {_why(error)}", hint="check its folder") from None


def _json(text: str) -> Any:
    """Some of these files hold megabytes: what is plain JSON is left to the parser in C."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return jsontext.parse(text).value


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Several of our own processes write one after the other."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, data: bytes, mode: int | None, like: Path) -> None:
    """A file with the rights and the owner of another."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with new.open("xb") as file:
            if mode is not None:
                new.chmod(mode)
                owner = like.stat()
                with suppress(PermissionError, AttributeError):
                    os.chown(new, owner.st_uid, owner.st_gid)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def private(value: Any, inside: bool = False) -> Iterator[str]:
    """Texts that sound like secrets: by the key that they stand under, or the option that they follow."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from private(item, inside or bool(_PRIVATE.search(key)))
    elif isinstance(value, list | tuple):
        flags = [_FLAG.fullmatch(item) if isinstance(item, str) else None for item in value]
        for item, flag, before in zip(value, flags, (None, *flags), strict=False):
            yield from private(item, inside or (before is not None and before["value"] is None))
            if flag is not None and flag["value"]:
                yield flag["value"]
    elif isinstance(value, str) and len(value) > 3 and "${" not in value:
        if inside:
            yield value
        elif bearer := _BEARER.search(value):
            yield bearer[1]


def _shown(line: str, hidden: list[str]) -> str:
    for text in reversed(hidden):
        line = line.replace(text, "•••").replace(json.dumps(text, ensure_ascii=False)[1:-1], "•••")
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
