"""Envelopes: any bytes are either one or Malformed."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.errors import INVALID_REQUEST, PARSE_ERROR
from rune.protocol import jsonrpc
from rune.protocol.jsonrpc import Envelope, Malformed

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_json = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
_ids = st.integers(-(2**63), 2**63 - 1) | st.text()
_members = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0", 2, None]),
        "id": _ids | st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
        "method": st.text() | st.integers(),
        "params": _json,
        "result": _json,
        "error": _json,
        "foreign": _json,
    },
)


def outcome(data: bytes) -> Envelope | Malformed:
    try:
        return jsonrpc.read(data)
    except Malformed as error:
        return error


def both_ways(data: bytes) -> None:
    """`opened` finds what `read` and `read_object` find, or fails as `read` does."""
    envelope = outcome(data)
    if isinstance(envelope, Malformed):
        with pytest.raises(Malformed) as caught:
            jsonrpc.opened(data)
        assert (caught.value.code, str(caught.value), caught.value.id) == (envelope.code, str(envelope), envelope.id)
        return
    message = jsonrpc.opened(data)
    for key in ("id", "method", "result", "error", "is_request", "is_notification"):
        assert getattr(message, key) == getattr(envelope, key)
    try:
        members = jsonrpc.read_object(envelope.params)
    except Malformed as error:
        refusal = (error.code, str(error))
    else:
        assert message.members == members
        return
    assert message.params is None
    with pytest.raises(Malformed) as caught:
        _ = message.members
    assert (caught.value.code, str(caught.value)) == refusal


@given(st.binary())
def test_any_bytes_are_an_envelope_or_malformed(data):
    assert isinstance(outcome(data), Envelope | Malformed)


@given(_members)
def test_any_object_is_an_envelope_or_an_invalid_request(members):
    data = json.dumps(members).encode()
    both_ways(data)
    found = outcome(data)
    if isinstance(found, Malformed):
        assert found.code == INVALID_REQUEST
        identity = members.get("id")
        usable = isinstance(identity, int | str) and not isinstance(identity, bool)
        assert found.id == (identity if usable else None)
        return
    assert members["jsonrpc"] == "2.0"
    assert found.is_request + found.is_notification == ("method" in members)
    if "method" in members:
        assert found.method == members["method"]
    for key in ("params", "result", "error"):
        raw = bytes(getattr(found, key))
        assert (json.loads(raw) if raw else None) == members.get(key)


@given(_members, st.integers(0, 400), st.binary(max_size=3))
def test_a_damaged_message_is_an_envelope_or_malformed(members, place, noise):
    data = json.dumps(members, ensure_ascii=False).encode("utf-8", "surrogatepass")
    both_ways(data[:place] + noise + data[place + 1 :])
    jsonrpc.salvage_id(data[:place] + noise + data[place + 1 :])


@given(_ids, st.text(), st.dictionaries(st.text(), _json, max_size=3))
def test_a_request_survives_its_frame(identity, method, params):
    envelope = jsonrpc.read(jsonrpc.request_frame(identity, method, jsonrpc.encode(params)))
    assert (envelope.id, envelope.method, jsonrpc.decode(envelope.params)) == (identity, method, params)
    assert envelope.is_request
    assert not envelope.is_notification


@given(st.text(), st.dictionaries(st.text(), _json, max_size=3))
def test_a_notification_survives_its_frame(method, params):
    envelope = jsonrpc.read(jsonrpc.note_frame(method, jsonrpc.encode(params)))
    assert (envelope.method, jsonrpc.decode(envelope.params)) == (method, params)
    assert envelope.is_notification
    assert not envelope.is_request


@given(_ids, st.dictionaries(st.text(), _json, max_size=3))
def test_a_result_survives_its_frame(identity, result):
    envelope = jsonrpc.read(jsonrpc.result_frame(identity, jsonrpc.encode(result)))
    assert (envelope.id, jsonrpc.decode(envelope.result)) == (identity, result)
    assert not envelope.is_request
    assert not envelope.is_notification


@given(_ids | st.none(), st.integers(-33000, 0), st.text(), _json)
def test_an_error_survives_its_frame(identity, code, message, data):
    envelope = jsonrpc.read(jsonrpc.error_frame(identity, code, message, data))
    expected = {"code": code, "message": message} | ({} if data is None else {"data": data})
    wanted = msgspec.UNSET if identity is None else identity
    assert (envelope.id, jsonrpc.decode(envelope.error)) == (wanted, expected)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", PARSE_ERROR),
        (b"{", PARSE_ERROR),
        (b"\xff", PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":"\xff"}}', PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xed\xa0\x80"}', PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"a"} x', PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","params":NaN}', PARSE_ERROR),
        (b"\xef\xbb\xbf{}", PARSE_ERROR),
        (b"[" * 100_000, PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"a","params":' + b'{"a":' * 100_000, PARSE_ERROR),
        (b'{"jsonrpc":"1.0","id":1,', PARSE_ERROR),
        (b'{"id":1.5,"jsonrpc":"2.0"', PARSE_ERROR),
        (b"null", INVALID_REQUEST),
        (b"[]", INVALID_REQUEST),
        (b'"text"', INVALID_REQUEST),
        (b"{}", INVALID_REQUEST),
        (b'{"jsonrpc":"2.0"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","result":{}}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"a"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":null,"method":"a"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"a"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"a"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":null}', INVALID_REQUEST),
    ],
)
def test_what_is_no_message(data, code):
    with pytest.raises(Malformed) as caught:
        jsonrpc.read(data)
    assert caught.value.code == code
    both_ways(data)


@pytest.mark.parametrize(
    "params", [b"null", b"[1]", b"1", b'"a"', b'{"\\ud800":1}', b"{}", b'{"a":{"b":1}}', b'{"a":"\xc3\xa9"}']
)
def test_params_are_opened_with_their_message(params):
    both_ways(b'{"jsonrpc":"2.0","id":1,"method":"a","params":%b}' % params)


def test_deep_nesting_that_is_complete_is_refused():
    deep = b'{"jsonrpc":"2.0","id":1,"method":"a","params":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001
    with pytest.raises(Malformed) as caught:
        jsonrpc.read(deep)
    assert caught.value.code == PARSE_ERROR
    assert jsonrpc.salvage_id(deep) is None


@pytest.mark.parametrize("digits", [30, 5000])
def test_a_huge_integer_is_passed_on_unread(digits):
    number = b"9" * digits
    envelope = jsonrpc.read(b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"n":%b}}' % number)
    assert bytes(envelope.params) == b'{"n":%b}' % number


@pytest.mark.parametrize("digits", [30, 5000])
def test_a_huge_id_is_answered(digits):
    found = outcome(b'{"jsonrpc":"2.0","id":%b,"method":"a"}' % (b"9" * digits))
    assert isinstance(found, Envelope | Malformed)


def test_an_id_is_salvaged_from_an_invalid_request():
    with pytest.raises(Malformed) as caught:
        jsonrpc.read(b'{"jsonrpc":"2.0","id":"x","method":5}')
    assert caught.value.id == "x"


def test_an_error_without_id_is_a_response():
    envelope = jsonrpc.read(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}')
    assert envelope.id is None
    assert not envelope.is_request


@pytest.mark.parametrize("data", [b'{"jsonrpc":"2.0"}', b"", b"  5"])
def test_no_batch(data):
    assert jsonrpc.read_batch(data) is None


def test_the_members_of_a_batch_stay_as_they_are():
    assert jsonrpc.read_batch(b' [ {"a": 1} , 5,"\xc3\x9f"] ') == [b'{"a": 1}', b"5", b'"\xc3\x9f"']


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"[]", INVALID_REQUEST),
        (b"[", PARSE_ERROR),
        (b"[1,]", PARSE_ERROR),
        (b'["\xff"]', PARSE_ERROR),
        (b"[" * 100_000, PARSE_ERROR),
    ],
)
def test_what_is_no_batch(data, code):
    with pytest.raises(Malformed) as caught:
        jsonrpc.read_batch(data)
    assert caught.value.code == code


@given(st.binary())
def test_any_bytes_after_a_bracket_are_a_batch_or_malformed(data):
    try:
        found = jsonrpc.read_batch(b"[" + data)
    except Malformed:
        return
    assert found
    assert all(json.loads(member) is not ... for member in found)


def test_an_object_is_opened_one_level():
    assert jsonrpc.read_object(b'{"a": {"b": 1}}') == {"a": msgspec.Raw(b'{"b": 1}')}
    assert jsonrpc.read_object(b"") == {}


@pytest.mark.parametrize("raw", [b"[]", b"null", b"{", b'"a"', b'{"\xff":1}', b'{"a":' * 100_000])
def test_what_is_no_object(raw):
    with pytest.raises(Malformed) as caught:
        jsonrpc.read_object(raw)
    assert caught.value.code == INVALID_REQUEST


@given(st.dictionaries(st.text(), _json, max_size=3), st.sampled_from([b"", b" ", b"\n"]))
def test_members_are_spliced_in(value, space):
    raw = jsonrpc.encode(value)
    spliced = jsonrpc.splice(raw[:-1] + space + b"}" + space, b'"new":1')
    assert jsonrpc.decode(spliced) == {**value, "new": 1}


# --- results without their frame -------------------------------------------------------------------------------------

USUAL = b'{"jsonrpc":"2.0","id":%b,"result":%b}'
OTHER = b'{"result":%b,"jsonrpc":"2.0","id":%b}'
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@given(st.integers(0, 10**15), st.dictionaries(st.text(max_size=12), JSON_VALUES, max_size=4), st.booleans())
def test_a_result_is_the_same_with_and_without_opening_its_frame(id, result, usual):
    raw = jsonrpc.encode(result)
    data = USUAL % (b"%d" % id, raw) if usual else OTHER % (raw, b"%d" % id)
    found = jsonrpc.unframed(data)
    envelope = jsonrpc.read(data)
    if not all(isinstance(result.get(key, ""), str) for key in ("resultType",)):
        assert found is None
        return
    assert found is not None
    assert found[:2] == (envelope.id, bytes(envelope.result)) == (id, raw)
    assert found[2].kind == result.get("resultType", msgspec.UNSET)
    assert bytes(found[2].meta) == (jsonrpc.encode(result["_meta"]) if "_meta" in result else b"")


@given(st.binary(max_size=30), st.integers(0, 80), st.integers(0, 30))
def test_what_is_taken_out_of_its_frame_is_never_something_that_could_not_be_read(noise, place, length):
    for data in (USUAL % (b"7", b'{"a":["b"]}'), OTHER % (b'{"a":["b"]}', b"7")):
        broken = data[:place] + noise + data[place + length :]
        found = jsonrpc.unframed(broken)
        if found is not None:
            envelope = jsonrpc.read(broken)
            assert found[:2] == (envelope.id, bytes(envelope.result))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        USUAL % (b'"7"', b"{}"),
        USUAL % (b"-7", b"{}"),
        USUAL % (b"07", b"{}"),
        USUAL % (b"7.0", b"{}"),
        USUAL % (b"", b"{}"),
        USUAL % (b"7" * 30, b"{}"),
        USUAL % (b"7", b"[]"),
        USUAL % (b"7", b'{},"error":{}'),
        USUAL % (b"7", b'{}},{"a":{}'),
        USUAL % (b"7", b'{"a":"\xff"}'),
        USUAL % (b"7", b'{"resultType":1}'),
        USUAL % (b"7", b"{}") + b"{}",
        OTHER % (b"{}", b'7,"method":"x"'),
        OTHER % (b'{},"method":"x"', b"7"),
        b'{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"x"}}',
        b'{"jsonrpc":"2.0","method":"x"}',
    ],
)
def test_everything_else_keeps_its_frame(data):
    assert jsonrpc.unframed(data) is None
