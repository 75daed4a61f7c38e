"""Results, notifications and error codes between 2026-07-28 and the revisions before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from rune.errors import INTERNAL_ERROR, INVALID_PARAMS
from rune.protocol.jsonrpc import read_object, splice
from rune.protocol.legacy.content import (
    downgrade_annotations,
    downgrade_blocks,
    downgrade_messages,
    needs_translation,
)
from rune.protocol.legacy.members import (
    Members,
    as_members,
    as_objects,
    as_text,
    drop_meta,
    encode,
    is_object,
    mentions,
    needles,
)
from rune.protocol.legacy.tasks import task_of
from rune.protocol.methods import METHODS
from rune.protocol.modern import SERVER_KEY, SUBSCRIPTION_KEY

_Change: TypeAlias = Callable[[Members, bytes, str], None]

RESOURCE_NOT_FOUND: Final = -32002
URL_ELICITATION_REQUIRED: Final = -32042

_CACHE: Final = {"ttlMs": msgspec.Raw(b"0"), "cacheScope": msgspec.Raw(b'"private"')}
_COMPLETE: Final = b'"resultType":"complete"'
_RESULT_TYPE: Final = needles("resultType")
_MESSAGE: Final = needles("message")
_SUBSCRIPTION: Final = needles(SUBSCRIPTION_KEY)
_PROPERTIES: Final = needles("properties")
_NOTES: Final = frozenset(
    {
        "notifications/message",
        "notifications/progress",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
        "notifications/tools/list_changed",
    }
)


def downgrade_result(method: str, raw: bytes, revision: str) -> bytes:
    """A complete result as a client of a legacy revision knows it. Fields we have never heard of stay."""
    members: Members = dict(read_object(raw))
    for key in ("resultType", "ttlMs", "cacheScope"):
        members.pop(key, None)
    drop_meta(members, SERVER_KEY)
    change = _CHANGES.get(method)
    if change is not None:
        change(members, raw, revision)
    return encode(members)


def upgrade_result(method: str, raw: bytes) -> bytes:
    """What a legacy upstream answered, as a complete result of 2026-07-28."""
    row = METHODS.get(method)
    if (row is None or not row.cacheable) and not mentions(raw, _RESULT_TYPE):
        return splice(raw, _COMPLETE)
    members: Members = dict(read_object(raw))
    members["resultType"] = "complete"
    if row is not None and row.cacheable:
        members = {**_CACHE, **members}
    return encode(members)


def downgrade_note(method: str, params: bytes, revision: str) -> tuple[str, bytes] | None:
    """Method and params of a notification for a legacy revision; None when it has nothing like it."""
    if method == "notifications/tasks":
        if revision < "2025-11-25":
            return None
        task = task_of(read_object(params))
        return "notifications/tasks/status", encode(task)
    if method not in _NOTES:
        return None
    stale = method == "notifications/progress" and revision < "2025-03-26" and mentions(params, _MESSAGE)
    if stale or mentions(params, _SUBSCRIPTION):
        members: Members = dict(read_object(params))
        drop_meta(members, SUBSCRIPTION_KEY)
        if stale:
            members.pop("message", None)
        params = encode(members)
    return method, params


def downgrade_error(method: str, code: int, data: Any) -> int:
    """The code of an error for a legacy client: a missing resource had one of its own until 2025-11-25."""
    if method == "resources/read" and code == INVALID_PARAMS and isinstance(data, dict) and "uri" in data:
        return RESOURCE_NOT_FOUND
    return code


def upgrade_error(method: str, code: int, data: Any) -> int:
    """The code of an error from a legacy upstream: two of its codes must not leave a server of 2026-07-28."""
    if code == RESOURCE_NOT_FOUND:
        return INVALID_PARAMS
    return INTERNAL_ERROR if code == URL_ELICITATION_REQUIRED else code


# --- what each method's result needs ---------------------------------------------------------------------------------


def _call(members: Members, raw: bytes, revision: str) -> None:
    structured = members.get("structuredContent")
    if structured is not None and (revision < "2025-06-18" or not is_object(structured)):
        del members["structuredContent"]
        if bytes(structured) != b"null" and as_objects(members.get("content", b"[]")) == []:
            # Nothing else says it: a result must not arrive empty.
            members["content"] = [{"type": "text", "text": bytes(structured).decode("utf-8", "replace")}]
            return
    if "content" in members and needs_translation(raw, revision):
        members["content"] = downgrade_blocks(members["content"], revision)


def _get_prompt(members: Members, raw: bytes, revision: str) -> None:
    if "messages" in members and needs_translation(raw, revision):
        members["messages"] = downgrade_messages(members["messages"], revision)


def _each(key: str, change: Callable[[Members, str], None], until: str) -> _Change:
    """Change all entries of a list for the revisions before `until`."""

    def apply(members: Members, raw: bytes, revision: str) -> None:
        entries = as_objects(members.get(key, b"")) if revision < until else None
        if entries is not None:
            for entry in entries:
                change(entry, revision)
            members[key] = entries

    return apply


def _titles(entry: Members, revision: str) -> None:
    entry.pop("icons", None)
    if revision < "2025-06-18":
        entry.pop("title", None)


def _tool(tool: Members, revision: str) -> None:
    for key in ("inputSchema", "outputSchema"):
        if key in tool:
            tool[key] = _schema(tool[key])
    output = tool.get("outputSchema")
    if output is not None and (revision < "2025-06-18" or not _object_root(output)):
        del tool["outputSchema"]
    if revision >= "2025-11-25":
        return
    tool.pop("execution", None)
    if revision < "2025-03-26":
        tool.pop("annotations", None)
    elif revision < "2025-06-18" and "title" in tool:
        annotations = as_members(tool.get("annotations", b"{}"))
        if annotations is not None:
            tool["annotations"] = {"title": tool["title"], **annotations}
    _titles(tool, revision)


def _resource(resource: Members, revision: str) -> None:
    _titles(resource, revision)
    if revision < "2025-06-18":
        downgrade_annotations(resource)


def _prompt(prompt: Members, revision: str) -> None:
    _titles(prompt, revision)
    arguments = as_objects(prompt.get("arguments", b"")) if revision < "2025-06-18" else None
    if arguments is not None:
        for argument in arguments:
            argument.pop("title", None)
        prompt["arguments"] = arguments


def _object_root(schema: Any) -> bool:
    members = schema if isinstance(schema, dict) else as_members(schema)
    return members is not None and as_text(members.get("type")) == "object"


_BOOLEAN_SCHEMAS: Final[dict[bytes, dict[str, Any]]] = {b"true": {}, b"false": {"not": {}}}


def _schema(raw: Any) -> Any:
    """A schema whose `properties` are all objects: `true` and `false` came with 2026-07-28. Untouched otherwise."""
    if not mentions(raw, _PROPERTIES) or not (b"true" in bytes(raw) or b"false" in bytes(raw)):
        return raw
    members = as_members(raw)
    properties = None if members is None else as_members(members.get("properties", b""))
    if members is None or properties is None:
        return raw
    plain = {
        key: _BOOLEAN_SCHEMAS[bytes(value)] for key, value in properties.items() if bytes(value) in _BOOLEAN_SCHEMAS
    }
    if not plain:
        return raw
    members["properties"] = {**properties, **plain}
    return members


_ALWAYS: Final = "9"
_CHANGES: Final[dict[str, _Change]] = {
    "tools/call": _call,
    "prompts/get": _get_prompt,
    "tools/list": _each("tools", _tool, _ALWAYS),
    "resources/list": _each("resources", _resource, "2025-11-25"),
    "resources/templates/list": _each("resourceTemplates", _resource, "2025-11-25"),
    "prompts/list": _each("prompts", _prompt, "2025-11-25"),
}
