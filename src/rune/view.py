"""What one caller sees of all sources: names to targets, and the pages of the lists as clients get them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from rune.addresses import Shade, unwrap, wrap
from rune.errors import INVALID_PARAMS, ConfigError, ProtocolError
from rune.protocol.uritemplate import Template
from rune.request import Result
from rune.seal import Seal
from rune.source import Catalog, Item, Source, Target

log = logging.getLogger("rune.router")

KINDS: Final = ("tools", "prompts", "resources")
NAME_LIMIT: Final = 64

_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Mount:
    """A source in its place: the prefix of its names, and globs of the tools that are shown (all when empty)."""

    source: Source
    prefix: str = ""
    tools: tuple[str, ...] = ()


class View:
    """What one caller sees: names to targets, and the encoded pages of the lists. Built whole, replaced whole."""

    def __init__(
        self,
        mounts: Sequence[Mount],
        catalogs: Sequence[Catalog | None],
        page_size: int,
        seal: Seal,
        purpose: str = "cursor",
        before: View | None = None,
    ) -> None:
        self.catalogs = tuple(catalogs)
        self.expires = 0.0
        self.lasts = 0.0
        self.doubtful: set[Source] = set()
        self.discovered: Result | None = None
        """What the gateway says of itself to those who see this."""
        self.tools: dict[str, Target] = {}
        self.prompts: dict[str, Target] = {}
        self.resources: dict[str, Target] = {}
        self.templates: list[tuple[Template, Target]] = []
        self.readers: list[Source] = []
        self.hidden: list[tuple[str, str]] = []
        self.bare: dict[str, Target | None] = {}
        self.shades: dict[Source, Shade] = {}
        self._members: dict[str, list[tuple[str, bytes]]] = {
            "tools": [], "prompts": [], "resources": [], "resourceTemplates": [],
        }  # fmt: skip
        self._pages: dict[tuple[str, int], Result] = {}
        self.apps: set[str] = set()
        self._page_size = page_size
        self._seal = seal
        self._purpose = purpose
        self._owners = {} if before is None else before.owners()
        present = [(mount, catalog) for mount, catalog in zip(mounts, catalogs, strict=True) if catalog is not None]
        self._present = present
        for mount, catalog in present:
            self._add(mount, catalog)
        self._owners, self._present = {}, []
        if self.apps:
            self._members["tools for models"] = [each for each in self._members["tools"] if each[0] not in self.apps]
        # A source that cannot be asked now may come back: what is missing must not be cached for long.
        whole = len(present) == len(mounts)
        self.ttl = min((catalog.ttl for _, catalog in present), default=0) if whole else 0
        self.scope = "private" if any(catalog.scope == "private" for _, catalog in present) else "public"

    def _add(self, mount: Mount, catalog: Catalog) -> None:
        source = mount.source
        if catalog.resources or catalog.templates or catalog.subscribe or catalog.reads:
            self.readers.append(source)
            self._resources(source, catalog)
        shade = self.shades.get(source)
        for item in catalog.tools:
            if not mount.tools or any(fnmatchcase(item.name, pattern) for pattern in mount.tools):
                shown = self._name(
                    "tools", self.tools, mount, item, item.raw if shade is None else shade.tool(item.raw)
                )
                self.bare[item.name] = None if item.name in self.bare else shown
        for item in catalog.prompts:
            self._name("prompts", self.prompts, mount, item, item.raw)

    def _resources(self, source: Source, catalog: Catalog) -> None:
        for item in catalog.resources:
            uri = item.name
            if uri in self.resources:
                uri = self._shade(source).own.setdefault(uri, wrap(source.name, uri))
                if uri in self.resources:
                    self.hidden.append((source.name, uri))
                    continue
            self.resources[uri] = Target(source, item.name, item)
            self._members["resources"].append((uri, item.raw if uri == item.name else renamed(item.raw, uri, "uri")))
        known = {template.text for template, _ in self.templates}
        for item in catalog.templates:
            try:
                text, template = item.name, Template(item.name)
                if text in known:
                    self._shade(source).templates.append(template)
                    text = wrap(source.name, text)
                    template = Template(text)
            except ConfigError as error:
                log.warning("%s: %s", source.name, error)
                continue
            self.templates.append((template, Target(source, item.name, item)))
            raw = item.raw if text == item.name else renamed(item.raw, text, "uriTemplate")
            self._members["resourceTemplates"].append((text, raw))
        if source in self.shades:
            self.shades[source].plain.update(item.name for item in catalog.resources)

    def _shade(self, source: Source) -> Shade:
        return self.shades.setdefault(source, Shade(source.name))

    def _name(self, kind: str, table: dict[str, Target], mount: Mount, item: Item, raw: bytes) -> Target | None:
        """Show a tool or prompt, unless its name is that of another: the newcomer is hidden, whoever that is."""
        name = exposed(mount.prefix, item.name)
        owner = self._owners.get((kind, name))
        if name in table or (owner is not None and owner is not mount.source and self._offers(kind, owner, name)):
            self.hidden.append((mount.source.name, name))
            return None
        target = table[name] = Target(mount.source, item.name, item, name)
        self._members[kind].append((name, raw if name == item.name else renamed(raw, name)))
        if kind == "tools" and b'"visibility"' in raw and for_apps(item.value):
            self.apps.add(name)
        return target

    def _offers(self, kind: str, source: Source, name: str) -> bool:
        """Whether a source that had a name before still has it."""
        return any(
            exposed(mount.prefix, item.name) == name
            for mount, catalog in self._present
            if mount.source is source
            for item in (catalog.tools if kind == "tools" else catalog.prompts)
        )

    def owners(self) -> dict[tuple[str, str], Source]:
        """Whose each name is: the next view keeps it so while that source offers it."""
        tables = {"tools": self.tools, "prompts": self.prompts}
        return {(kind, name): target.source for kind, table in tables.items() for name, target in table.items()}

    def resource(self, uri: str) -> Target | None:
        """Whom a URI belongs to: listed, then by template, then (without an item) as a gateway URI says itself."""
        target = self.resources.get(uri)
        if target is not None:
            return target
        found = unwrap(uri)
        for template, candidate in self.templates:
            if template.match(uri) is not None:
                own = found[1] if found is not None and template.text != candidate.name else uri
                return Target(candidate.source, own, candidate.item)
        source = next((source for source in self.readers if found is not None and source.name == found[0]), None)
        return None if found is None or source is None else Target(source, found[1])

    def shows(self, catalogs: Sequence[Catalog | None]) -> bool:
        """Whether it was made of these very catalogs."""
        return all(old is new for old, new in zip(self.catalogs, catalogs, strict=True))

    def page(self, members: str, cursor: str | None, *, apps: bool = True) -> Result:
        """One page of a list, encoded once for all who see this view; without `apps` the tools are not on it that only
        pages of MCP Apps call.

        Raises:
            ProtocolError: -32602 for a cursor that is not ours.
        """
        if self.apps and members == "tools" and not apps:
            members = "tools for models"
        start = 0 if cursor is None else self._start(members, cursor)
        page = self._pages.get((members, start))
        if page is None:
            page = self._pages[members, start] = self._encode(members, start)
        return page

    def differences(self, other: View | None) -> set[str]:
        """The kinds of things (tools, prompts, resources) of which another view has others."""
        if other is None:
            return set(KINDS)
        kinds = {members for members, items in self._members.items() if items != other._members.get(members)}
        return {kind for kind in KINDS if kind in kinds} | ({"resources"} if "resourceTemplates" in kinds else set())

    def _encode(self, members: str, start: int) -> Result:
        items = self._members[members]
        end = start + self._page_size
        value: dict[str, Any] = {
            "resultType": "complete",
            members.partition(" ")[0]: [msgspec.Raw(raw) for _, raw in items[start:end]],
            "ttlMs": self.ttl,
            # What a client sees depends on what it can do, and nothing else in the request says so to a cache.
            "cacheScope": "private" if self.apps and members.startswith("tools") else self.scope,
        }
        if end < len(items):
            value["nextCursor"] = self._seal.sign(self._purpose, f"{members}:{end}:{items[end - 1][0]}")
        return Result(_encode(value), memo={})

    def _start(self, members: str, cursor: str) -> int:
        """Where a page starts: after the name it was cut at, so that a list that changed in between loses nothing."""
        text = self._seal.verify(self._purpose, cursor)
        kind, _, rest = (text or "").partition(":")
        if kind != members:
            raise ProtocolError(INVALID_PARAMS, "invalid cursor", hint="start again without a cursor")
        number, _, last = rest.partition(":")
        items = self._members[members]
        start = min(int(number), len(items))
        if start and items[start - 1][0] == last:
            return start
        return next((index + 1 for index, (name, _) in enumerate(items) if name == last), start)


def for_apps(tool: Any) -> bool:
    """Whether a tool is for the pages of MCP Apps alone and not for models (`_meta.ui.visibility`)."""
    meta = tool.get("_meta") if isinstance(tool, dict) else None
    ui = meta.get("ui") if isinstance(meta, dict) else None
    visibility = ui.get("visibility") if isinstance(ui, dict) else None
    return isinstance(visibility, list) and "app" in visibility and "model" not in visibility


def exposed(prefix: str, name: str) -> str:
    """The name under which clients see a tool or prompt: at most 64 characters, told apart by a digest when cut."""
    full = prefix + name
    if len(full) <= NAME_LIMIT or not prefix:
        return full
    return f"{full[: NAME_LIMIT - 7]}_{hashlib.sha256(full.encode()).hexdigest()[:6]}"


def renamed(definition: bytes, name: str, key: str = "name") -> bytes:
    """A definition under another name (or URI), everything else byte for byte."""
    members: dict[str, Any] = dict(_decode_object(definition))
    members[key] = name
    return _encode(members)
