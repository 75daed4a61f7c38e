"""Grants in the `policy.yaml` of a component: given and taken by whoever may write the file, never by a client."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from rune.config.places import put
from rune.config.policy import beside
from rune.config.policy_yaml import read_policy
from rune.errors import ConfigError

KEYS: Final = {"storage": "uri", "network": "host", "environment": "key"}
GRANTS: Final = "storage=FOLDER[:MOUNT[:write]], network=HOST or environment=NAME[=VALUE]"


def grant(component: Path, grants: Sequence[str]) -> Path:
    """Add grants to the policy of a component; the file that holds it. What is granted already is replaced.

    Raises:
        ConfigError: a grant is none, or the file would not be a policy; nothing has changed then.
    """
    return _edit(component, [_entry(text) for text in grants], keep=True)


def revoke(component: Path, grants: Sequence[str]) -> Path:
    """Take grants back, see `grant`.

    Raises:
        ConfigError: one of them was never given.
    """
    return _edit(component, [_entry(text) for text in grants], keep=False)


def _entry(text: str) -> tuple[str, dict[str, Any]]:
    kind, sign, value = text.partition("=")
    if kind not in KEYS or not sign or not value:
        raise ConfigError(f"{text}: no grant", hint=f"it is {GRANTS}")
    if kind == "network":
        return kind, {"host": value}
    if kind == "environment":
        name, sign, value = value.partition("=")
        return kind, {"key": name, **({"value": value} if sign else {})}
    folder, _, rest = value.partition(":")
    mount, _, access = rest.partition(":")
    if access not in ("", "read", "write"):
        raise ConfigError(f"{text}: access is read or write", hint=f"it is {GRANTS}")
    place = Path(folder).expanduser().resolve()
    rights = ["read", "write"] if access == "write" else ["read"]
    return kind, {"uri": f"fs://{place}", "mount": mount or f"/{place.name}", "access": rights}


def _edit(component: Path, entries: Sequence[tuple[str, dict[str, Any]]], *, keep: bool) -> Path:
    own, common = beside(component)
    path = common if common.is_file() and not own.is_file() else own
    former = path.read_bytes() if path.is_file() else None
    value: dict[str, Any] = {"version": "1.0"} if former is None else _read(path, former)
    permissions = value.setdefault("permissions", {})
    for kind, entry in entries:
        allow = permissions.setdefault(kind, {}).setdefault("allow", [])
        known = [each for each in allow if each.get(KEYS[kind]) == entry[KEYS[kind]]]
        if not keep and not known:
            raise ConfigError(f"{path}: {kind} does not grant {entry[KEYS[kind]]}", hint="rune wasm inspect shows it")
        permissions[kind]["allow"] = [each for each in allow if each not in known] + ([entry] if keep else [])
    _replace(path, yaml.safe_dump(value, sort_keys=False, allow_unicode=True).encode())
    return path


def _read(path: Path, data: bytes) -> dict[str, Any]:
    # It says what is wrong with it.
    read_policy(path, _Anything())
    value: dict[str, Any] = yaml.safe_load(data)
    return value


def _replace(path: Path, data: bytes) -> None:
    """Only what can be read takes the place of the old file."""
    trial = path.with_name(f".{path.name}.trial")
    try:
        put(trial, data, durable=False)
        read_policy(trial, _Anything())
        put(path, data, durable=True)
    except ConfigError as error:
        raise ConfigError(error.message.replace(str(trial), str(path)), hint=error.hint) from None
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}", hint="check its rights") from None
    finally:
        trial.unlink(missing_ok=True)


class _Anything(dict[str, str]):
    """Variables and secrets need not be there to edit a file that names them."""

    def __missing__(self, key: str) -> str:
        return "…"

    def get(self, key: str, default: Any = None) -> Any:
        return "…"
