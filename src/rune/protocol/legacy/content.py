"""Content blocks for clients that do not know all of them: translated where that is possible, never dropped."""

from __future__ import annotations

from typing import Any, Final

from rune.protocol.legacy.members import Members, as_members, as_objects, as_text, mentions, needles

_TEXT: Final = "text"
_UNKNOWN: Final = {
    "2024-11-05": needles("resource_link", "lastModified", "audio"),
    "2025-03-26": needles("resource_link", "lastModified"),
    "2025-06-18": needles("icons"),
}


def needs_translation(result: bytes, revision: str) -> bool:
    """Whether a result may hold content that a revision does not know; found out without opening it."""
    return revision < "2025-11-25" and mentions(result, _UNKNOWN[revision])


def downgrade_blocks(raw: Any, revision: str) -> Any:
    """The `content` of a tool result for a revision."""
    blocks = as_objects(raw)
    return raw if blocks is None else [downgrade_block(block, revision, place) for place, block in enumerate(blocks)]


def downgrade_messages(raw: Any, revision: str) -> Any:
    """The `messages` of a prompt for a revision."""
    messages = as_objects(raw)
    if messages is None:
        return raw
    for place, message in enumerate(messages):
        block = as_members(message.get("content", b""))
        if block is not None:
            message["content"] = downgrade_block(block, revision, place)
    return messages


def downgrade_block(block: Members, revision: str, place: int) -> Members:
    """One content block for a revision before 2025-11-25. `place` makes the URI of an embedded audio unique."""
    kind = as_text(block.get("type"))
    if revision < "2025-06-18":
        downgrade_annotations(block)
    if kind == "resource_link":
        if revision < "2025-06-18":
            return _kept(block, {"type": _TEXT, _TEXT: _link_text(block)})
        block.pop("icons", None)
    elif kind == "audio" and revision < "2025-03-26":
        resource = {"uri": f"audio:{place}", "mimeType": block.get("mimeType"), "blob": block.get("data")}
        return _kept(block, {"type": "resource", "resource": resource})
    return block


def downgrade_annotations(members: Members) -> None:
    """`annotations` without `lastModified` (2025-06-18)."""
    annotations = as_members(members.get("annotations", b""))
    if annotations is not None and annotations.pop("lastModified", None) is not None:
        members["annotations"] = annotations


def _kept(block: Members, other: Members) -> Members:
    for key in ("annotations", "_meta"):
        if key in block:
            other[key] = block[key]
    return other


def _link_text(block: Members) -> str:
    name = as_text(block.get("title")) or as_text(block.get("name")) or "resource"
    kind = as_text(block.get("mimeType"))
    text = f"{name}{f' ({kind})' if kind else ''}: {as_text(block.get('uri')) or ''}"
    description = as_text(block.get("description"))
    return f"{text}\n{description}" if description else text
