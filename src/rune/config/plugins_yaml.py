"""Reads a `plugins/config.yaml` as it is written elsewhere: unchanged, and honest about what does nothing here.

Loaded late by the command line: nobody else needs YAML.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from rune.config.fill import Unfilled, fill
from rune.config.model import PluginTable
from rune.errors import ConfigError

log = logging.getLogger("rune.plugins")

DEAD: Final = {
    "plugin_settings": "it does nothing in the framework it comes from either",
    "server_settings": "plugins run in this process",
    "grpc_server_settings": "plugins run in this process",
    "unix_socket_server_settings": "plugins run in this process",
}
"""Keys at the top that are accepted, and why they do nothing."""
SPOKEN: Final = frozenset({"description", "author", "version", "namespace", "tags"})
"""Keys of a plugin that are for people."""
IGNORED: Final = frozenset({"applied_to", "capabilities", "mcp", "grpc", "unix_socket"})
OURS: Final = {
    "plugins.pii_filter.pii_filter.PIIFilterPlugin": "pii_filter",
    "cpex_pii_filter.PIIFilterPlugin": "pii_filter",
    "plugins.regex_filter.search_replace.SearchReplacePlugin": "regex_filter",
    "plugins.deny_filter.deny.DenyListPlugin": "deny_list",
    "plugins.json_repair.json_repair.JSONRepairPlugin": "json_repair",
    "plugins.secrets_detection.secrets_detection.SecretsDetectionPlugin": "secrets",
    "cpex_secrets_detection.SecretsDetectionPlugin": "secrets",
    "cpex_secrets_detection.secrets_detection.SecretsDetectionPlugin": "secrets",
    "plugins.sql_sanitizer.sql_sanitizer.SQLSanitizerPlugin": "sql_sanitizer",
    "cpex_sql_sanitizer.SQLSanitizerPlugin": "sql_sanitizer",
    "cpex_sql_sanitizer.sql_sanitizer.SQLSanitizerPlugin": "sql_sanitizer",
    "plugins.rate_limiter.rate_limiter.RateLimiterPlugin": "rate_limiter",
    "cpex_rate_limiter.RateLimiterPlugin": "rate_limiter",
}
"""Kinds that are built in here under another name."""
_KEYS: Final = frozenset(PluginTable.__struct_fields__) - {"use"} | {"kind"} | SPOKEN | IGNORED


def read_plugins(path: Path, environ: Mapping[str, str]) -> tuple[tuple[PluginTable, ...], Path]:
    """The plugins of a file, and the folder from which their classes are meant: beside the folder that it lies in.

    Raises:
        ConfigError: naming the file and the plugin.
    """
    try:
        value = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}", hint="check the path") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        problem = getattr(error, "problem", None) or "cannot be read"
        raise ConfigError(f"{where}: {problem}", hint="correct the syntax there") from None
    if not isinstance(value, dict) or not isinstance(value.get("plugins", []), list):
        raise ConfigError(f"{path}: has no list of plugins", hint="plugins:\n  - name: …\n    kind: …")
    for key in value:
        if key not in ("plugins", "plugin_dirs"):
            log.warning("%s: %s: %s", path, key, DEAD.get(key, "is not known"))
    plugins = tuple(_plugin(path, index, entry, environ) for index, entry in enumerate(value.get("plugins") or []))
    return plugins, path.resolve().parent.parent


def _plugin(path: Path, index: int, entry: Any, environ: Mapping[str, str]) -> PluginTable:
    if not isinstance(entry, dict) or not isinstance(entry.get("kind"), str):
        raise ConfigError(f"{path}: plugin {index + 1} has no kind", hint="the path of its class")
    name = entry.get("name") or entry["kind"]
    if entry["kind"] in ("external", "isolated_venv"):
        raise ConfigError(
            f"{path}: plugin {name}: kind {entry['kind']} is not hosted", hint="only classes in this process are"
        )
    for key in entry:
        if key in IGNORED or key not in _KEYS:
            log.warning("%s: plugin %s: %s does nothing", path, name, key)
    table = {key: value for key, value in entry.items() if key in PluginTable.__struct_fields__ and value is not None}
    table["use"] = OURS.get(entry["kind"], entry["kind"])
    if "conditions" in table:
        table["conditions"] = [_condition(path, name, each) for each in table["conditions"]]
    try:
        return msgspec.convert(fill(table, environ, ()), PluginTable, strict=False)
    except Unfilled as error:
        raise ConfigError(f"{path}: plugin {name}: {error.message}", hint=error.hint) from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: plugin {name}: {error}".replace("`", ""), hint="correct it there") from None


def _condition(path: Path, name: str, entry: Any) -> Any:
    """Conditions over what does not exist here hold always: they are left out."""
    if not isinstance(entry, dict):
        return entry
    kept = {key: value for key, value in entry.items() if value}
    for key in ("tenant_ids", "agents", "content_types"):
        if kept.pop(key, None):
            log.warning("%s: plugin %s: a condition over %s does nothing", path, name, key)
    return kept
