"""Records of `wasi:mcp` as members of MCP, and what an `error` of a guest is to a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from rune.errors import INTERNAL_ERROR, INVALID_PARAMS, ConfigError, NotFound, ProtocolError
from rune.sources.wasm.dialect import decode, misfit

Json = dict[str, Any]

_RENAMED: Final = {
    "mime-type": "mimeType",
    "uri-template": "uriTemplate",
    "read-only-hint": "readOnlyHint",
    "destructive-hint": "destructiveHint",
    "idempotent-hint": "idempotentHint",
    "open-world-hint": "openWorldHint",
}
CODES: Final = {
    "parse-error": -32700,
    "invalid-request": -32600,
    "method-not-found": -32601,
    "invalid-params": INVALID_PARAMS,
    "internal-error": INTERNAL_ERROR,
}
MISSING: Final = frozenset({"resource-not-found", "tool-not-found", "prompt-not-found"})


def present(record: Mapping[str, Any]) -> Json:
    """A record with the names of MCP, without what is not there."""
    return {_RENAMED.get(key, key): value for key, value in record.items() if value is not None}


def json_of(data: bytes, what: str) -> Any:
    """JSON that travels as bytes.

    Raises:
        ConfigError: it is none.
    """
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{what} is no JSON: {error}") from None


# --- what is registered ----------------------------------------------------------------------------------------------


def tool(record: Json) -> Json:
    """A `tool-definition`."""
    name, found = record["name"], present(record)
    for key, ours in (("input-schema", "inputSchema"), ("output-schema", "outputSchema")):
        data = found.pop(key, None)
        if data is not None:
            found[ours] = json_of(data, f"tool {name}: {key}")
    if "annotations" in found:
        found["annotations"] = present(found["annotations"])
    return found


def resource(record: Json) -> Json:
    """A `resource-definition`."""
    return present(record)


def template(record: Json) -> Json:
    """A `resource-template`."""
    return present(record)


def prompt(record: Json) -> Json:
    """A `prompt-definition`."""
    found = present(record)
    if "arguments" in found:
        found["arguments"] = [present(each) for each in found["arguments"]]
    return found


def checked(data: bytes, what: str) -> None:
    """That what a guest answered is JSON.

    Raises:
        ProtocolError: it is none.
    """
    try:
        decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise misfit(what, error) from None


# --- what handlers answer --------------------------------------------------------------------------------------------


def tool_result(record: Json) -> Json:
    """A `tool-result`."""
    found: Json = {"content": [block(each) for each in record["content"]]}
    return {**found, "isError": True} if record["is-error"] else found


def resource_contents(record: Json, uri: str) -> Json:
    """`resource-contents`: blocks say what they are; those without a URI are of the one that was asked for.

    Raises:
        ProtocolError: a link has no contents.
    """
    return {"contents": [_contents(each, uri) for each in record["contents"]]}


def _contents(variant: Json, uri: str) -> Json:
    value = variant["val"]
    match variant["tag"]:
        case "text":
            return {"uri": uri, "text": value["text"]}
        case "image":
            return {"uri": uri, "mimeType": value["mime-type"], "blob": value["data"]}
        case "embedded-resource":
            return _embedded(value)
    raise misfit("resources/read", "a resource-link has no contents")


def _embedded(value: Json) -> Json:
    found = {key: value[key] for key in ("uri", "mime-type", "text", "blob")}
    if (found["text"] is None) == (found["blob"] is None):
        raise misfit("embedded-resource", f"{found['uri']} needs either text or blob")
    return present(found)


def prompt_contents(record: Json) -> Json:
    """`prompt-contents`. There is no role `system` in MCP."""
    return {
        "messages": [
            {"role": "user" if each["role"] == "system" else each["role"], "content": block(each["content"])}
            for each in record["messages"]
        ]
    }


def block(variant: Json) -> Json:
    """A `content-block`. What kind it is, its case says; `content-type` only repeats it."""
    value = {key: each for key, each in variant["val"].items() if key not in ("content-type", "annotations")}
    found: Json
    match variant["tag"]:
        case "embedded-resource":
            found = {"type": "resource", "resource": _embedded(value)}
        case "resource-link":
            found = {"type": "resource_link", **present(value)}
        case kind:
            found = {"type": kind, **present(value)}
    annotations = variant["val"]["annotations"]
    if annotations is not None:
        custom = annotations.pop("custom")
        more = {} if custom is None else json_of(custom, "annotations: custom")
        found["annotations"] = {**(more if isinstance(more, dict) else {}), **present(annotations)}
    return found


def refusal(code: str, message: str, data: bytes | None) -> ProtocolError | NotFound:
    """An `error`. Codes that JSON-RPC does not have are internal errors that say in their data which one it is."""
    value: Any = None
    if data is not None:
        try:
            value = decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = data.decode("utf-8", "replace")
    if code in MISSING:
        return NotFound(message, data=value)
    if code in CODES:
        return ProtocolError(CODES[code], message, data=value)
    return ProtocolError(INTERNAL_ERROR, message, data={"code": code, **({} if value is None else {"data": value})})
