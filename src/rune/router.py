"""Resolves an exposed name to (source, own name) and merges what the sources offer into the view of one caller."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rune.errors import INVALID_PARAMS, ConfigError, NotFound, ProtocolError, RuneError
from rune.protocol.uritemplate import Template
from rune.request import Note, Request, Result
from rune.seal import Seal
from rune.source import Catalog, Item, Source, Target

if TYPE_CHECKING:
    from rune.profile import Profile

log = logging.getLogger("rune.router")

KINDS: Final = ("tools", "prompts", "resources")
NAME_LIMIT: Final = 64
REFRESH: Final = 1.0
"""Seconds until sources with a ttl of 0 are asked again for their catalog; changes they announce count at once."""
HASTE: Final = 0.25
"""Seconds after which a call goes its way without those sources that it is not for."""
LASTING: Final = 60.0
"""Seconds for which a view that is not good any more will do for calls, while a new one is made."""

_NUMBER: Final = re.compile(r"\d+")
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
    ) -> None:
        self.catalogs = tuple(catalogs)
        self.expires = 0.0
        self.lasts = 0.0
        self.doubtful: set[Source] = set()
        self.tools: dict[str, Target] = {}
        self.prompts: dict[str, Target] = {}
        self.resources: dict[str, Target] = {}
        self.templates: list[tuple[Template, Target]] = []
        self.readers: list[Source] = []
        self.hidden: list[tuple[str, str]] = []
        self.bare: dict[str, Target | None] = {}
        self._members: dict[str, list[tuple[str, bytes]]] = {
            "tools": [], "prompts": [], "resources": [], "resourceTemplates": [],
        }  # fmt: skip
        self._pages: dict[tuple[str, int], Result] = {}
        self._page_size = page_size
        self._seal = seal
        self._purpose = purpose
        present = [(mount, catalog) for mount, catalog in zip(mounts, catalogs, strict=True) if catalog is not None]
        for mount, catalog in present:
            self._add(mount, catalog)
        # A source that cannot be asked now may come back: what is missing must not be cached for long.
        whole = len(present) == len(mounts)
        self.ttl = min((catalog.ttl for _, catalog in present), default=0) if whole else 0
        self.scope = "private" if any(catalog.scope == "private" for _, catalog in present) else "public"

    def _add(self, mount: Mount, catalog: Catalog) -> None:
        source = mount.source
        for item in catalog.tools:
            if not mount.tools or any(fnmatchcase(item.name, pattern) for pattern in mount.tools):
                self._name("tools", self.tools, mount, item)
                self.bare[item.name] = (
                    None if item.name in self.bare else self.tools.get(exposed(mount.prefix, item.name))
                )
        for item in catalog.prompts:
            self._name("prompts", self.prompts, mount, item)
        for item in catalog.resources:
            if item.name in self.resources:
                self._hide(source, item.name)
                continue
            self.resources[item.name] = Target(source, item.name, item)
            self._members["resources"].append((item.name, item.raw))
        for item in catalog.templates:
            try:
                self.templates.append((Template(item.name), Target(source, item.name, item)))
            except ConfigError as error:
                log.warning("%s: %s", source.name, error)
                continue
            self._members["resourceTemplates"].append((item.name, item.raw))
        if catalog.resources or catalog.templates or catalog.subscribe or catalog.reads:
            self.readers.append(source)

    def _name(self, kind: str, table: dict[str, Target], mount: Mount, item: Item) -> None:
        name = exposed(mount.prefix, item.name)
        if name in table:
            self._hide(mount.source, name)
            return
        table[name] = Target(mount.source, item.name, item)
        self._members[kind].append((name, item.raw if name == item.name else renamed(item.raw, name)))

    def _hide(self, source: Source, name: str) -> None:
        self.hidden.append((source.name, name))

    def page(self, members: str, cursor: str | None) -> Result:
        """One page of a list, encoded once for all who see this view.

        Raises:
            ProtocolError: -32602 for a cursor that is not ours.
        """
        start = 0 if cursor is None else self._start(members, cursor)
        page = self._pages.get((members, start))
        if page is None:
            page = self._pages[members, start] = self._encode(members, start)
        return page

    def differences(self, other: View | None) -> set[str]:
        """The kinds of things (tools, prompts, resources) of which another view has others."""
        if other is None:
            return set(KINDS)
        kinds = {members for members, items in self._members.items() if items != other._members[members]}
        return {kind for kind in KINDS if kind in kinds} | ({"resources"} if "resourceTemplates" in kinds else set())

    def _encode(self, members: str, start: int) -> Result:
        items = self._members[members]
        end = start + self._page_size
        value: dict[str, Any] = {
            "resultType": "complete",
            members: [msgspec.Raw(raw) for _, raw in items[start:end]],
            "ttlMs": self.ttl,
            "cacheScope": self.scope,
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


class Look:
    """All sources are being asked what they offer, for the first request that wanted to know."""

    def __init__(self, request: Request) -> None:
        self.request = Request("catalog", caller=request.caller, meta=request.meta)
        self.task: asyncio.Task[View]
        self.answers: list[asyncio.Task[Catalog | None]] = []
        self.early: View | None = None


class Router:
    """The bottom of the chain: hands a resolved request to its source."""

    def __init__(self, mounts: Sequence[Mount], seal: Seal, page_size: int, profile: Profile | None = None) -> None:
        self.mounts = tuple(mounts)
        self._seal = seal
        self._page_size = page_size
        self._profile = profile
        self._purpose = "cursor" if profile is None else f"cursor/{profile.name}"
        self._views: dict[str, View] = {}
        self._looks: dict[str, Look] = {}
        self._missing: dict[str, set[str]] = {}
        self._private = False
        self._changes = 0

    def changed(self, source: Source, note: Note | None = None) -> None:
        """A source has changed: the next request builds its view anew, and calls of that source wait for it."""
        self._changes += 1
        for view in self._views.values():
            view.expires = 0.0
            view.doubtful.add(source)

    def _key(self, request: Request) -> str:
        return request.caller.subject if self._private else ""

    def fresh(self, request: Request) -> View | None:
        """The view of this caller where it is still good, without waiting."""
        view = self._views.get(self._key(request))
        return view if view is not None and monotonic() < view.expires else None

    def known(self, request: Request) -> View | None:
        """What this caller has seen last, good or not."""
        return self._views.get(self._key(request))

    async def view(self, request: Request) -> View:
        """What the caller of this request sees, from the last look unless a source has changed or its ttl is over."""
        return self.fresh(request) or await self._renewed(request)

    async def view_for_call(self, request: Request) -> View:
        """A view in which this call finds its target. It does not wait for a source that is slow to say what it offers,
        unless it is the one that is called."""
        view = self.known(request)
        task = self._renewal(request)
        if view is not None:
            if monotonic() < view.lasts and self._finds(request, view):
                return view
        else:
            await asyncio.wait((task,), timeout=HASTE)
            early = None if task.done() else self._early(request)
            # A bare name that is unique so far may turn out not to be.
            bare = early is not None and request.method == "tools/call" and request.text("name") not in early.tools
            if early is not None and not bare and self._finds(request, early):
                return early
        return await self._renewed(request)

    def _finds(self, request: Request, view: View) -> bool:
        try:
            target = self.resolve(request, view)
        except (NotFound, ProtocolError):
            return False
        return target.item is not None and target.source not in view.doubtful

    def _renewal(self, request: Request) -> asyncio.Task[View]:
        """The look at all sources that is under way, or a new one."""
        key = self._key(request)
        look = self._looks.get(key)
        if look is None:
            look = self._looks[key] = Look(request)
            look.task = asyncio.create_task(self._refresh(key, look))
            look.task.add_done_callback(lambda _: self._looks.pop(key, None))
        return look.task

    async def _renewed(self, request: Request) -> View:
        key = self._key(request)
        view = await asyncio.shield(self._renewal(request))
        # Only now it may have turned out that each caller has a view of its own.
        return view if key == self._key(request) else await self.view(request)

    async def _refresh(self, key: str, look: Look) -> View:
        request = look.request
        changes = self._changes
        look.answers = [asyncio.create_task(self._catalog(mount, request)) for mount in self.mounts]
        catalogs = await asyncio.gather(*look.answers)
        self._private = self._private or any(catalog and catalog.scope == "private" for catalog in catalogs)
        key = self._key(request)
        view = self._views.get(key)
        if view is None or any(old is not new for old, new in zip(view.catalogs, catalogs, strict=True)):
            view = self._view(catalogs)
            for hidden in view.hidden:
                log.warning("%s: %s is hidden, another source already offers that name", *hidden)
            if len(self._views) >= 1024:
                self._views.pop(next(iter(self._views)))
            self._views[key] = view
        # A change that came while the sources were being asked may not be in their answers.
        if changes == self._changes:
            view.expires = monotonic() + max(view.ttl / 1000, REFRESH)
            view.doubtful.clear()
        view.lasts = monotonic() + max(view.ttl / 1000, REFRESH) + LASTING
        return view

    def _early(self, request: Request) -> View | None:
        """What those sources make that have answered already, where there has been no whole view yet."""
        look = self._looks.get(self._key(request))
        if look is None:
            return None
        own = look.request.caller.subject == request.caller.subject
        catalogs = [answer.result() if answer.done() and not answer.cancelled() else None for answer in look.answers]
        catalogs = [catalog if catalog is None or own or catalog.scope == "public" else None for catalog in catalogs]
        if look.early is None or any(old is not new for old, new in zip(look.early.catalogs, catalogs, strict=True)):
            look.early = self._view(catalogs)
        return look.early

    def _view(self, catalogs: Sequence[Catalog | None]) -> View:
        return View(self.mounts, catalogs, self._page_size, self._seal, self._purpose)

    async def _catalog(self, mount: Mount, request: Request) -> Catalog | None:
        """A source that cannot say what it offers never hides the others; doctor and the log say why."""
        name = mount.source.name
        try:
            catalog = await mount.source.catalog(request)
        except RuneError as error:
            # It is asked again and again: why it is not there is said once, whatever the times in it.
            said, text = self._missing.setdefault(name, set()), _NUMBER.sub("", str(error))
            if text not in said:
                said.add(text)
                log.warning("%s", error)
            return None
        self._missing.pop(name, None)
        return catalog if self._profile is None else self._profile.part(mount, catalog)

    def shows(self, uri: str) -> bool:
        """Whether a resource may be read here that no list names."""
        return self._profile is None or self._profile.reads(uri)

    def resolve(self, request: Request, view: View) -> Target:
        """The target of a request that names one, for who sees this view.

        Raises:
            NotFound: when this caller sees no such thing.
        """
        match request.method:
            case "tools/call":
                name = request.text("name")
                target = view.tools.get(name) or view.bare.get(name)
                if target is None:
                    raise NotFound(f"unknown tool: {name}")
                return target
            case "prompts/get":
                return self._prompt(view, request.text("name"))
            case "resources/read":
                return self._resource(view, request.text("uri"))
            case _:
                return self._reference(view, request)

    def _prompt(self, view: View, name: str) -> Target:
        target = view.prompts.get(name)
        if target is None:
            raise NotFound(f"unknown prompt: {name}")
        return target

    def _resource(self, view: View, uri: str) -> Target:
        """Listed, then by template, then the first source with resources, in the order of the config."""
        target = view.resources.get(uri)
        if target is not None:
            return target
        for template, candidate in view.templates:
            if template.match(uri) is not None:
                return Target(candidate.source, uri, candidate.item)
        if view.readers and self.shows(uri):
            return Target(view.readers[0], uri)
        raise NotFound(f"unknown resource: {uri}", data={"uri": uri})

    def _reference(self, view: View, request: Request) -> Target:
        """What a completion is about; the reference itself is rewritten to the source's own name by the caller."""
        ref = request.value("ref")
        if isinstance(ref, dict) and ref.get("type") == "ref/prompt" and isinstance(ref.get("name"), str):
            return self._prompt(view, ref["name"])
        if isinstance(ref, dict) and ref.get("type") == "ref/resource" and isinstance(ref.get("uri"), str):
            uri = ref["uri"]
            for template, target in view.templates:
                if template.text == uri:
                    return target
            if uri in view.resources:
                return view.resources[uri]
            raise NotFound(f"unknown resource: {uri}", data={"uri": uri})
        raise ProtocolError(INVALID_PARAMS, "params.ref must be a ref/prompt or a ref/resource")

    def handle(self, request: Request) -> Coroutine[Any, Any, Result]:
        """Hand a resolved request to its source."""
        target = request.target
        assert target is not None, "a request is resolved before it is routed"
        if target.item is None and request.method == "resources/read":
            return self._read_anywhere(request)
        return target.source.handle(request)

    async def _read_anywhere(self, request: Request) -> Result:
        """A URI that nobody lists: ask the sources with resources, in the order of the config."""
        view = await self.view(request)
        uri = request.text("uri")
        for source in view.readers:
            try:
                return await source.handle(request.replace(target=Target(source, uri)))
            except NotFound:
                continue
        raise NotFound(f"unknown resource: {uri}", data={"uri": uri})


def exposed(prefix: str, name: str) -> str:
    """The name under which clients see a tool or prompt: at most 64 characters, told apart by a digest when cut."""
    full = prefix + name
    if len(full) <= NAME_LIMIT or not prefix:
        return full
    return f"{full[: NAME_LIMIT - 7]}_{hashlib.sha256(full.encode()).hexdigest()[:6]}"


def renamed(definition: bytes, name: str) -> bytes:
    """A definition under another name, everything else byte for byte."""
    members: dict[str, Any] = dict(_decode_object(definition))
    members["name"] = name
    return _encode(members)
