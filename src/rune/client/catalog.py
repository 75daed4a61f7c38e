"""What a server offers, read page by page: definitions byte for byte, bounded in number."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import msgspec

from rune.client.client import Connection
from rune.errors import METHOD_NOT_FOUND, ProtocolError
from rune.protocol import jsonrpc
from rune.protocol.freshness import MAX_TTL, freshness
from rune.protocol.methods import MODERN, TASKS
from rune.protocol.modern import Meta
from rune.request import Request
from rune.source import Catalog, Item

MAX_PAGES: Final = 200
MAX_ITEMS: Final = 20_000

_OWN: Final = Meta(version=MODERN, capabilities=msgspec.Raw(b"{}"))
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_LISTS: Final = (
    ("tools", "tools/list", "tools", "name"),
    ("prompts", "prompts/list", "prompts", "name"),
    ("resources", "resources/list", "resources", "uri"),
    ("resources", "resources/templates/list", "resourceTemplates", "uriTemplate"),
)


class Listing:
    """One list as far as it has been read."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.ttl = MAX_TTL + 1
        self.private = False


async def read_catalog(connection: Connection, *, tasks: bool = False) -> Catalog:
    """Ask for all lists that the server says it has.

    Raises:
        Unavailable, TimedOut, NeedsAuth: when it does not answer.
    """
    discovered = connection.discovered
    capabilities: dict[str, Any] = discovered.get("capabilities") or {}
    listings = await asyncio.gather(
        *(
            _read(connection, method, members, key) if capability in capabilities else _nothing()
            for capability, method, members, key in _LISTS
        )
    )
    tools, prompts, resources, templates = (tuple(listing.items.values()) for listing in listings)
    asked = [listing for listing in listings if listing.ttl <= MAX_TTL]
    extensions = dict(capabilities.get("extensions") or {})
    has_tasks = extensions.pop(TASKS, None) is not None
    instructions = discovered.get("instructions")
    return Catalog(
        tools,
        prompts,
        resources,
        templates,
        ttl=min((listing.ttl for listing in asked), default=0),
        scope="private" if any(listing.private for listing in listings) else "public",
        completions="completions" in capabilities,
        logging="logging" in capabilities,
        subscribe=_flag(capabilities, "resources", "subscribe"),
        reads="resources" in capabilities,
        varies="all" if connection.legacy else "older",
        list_changed=any(_flag(capabilities, kind, "listChanged") for kind in ("tools", "prompts", "resources")),
        tasks=tasks and has_tasks,
        instructions=instructions if isinstance(instructions, str) else None,
        extensions=extensions,
    )


def changes(old: Catalog, new: Catalog) -> set[str]:
    """Which kinds of things (tools, prompts, resources) are no longer as they were."""
    before, after = _lists(old), _lists(new)
    return {kind for kind in before if before[kind] != after[kind]}


def same(old: Catalog, new: Catalog) -> bool:
    """Whether nothing has changed that a client could see."""
    empty: dict[str, Any] = {"tools": (), "prompts": (), "resources": (), "templates": ()}
    return replace(old, **empty) == replace(new, **empty) and not changes(old, new)


def _lists(catalog: Catalog) -> dict[str, list[bytes]]:
    return {
        "tools": [item.raw for item in catalog.tools],
        "prompts": [item.raw for item in catalog.prompts],
        "resources": [item.raw for item in (*catalog.resources, *catalog.templates)],
    }


async def _nothing() -> Listing:
    return Listing()


async def _read(connection: Connection, method: str, members: str, key: str) -> Listing:
    listing = Listing()
    cursor: msgspec.Raw | None = None
    seen: set[bytes] = set()
    for _ in range(MAX_PAGES):
        params = {} if cursor is None else {"cursor": cursor}
        try:
            result = await connection.handle(Request(method, params, meta=_OWN))
        except ProtocolError as error:
            if error.code != METHOD_NOT_FOUND:
                connection.warn_once(f"{method}: {error}")
            break
        page = jsonrpc.read_object(result.raw)
        for item in _items(connection, page.get(members), key):
            listing.items.setdefault(item.name, item)
        ttl, private = freshness(page)
        listing.ttl, listing.private = min(listing.ttl, ttl), listing.private or private
        cursor = page.get("nextCursor")
        if cursor is None or bytes(cursor) == b"null":
            return listing
        if bytes(cursor) in seen or len(listing.items) > MAX_ITEMS:
            break
        seen.add(bytes(cursor))
    else:
        connection.warn_once(f"{method} has more than {MAX_PAGES} pages; the rest is left out")
    return listing


def _items(connection: Connection, raw: msgspec.Raw | None, key: str) -> Iterator[Item]:
    """The entries of a page that have a name; a broken one is left out, the others stay."""
    if raw is None:
        return
    try:
        entries = _decode_list(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        connection.warn_once("a list that is no list is left out")
        return
    for entry in entries:
        try:
            own = jsonrpc.decode(jsonrpc.read_object(entry)[key])
        except (ProtocolError, KeyError, msgspec.DecodeError):
            own = None
        if isinstance(own, str) and own:
            yield Item(own, bytes(entry))
        else:
            connection.warn_once(f"an entry without {key} is left out: {bytes(entry)[:80]!r}")


def _flag(capabilities: dict[str, Any], kind: str, name: str) -> bool:
    value = capabilities.get(kind)
    return isinstance(value, dict) and value.get(name) is True
