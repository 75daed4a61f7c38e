"""Resolves an exposed name to (source, own name) and merges what the sources offer into the view of one caller."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Coroutine, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from rune.errors import INVALID_PARAMS, NeedsAuth, NotFound, ProtocolError, RuneError, Unavailable
from rune.request import Note, Request, Result
from rune.seal import Seal
from rune.source import Catalog, Item, Source, Target
from rune.view import Mount, View

if TYPE_CHECKING:
    from rune.profile import Profile

log = logging.getLogger("rune.router")

_NUMBER: Final = re.compile(r"\d+")

REFRESH: Final = 1.0
"""Seconds until sources with a ttl of 0 are asked again for their catalog; changes they announce count at once."""
HASTE: Final = 0.25
"""Seconds after which a call goes its way without those sources that it is not for."""
LASTING: Final = 60.0
"""Seconds for which a view that is not good any more will do for calls, while a new one is made."""


class Look:
    """All sources are being asked what they offer, for the first request that wanted to know."""

    def __init__(self, request: Request) -> None:
        self.request = Request("catalog", caller=request.caller, meta=request.meta, older=request.older)
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
        self._former: dict[str, View] = {}
        self._looks: dict[str, Look] = {}
        self._missing: dict[str, set[str]] = {}
        self._locked: dict[str, NeedsAuth] = {}
        self._private = False
        self._varies: set[str] = set()
        self._alike = True
        """All see the same, as far as is known."""
        self._changes = 0

    def changed(self, source: Source, note: Note | None = None) -> None:
        """A source has changed: the next request builds its view anew, and calls of that source wait for it."""
        self._changes += 1
        for view in self._views.values():
            view.expires = 0.0
            view.doubtful.add(source)

    def follow(self, former: Router) -> None:
        """Names stay with who has them, also over a reload."""
        self._former = dict(former._views)

    def _key(self, request: Request) -> str:
        subject = request.caller.subject if self._private else ""
        if "all" in self._varies or (request.older and "older" in self._varies):
            return f"{subject}\0{request.older}{request.abilities}"
        return subject

    def fresh(self, request: Request) -> View | None:
        """The view of this caller where it is still good, without waiting."""
        view = self._views.get("" if self._alike else self._key(request))
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
        self._varies |= {catalog.varies for catalog in catalogs if catalog and catalog.varies != "no"}
        self._alike = not self._private and not self._varies
        key = self._key(request)
        view = self._views.get(key)
        if view is None or not view.shows(catalogs):
            view = self._made(catalogs, view or self._former.pop(key, None))
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
        able = (look.request.older, look.request.abilities) == (request.older, request.abilities)
        answers = [answer.result() if answer.done() and not answer.cancelled() else None for answer in look.answers]
        catalogs = [
            catalog if catalog and (own or catalog.scope == "public") and (able or catalog.varies == "no") else None
            for catalog in answers
        ]
        if look.early is None or not look.early.shows(catalogs):
            look.early = self._view(catalogs)
        return look.early

    def _made(self, catalogs: Sequence[Catalog | None], before: View | None) -> View:
        """A view of these catalogs. Many who are told apart see the same in the end: a newcomer gets what is there."""
        known = None if before else next((view for view in self._views.values() if view.shows(catalogs)), None)
        if known is not None:
            return known
        view = self._view(catalogs, before)
        for hidden in view.hidden:
            log.warning("%s: %s is hidden, another source already offers that name", *hidden)
        return view

    def _view(self, catalogs: Sequence[Catalog | None], before: View | None = None) -> View:
        return View(self.mounts, catalogs, self._page_size, self._seal, self._purpose, before)

    async def _catalog(self, mount: Mount, request: Request) -> Catalog | None:
        """A source that cannot say what it offers never hides the others; doctor and the log say why."""
        name = mount.source.name
        try:
            catalog = await mount.source.catalog(request)
        except RuneError as error:
            self._locked.pop(name, None)
            if isinstance(error, NeedsAuth):
                self._locked[name] = error
            # It is asked again and again: why it is not there is said once, whatever the times in it.
            said, text = self._missing.setdefault(name, set()), _NUMBER.sub("", str(error))
            if text not in said:
                said.add(text)
                log.warning("%s", error)
            return None
        self._missing.pop(name, None)
        self._locked.pop(name, None)
        return catalog if self._profile is None else self._profile.part(mount, catalog)

    def locked(self, request: Request) -> tuple[Source, NeedsAuth] | None:
        """A source that wants a sign-in before it says what it offers, and may offer the tool or prompt that is called;
        the first one in the order of the config."""
        if request.method not in ("tools/call", "prompts/get"):
            return None
        name = request.text("name")
        for mount in self.mounts:
            error = self._locked.get(mount.source.name)
            if error is None or not name.startswith(mount.prefix):
                continue
            if self._profile is None or self._profile.may(request.method, name):
                return mount.source, error
        return None

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
        target = view.resource(uri)
        if target is not None and target.item is not None:
            return target
        if target is not None and self.shows(target.name):
            return Target(target.source, target.name, Item(target.name, b"{}"))
        if target is None and view.readers and self.shows(uri):
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
        fault: RuneError = NotFound(f"unknown resource: {uri}", data={"uri": uri})
        for source in view.readers:
            try:
                return await source.handle(request.replace(target=Target(source, uri)))
            except NotFound:
                continue
            except (ProtocolError, Unavailable) as error:
                # Many older servers have no code for what they do not know, and a dead one must not hide the others.
                fault = error
        raise fault.with_traceback(None)

    def part(self, source: Source, request: Request, uris: frozenset[str]) -> dict[str, str]:
        """Of these URIs those that are this source's as the caller sees it: its own URI -> the one that was named."""
        view = self.known(request)
        if view is None:
            return {uri: uri for uri in uris}
        if source not in view.readers:
            return {}
        owned = {}
        for uri in uris:
            target = view.resource(uri)
            if target is None:
                owned[uri] = uri
            elif target.source is source:
                owned[target.name] = uri
        return owned
