"""One table of all methods: what names their target, how they are answered, and which revisions know them."""

from __future__ import annotations

from dataclasses import dataclass, replace

MODERN = "2026-07-28"
REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", MODERN)
LEGACY = frozenset(REVISIONS[:-1])
NEWEST_LEGACY = "2025-11-25"

HANDSHAKE = "initialize"

TASKS = "io.modelcontextprotocol/tasks"
UI = "io.modelcontextprotocol/ui"


@dataclass(frozen=True, slots=True)
class Method:
    """`key` is the parameter that Mcp-Name mirrors; `members` is the list that a list method returns;
    `cacheable` results carry ttlMs and cacheScope; `asks` may be answered with `input_required`;
    `modern` and `legacy` say in which era a client may send it; `wire` is the name as a header has it."""

    name: str
    key: str | None = None
    members: str | None = None
    cacheable: bool = False
    asks: bool = False
    modern: bool = True
    legacy: bool = True
    wire: bytes = b""


_TABLE = (
    Method("server/discover", cacheable=True, legacy=False),
    Method("tools/list", members="tools", cacheable=True),
    Method("tools/call", key="name", asks=True),
    Method("resources/list", members="resources", cacheable=True),
    Method("resources/templates/list", members="resourceTemplates", cacheable=True),
    Method("resources/read", key="uri", cacheable=True, asks=True),
    Method("prompts/list", members="prompts", cacheable=True),
    Method("prompts/get", key="name", asks=True),
    Method("completion/complete"),
    Method("subscriptions/listen", legacy=False),
    Method("tasks/get", key="taskId"),
    Method("tasks/update", key="taskId", legacy=False),
    Method("tasks/cancel", key="taskId"),
    Method("tasks/list", modern=False),
    Method("tasks/result", modern=False),
    Method(HANDSHAKE, modern=False),
    Method("ping", modern=False),
    Method("logging/setLevel", modern=False),
    Method("resources/subscribe", modern=False),
    Method("resources/unsubscribe", modern=False),
)

METHODS = {method.name: replace(method, wire=method.name.encode()) for method in _TABLE}
MODERN_METHODS = {method.name: method for method in METHODS.values() if method.modern}

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
