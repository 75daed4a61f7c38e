"""Components that know nothing of MCP: the functions that they export are tools, their WIT types the schemas."""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import Any, Final

import msgspec
from wasmtime.component import Linker

from rune.errors import INVALID_PARAMS, METHOD_NOT_FOUND, ConfigError, NotFound, ProtocolError
from rune.request import Request, Result
from rune.source import Catalog, Item
from rune.sources.content import block_result, error_result, structured_result
from rune.sources.wasm.calls import Signature
from rune.sources.wasm.dialect import Offer, arguments, encode, own_name
from rune.sources.wasm.instance import Exports, Guest
from rune.sources.wasm.values import object_schema, reason

log = logging.getLogger("rune.wasm")

_ODD: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_read: Final = msgspec.json.Decoder(dict[str, Any]).decode


class PlainDialect:
    """A component whose exports become tools."""

    def __init__(self, name: str, exports: Exports) -> None:
        self._name = name
        self._exports = {shown: export for export, shown in _names(exports.indices).items()}
        self._signatures: dict[str, Signature] = {}
        self.refused: dict[str, str] = {}

    def link(self, linker: Linker) -> None:
        """It imports what WASI has, and no more."""

    def register(self, instance: Guest) -> Offer:
        """The tools are read off the types of the exports.

        Raises:
            ConfigError: there is none that can be called.
        """
        tools: list[Item] = []
        for shown, export in self._exports.items():
            if "[" in export:
                self.refused[shown] = "methods of resources cannot be called from outside"
                continue
            signature = instance.signature(export)
            if signature.problem:
                self.refused[shown] = f"{signature.problem} cannot be JSON"
                continue
            self._signatures[shown] = signature
            tools.append(Item(shown, encode(_definition(shown, export, signature))))
        for name, why in self.refused.items():
            log.warning("%s: %s is not offered: %s", self._name, name, why)
        if not tools:
            refused = "; ".join(f"{name}: {why}" for name, why in self.refused.items())
            raise ConfigError(
                f"no function to offer{f' ({refused})' if refused else ''}",
                hint="export functions, or the interfaces of rune:guest or wasi:mcp",
            )
        return Offer(Catalog(tools=tuple(tools)), {})

    def rehearse(self, instance: Guest) -> None:
        """Nothing was said."""

    def subscribe(self, instance: Guest, uri: str, wanted: bool) -> None:
        """There are no resources."""

    def answer(self, instance: Guest, request: Request) -> Result:
        """Call the function.

        Raises:
            NotFound: there is no such tool. ProtocolError: the request is about something else.
        """
        if request.method != "tools/call":
            raise ProtocolError(METHOD_NOT_FOUND, f"{self._name} has only tools")
        shown = own_name(request, "name")
        signature = self._signatures.get(shown)
        if signature is None:
            raise NotFound(f"unknown tool: {shown}")
        try:
            given = _read(arguments(request))
        except (msgspec.DecodeError, RecursionError) as error:
            raise ProtocolError(INVALID_PARAMS, f"params.arguments: {error}") from None
        names = [name for name, _ in signature.params]
        unknown = given.keys() - set(names)
        missing = [name for name, shape in signature.params if name not in given and not shape.optional]
        if unknown or missing:
            what = f"missing: {', '.join(missing)}" if missing else f"unknown: {', '.join(sorted(unknown))}"
            return error_result(f"invalid arguments for tool {shown}: {what}")
        try:
            value = instance.call(self._exports[shown], *(given.get(name) for name in names))
        except ValueError as error:
            return error_result(f"invalid arguments for tool {shown}: {reason(error)}")
        return _told(value, signature)


def _names(exports: Any) -> dict[str, str]:
    """Export -> name of its tool: the function, after the interface where it stands in one; in full where two agree."""
    found = [name for name in exports if not name.startswith("wasi:")]
    short = {name: _short(name) for name in found}
    counts = Counter(short.values())
    return {name: each if counts[each] == 1 else _ODD.sub("_", name)[:128] for name, each in short.items()}


def _short(export: str) -> str:
    interface, _, function = export.rpartition("#")
    if not interface:
        return function
    return f"{interface.rpartition('/')[2].partition('@')[0]}_{function}"


def _definition(shown: str, export: str, signature: Signature) -> dict[str, Any]:
    definition: dict[str, Any] = {
        "name": shown,
        "description": f"Calls {export.replace('#', ' ')}.",
        "inputSchema": object_schema(signature.params),
    }
    result = signature.result
    if result is not None:
        schema = _answer_schema(result.schema)
        definition["outputSchema"] = {"type": "object", "properties": {"result": schema}, "required": ["result"]}
    return definition


def _answer_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """That of `ok` for a result: its `err` is a failed call."""
    cases = schema.get("oneOf", ())
    if len(cases) == 2 and [list(case["properties"]) for case in cases] == [["ok"], ["err"]]:
        found: dict[str, Any] = cases[0]["properties"]["ok"]
        return found
    return schema


def _told(value: Any, signature: Signature) -> Result:
    if signature.result is None:
        return block_result([])
    if _answer_schema(signature.result.schema) is not signature.result.schema:
        if "err" in value:
            return error_result(encode(value["err"]).decode() if value["err"] is not None else "the function failed")
        value = value["ok"]
    return structured_result(encode({"result": value}))
