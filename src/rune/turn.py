"""One request on its way through the plugins: what they may know of it, what each of them keeps, what they did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import msgspec

from rune.payloads import late
from rune.plugin import GlobalContext, PluginContext
from rune.records import Record
from rune.request import Caller, Request
from rune.source import Target

NOBODY: Final = Caller("")
"""Who has called, where it is not known any more: nothing speaks against a plugin."""

_KEPT_BACK: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization"})


class Turn(msgspec.Struct, eq=False):
    """What is known of the request, but not the request: what that emits comes back to this, and what is made for every
    call may not hold itself. `kind` says what `name` names: a field of `PluginCondition`, or nothing. Most plugins look
    at nothing of all this, so it is put together when one does."""

    method: str = ""
    caller: Caller = NOBODY
    id: int | str | None = None
    target: Target | None = None
    headers: Mapping[bytes, bytes] | None = None
    kind: str = ""
    name: str = ""
    _contexts: dict[str, PluginContext] | None = None
    _records: list[Record] | None = None
    _facts: dict[str, str | None] | None = None
    _shared: GlobalContext | None = None

    @classmethod
    def of(cls, request: Request, kind: str = "", name: str = "") -> Self:
        """That of a request."""
        return cls(request.method, request.caller, request.id, request.target, request.headers, kind, name)

    @property
    def contexts(self) -> dict[str, PluginContext]:
        """What each plugin keeps, by its name."""
        if self._contexts is None:
            self._contexts = {}
        return self._contexts

    @property
    def records(self) -> list[Record]:
        """What plugins did, in the order in which they did it."""
        if self._records is None:
            self._records = []
        return self._records

    @property
    def given(self) -> dict[str, Any]:
        """What plugins are shown and may not change; each payload has some of it."""
        name = self.name
        return {"name": name, "prompt_id": name, "uri": name, "method": self.method, "headers": self._shown}

    @property
    def facts(self) -> dict[str, str | None]:
        """What conditions are about."""
        if self._facts is None:
            shared = self.shared
            self._facts = {
                self.kind: self.name,
                "server_ids": shared.server_id,
                "user_patterns": shared.user,
                "tenant_ids": shared.tenant_id,
            }
        return self._facts

    @property
    def shared(self) -> GlobalContext:
        """What all plugins see of it."""
        if self._shared is None:
            caller, target = self.caller, self.target
            known = {
                "request_id": str(self.id or ""),
                "user": caller.subject or None,
                "tenant_id": caller.claims.get("tenant_id") if caller.claims else None,
                "server_id": None if target is None else target.source.name,
            }
            self._shared = late(GlobalContext, known)
        return self._shared

    def context(self, plugin: str) -> PluginContext:
        """What a plugin keeps from its first hook to its last."""
        found = self.contexts.get(plugin)
        if found is None:
            found = self.contexts[plugin] = late(PluginContext, {"global_context": self.shared})
        return found

    def _shown(self) -> dict[str, str]:
        """Headers, but for credentials."""
        headers = self.headers or {}
        return {
            key.decode("latin-1"): value.decode("latin-1") for key, value in headers.items() if key not in _KEPT_BACK
        }

    def rename(self, name: str) -> None:
        """A plugin means something else. Who is concerned stays as it was: what began with a hook ends with one."""
        self._facts = self.facts
        self.name = name

    def outlive(self) -> None:
        """The request is over, and something of it will be told later: only what plugins may know stays."""
        self._facts = self.facts
        self.target = self.headers = None
