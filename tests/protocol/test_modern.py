"""`_meta`, the era of a message and the mirrored headers, rule by rule (wire.md §2, §7.1, §11)."""

from __future__ import annotations

import base64
import string
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.errors import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_CAPABILITY,
    UNSUPPORTED_VERSION,
    ProtocolError,
)
from rune.protocol import modern
from rune.protocol.methods import LEGACY, LOG_LEVELS, METHODS, MODERN, MODERN_METHODS, REVISIONS
from rune.protocol.modern import Meta, ParamHeader

encode = msgspec.json.encode
VERSION, CAPABILITIES = modern.VERSION_KEY, modern.CAPABILITIES_KEY


def params(**members: Any) -> dict[str, msgspec.Raw]:
    return {key: msgspec.Raw(encode(value)) for key, value in members.items()}


def meta(**members: Any) -> Meta | None:
    return modern.read_meta(params(_meta={modern.PREFIX + key: value for key, value in members.items()}))


def code_of(call: Any, *args: Any) -> int:
    with pytest.raises(ProtocolError) as caught:
        call(*args)
    return caught.value.code


# --- the era of a message --------------------------------------------------------------------------------------------

ERAS = [
    # `_meta` version, header, modern
    (None, None, False),
    (None, "2025-03-26", False),
    (None, "2025-11-25", False),
    (None, MODERN, True),
    (None, "2027-01-01", True),
    (None, "nonsense", True),
    (MODERN, None, True),
    (MODERN, MODERN, True),
    (MODERN, "2025-11-25", True),
    ("2027-01-01", None, True),
    ("2025-11-25", None, False),
    ("2025-11-25", "2025-11-25", False),
    ("2025-11-25", MODERN, True),
]


@pytest.mark.parametrize(("version", "header", "expected"), ERAS)
def test_the_era_of_a_message(version, header, expected):
    assert modern.is_modern(None if version is None else Meta(version=version), header) is expected


def test_meta_without_a_version_leaves_the_header_to_decide():
    assert modern.is_modern(Meta(progress_token=1), MODERN) is True
    assert modern.is_modern(Meta(progress_token=1), None) is False


@given(st.none() | st.sampled_from(REVISIONS) | st.text(), st.none() | st.sampled_from(REVISIONS) | st.text())
def test_any_version_that_is_not_a_legacy_one_is_modern(version, header):
    expected = any(value is not None and value not in LEGACY for value in (version, header))
    assert modern.is_modern(Meta(version=version), header) is expected


# --- _meta -----------------------------------------------------------------------------------------------------------


def test_meta_is_read():
    found = modern.read_meta(
        params(
            _meta={
                VERSION: MODERN,
                CAPABILITIES: {"roots": {}},
                modern.CLIENT_KEY: {"name": "a", "version": "1"},
                modern.LOG_LEVEL_KEY: "info",
                "progressToken": 7,
                "com.example/foreign": [1],
            }
        )
    )
    assert found is not None
    assert (found.version, found.log_level, found.progress_token) == (MODERN, "info", 7)
    assert bytes(found.capabilities) == b'{"roots":{}}'
    assert modern.check_meta(found, "tools/list") is found


def test_no_meta():
    assert modern.read_meta({}) is None


@pytest.mark.parametrize(
    "value",
    [
        5,
        None,
        [],
        {VERSION: 1},
        {VERSION: None, "progressToken": 1.5},
        {"progressToken": {}},
        {modern.LOG_LEVEL_KEY: 3},
    ],
)
def test_a_malformed_meta(value):
    assert code_of(modern.read_meta, params(_meta=value)) == INVALID_PARAMS


@pytest.mark.parametrize("raw", [b'{"a":"\xff', b'{"progressToken":"\xff"}', b'{"a":' * 100_000])
def test_a_meta_that_is_no_json(raw):
    assert code_of(modern.read_meta, {"_meta": msgspec.Raw(raw)}) == INVALID_PARAMS


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (None, INVALID_PARAMS),
        (Meta(), INVALID_PARAMS),
        (Meta(version=MODERN), INVALID_PARAMS),
        (Meta(version=MODERN, capabilities=msgspec.Raw(b"[]")), INVALID_PARAMS),
        (Meta(version=MODERN, capabilities=msgspec.Raw(b"null")), INVALID_PARAMS),
        (Meta(version=MODERN, capabilities=msgspec.Raw(b"{}"), log_level="loud"), INVALID_PARAMS),
        (Meta(version="2025-11-25", capabilities=msgspec.Raw(b"{}")), INVALID_PARAMS),
        (Meta(version="1999-01-01", capabilities=msgspec.Raw(b"{}")), UNSUPPORTED_VERSION),
        (Meta(version="1999-01-01"), UNSUPPORTED_VERSION),
    ],
)
def test_what_a_request_must_carry(found, code):
    assert code_of(modern.check_meta, found, "tools/list") == code


@pytest.mark.parametrize("level", [None, *LOG_LEVELS])
def test_known_log_levels_pass(level):
    found = Meta(version=MODERN, capabilities=msgspec.Raw(b"{}"), log_level=level)
    assert modern.check_meta(found, "tools/list") is found


def test_an_unsupported_version_names_all_that_are_served(check):
    error = modern.unsupported("1999-01-01")
    assert error.data == {"supported": list(reversed(REVISIONS)), "requested": "1999-01-01"}
    check(MODERN, "UnsupportedProtocolVersionError", response(error))


@pytest.mark.parametrize(
    ("required", "named"),
    [
        ({"elicitation": {}}, "elicitation"),
        ({"extensions": {"io.modelcontextprotocol/tasks": {}}}, "io.modelcontextprotocol/tasks"),
    ],
)
def test_a_missing_capability_is_named(required, named, check):
    error = modern.missing_capability(required)
    assert error.code == MISSING_CAPABILITY
    assert named in error.message
    assert error.data == {"requiredCapabilities": required}
    check(MODERN, "MissingRequiredClientCapabilityError", response(error))


def test_a_header_mismatch_has_the_shape_of_the_schema(check):
    check(MODERN, "HeaderMismatchError", response(modern.mismatch("Mcp-Name")))


def response(error: ProtocolError) -> dict[str, Any]:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    return {"jsonrpc": "2.0", "id": 1, "error": body if error.data is None else {**body, "data": error.data}}


@pytest.mark.parametrize("name", sorted(MODERN_METHODS))
def test_a_modern_method_is_found(name):
    assert modern.find_method(name).name == name


@pytest.mark.parametrize("name", [*sorted(set(METHODS) - set(MODERN_METHODS)), "tools/listen", ""])
def test_an_unknown_or_removed_method(name):
    assert code_of(modern.find_method, name) == METHOD_NOT_FOUND


def test_http_statuses():
    assert modern.HTTP_STATUS == {-32020: 400, -32021: 400, -32022: 400, -32601: 404}


# --- the encoding of header values -----------------------------------------------------------------------------------

PRINTABLE = string.ascii_letters + string.digits + string.punctuation


@given(st.text())
def test_any_text_survives_a_header(value):
    assert modern.decode_header(modern.encode_header(value)) == value


@given(st.text(PRINTABLE + " =?base64", max_size=30))
def test_any_printable_text_survives_a_header(value):
    assert modern.decode_header(modern.encode_header(value)) == value


@given(st.text())
def test_a_header_value_is_safe(value):
    data = modern.encode_header(value)
    assert all(0x20 <= byte <= 0x7E for byte in data)
    assert data == data.strip()


@given(st.text(PRINTABLE, min_size=1))
def test_plain_text_is_sent_as_it_is(value):
    looks_encoded = value.startswith("=?base64?") and value.endswith("?=")
    assert (modern.encode_header(value) == value.encode()) is not looks_encoded


@pytest.mark.parametrize("value", ["", "a b", "us-west1", "=?base64?abc", "abc?=", "=?BASE64?YQ==?="])
def test_safe_values(value):
    assert modern.encode_header(value) == value.encode()
    assert modern.decode_header(value.encode()) == value


@pytest.mark.parametrize(
    "value", [" a", "a ", "\ta", "a\tb", "a\r\nb", "\x7f", "\x00", "ü", "日本", "=?base64?YQ==?=", "=?base64?=", "a\n"]
)
def test_unsafe_values_are_encoded(value):
    assert modern.encode_header(value) == b"=?base64?" + base64.b64encode(value.encode()) + b"?="


def test_surrounding_space_is_no_part_of_a_value():
    assert modern.decode_header(b" \ta b \t") == "a b"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"=?base64?SGVsbG8=?=", "Hello"),
        (b"=?base64??=", ""),
        (b"=?base64?=", "=?base64?="),
        (b"=?Base64?SGVsbG8=?=", "=?Base64?SGVsbG8=?="),
        (b"=?base64?SGVsbG8=", "=?base64?SGVsbG8="),
        (b"SGVsbG8=?=", "SGVsbG8=?="),
    ],
)
def test_only_both_markers_make_a_sentinel(data, value):
    assert modern.decode_header(data) == value


@pytest.mark.parametrize(
    "payload",
    [b"SGVsbG8", b"SGVsbG8=!", b"SGVs bG8=", b"SGVsbG8=SGVsbG8=", b"SGVs-_8=", b"/w==", b"SGVsbG8=-TAMPERED", b"="],
)
def test_the_whole_sentinel_must_be_base64_of_utf8(payload):
    assert code_of(modern.decode_header, b"=?base64?" + payload + b"?=") == HEADER_MISMATCH


# --- standard headers ------------------------------------------------------------------------------------------------


def headers(version: str = MODERN, method: str = "tools/call", name: str | None = "echo") -> dict[bytes, bytes]:
    found = {b"mcp-protocol-version": version.encode(), b"mcp-method": method.encode()}
    return found if name is None else found | {b"mcp-name": modern.encode_header(name)}


CALL = meta(protocolVersion=MODERN, clientCapabilities={})


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("tools/call", "name"),
        ("prompts/get", "name"),
        ("resources/read", "uri"),
        ("tasks/get", "taskId"),
        ("tasks/update", "taskId"),
        ("tasks/cancel", "taskId"),
    ],
)
def test_the_name_header_mirrors_the_key_of_the_method(method, key):
    modern.check_headers(headers(method=method), CALL, method, params(**{key: "echo"}))
    assert (
        code_of(modern.check_headers, headers(method=method), CALL, method, params(**{key: "other"})) == HEADER_MISMATCH
    )
    assert code_of(modern.check_headers, headers(method=method, name=None), CALL, method, params(**{key: "a"})) == (
        HEADER_MISMATCH
    )


@pytest.mark.parametrize("method", ["tools/list", "server/discover", "subscriptions/listen", "no/such"])
def test_other_methods_need_no_name_header(method):
    modern.check_headers(headers(method=method, name=None), CALL, method, {})


def test_a_missing_name_is_left_to_the_method():
    modern.check_headers(headers(name=None), CALL, "tools/call", {})


@pytest.mark.parametrize("missing", [b"mcp-protocol-version", b"mcp-method", b"mcp-name"])
def test_a_required_header_is_missing(missing):
    found = headers()
    del found[missing]
    assert code_of(modern.check_headers, found, CALL, "tools/call", params(name="echo")) == HEADER_MISMATCH


@pytest.mark.parametrize(
    "wrong",
    [
        {b"mcp-protocol-version": b"2025-11-25"},
        {b"mcp-protocol-version": MODERN.encode() + b"-TAMPERED"},
        {b"mcp-method": b"tools/list"},
        {b"mcp-method": b"TOOLS/CALL"},
        {b"mcp-method": b"=?base64?*?="},
        {b"mcp-name": b"Echo"},
        {b"mcp-name": b"echo2"},
        {b"mcp-name": b""},
        {b"mcp-name": b"=?base64?*?="},
    ],
)
def test_a_header_that_differs_from_the_body(wrong):
    assert code_of(modern.check_headers, headers() | wrong, CALL, "tools/call", params(name="echo")) == HEADER_MISMATCH


@pytest.mark.parametrize(
    "same",
    [
        {b"mcp-protocol-version": b" 2026-07-28 "},
        {b"mcp-name": b" echo\t"},
        {b"mcp-name": b"=?base64?ZWNobw==?="},
        {b"mcp-method": b"=?base64?dG9vbHMvY2FsbA==?="},
        {b"mcp-method": b" tools/call"},
        {b"mcp-name-else": b"ignored"},
    ],
)
def test_headers_that_say_the_same(same):
    modern.check_headers(headers() | same, CALL, "tools/call", params(name="echo"))


@pytest.mark.parametrize("found", [None, Meta()])
def test_headers_without_meta_are_left_to_the_check_of_meta(found):
    modern.check_headers(headers(), found, "tools/call", params(name="echo"))


@given(st.text())
def test_any_name_can_be_mirrored(name):
    modern.check_headers(headers(name=name), CALL, "tools/call", params(name=name))


@given(st.text(), st.text())
def test_no_other_name_is_accepted(name, other):
    if name != other:
        assert (
            code_of(modern.check_headers, headers(name=other), CALL, "tools/call", params(name=name)) == HEADER_MISMATCH
        )


@pytest.mark.parametrize(
    ("raw", "header"),
    [
        # What intermediaries read in the header must be what the body says after decoding.
        (b'"=?base64?YQ==?="', b"=?base64?YQ==?="),
        (b'"a\\u0062"', b"a\\u0062"),
        ('"ü"'.encode(), "ü".encode()),
    ],
)
def test_equal_bytes_with_another_meaning_are_a_mismatch(raw, header):
    found = headers() | {b"mcp-name": header}
    assert code_of(modern.check_headers, found, CALL, "tools/call", {"name": msgspec.Raw(raw)}) == HEADER_MISMATCH


@pytest.mark.parametrize("raw", [b"5", b"null", b'["echo"]', b'"\xff"'])
def test_a_name_that_is_no_string(raw):
    assert code_of(modern.check_headers, headers(), CALL, "tools/call", {"name": msgspec.Raw(raw)}) == INVALID_PARAMS


# --- x-mcp-header ----------------------------------------------------------------------------------------------------


def tool(properties: Any, **schema: Any) -> dict[str, Any]:
    return {"name": "t", "inputSchema": {"type": "object", "properties": properties, **schema}}


def found_in(properties: Any, **schema: Any) -> tuple[tuple[ParamHeader, ...], bool]:
    return modern.scan_param_headers(tool(properties, **schema)["inputSchema"])


def test_annotations_are_found_through_properties():
    found, valid = found_in(
        {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "plain": {"type": "string"},
            "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
            "sure": {"type": "boolean", "x-mcp-header": "Sure"},
        }
    )
    assert valid
    assert found == (
        ParamHeader(b"mcp-param-region", ("region",), "string"),
        ParamHeader(b"mcp-param-n", ("deep", "n"), "integer"),
        ParamHeader(b"mcp-param-sure", ("sure",), "boolean"),
    )


STRING = {"type": "string", "x-mcp-header": "X"}
BROKEN = {
    "empty": {"a": {"type": "string", "x-mcp-header": ""}},
    "no string": {"a": {"type": "string", "x-mcp-header": 5}},
    "null": {"a": {"type": "string", "x-mcp-header": None}},
    "space": {"a": {"type": "string", "x-mcp-header": "a b"}},
    "colon": {"a": {"type": "string", "x-mcp-header": "a:b"}},
    "line end": {"a": {"type": "string", "x-mcp-header": "a\r\nb"}},
    "trailing line end": {"a": {"type": "string", "x-mcp-header": "a\n"}},
    "not ascii": {"a": {"type": "string", "x-mcp-header": "ä"}},
    "number": {"a": {"type": "number", "x-mcp-header": "X"}},
    "object": {"a": {"type": "object", "x-mcp-header": "X"}},
    "array": {"a": {"type": "array", "x-mcp-header": "X"}},
    "null type": {"a": {"type": "null", "x-mcp-header": "X"}},
    "several types": {"a": {"type": ["string", "null"], "x-mcp-header": "X"}},
    "no type": {"a": {"x-mcp-header": "X"}},
    "twice": {"a": STRING, "b": STRING},
    "twice in another case": {"a": STRING, "b": {"type": "string", "x-mcp-header": "x"}},
    "in items": {"a": {"type": "array", "items": STRING}},
    "in items of items": {"a": {"type": "array", "items": {"type": "array", "items": STRING}}},
    "in prefixItems": {"a": {"type": "array", "prefixItems": [STRING]}},
    "in oneOf": {"a": {"oneOf": [STRING]}},
    "in anyOf": {"a": {"anyOf": [{"type": "null"}, STRING]}},
    "in allOf": {"a": {"allOf": [STRING]}},
    "in not": {"a": {"not": STRING}},
    "in if": {"a": {"if": {"properties": {"b": STRING}}}},
    "in additionalProperties": {"a": {"type": "object", "additionalProperties": STRING}},
    "in patternProperties": {"a": {"type": "object", "patternProperties": {"^a": STRING}}},
    "beside a good one": {"a": STRING, "b": {"type": "number", "x-mcp-header": "Y"}},
}


@pytest.mark.parametrize("properties", BROKEN.values(), ids=BROKEN.keys())
def test_annotations_that_break_the_rules(properties):
    _, valid = found_in(properties)
    assert not valid
    assert modern.param_headers(encode(tool(properties))) == ()


@pytest.mark.parametrize(
    "schema",
    [
        {"x-mcp-header": "X"},
        {"$defs": {"d": STRING}, "properties": {"a": {"$ref": "#/$defs/d"}}},
        {"definitions": {"d": STRING}},
        {"allOf": [{"properties": {"a": STRING}}]},
        {"dependentSchemas": {"a": {"properties": {"b": STRING}}}},
        {"properties": [STRING]},
    ],
)
def test_annotations_out_of_reach(schema):
    assert not modern.scan_param_headers({"type": "object", **schema})[1]


@pytest.mark.parametrize(
    "properties",
    [
        {"a": STRING, "x-mcp-header": {"type": "string"}},
        {"a": STRING, "b": {"default": {"x-mcp-header": "Y"}, "examples": [{"x-mcp-header": 5}]}},
        {"a": STRING, "b": {"enum": [{"x-mcp-header": ""}]}, "c": {"const": {"x-mcp-header": ""}}, "d": True},
        {"a": STRING, "b": {"properties": {"x-mcp-header": {"type": "number"}}}},
    ],
)
def test_data_that_looks_like_an_annotation_is_none(properties):
    assert found_in(properties) == ((ParamHeader(b"mcp-param-x", ("a",), "string"),), True)


@pytest.mark.parametrize("schema", [None, True, [], {}, {"properties": []}, {"properties": {"a": True}}])
def test_a_schema_without_annotations(schema):
    assert modern.scan_param_headers(schema) == ((), True)


@pytest.mark.parametrize("token", ["a", "X-Y", "!#$%&'*+-.^_`|~09azAZ"])
def test_any_token_is_a_name(token):
    found, valid = found_in({"a": {"type": "string", "x-mcp-header": token}})
    assert valid
    assert found[0].header == b"mcp-param-" + token.lower().encode()


def test_a_definition_without_annotations_is_not_opened():
    assert modern.param_headers(b"not even json") == ()
    assert modern.param_headers(encode({"name": "x-mcp-header"})) == ()


def test_the_annotations_of_a_definition():
    assert modern.param_headers(encode(tool({"a": STRING}))) == (ParamHeader(b"mcp-param-x", ("a",), "string"),)


@pytest.mark.parametrize("depth", [400, 900, 100_000])
def test_a_deep_schema_is_no_way_to_break_the_scan(depth):
    deep = b'{"properties":{"a":' * depth + encode(STRING) + b"}}" * depth
    found = modern.param_headers(b'{"name":"t","inputSchema":' + deep + b"}")
    assert len(found) <= 1


def test_a_schema_that_is_too_deep_keeps_no_rules():
    schema: Any = STRING
    for _ in range(100_000):
        schema = {"properties": {"a": schema}}
    assert modern.scan_param_headers(schema) == ((), False)
    while isinstance(schema, dict):
        # Taken apart level by level: the interpreter frees nested objects recursively.
        schema = schema.pop("properties", {}).pop("a", None)


WANTED = (
    ParamHeader(b"mcp-param-s", ("s",), "string"),
    ParamHeader(b"mcp-param-n", ("deep", "n"), "integer"),
    ParamHeader(b"mcp-param-b", ("b",), "boolean"),
)


def mirrored(value: Any) -> dict[bytes, str]:
    return modern.mirrored(WANTED, encode(value))


def test_arguments_are_mirrored():
    assert mirrored({"s": "x y", "deep": {"n": -5}, "b": True, "other": 1}) == {
        b"mcp-param-s": "x y",
        b"mcp-param-n": "-5",
        b"mcp-param-b": "true",
    }
    assert mirrored({"b": False, "deep": {"n": 5.0}}) == {b"mcp-param-b": "false", b"mcp-param-n": "5"}


@pytest.mark.parametrize(
    "value", [{}, {"s": None, "b": None, "deep": None}, {"deep": {"n": None}}, {"deep": []}, [], 5]
)
def test_null_and_absent_arguments_have_no_header(value):
    assert mirrored(value) == {}
    assert modern.mirrored(WANTED, None) == {}


@pytest.mark.parametrize("value", [2**53 - 1, -(2**53 - 1)])
def test_the_largest_integers(value):
    assert mirrored({"deep": {"n": value}}) == {b"mcp-param-n": str(value)}


@pytest.mark.parametrize("value", [2**53, -(2**53), 10**30, 1e300, 1.5, [], {}])
def test_values_without_a_header_form(value):
    assert mirrored({"deep": {"n": value}}) == {}


@pytest.mark.parametrize("raw", [b"{", b'{"s":"\xff"}', b'{"s":' * 100_000])
def test_arguments_that_are_no_json(raw):
    assert code_of(modern.mirrored, WANTED, raw) == INVALID_PARAMS


def send(value: Any, **found: bytes) -> None:
    sent = {b"mcp-param-" + key.encode(): data for key, data in found.items()}
    modern.check_param_headers(sent, WANTED, msgspec.Raw(encode(value)))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({}, {}),
        ({"s": None}, {}),
        ({"s": "a"}, {"s": b"a"}),
        ({"s": "a"}, {"s": b" a "}),
        ({"s": "ü"}, {"s": b"=?base64?w7w=?="}),
        ({"s": ""}, {"s": b""}),
        ({"b": True}, {"b": b"true"}),
        ({"deep": {"n": 5}}, {"n": b"5"}),
        ({"deep": {"n": 5}}, {"n": b"05"}),
        ({"deep": {"n": 5}}, {"n": b"=?base64?NQ==?="}),
        ({"deep": {"n": -0.0}}, {"n": b"-0"}),
        ({"s": "a"}, {"s": b"a", "unknown": b"anything"}),
    ],
)
def test_param_headers_that_say_the_same(value, found):
    send(value, **found)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"s": "a"}, {}),
        ({"s": "a"}, {"s": b"b"}),
        ({"s": "a"}, {"s": b"A"}),
        ({"s": "a"}, {"s": b"=?base64?YQ?="}),
        ({"s": "5"}, {"s": b"05"}),
        ({}, {"s": b"a"}),
        ({"s": None}, {"s": b"null"}),
        ({"b": True}, {"b": b"True"}),
        ({"b": True}, {"b": b"1"}),
        ({"deep": {"n": 5}}, {"n": b"6"}),
        ({"deep": {"n": 5}}, {"n": b"5 0"}),
        ({"deep": {"n": 5}}, {"n": b"+5"}),
        ({"deep": {"n": 5}}, {"n": b""}),
        ({"deep": {"n": 5}}, {"n": b"9" * 5000}),
        ({"deep": {"n": 5}}, {"n": modern.encode_header("\u0665")}),
        ({"deep": {"n": "five"}}, {"n": b"5"}),
        ({"deep": {"n": True}}, {"n": b"1"}),
    ],
)
def test_param_headers_that_differ(value, found):
    with pytest.raises(ProtocolError) as caught:
        send(value, **found)
    assert caught.value.code == HEADER_MISMATCH


@given(st.text(), st.integers(-(2**53) + 1, 2**53 - 1), st.booleans())
def test_what_a_client_mirrors_a_server_accepts(text, number, flag):
    arguments = msgspec.Raw(encode({"s": text, "deep": {"n": number}, "b": flag}))
    sent = {key: modern.encode_header(value) for key, value in modern.mirrored(WANTED, arguments).items()}
    assert len(sent) == 3
    modern.check_param_headers(sent, WANTED, arguments)


def test_usual_metas_are_remembered_within_a_bound() -> None:
    """Each one is read for what it says, whether it was there before or had to go."""
    for number in [*range(modern._KEPT + 2), 0, modern._KEPT + 1]:
        info = {"name": str(number), "version": "1"}
        meta = {modern.VERSION_KEY: MODERN, modern.CLIENT_KEY: info, modern.CAPABILITIES_KEY: {}}
        found = modern.good_meta(msgspec.Raw(msgspec.json.encode(meta)))
        assert found is not None and found.version == MODERN
        assert msgspec.json.decode(found.client) == info
        assert len(modern._GOOD) <= modern._KEPT
    # Nor is one that is very long: it is judged like any other, each time.
    meta["long"] = "x" * modern._USUAL
    assert modern.good_meta(msgspec.Raw(msgspec.json.encode(meta))) is None


@pytest.mark.parametrize(("name", "same"), [("echo", True), ("other", False), (5, False), (["echo"], False)])
def test_headers_that_mirror_a_body_byte_for_byte(name: Any, same: bool) -> None:
    headers = {b"mcp-protocol-version": MODERN.encode(), b"mcp-method": b"tools/call", b"mcp-name": b"echo"}
    params = {"name": msgspec.Raw(msgspec.json.encode(name))}
    assert modern.mirrored_by(headers, METHODS["tools/call"], params) is same


def test_names_that_were_mirrored_are_remembered_within_a_bound() -> None:
    """Each header is held against its own body, whatever it said before."""
    headers = {b"mcp-protocol-version": MODERN.encode(), b"mcp-method": b"tools/call"}

    def mirrored(header: str, name: bytes) -> bool:
        named = {**headers, b"mcp-name": header.encode()}
        return modern.mirrored_by(named, METHODS["tools/call"], {"name": msgspec.Raw(name)})

    for number in [*range(modern._KEPT + 2), 0, modern._KEPT + 1]:
        name = f"tool{number}"
        assert mirrored(name, b'"%b"' % name.encode()), "new, or there before"
        assert mirrored(name, b'"%b"' % name.encode()), "remembered"
        assert mirrored(name, b'"\\u0074ool%d"' % number), "the same in other words"
        assert not mirrored(name, b'"tool"') and not mirrored("tool", b'"%b"' % name.encode())
        assert len(modern._SAME) <= modern._KEPT
    long = "x" * modern._USUAL
    assert mirrored(long, b'"%b"' % long.encode()) and long.encode() not in modern._SAME
    assert not modern.mirrored_by(headers, METHODS["tools/call"], {"name": msgspec.Raw(b'"tool"')}), "no header"
