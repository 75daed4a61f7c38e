"""2026-07-28: the per-request `_meta`, the mirrored headers and the refusals that both ends take from here."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from rune.errors import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    UNSUPPORTED_VERSION,
    ProtocolError,
)
from rune.protocol.jsonrpc import NOTHING
from rune.protocol.methods import HANDSHAKE, LEGACY, LOG_LEVELS, METHODS, MODERN, MODERN_METHODS, REVISIONS, Method

PREFIX: Final = "io.modelcontextprotocol/"
VERSION_KEY: Final = PREFIX + "protocolVersion"
CAPABILITIES_KEY: Final = PREFIX + "clientCapabilities"
CLIENT_KEY: Final = PREFIX + "clientInfo"
SERVER_KEY: Final = PREFIX + "serverInfo"
LOG_LEVEL_KEY: Final = PREFIX + "logLevel"
SUBSCRIPTION_KEY: Final = PREFIX + "subscriptionId"
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"

VERSION_HEADER: Final = b"mcp-protocol-version"
METHOD_HEADER: Final = b"mcp-method"
NAME_HEADER: Final = b"mcp-name"
PARAM_HEADER: Final = b"mcp-param-"

HTTP_STATUS: Final = {HEADER_MISMATCH: 400, MISSING_CAPABILITY: 400, UNSUPPORTED_VERSION: 400, METHOD_NOT_FOUND: 404}
"""HTTP status of an error that was found before dispatch (2026-07-28, Streamable HTTP); all others are 400."""


class Meta(
    msgspec.Struct,
    frozen=True,
    rename={
        "version": VERSION_KEY,
        "capabilities": CAPABILITIES_KEY,
        "client": CLIENT_KEY,
        "log_level": LOG_LEVEL_KEY,
        "progress_token": "progressToken",
    },
):
    """The keys of a request's `_meta` that Rune reads itself."""

    version: str | None = None
    capabilities: msgspec.Raw = NOTHING
    client: msgspec.Raw = NOTHING
    log_level: str | None = None
    progress_token: int | str | None = None


NO_META = Meta()

_MODERN: Final = MODERN.encode()
_USUAL: Final = 2048
"""Bytes of a `_meta` that is remembered."""
_KEPT: Final = 256
_GOOD: Final[dict[bytes, Meta]] = {}
_LAST: Final[list[tuple[msgspec.Raw, Meta | None]]] = [(NOTHING, None)]
_SAME: Final[dict[bytes, msgspec.Raw]] = {}
"""What Mcp-Name has said, and what it has mirrored then."""

_decode_meta = msgspec.json.Decoder(Meta).decode
_decode_str = msgspec.json.Decoder(str).decode
_decode = msgspec.json.Decoder().decode


def is_modern(meta: Meta | None, header: str | None) -> bool:
    """The era of an HTTP POST: modern when its `_meta` or its header names a version that is not a legacy one.

    The body decides first: `_meta` cannot be set by something in between.
    """
    if meta is not None and meta.version is not None:
        return meta.version not in LEGACY or (header is not None and header not in LEGACY)
    return header is not None and header not in LEGACY


def read_meta(params: Mapping[str, msgspec.Raw]) -> Meta | None:
    """`_meta` of a message, None when there is none.

    Raises:
        ProtocolError: -32602 when it has a wrong shape.
    """
    raw = params.get("_meta")
    if raw is None:
        return None
    try:
        return _decode_meta(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(INVALID_PARAMS, f"params._meta: {error}") from None


def good_meta(raw: msgspec.Raw) -> Meta | None:
    """A `_meta` when it is all that `check_meta` asks for, else None. A client sends the same one with nearly all of
    its requests: those that were good are remembered."""
    last, meta = _LAST[0]
    if raw == last:
        # Cheaper than to find it among the others.
        return meta
    data = bytes(raw)
    meta = _GOOD.get(data)
    if meta is None and len(data) <= _USUAL:
        try:
            meta = check_meta(_decode_meta(data), "")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ProtocolError):
            return None
        if len(_GOOD) >= _KEPT:
            _GOOD.pop(next(iter(_GOOD)), None)
        _GOOD[data] = meta
    if meta is not None:
        _LAST[0] = msgspec.Raw(data), meta
    return meta


def check_meta(meta: Meta | None, method: str) -> Meta:
    """What every request of this revision must carry (2026-07-28, basic).

    Raises:
        ProtocolError: -32602 for a missing or malformed key, -32022 for a version that is not served.
    """
    if meta is None or meta.version is None:
        raise ProtocolError(INVALID_PARAMS, f"params._meta[{VERSION_KEY!r}] is missing")
    if meta.version != MODERN:
        if meta.version in LEGACY:
            # Not specified: -32022 would contradict the list of supported versions, which names this one.
            raise ProtocolError(INVALID_PARAMS, f"version {meta.version} needs {HANDSHAKE}", data={"method": method})
        raise unsupported(meta.version)
    if bytes(meta.capabilities)[:1] != b"{":
        raise ProtocolError(INVALID_PARAMS, f"params._meta[{CAPABILITIES_KEY!r}] must be an object")
    if meta.log_level is not None and meta.log_level not in LOG_LEVELS:
        raise ProtocolError(INVALID_PARAMS, f"params._meta[{LOG_LEVEL_KEY!r}]: unknown level {meta.log_level!r}")
    return meta


def unsupported(requested: str) -> ProtocolError:
    """UnsupportedProtocolVersion (-32022)."""
    return ProtocolError(
        UNSUPPORTED_VERSION,
        f"unsupported protocol version {requested}",
        data={"supported": list(reversed(REVISIONS)), "requested": requested},
    )


def missing_capability(required: dict[str, Any]) -> ProtocolError:
    """MissingRequiredClientCapability (-32021); `required` is shaped like ClientCapabilities."""
    names = ", ".join(required.get("extensions") or required)
    return ProtocolError(
        MISSING_CAPABILITY, f"this needs a client with {names}", data={"requiredCapabilities": required}
    )


def find_method(name: str) -> Method:
    """The row of a method that a modern client may send.

    Raises:
        ProtocolError: -32601.
    """
    method = MODERN_METHODS.get(name)
    if method is None:
        known = " (removed in 2026-07-28)" if name in METHODS else ""
        raise ProtocolError(METHOD_NOT_FOUND, f"unknown method {name}{known}")
    return method


# --- headers ---------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PLAIN = re.compile(rb"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")
_INTEGER = re.compile(r"-?[0-9]{1,17}")
_OPEN, _CLOSE = b"=?base64?", b"?="
_MAX_INTEGER = 2**53 - 1


class ParamHeader(NamedTuple):
    """One `x-mcp-header`: its header name in lower case, the path of the argument, and the argument's JSON type."""

    header: bytes
    path: tuple[str, ...]
    type: str


def mismatch(message: str) -> ProtocolError:
    """HeaderMismatch (-32020)."""
    return ProtocolError(HEADER_MISMATCH, f"header mismatch: {message}")


def encode_header(value: str) -> bytes:
    """A value as a header may carry it: as it is, or in the base64 sentinel where that would not be safe."""
    data = value.encode()
    if _PLAIN.fullmatch(data) and not (data.startswith(_OPEN) and data.endswith(_CLOSE)):
        return data
    return _OPEN + base64.b64encode(data) + _CLOSE


def decode_header(data: bytes) -> str:
    """The value of a mirrored header.

    Raises:
        ProtocolError: -32020 when the sentinel holds no base64 or no UTF-8.
    """
    data = data.strip(b" \t")
    if data.startswith(_OPEN) and data.endswith(_CLOSE) and len(data) >= len(_OPEN) + len(_CLOSE):
        try:
            return base64.b64decode(data[len(_OPEN) : -len(_CLOSE)], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise mismatch("invalid base64 in a header") from None
    return data.decode("latin-1")


def check_headers(
    headers: Mapping[bytes, bytes], meta: Meta | None, method: str, params: Mapping[str, msgspec.Raw]
) -> None:
    """MCP-Protocol-Version, Mcp-Method and Mcp-Name must say what the body says (2026-07-28, Streamable HTTP).

    Raises:
        ProtocolError: -32020.
    """
    _check_version(headers.get(VERSION_HEADER), meta)
    header = headers.get(METHOD_HEADER)
    if header is None:
        raise mismatch("Mcp-Method is missing")
    row = METHODS.get(method)
    if decode_header(header) != method:
        raise mismatch(f"Mcp-Method is {header.decode('latin-1')}, the body says {method}")
    raw = None if row is None or row.key is None else params.get(row.key)
    if raw is not None:
        _check_name(headers.get(NAME_HEADER), raw)


def mirrored_by(headers: Mapping[bytes, bytes], row: Method, params: Mapping[str, msgspec.Raw]) -> bool:
    """Whether the headers say, byte for byte, what a good body says, as those of nearly every request do. Whatever they
    say in another way is for `check_headers`."""
    if headers.get(VERSION_HEADER) != _MODERN or headers.get(METHOD_HEADER) != row.wire:
        return False
    key = row.key
    raw = None if key is None else params.get(key)
    if raw is None:
        return True
    header = headers.get(NAME_HEADER)
    if header is None or _SAME.get(header) == raw:
        # The same few names come again and again: cheaper than to decode both.
        return header is not None
    try:
        same = header.decode("latin-1") == _decode_str(raw) and not header.startswith(_OPEN)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if same and len(raw) <= _USUAL:
        if len(_SAME) >= _KEPT:
            _SAME.pop(next(iter(_SAME)), None)
        _SAME[header] = msgspec.Raw(bytes(raw))
    return same


def _check_version(version: bytes | None, meta: Meta | None) -> None:
    if version is None:
        raise mismatch("MCP-Protocol-Version is missing")
    if meta is not None and meta.version is not None and decode_header(version) != meta.version:
        raise mismatch(f"MCP-Protocol-Version is {version.decode('latin-1')}, the body says {meta.version}")


def _check_name(header: bytes | None, raw: msgspec.Raw) -> None:
    if header is None:
        raise mismatch("Mcp-Name is missing")
    try:
        name = _decode_str(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProtocolError(INVALID_PARAMS, "what Mcp-Name mirrors must be a string") from None
    if decode_header(header) != name:
        raise mismatch(f"Mcp-Name is {header.decode('latin-1')}, the body says {name}")


def param_headers(definition: bytes) -> tuple[ParamHeader, ...]:
    """The valid `x-mcp-header` annotations of a tool definition; none when one of them breaks the rules."""
    if b"x-mcp-header" not in definition:
        return ()
    try:
        schema = _decode(definition).get("inputSchema")
    except RecursionError:
        return ()
    found, valid = scan_param_headers(schema)
    return found if valid else ()


def scan_param_headers(schema: Any) -> tuple[tuple[ParamHeader, ...], bool]:
    """All `x-mcp-header` annotations of an inputSchema, and whether they keep the rules.

    A tool that breaks them must be dropped by a client on HTTP (2026-07-28, Streamable HTTP).
    """
    try:
        found = list(_annotations(schema, ()))
        count = _count(schema)
    except RecursionError:
        return (), False
    names = [entry.header for entry in found]
    valid = (
        len(found) == count
        and len(set(names)) == len(names)
        and all(entry.header and entry.type in ("string", "integer", "boolean") for entry in found)
    )
    return tuple(found), valid


_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
_DATA = frozenset({"const", "default", "enum", "examples", "x-mcp-header"})


def _annotations(schema: Any, path: tuple[str, ...]) -> Iterator[ParamHeader]:
    """Annotations that are reachable through `properties` alone."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict):
        return
    for key, child in properties.items():
        if not isinstance(child, dict):
            continue
        if "x-mcp-header" in child:
            name, kind = child["x-mcp-header"], child.get("type")
            usable = isinstance(name, str) and _TOKEN.fullmatch(name)
            yield ParamHeader(
                PARAM_HEADER + name.lower().encode() if usable else b"",
                (*path, key),
                kind if isinstance(kind, str) else "",
            )
        yield from _annotations(child, (*path, key))


def _count(schema: Any) -> int:
    """How many annotations there are in any subschema; a property or a default value may have the same name."""
    if isinstance(schema, list):
        return sum(_count(child) for child in schema)
    if not isinstance(schema, dict):
        return 0
    total = int("x-mcp-header" in schema)
    for key, child in schema.items():
        if key in _NAMED_SCHEMAS and isinstance(child, dict):
            total += sum(_count(named) for named in child.values())
        elif key not in _DATA:
            total += _count(child)
    return total


def check_param_headers(
    headers: Mapping[bytes, bytes], wanted: tuple[ParamHeader, ...], arguments: msgspec.Raw | None
) -> None:
    """Mcp-Param-* against the arguments of a tools/call.

    Raises:
        ProtocolError: -32020 when one is missing, different or superfluous.
    """
    values = mirrored(wanted, arguments)
    for entry in wanted:
        header = headers.get(entry.header)
        value = values.get(entry.header)
        shown = entry.header.decode()
        if value is None:
            if header is not None:
                raise mismatch(f"{shown} is there, but the body has no such argument")
        elif header is None:
            raise mismatch(f"{shown} is missing")
        elif not _same(decode_header(header), value, entry.type):
            raise mismatch(f"{shown} differs from the body")


def mirrored(wanted: tuple[ParamHeader, ...], arguments: bytes | msgspec.Raw | None) -> dict[bytes, str]:
    """Header name -> value for the arguments that are there and of the declared type."""
    values: dict[bytes, str] = {}
    try:
        body = {} if arguments is None else _decode(arguments)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(INVALID_PARAMS, f"params.arguments: {error}") from None
    for entry in wanted:
        value = body
        for key in entry.path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, bool):
            values[entry.header] = "true" if value else "false"
        elif isinstance(value, int) and abs(value) <= _MAX_INTEGER:
            values[entry.header] = str(value)
        elif isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_INTEGER:
            values[entry.header] = str(int(value))
        elif isinstance(value, str):
            values[entry.header] = value
    return values


def _same(header: str, value: str, type: str) -> bool:
    if header == value or type != "integer":
        return header == value
    return (
        _INTEGER.fullmatch(header) is not None and _INTEGER.fullmatch(value) is not None and int(header) == int(value)
    )
