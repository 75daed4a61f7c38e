"""`wasi:mcp`: the proposal, with the repairs of `wit/deps/mcp`. The host's half of it: what a guest may call, and when.

A guest registers in `wasi:cli/run` and calls `serve`, which returns: from then on its lists are frozen, and its
handlers are called on instances that have done the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from wasmtime.component import Linker, LinkerInstance, ResourceHost, ResourceType

from rune.errors import METHOD_NOT_FOUND, ConfigError, ProtocolError, RuneError
from rune.request import Request, Result
from rune.source import Catalog
from rune.sources.wasm import shapes
from rune.sources.wasm.calls import context_of, offer
from rune.sources.wasm.dialect import Offer, arguments, distinct, encode, item, own_name
from rune.sources.wasm.instance import ERROR_TYPE, Exports, Guest, current

HANDLERS: Final = "wasi:mcp/handlers@0.1.0"
RUN: Final = "wasi:cli/run@"

OK: Final = {"ok": None}
REFERENCES: Final = {"ref/prompt": "prompt-name", "ref/resource": "resource-uri"}


class Refused(Exception):
    """What the host answers with an `error`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True)
class Registry:
    """What the first instance registers."""

    info: dict[str, Any] | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    templates: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[dict[str, Any]] = field(default_factory=list)


class WasiDialect:
    """Components that export the handlers of `wasi:mcp`."""

    def __init__(self, name: str, exports: Exports) -> None:
        self._name = name
        self._run = next((each for each in exports.indices if each.startswith(RUN) and each.endswith("#run")), None)

    @staticmethod
    def fits(exports: Exports) -> bool:
        """Whether a component is one of these."""
        return f"{HANDLERS}#call-tool" in exports.indices

    @staticmethod
    def link(linker: Linker) -> None:
        """The interfaces `types`, with its resource, and `runtime`."""
        with linker.root() as root:
            with root.add_instance("wasi:mcp/types@0.1.0") as types:
                _link_error(types)
            with root.add_instance("wasi:mcp/runtime@0.1.0") as runtime:
                for name, function in _RUNTIME.items():
                    offer(runtime, name, _guarded(function), _rehearsing if name in _REGISTERING else None)

    def register(self, instance: Guest) -> Offer:
        """Run the guest's entry, which registers.

        Raises:
            ConfigError: it has none, or it failed.
        """
        registry = instance.registry = Registry()
        self._enter(instance)
        info = registry.info or {}
        declared = info.get("capabilities") or {}
        resources = declared.get("resources") or {}
        catalog = Catalog(
            tools=distinct([item("tool", "name", each) for each in registry.tools], "tool"),
            prompts=distinct([item("prompt", "name", each) for each in registry.prompts], "prompt"),
            resources=distinct([item("resource", "uri", each) for each in registry.resources], "resource"),
            templates=distinct([item("template", "uriTemplate", each) for each in registry.templates], "template"),
            completions=declared.get("completions") is not None,
            logging=True,
            subscribe=bool(resources.get("subscribe")),
            reads=bool(registry.resources or registry.templates),
            list_changed=True,
            instructions=info.get("instructions"),
        )
        identity: dict[str, Any] = {key: info[key] for key in ("name", "version") if key in info}
        return Offer(catalog, identity, catalog.subscribe)

    def rehearse(self, instance: Guest) -> None:
        """Run the entry again; what it registers is known."""
        instance.rehearsing = True
        self._enter(instance)
        instance.rehearsing = False

    def _enter(self, instance: Guest) -> None:
        if self._run is None:
            raise ConfigError(
                "it exports wasi:mcp/handlers, but nothing that registers", hint="export wasi:cli/run, which registers"
            )
        told = instance.enter(self._run)
        if "err" in told:
            raise ConfigError("its entry wasi:cli/run failed", hint="it says on stderr why")
        instance.frozen = True

    def answer(self, instance: Guest, request: Request) -> Result:
        """Put a request to a handler.

        Raises:
            ProtocolError, NotFound: the `error` of the guest.
        """
        method = request.method
        if method == "tools/call":
            told = self._ask(instance, "call-tool", own_name(request, "name"), arguments(request))
            return Result.of(shapes.tool_result(told))
        if method == "resources/read":
            uri = own_name(request, "uri")
            told = self._ask(instance, "read-resource", uri)
            return Result.of({**shapes.resource_contents(told, uri), "ttlMs": 0, "cacheScope": "private"})
        if method == "prompts/get":
            told = self._ask(instance, "get-prompt", own_name(request, "name"), arguments(request))
            return Result.of(shapes.prompt_contents(told))
        return self._complete(instance, request)

    def _complete(self, instance: Guest, request: Request) -> Result:
        ref = request.value("ref")
        kind = REFERENCES.get(str(ref.get("type"))) if isinstance(ref, dict) else None
        if kind is None:
            raise ProtocolError(METHOD_NOT_FOUND, "params.ref must be a ref/prompt or a ref/resource")
        asked = {key: request.params[key] for key in ("ref", "argument", "context") if key in request.params}
        told = self._ask(instance, "handle-complete", kind, encode(asked).decode())
        values = [each["value"] for each in told]
        return Result.of({"completion": {"values": values[:100], "total": len(values), "hasMore": len(values) > 100}})

    def elicit(self, instance: Guest, message: str, fields: list[dict[str, Any]]) -> bytes:
        """Have the guest answer questions that a form would put to a user: JSON.

        Raises:
            ProtocolError, NotFound: the `error` of the guest, or its answer is no JSON.
        """
        found: bytes = self._ask(instance, "handle-elicit", message, fields)["values"]
        shapes.checked(found, "elicitation")
        return found

    def subscribe(self, instance: Guest, uri: str, wanted: bool) -> None:
        """Hand the wish on.

        Raises:
            ProtocolError, NotFound: the `error` of the guest.
        """
        self._ask(instance, "handle-subscribe" if wanted else "handle-unsubscribe", uri)

    def _ask(self, instance: Guest, function: str, *values: Any) -> Any:
        told = instance.call(f"{HANDLERS}#{function}", *values)
        if "err" not in told:
            return told["ok"]
        # Taking its number consumes the handle, and no destructor runs.
        code, message, data = instance.errors.pop(told["err"].to_host(instance.store).rep)
        instance.errors.clear()
        raise shapes.refusal(code, message, data)


# --- what the guest may call -----------------------------------------------------------------------------------------


def _rehearsing() -> bool:
    instance = current()
    return instance.rehearsing and not instance.frozen


def _guarded(function: Callable[..., None]) -> Callable[..., Any]:
    """A function of `runtime`: what it refuses is an `error` for the guest."""

    def guarded(context: Any, *values: Any) -> Any:
        instance = current()
        try:
            function(instance, *values)
            return OK
        except Refused as error:
            return _err(instance, error.code, str(error))
        except RuneError as error:
            return _err(instance, "invalid-params", error.message)

    return guarded


def _err(instance: Guest, code: str, message: str) -> Any:
    return {"err": ResourceHost.own(instance.new_error(code, message, None), ERROR_TYPE)}


def _open(instance: Guest, what: str) -> Registry:
    """The registry, while it may be written."""
    if instance.frozen:
        raise Refused("invalid-request", f"{what}: serve() was called, what is registered is frozen")
    registry: Registry = instance.registry
    return registry


def _register_server(instance: Guest, info: dict[str, Any]) -> None:
    registry = _open(instance, "register-server")
    if registry.info is not None:
        raise Refused("invalid-request", "register-server: it was called already")
    registry.info = info


def _registering(member: str, kind: str, key: str, shape: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    function = "register-resource-templates" if member == "templates" else f"register-{member}"

    def register(instance: Guest, entries: list[dict[str, Any]]) -> None:
        registry = _open(instance, function)
        listed: list[dict[str, Any]] = getattr(registry, member)
        found = [shape(each) for each in entries]
        # All or none of them.
        distinct([item(kind, key, each) for each in (*listed, *found)], kind)
        listed.extend(found)

    return register


def _serve(instance: Guest) -> None:
    if instance.frozen:
        raise Refused("invalid-request", "serve: it was called already")
    instance.frozen = True
    if instance.seat is not None:
        instance.seat.serve()


def _send_notification(instance: Guest, notification: dict[str, Any]) -> None:
    exchange = instance.exchange
    tag: str = notification["tag"]
    value: Any = notification.get("val")
    if tag == "cancelled":
        raise Refused("invalid-request", "cancelled: a server has asked nothing that it could cancel")
    if tag == "progress":
        _report_progress(instance, value["progress-token"], value["progress"], value["total"])
    elif tag == "message":
        _log(instance, value["level"], value["message"], value["data"])
    elif exchange is None:
        raise Refused("invalid-request", f"{tag}: nobody listens before a call")
    elif tag == "resources-updated":
        for uri in value:
            exchange.updated(uri)
    else:
        exchange.changed(tag.partition("-")[0])


def _log(instance: Guest, level: str, message: str, data: bytes | None) -> None:
    told: Any = message if data is None else {"message": message, "data": shapes.json_of(data, "log: data")}
    if instance.exchange is not None:
        instance.exchange.log(level, None, told)


def _report_progress(instance: Guest, token: str, progress: int, total: int | None) -> None:
    if instance.exchange is None:
        raise Refused("invalid-request", "report-progress: no call is being answered")
    instance.exchange.progress(progress, total)


_RUNTIME: Final[dict[str, Callable[..., None]]] = {
    "register-server": _register_server,
    "register-tools": _registering("tools", "tool", "name", shapes.tool),
    "register-resources": _registering("resources", "resource", "uri", shapes.resource),
    "register-resource-templates": _registering("templates", "template", "uriTemplate", shapes.template),
    "register-prompts": _registering("prompts", "prompt", "name", shapes.prompt),
    "serve": _serve,
    "send-notification": _send_notification,
    "log": _log,
    "report-progress": _report_progress,
}
_REGISTERING: Final = frozenset(name for name in _RUNTIME if name.startswith("register-"))


# --- the resource `error` --------------------------------------------------------------------------------------------


def _link_error(types: LinkerInstance) -> None:
    types.add_resource("error", ResourceType.host(ERROR_TYPE), _drop)
    offer(types, "[constructor]error", _new)
    offer(types, "[method]error.code", lambda context, self: _look(context, self)[0])
    offer(types, "[method]error.message", lambda context, self: _look(context, self)[1])
    offer(types, "[method]error.to-debug-string", lambda context, self: "{}: {}".format(*_look(context, self)))
    offer(types, "[method]error.data", lambda context, self: _look(context, self)[2])


def _drop(context: Any, number: int) -> None:
    current().errors.pop(number, None)


def _new(context: Any, code: str, message: str, data: bytes | None) -> ResourceHost:
    return ResourceHost.own(current().new_error(code, message, data), ERROR_TYPE)


def _look(context: Any, handle: Any) -> tuple[str, str, bytes | None]:
    return current().errors[handle.to_host(context_of(context)).rep]
