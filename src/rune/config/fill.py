"""Fills `${NAME}` and its relatives in the values of a config file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from rune.config.lines import Path
from rune.errors import ConfigError

_PATTERN: Final = re.compile(
    r"\$\{(?:(?P<kind>[A-Za-z]+):(?!-))?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*?)(?::-(?P<default>[^}]*))?\}"
)


class Unfilled(ConfigError):
    """A value that cannot be filled in; `path` is where it stands."""

    def __init__(self, message: str, path: Path, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.path = path


class Secrets(Protocol):
    """What knows secrets by name."""

    def secret(self, name: str) -> str | None: ...


class Surroundings(Mapping[str, str]):
    """What a config is filled in from: the environment, and secrets, which are opened when the first one is wanted."""

    def __init__(self, secrets: Callable[[], Secrets]) -> None:
        self._open = secrets
        self._secrets: Secrets | None = None

    def __getitem__(self, name: str) -> str:
        if not name.startswith("secret:"):
            return os.environ[name]
        if self._secrets is None:
            self._secrets = self._open()
        value = self._secrets.secret(name.removeprefix("secret:"))
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(os.environ)

    def __len__(self) -> int:
        return len(os.environ)


def fill(value: Any, environ: Mapping[str, str], path: Path = ()) -> Any:
    """The value with `${NAME}`, `${env:NAME}`, `${secret:NAME}` and the same with `:-default` replaced in its strings.

    A default stands in for a variable that is unset or empty, as in a shell. Anything else in `${…}` is left alone.
    A secret stands in `environ` under `secret:NAME`.

    Raises:
        Unfilled: for a variable without a value, and for `${kind:…}` of an unknown kind.
    """
    if isinstance(value, str):
        return _PATTERN.sub(lambda match: _one(match, environ, path), value) if "${" in value else value
    if isinstance(value, dict):
        return {key: fill(item, environ, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, environ, (*path, index)) for index, item in enumerate(value)]
    return value


def _one(match: re.Match[str], environ: Mapping[str, str], path: Path) -> str:
    kind, name, default = match["kind"], match["name"], match["default"]
    if kind not in (None, "env", "secret"):
        raise Unfilled(f"{match.group()}: unknown kind {kind!r}", path, hint=f"use ${{{name}}} or ${{env:{name}}}")
    found = environ.get(f"secret:{name}" if kind == "secret" else name)
    if found or (found is not None and default is None):
        return found
    if default is not None:
        return default
    if kind == "secret":
        raise Unfilled(f"{match.group()} is not in the vault", path, hint=f"rune secret set {name}")
    raise Unfilled(f"{match.group()} is not set", path, hint=f"export {name}=… or give a default: ${{{name}:-…}}")
