"""Which legacy revision two sides speak, and what a server says of itself in it: `initialize` against discovery."""

from __future__ import annotations

from typing import Any, Final

from rune.errors import INVALID_PARAMS, INVALID_REQUEST, ProtocolError
from rune.protocol.methods import LEGACY, NEWEST_LEGACY, REVISIONS, TASKS
from rune.protocol.modern import SERVER_KEY

ASSUMED: Final = "2025-03-26"
"""The revision of a request without MCP-Protocol-Version (2025-06-18, Streamable HTTP)."""

CORE_TASKS: Final[dict[str, Any]] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}

_NAMELESS: Final = {"name": "unknown", "version": "0"}
_MODERN_ONLY: Final = ("resultType", "supportedVersions", "capabilities", "ttlMs", "cacheScope", "_meta")
_LEGACY_ONLY: Final = ("protocolVersion", "serverInfo", "capabilities", "_meta")


def choose(requested: object) -> str:
    """The revision to answer `initialize` with: the one asked for if it is served, else the newest of that era.

    Raises:
        ProtocolError: -32602 when no revision was asked for.
    """
    if not isinstance(requested, str):
        raise ProtocolError(INVALID_PARAMS, "params.protocolVersion must be a string")
    return requested if requested in LEGACY else NEWEST_LEGACY


def header_version(value: str | None) -> str:
    """The revision that MCP-Protocol-Version names on a legacy request.

    Raises:
        ProtocolError: -32600 when it is not served; HTTP 400 (2025-06-18, Streamable HTTP).
    """
    if value is None:
        return ASSUMED
    if value not in LEGACY:
        served = ", ".join(reversed(REVISIONS))
        raise ProtocolError(INVALID_REQUEST, f"unsupported protocol version {value[:40]!r}: served are {served}")
    return value


def server_info(info: Any, revision: str) -> dict[str, Any]:
    """An Implementation as a revision knows it."""
    if not isinstance(info, dict):
        return dict(_NAMELESS)
    known: dict[str, Any] = {**_NAMELESS, **info}
    if revision < "2025-11-25":
        for key in ("icons", "websiteUrl", "description"):
            known.pop(key, None)
    if revision < "2025-06-18":
        known.pop("title", None)
    return known


def initialize_result(discover: dict[str, Any], revision: str) -> dict[str, Any]:
    """A DiscoverResult as the InitializeResult of a revision."""
    meta = dict(discover.get("_meta") or {})
    result: dict[str, Any] = {
        "protocolVersion": revision,
        "capabilities": _server_capabilities(discover.get("capabilities") or {}, revision),
        "serverInfo": server_info(meta.pop(SERVER_KEY, None), revision),
    }
    result.update((key, value) for key, value in discover.items() if key not in _MODERN_ONLY)
    if meta:
        result["_meta"] = meta
    return result


def _server_capabilities(capabilities: dict[str, Any], revision: str) -> dict[str, Any]:
    known = {key: value for key, value in capabilities.items() if key not in ("extensions", "tasks")}
    if revision < "2025-03-26":
        known.pop("completions", None)
    if revision >= "2025-11-25" and TASKS in (capabilities.get("extensions") or {}):
        known["tasks"] = CORE_TASKS
    return known


def discover_result(initialize: dict[str, Any]) -> dict[str, Any]:
    """What a legacy server answered to `initialize`, as a DiscoverResult. Wrong shapes count as absent."""
    capabilities = initialize.get("capabilities")
    meta = initialize.get("_meta")
    info = initialize.get("serverInfo")
    version = initialize.get("protocolVersion")
    result: dict[str, Any] = {
        "resultType": "complete",
        "supportedVersions": [version] if isinstance(version, str) else [],
        "capabilities": _discover_capabilities(capabilities) if isinstance(capabilities, dict) else {},
        "ttlMs": 0,
        "cacheScope": "private",
    }
    result.update((key, value) for key, value in initialize.items() if key not in (*_LEGACY_ONLY, *result))
    if not isinstance(result.get("instructions", ""), str):
        del result["instructions"]
    meta = dict(meta) if isinstance(meta, dict) else {}
    if isinstance(info, dict):
        meta[SERVER_KEY] = {**_NAMELESS, **info}
    if meta:
        result["_meta"] = meta
    return result


def _discover_capabilities(capabilities: dict[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in capabilities.items() if key != "tasks" and isinstance(value, dict)}
    tasks: Any = capabilities.get("tasks")
    for key in ("requests", "tools", "call"):
        tasks = tasks.get(key) if isinstance(tasks, dict) else None
    if tasks is not None:
        known["extensions"] = {**known.get("extensions", {}), TASKS: {}}
    return known
