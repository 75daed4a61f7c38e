"""A profile: the part of a gateway that is served at `/mcp/NAME`. What it does not name is not there.

It works on catalogs, before names are merged: so lists, calls by whatever name, completions and discovery all see the
same part, and nothing has to remember to ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final

from rune.request import Caller
from rune.source import Catalog, Item
from rune.sources.spool import PREFIX
from rune.view import Mount, exposed

_INSIDE: Final = "\x1f"


@dataclass(frozen=True, slots=True)
class Part:
    """What is left of one catalog, and the resources that its tools show themselves with."""

    whole: Catalog
    rest: Catalog
    pages: frozenset[str]


@dataclass(frozen=True, slots=True)
class Profile:
    """Globs over the names that clients see (tools, prompts) and over URIs (resources)."""

    name: str
    tools: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    _parts: dict[int, Part] = field(default_factory=dict)

    def part(self, mount: Mount, catalog: Catalog) -> Catalog:
        """What this profile shows of a catalog; the same object again for the same catalog."""
        known = self._parts.get(id(mount))
        if known is None or known.whole is not catalog:
            known = self._parts[id(mount)] = self._cut(mount, catalog)
        return known.rest

    def _cut(self, mount: Mount, catalog: Catalog) -> Part:
        def named(items: Sequence[Item], globs: tuple[str, ...]) -> tuple[Item, ...]:
            return tuple(item for item in items if _matches(exposed(mount.prefix, item.name), globs))

        tools = tuple(
            item for item in named(catalog.tools, self.tools) if not mount.tools or _matches(item.name, mount.tools)
        )
        pages = frozenset(page for item in tools if (page := _page(item)) is not None)
        prompts = named(catalog.prompts, self.prompts)
        resources = tuple(
            item for item in catalog.resources if item.name in pages or _matches(item.name, self.resources)
        )
        templates = tuple(item for item in catalog.templates if _matches(item.name, self.resources))
        seen = bool(tools or prompts or resources or templates)
        rest = replace(
            catalog,
            tools=tools,
            prompts=prompts,
            resources=resources,
            templates=templates,
            completions=catalog.completions and bool(prompts or templates),
            logging=catalog.logging and seen,
            subscribe=catalog.subscribe and bool(self.resources or pages),
            # The source may be asked for more than its lists name: `reads` of the profile says for what.
            reads=(seen or bool(self.resources)) and bool(catalog.reads or catalog.resources or catalog.templates),
            tasks=catalog.tasks and bool(tools),
            instructions=catalog.instructions if seen else None,
            extensions=catalog.extensions if seen else {},
        )
        return Part(catalog, rest, pages)

    def reads(self, uri: str) -> bool:
        """Whether a resource may be read that no list names; results that were too large for a message always may."""
        return (
            uri.startswith(PREFIX)
            or _matches(uri, self.resources)
            or any(uri in part.pages for part in self._parts.values())
        )

    def may(self, method: str, name: str) -> bool:
        """Whether a tool or prompt of this name would be shown, if there were one."""
        return _matches(name, self.tools if method == "tools/call" else self.prompts)

    def caller(self, caller: Caller) -> Caller:
        """The same caller as an owner of what is kept: sessions, tasks and parked calls do not leave their profile."""
        return replace(caller, subject=f"{caller.subject}{_INSIDE}{self.name}")


def outside(subject: str) -> str:
    """Who a caller is where there are no profiles."""
    return subject.partition(_INSIDE)[0]


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _page(item: Item) -> str | None:
    """The resource that a tool is shown with (MCP Apps, `_meta.ui.resourceUri` and its older spelling)."""
    if b"resourceUri" not in item.raw:
        return None
    meta = item.value.get("_meta")
    if not isinstance(meta, dict):
        return None
    ui = meta.get("ui")
    page = ui.get("resourceUri") if isinstance(ui, dict) else meta.get("ui/resourceUri")
    return page if isinstance(page, str) else None
