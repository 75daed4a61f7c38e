"""Reads a `policy.yaml` beside a component: what it may do, in the shape that Wassette has, with our limits.

Loaded late: nobody else needs YAML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from rune.config.fill import Unfilled, fill
from rune.config.policy import PolicyTable
from rune.config.sizes import Size, read_size
from rune.errors import ConfigError

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m)?")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}
_LIMITS: Final = {"memory": "memory", "cpu-time": "cpu_time", "wall": "wall", "output": "output",
                  "concurrency": "concurrency"}  # fmt: skip
_TOP: Final = ("version", "description", "permissions")


def read_policy(path: Path, environ: Mapping[str, str]) -> PolicyTable:
    """The policy in a file.

    Raises:
        ConfigError: naming the file and what is wrong.
    """
    try:
        value = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}", hint="check the path") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: no YAML: {' '.join(str(error).split())[:200]}") from None
    try:
        table = _table(fill(value, environ, ()), path.parent, environ)
        return msgspec.convert(table, PolicyTable, strict=False, dec_hook=_hook)
    except Unfilled as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint) from None
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _hook(shape: type, value: Any) -> Any:
    return read_size(value)


def _table(value: Any, folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    top = _mapping(value, "the file", _TOP)
    if str(top.get("version")) != "1.0":
        raise ValueError('version must be "1.0"')
    parts = _mapping(top.get("permissions") or {}, "permissions", ("storage", "network", "environment", "resources"))
    resources = _mapping(parts.get("resources") or {}, "resources", ("limits",))
    limits = _mapping(resources.get("limits") or {}, "resources.limits", (*_LIMITS, "instances", "serve-mode"))
    found: dict[str, Any] = {
        "storage": [_storage(each, folder) for each in _allowed(parts, "storage", ("uri", "access", "mount"))],
        "network": list(_allowed(parts, "network", ("host", "methods", "inject", "private"))),
        "environment": _environment(_allowed(parts, "environment", ("key", "value")), environ),
        "limits": {_LIMITS[key]: _limit(key, each) for key, each in limits.items() if key in _LIMITS},
    }
    modes = {"instances": "isolation", "serve-mode": "serve_mode"}
    return found | {ours: limits[key] for key, ours in modes.items() if key in limits}


def _mapping(value: Any, what: str, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a mapping")
    unknown = [str(key) for key in value if key not in known]
    if unknown:
        raise ValueError(f"{what}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
    return value


def _allowed(parts: dict[str, Any], key: str, known: tuple[str, ...]) -> list[dict[str, Any]]:
    allow = _mapping(parts.get(key) or {}, key, ("allow",)).get("allow") or []
    if not isinstance(allow, list):
        raise ValueError(f"{key}.allow must be a list")
    entries = [_mapping(each, f"{key}.allow", known) for each in allow]
    for each in entries:
        if known[0] not in each:
            raise ValueError(f"{key}.allow: an entry without {known[0]}")
    return entries


def _storage(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    uri = str(entry["uri"])
    if not uri.startswith("fs://"):
        raise ValueError(f"storage.allow: {uri} does not begin with fs://")
    path = (folder / Path(uri.removeprefix("fs://")).expanduser()).resolve()
    if not path.is_dir():
        raise ValueError(f"storage.allow: no such folder: {path}")
    access = entry.get("access", ["read"])
    if not isinstance(access, list) or not access or not set(access) <= {"read", "write"}:
        raise ValueError("storage.allow: access is a list of read and write")
    return {
        "path": str(path),
        "mount": str(entry.get("mount", f"/{path.name}")),
        "access": "write" if "write" in access else "read",
    }


def _environment(entries: list[dict[str, Any]], environ: Mapping[str, str]) -> dict[str, str]:
    """Without a value it is that of the gateway, if it has one."""
    found = {str(each["key"]): each.get("value", environ.get(str(each["key"]))) for each in entries}
    return {key: str(value) for key, value in found.items() if value is not None}


def _limit(key: str, value: Any) -> Any:
    if key in ("cpu-time", "wall"):
        match = _DURATION.fullmatch(str(value).strip())
        if match is None:
            raise ValueError(f"resources.limits.{key}: {value!r} is no time such as 2s or 500ms")
        return float(match[1]) * _UNITS[match[2]]
    if key in ("memory", "output"):
        text = str(value).strip()
        size: Size = read_size(f"{text}B" if text[-1:] in "iIkKmMgG" else value)
        return int(size)
    return value
