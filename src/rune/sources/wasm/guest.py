"""`rune:guest`: the values of MCP as JSON in strings, see `wit/rune.wit`."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from wasmtime.component import Linker

from rune.errors import INTERNAL_ERROR, METHOD_NOT_FOUND, ConfigError, NotFound, ProtocolError
from rune.request import Request, Result
from rune.source import Catalog, Item
from rune.sources.wasm.calls import offer
from rune.sources.wasm.dialect import Offer, arguments, decode, distinct, encode, item, misfit, own_name
from rune.sources.wasm.instance import Exports, Guest, current

PREFIX: Final = "rune:guest/"
_VERSION: Final = "@0.1.0"


class _Block(msgspec.Struct):
    type: str


class _Whole(msgspec.Struct):
    """A result as far as it must be looked at: `members` of each kind that must be there are lists of objects."""

    resultType: str | UnsetType = UNSET
    content: list[_Block] | UnsetType = UNSET
    contents: list[dict[str, Any]] | UnsetType = UNSET
    messages: list[dict[str, Any]] | UnsetType = UNSET
    completion: dict[str, Any] | UnsetType = UNSET
    inputRequests: dict[str, Any] | UnsetType = UNSET
    requestState: msgspec.Raw | UnsetType = UNSET
    ttlMs: Any = UNSET
    cacheScope: Any = UNSET


_read: Final = msgspec.json.Decoder(_Whole).decode
_UNSAID: Final = {b"ttlMs": b"0", b"cacheScope": b'"private"'}


class GuestDialect:
    """Components that export interfaces of `rune:guest`."""

    def __init__(self, name: str, exports: Exports) -> None:
        self._name = name
        self._names = frozenset(exports.indices)
        self._call_tool = _export("tools", "call-tool")

    @staticmethod
    def fits(exports: Exports) -> bool:
        """Whether a component is one of these."""
        return any(name.startswith(PREFIX) for name in exports.indices)

    @staticmethod
    def link(linker: Linker) -> None:
        """The interface `host`."""
        with linker.root() as root, root.add_instance(f"{PREFIX}host{_VERSION}") as host:
            offer(host, "call", _described)
            offer(host, "log", _log)
            offer(host, "progress", _progress)
            offer(host, "changed", _changed)
            offer(host, "updated", _updated)

    def register(self, instance: Guest) -> Offer:
        """Ask each interface that is there for its lists."""
        tools = self._listed(instance, "tools", "list-tools", "tool", "name")
        resources = self._listed(instance, "resources", "list-resources", "resource", "uri")
        templates = self._listed(instance, "resources", "list-resource-templates", "resource template", "uriTemplate")
        prompts = self._listed(instance, "prompts", "list-prompts", "prompt", "name")
        info: dict[str, Any] = {}
        if self._has("server", "info"):
            info = self._json(instance.call(_export("server", "info")), "info", dict)
        subscribes = self._has("resources", "subscribe")
        catalog = Catalog(
            tools=tools,
            prompts=prompts,
            resources=resources,
            templates=templates,
            completions=self._has("completions", "complete"),
            logging=True,
            subscribe=subscribes,
            reads=self._has("resources", "read-resource"),
            list_changed=True,
            instructions=info.pop("instructions", None),
        )
        return Offer(catalog, info, subscribes)

    def rehearse(self, instance: Guest) -> None:
        """There is nothing to say again: the lists are asked for."""

    def answer(self, instance: Guest, request: Request) -> Result:
        """Put a request to an instance.

        Raises:
            ProtocolError, NotFound: what the guest said, or why its answer is none.
        """
        method = request.method
        if method == "tools/call":
            name = own_name(request, "name")
            told = instance.call(self._call_tool, name, arguments(request).decode())
            return self._result(method, told, "content", request)
        if method == "resources/read":
            uri = own_name(request, "uri")
            told = instance.call(self._needed("resources", "read-resource", method), uri)
            return self._result(method, told, "contents", request)
        if method == "prompts/get":
            name = own_name(request, "name")
            export = self._needed("prompts", "get-prompt", method)
            return self._result(method, instance.call(export, name, arguments(request).decode()), "messages", request)
        export = self._needed("completions", "complete", method)
        asked = {key: request.params[key] for key in ("ref", "argument", "context") if key in request.params}
        return self._result(method, instance.call(export, encode(asked).decode()), "completion", request)

    def subscribe(self, instance: Guest, uri: str, wanted: bool) -> None:
        """Hand the wish on.

        Raises:
            ProtocolError, NotFound: the guest refuses.
        """
        told = instance.call(_export("resources", "subscribe" if wanted else "unsubscribe"), uri)
        if "err" in told:
            raise _refusal(told["err"])

    # --- reading what it says ---

    def _has(self, interface: str, function: str) -> bool:
        return _export(interface, function) in self._names

    def _needed(self, interface: str, function: str, method: str) -> str:
        if not self._has(interface, function):
            raise ProtocolError(METHOD_NOT_FOUND, f"{self._name} does not export {interface}, which {method} needs")
        return _export(interface, function)

    def _listed(self, instance: Guest, interface: str, function: str, kind: str, key: str) -> tuple[Item, ...]:
        if not self._has(interface, function):
            return ()
        entries = self._json(instance.call(_export(interface, function)), function, list)
        return distinct([item(kind, key, each) for each in entries], kind)

    def _json(self, text: str, what: str, shape: type) -> Any:
        try:
            value = decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ConfigError(f"{what}: no JSON: {error}") from None
        if not isinstance(value, shape):
            raise ConfigError(f"{what}: must be a JSON {'array' if shape is list else 'object'}")
        return value

    def _result(self, method: str, told: dict[str, Any], key: str, request: Request) -> Result:
        if "err" in told:
            raise _refusal(told["err"])
        raw: bytes = told["ok"].encode()
        try:
            whole = _read(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise misfit(method, error) from None
        kind = "complete" if whole.resultType is UNSET else whole.resultType
        if kind == "input_required":
            state = {self._name: decode(whole.requestState)} if whole.requestState is not UNSET else {}
            questions = {} if whole.inputRequests is UNSET else whole.inputRequests
            return Result.ask(questions, state)
        if kind != "complete" or getattr(whole, key) is UNSET:
            raise misfit(method, f"it has no {key}" if kind == "complete" else f"resultType {kind!r}")
        if whole.resultType is UNSET:
            raw = b'{"resultType":"complete",' + raw.lstrip()[1:]
        if key == "contents":
            # How long it is good for must be said; a guest that does not say it is asked again.
            for member, value in ((b"ttlMs", whole.ttlMs), (b"cacheScope", whole.cacheScope)):
                if value is UNSET:
                    raw = b'{"%b":%b,' % (member, _UNSAID[member]) + raw.lstrip()[1:]
        return Result(raw)


def _export(interface: str, function: str) -> str:
    return f"{PREFIX}{interface}{_VERSION}#{function}"


def _refusal(error: dict[str, Any]) -> ProtocolError | NotFound:
    """An `error` of the guest as the client gets it."""
    data = error["data"]
    if data is not None:
        try:
            data = decode(data)
        except (msgspec.DecodeError, RecursionError):
            # Text that is no JSON is a string.
            pass
    code = error["code"] if -32768 <= error["code"] <= -32000 else INTERNAL_ERROR
    return ProtocolError(code, error["message"], data=data)


# --- the interface `host` --------------------------------------------------------------------------------------------


def _described(context: Any) -> str:
    exchange = current().exchange
    return "{}" if exchange is None else encode(exchange.describe()).decode()


def _log(context: Any, level: str, logger: str | None, data: str) -> None:
    exchange = current().exchange
    if exchange is None:
        return
    try:
        value = decode(data)
    except (msgspec.DecodeError, RecursionError):
        value = data
    exchange.log(level, logger, value)


def _progress(context: Any, progress: float, total: float | None, message: str | None) -> None:
    exchange = current().exchange
    if exchange is not None:
        exchange.progress(progress, total, message)


def _changed(context: Any, what: str) -> None:
    exchange = current().exchange
    if exchange is not None:
        exchange.changed(what)


def _updated(context: Any, uri: str) -> None:
    exchange = current().exchange
    if exchange is not None:
        exchange.updated(uri)
