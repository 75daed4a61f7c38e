"""Fills `${NAME}` and its relatives in the values of a config file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

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


def fill(value: Any, environ: Mapping[str, str], path: Path = ()) -> Any:
    """The value with `${NAME}`, `${env:NAME}`, `${NAME:-default}` and `${env:NAME:-default}` replaced in its strings.

    A default stands in for a variable that is unset or empty, as in a shell. Anything else in `${…}` is left alone.

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
    if kind == "secret":
        raise Unfilled(
            f"{match.group()} has no vault to come from", path, hint=f"take it from the environment: ${{env:{name}}}"
        )
    if kind not in (None, "env"):
        raise Unfilled(f"{match.group()}: unknown kind {kind!r}", path, hint=f"use ${{{name}}} or ${{env:{name}}}")
    found = environ.get(name)
    if found or (found is not None and default is None):
        return found
    if default is not None:
        return default
    raise Unfilled(f"{match.group()} is not set", path, hint=f"export {name}=… or give a default: ${{{name}:-…}}")
