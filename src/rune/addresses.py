"""Gateway URIs: where two sources list the same resource, the later one is reached as `rune://SOURCE/URI`.

The URI of the source stands in it as it is, so it can be read back, and a template stays one. Pages of MCP Apps must
begin with `ui://`, so theirs are `ui://rune/SOURCE/URI`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from rune.protocol.uritemplate import Template

PLAIN: Final = "rune://"
PAGES: Final = "ui://"
_OURS: Final = re.compile(r"(?:rune://|ui://rune/)([a-z0-9-]{1,24})/(.*)", re.DOTALL)

_encode = msgspec.json.Encoder().encode
_decode_str = msgspec.json.Decoder(str).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode

Members: TypeAlias = dict[str, Any]


def wrap(source: str, uri: str) -> str:
    """The gateway URI of a source's own URI."""
    return f"{PAGES}rune/{source}/{uri}" if uri.startswith(PAGES) else f"{PLAIN}{source}/{uri}"


def unwrap(uri: str) -> tuple[str, str] | None:
    """Source and own URI of a gateway URI; None for any other."""
    found = _OURS.fullmatch(uri)
    if found is None or wrap(found[1], found[2]) != uri:
        return None
    return found[1], found[2]


class Shade:
    """The resources of one source that stand behind those of another, and how its results name them for clients."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.own: dict[str, str] = {}
        self.plain: set[str] = set()
        self.templates: list[Template] = []

    def shown(self, uri: str) -> str:
        """What clients know as this URI of the source: listed or templated elsewhere first, it is a gateway URI."""
        known = self.own.get(uri)
        if known is not None or uri in self.plain:
            return known or uri
        if any(template.match(uri) is not None for template in self.templates):
            return wrap(self._source, uri)
        return uri

    def result(self, method: str, raw: bytes) -> bytes:
        """A result of the source with the URIs that clients know; everything else byte for byte."""
        change = _CHANGES.get(method)
        return raw if change is None else bytes(_changed(raw, lambda members: change(self, members)))

    def tool(self, raw: bytes) -> bytes:
        """The definition of a tool, whose page for MCP Apps may be one of these resources."""
        return bytes(_changed(raw, self._tool)) if b"resourceUri" in raw else raw

    def _tool(self, tool: Members) -> None:
        _member(tool, "_meta", self._page)

    def _page(self, meta: Members) -> None:
        self._uri(meta, "ui/resourceUri")
        _member(meta, "ui", lambda ui: self._uri(ui, "resourceUri"))

    def _uri(self, members: Members, key: str = "uri") -> None:
        try:
            uri = _decode_str(members.get(key, b""))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        shown = self.shown(uri)
        if shown != uri:
            members[key] = shown

    def _contents(self, members: Members) -> None:
        _each(members, "contents", self._uri)

    def _blocks(self, members: Members) -> None:
        _each(members, "content", self._block)

    def _messages(self, members: Members) -> None:
        _each(members, "messages", self._message)

    def _message(self, message: Members) -> None:
        _member(message, "content", self._block)

    def _block(self, block: Members) -> None:
        self._uri(block)
        _member(block, "resource", self._uri)


_CHANGES: Final[dict[str, Callable[[Shade, Members], None]]] = {
    "resources/read": Shade._contents,
    "tools/call": Shade._blocks,
    "prompts/get": Shade._messages,
}


def _changed(raw: Any, change: Callable[[Members], object]) -> Any:
    """A JSON object after a change of some members; what is no object stays what it is."""
    try:
        before = _decode_members(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw
    members: Members = dict(before)
    change(members)
    same = all(members[key] is value for key, value in before.items())
    return raw if same else msgspec.Raw(_encode(members))


def _member(members: Members, key: str, change: Callable[[Members], object]) -> None:
    """Change an object in an object."""
    if key in members:
        members[key] = _changed(members[key], change)


def _each(members: Members, key: str, change: Callable[[Members], object]) -> None:
    """Change all objects of a list."""
    try:
        entries = _decode_list(members.get(key, b""))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    after = [_changed(entry, change) for entry in entries]
    if any(one is not other for one, other in zip(entries, after, strict=True)):
        members[key] = after
