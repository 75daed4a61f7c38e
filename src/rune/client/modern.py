"""A server that speaks our own dialect, 2026-07-28: requests go out nearly as they came in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rune.client.calls import Call, Calls, Lost, Refused
from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import Envelope
from rune.protocol.methods import METHODS, MODERN
from rune.protocol.modern import (
    CAPABILITIES_KEY,
    CLIENT_KEY,
    LOG_LEVEL_KEY,
    PARAM_HEADER,
    SUBSCRIPTION_KEY,
    VERSION_KEY,
    ParamHeader,
    encode_header,
    mirrored,
    scan_param_headers,
)
from rune.protocol.questions import check_declared, declares, needs
from rune.request import Request, Result

MAX_KEPT: Final = 256
"""How many kinds of `_meta` and of headers are kept: clients say the same thing again and again."""
MAX_META: Final = 4096
_VERSION: Final = msgspec.Raw(jsonrpc.encode(MODERN))
_EMPTY: Final = msgspec.Raw(b"{}")
_encode = jsonrpc.encode
_decode_objects = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Modern:
    """The era of a connection whose server answered a modern request."""

    revision = MODERN

    def __init__(self, calls: Calls, identity: msgspec.Raw, discovered: dict[str, Any] | None) -> None:
        self.name = calls.wire.name
        # A server that cannot be discovered is asked for everything and may say that it does not have it.
        self.discovered = discovered or {"capabilities": {"tools": {}, "prompts": {}, "resources": {}}}
        self._calls = calls
        self._identity = identity
        self._param_headers: dict[str, tuple[ParamHeader, ...]] = {}
        self._metas: dict[tuple[bytes, bytes, str | None], msgspec.Raw] = {}
        self._headers: dict[tuple[str, str | None], Mapping[str, str]] = {}
        calls.cancels_by_note = not calls.wire.http

    async def handle(self, request: Request) -> Result:
        call = self._calls.new(request.method, request)
        if request.method == "subscriptions/listen":
            call.deadline = request.deadline
        call.params, call.key = self._outgoing(request, call)
        if self._calls.wire.http:
            call.headers = self._mirrored(request, call)
        try:
            raw = await self._calls.run(call)
        except Refused as refused:
            if refused.error is not None:
                raise refused.error from refused
            raise
        return self._result(request, raw, call.top or self._top(raw, request.method))

    def _outgoing(self, request: Request, call: Call) -> tuple[bytes, str | None]:
        """The params under the names of the server, and the value that Mcp-Name mirrors."""
        params: dict[str, Any] = dict(request.params)
        params["_meta"] = self._meta(request, call)
        if request.method != "tasks/update":
            params.pop("inputResponses", None)
            params.pop("requestState", None)
        if request.answers is not None:
            params["inputResponses"] = request.answers
        if self.name in request.state:
            params["requestState"] = request.state[self.name]
        key = own_name(request, params)
        return _encode(params), key

    def _meta(self, request: Request, call: Call) -> msgspec.Raw:
        """`_meta` for this server, encoded: the same one for all that say the same, but for what is one call's own."""
        meta, said = request.meta, bytes(request.params.get("_meta", b""))
        key = said, bytes(meta.capabilities), meta.log_level
        kept = self._metas.get(key)
        if kept is not None and meta.progress_token is None:
            return kept
        members = outgoing_meta(request, call)
        members[VERSION_KEY] = _VERSION
        members[CAPABILITIES_KEY] = meta.capabilities if meta.capabilities else _EMPTY
        members[CLIENT_KEY] = self._identity
        if meta.log_level is not None:
            members[LOG_LEVEL_KEY] = meta.log_level
        made = msgspec.Raw(_encode(members))
        if meta.progress_token is None and len(said) + len(key[1]) <= MAX_META:
            if len(self._metas) >= MAX_KEPT:
                self._metas.clear()
            self._metas[key] = made
        return made

    def _mirrored(self, request: Request, call: Call) -> Mapping[str, str]:
        """Without mirrored arguments it is the very same object for all calls of a name: the wire keeps it encoded."""
        params = self._params(request, call) if call.method == "tools/call" else None
        kept = self._headers.get((call.method, call.key))
        if kept is None:
            kept = {"MCP-Protocol-Version": MODERN, "Mcp-Method": call.method}
            if call.key is not None:
                kept["Mcp-Name"] = encode_header(call.key).decode()
            if len(self._headers) >= MAX_KEPT:
                self._headers.clear()
            self._headers[call.method, call.key] = kept
        return {**kept, **params} if params else kept

    def _params(self, request: Request, call: Call) -> dict[str, str] | None:
        """Mcp-Param-*: those that the tool wants are made from the arguments that go out, and those that nobody here
        knows pass as they came (2026-07-28, Streamable HTTP: intermediaries)."""
        item = None if request.target is None else request.target.item
        wanted = self._param_headers.get(call.key or "", ()) if item is None else item.headers
        headers = request.headers or {}
        came = [name for name in headers if name[: len(PARAM_HEADER)] == PARAM_HEADER]
        if not wanted and not came:
            return None
        known = {entry.header for entry in wanted}
        found = {name.decode("latin-1"): headers[name].decode("latin-1") for name in came if name not in known}
        for name, text in mirrored(wanted, request.params.get("arguments")).items():
            found[name.decode()] = encode_header(text).decode()
        return found

    def _result(self, request: Request, raw: bytes, top: jsonrpc.Top) -> Result:
        if top.kind == "input_required":
            members = jsonrpc.read_object(raw)
            self._allowed(request, members.get("inputRequests"))
            state = members.pop("requestState", None)
            opened = {} if state is None else {self.name: jsonrpc.decode(state)}
            return Result(_encode(members), top.kind, opened)
        if top.kind is msgspec.UNSET:
            raw = jsonrpc.splice(raw, b'"resultType":"complete"')
        if request.method == "tools/list" and self._calls.wire.http and b"x-mcp-header" in raw:
            raw = self._learn(raw)
        return Result(raw, "complete" if top.kind is msgspec.UNSET else top.kind, meta=bytes(top.meta))

    def _allowed(self, request: Request, questions: msgspec.Raw | None) -> None:
        """A server must not ask for what this very request did not declare (2026-07-28, MRTR): it is told so here, and
        the client is not asked."""
        row = METHODS.get(request.method)
        if row is None or not row.asks:
            raise Lost(f"{self.name}: answered {request.method} with a question")
        for question in ({} if questions is None else jsonrpc.read_object(questions)).values():
            asked = jsonrpc.decode(question)
            method, params = (asked.get("method"), asked.get("params") or {}) if isinstance(asked, dict) else (None, {})
            wanted = needs(str(method), params)
            if wanted is None:
                raise Lost(f"{self.name}: asks for {method!r}, which is no question")
            if not declares(wanted, request.capabilities):
                self._calls.warn_once(f"asks for {', '.join(wanted)} of clients that cannot be asked that")
            check_declared(wanted, request.capabilities)

    def _top(self, raw: bytes, method: str) -> jsonrpc.Top:
        try:
            return jsonrpc.read_top(raw)
        except jsonrpc.Malformed as error:
            raise Lost(f"{self.name}: answered {method} with a malformed result: {error}") from None

    def _learn(self, raw: bytes) -> bytes:
        """Remember which arguments of which tool go into headers; tools that break the rules are dropped.

        2026-07-28, Streamable HTTP: a client must not offer them.
        """
        self._headers.clear()
        members: dict[str, Any] = dict(jsonrpc.read_object(raw))
        kept = []
        tools = _decode_objects(members.get("tools", b"[]"))
        for tool in tools:
            if b"x-mcp-header" in bytes(tool):
                definition = jsonrpc.decode(tool)
                found, valid = scan_param_headers(definition.get("inputSchema", {}))
                if not valid:
                    self._calls.warn_once(f"{definition.get('name')} is left out: its x-mcp-header breaks the rules")
                    continue
                self._param_headers[definition.get("name", "")] = found
            kept.append(tool)
        if len(kept) == len(tools):
            return raw
        members["tools"] = kept
        return _encode(members)

    def receive(self, envelope: Envelope, call: Call | None) -> None:
        """What the server says while it works; it must not ask anything (2026-07-28, basic)."""
        method = envelope.method
        if not envelope.is_notification or not isinstance(method, str):
            return
        if method == "notifications/progress":
            self._calls.progress(jsonrpc.read_object(envelope.params))
        elif method == "notifications/message":
            owner = self._calls.speaker(call, envelope.params, levelled=True)
            if owner is not None and owner.request is not None and owner.request.meta.log_level is not None:
                owner.emit(method, bytes(envelope.params))
        else:
            self._subscribed(method, jsonrpc.read_object(envelope.params))

    def _subscribed(self, method: str, params: dict[str, msgspec.Raw]) -> None:
        """A note of a listen goes to the one who listens; its rim gives it a subscription id of its own."""
        meta = jsonrpc.read_object(params.get("_meta", b""))
        raw = bytes(meta.pop(SUBSCRIPTION_KEY, b""))
        call = self._calls.flying.get(int(raw)) if raw.isdigit() else None
        if call is None or call.request is None or call.method != "subscriptions/listen":
            return
        members: dict[str, Any] = dict(params)
        members.pop("_meta", None)
        if meta:
            members["_meta"] = meta
        call.emit(method, _encode(members))


def outgoing_meta(request: Request, call: Call) -> dict[str, Any]:
    """`_meta` of the caller without what belongs to its own hop, with our progress token if it asked for progress."""
    meta: dict[str, Any] = dict(jsonrpc.read_object(request.params.get("_meta", b"")))
    for key in (VERSION_KEY, CAPABILITIES_KEY, CLIENT_KEY, LOG_LEVEL_KEY, "progressToken"):
        meta.pop(key, None)
    if request.meta.progress_token is not None:
        meta["progressToken"] = call.id
    return meta


def own_name(request: Request, params: dict[str, Any]) -> str | None:
    """Put the server's own name of the target into params; the value of the parameter that names the target."""
    row = METHODS.get(request.method)
    if row is None or row.key is None:
        return None
    if request.target is not None and request.target.name:
        params[row.key] = request.target.name
        return request.target.name
    return request.text(row.key)
