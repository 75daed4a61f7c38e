"""Bytes to JSON-RPC 2.0 envelopes and back. What an envelope carries stays encoded until somebody reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import msgspec

from rune.errors import INVALID_REQUEST, PARSE_ERROR, ProtocolError

Id: TypeAlias = int | str | None

NOTHING = msgspec.Raw(b"")

_FIRST: Final = b'{"jsonrpc":"2.0","id":'
_RESULT: Final = b',"result":'
_RESULT_FIRST: Final = b'{"result":'
_LAST: Final = b',"jsonrpc":"2.0","id":'
_ID_DIGITS: Final = 17
NO_OBJECT: Final = "invalid request: params must be an object"

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


class Message(msgspec.Struct):
    """One JSON-RPC message. Absent members are UNSET (`id`, `method`) or empty (the others)."""

    jsonrpc: Literal["2.0"]
    id: int | str | msgspec.UnsetType | None = msgspec.UNSET
    method: str | msgspec.UnsetType = msgspec.UNSET
    result: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING

    @property
    def is_request(self) -> bool:
        return self.method is not msgspec.UNSET and self.id is not msgspec.UNSET

    @property
    def is_notification(self) -> bool:
        return self.method is not msgspec.UNSET and self.id is msgspec.UNSET


class Envelope(Message):
    """A message whose `params` are still closed."""

    params: msgspec.Raw = NOTHING


class Opened(Message, gc=False):
    """A message with the members of its `params`, each still encoded; None when they are no object."""

    params: dict[str, msgspec.Raw] | None = {}

    @property
    def members(self) -> dict[str, msgspec.Raw]:
        """The members of `params`.

        Raises:
            Malformed: -32600 when they are no object.
        """
        if self.params is None:
            raise Malformed(INVALID_REQUEST, NO_OBJECT)
        return self.params


class Top(msgspec.Struct, rename={"kind": "resultType", "meta": "_meta"}):
    """What decides over a result and stands at its top; the rest of it is passed on unread."""

    kind: str | msgspec.UnsetType = msgspec.UNSET
    meta: msgspec.Raw = NOTHING


class Malformed(ProtocolError):
    """A message that is no JSON (-32700) or no JSON-RPC (-32600); `id` is its id where one could be read."""

    def __init__(self, code: int, message: str, id: Id = None) -> None:
        super().__init__(code, message)
        self.id = id


_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_opened = msgspec.json.Decoder(Opened).decode
_decode_top = msgspec.json.Decoder(Top).decode
_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_id: Callable[[msgspec.Raw], int | str] = msgspec.json.Decoder(int | str).decode


def read(data: bytes) -> Envelope:
    """Decode one message.

    Raises:
        Malformed: with the JSON-RPC code and, where possible, the id that the answer must echo.
    """
    if not data.isascii():
        check_utf8(data)
    try:
        envelope = _decode_envelope(data)
    except msgspec.ValidationError as error:
        _check_json(data)
        raise Malformed(INVALID_REQUEST, f"invalid request: {error}", salvage_id(data)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(PARSE_ERROR, f"parse error: {error}") from None
    if envelope.method is msgspec.UNSET:
        # An error may come without an id: that of a request whose id could not be read.
        one = bool(envelope.result) != bool(envelope.error)
        if not one or (envelope.id is msgspec.UNSET and envelope.result):
            raise Malformed(INVALID_REQUEST, "invalid request: neither a request nor a response", salvage_id(data))
    elif envelope.id is None:
        raise Malformed(INVALID_REQUEST, "invalid request: id must not be null")
    return envelope


def opened(data: bytes) -> Opened:
    """Decode one message and open its params, for the side that is asked: both in one go where all is well.

    Raises:
        Malformed: as `read` does.
    """
    if not data.isascii():
        check_utf8(data)
    try:
        message = _decode_opened(data)
        if message.method is not msgspec.UNSET and message.id is not None:
            return message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    envelope = read(data)
    try:
        params = read_object(envelope.params)
    except Malformed:
        params = None
    return Opened("2.0", envelope.id, envelope.method, envelope.result, envelope.error, params)


def read_top(result: bytes) -> Top:
    """Look at the top of a result. It is read to its end: what comes back has been a JSON object.

    Raises:
        Malformed: -32700.
    """
    if not result.isascii():
        check_utf8(result)
    try:
        return _decode_top(result)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(PARSE_ERROR, f"parse error: {error}") from None


def unframed(data: bytes) -> tuple[int, bytes, Top] | None:
    """A response whose frame is written as most write it: its id, its result and the top of that, without opening the
    frame. What stands between frame and frame is read to its end once, so that the whole is known to be JSON. None for
    everything else, whether it is a message or not."""
    if data.startswith(_FIRST):
        comma = data.find(b",", len(_FIRST), len(_FIRST) + _ID_DIGITS)
        id, start, end = data[len(_FIRST) : comma], comma + len(_RESULT), len(data) - 1
        if comma < 0 or data[comma:start] != _RESULT or not data.endswith(b"}"):
            return None
    elif data.startswith(_RESULT_FIRST):
        start, end = len(_RESULT_FIRST), data.rfind(_LAST, -len(_LAST) - _ID_DIGITS)
        id = data[end + len(_LAST) : -1]
        if end < 0 or not data.endswith(b"}"):
            return None
    else:
        return None
    if not id.isdigit() or (id[:1] == b"0" and id != b"0"):
        return None
    result = data[start:end]
    try:
        return int(id), result, read_top(result)
    except Malformed:
        return None


def read_batch(data: bytes) -> list[bytes] | None:
    """The members of a batch (legacy), or None when the message is no array.

    Raises:
        Malformed: -32700 when it is no JSON, -32600 when the array is empty.
    """
    if data.lstrip(b" \t\r\n")[:1] != b"[":
        return None
    check_utf8(data)
    try:
        members = _decode_batch(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(PARSE_ERROR, f"parse error: {error}") from None
    if not members:
        raise Malformed(INVALID_REQUEST, "invalid request: an empty batch")
    return [bytes(member) for member in members]


def check_utf8(data: bytes) -> None:
    """msgspec does not look at the bytes of strings that it skips: look at all of them once.

    Raises:
        Malformed: -32700.
    """
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise Malformed(PARSE_ERROR, f"parse error: not UTF-8 at byte {error.start}") from None


def _check_json(data: bytes) -> None:
    """msgspec stops at the first member of a wrong type: what follows may still be no JSON.

    Raises:
        Malformed: -32700.
    """
    try:
        _decode_raw(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(PARSE_ERROR, f"parse error: {error}") from None


def read_object(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, each still encoded; an absent object is empty.

    Raises:
        Malformed: -32600 when it is something else.
    """
    if not len(raw):
        return {}
    try:
        return _decode_object(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed(INVALID_REQUEST, NO_OBJECT) from None


def salvage_id(data: bytes) -> Id:
    """The id of a message that is no valid request, None when there is none to be found."""
    try:
        return _decode_id(_decode_object(data)["id"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, RecursionError):
        return None


def result_frame(id: Id, result: bytes) -> bytes:
    """A response."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (encode(id), result)


def error_frame(id: Id, code: int, message: str, data: Any = None) -> bytes:
    """An error response; `data` is left out when it is None, and so is an id that nobody could read.

    JSON-RPC 2.0 would have null there, but no schema of MCP allows it; the newest two allow the id to be absent.
    """
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    if id is None:
        return b'{"jsonrpc":"2.0","error":%b}' % encode(error)
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (encode(id), encode(error))


def note_frame(method: str, params: bytes) -> bytes:
    """A notification."""
    return b'{"jsonrpc":"2.0","method":%b,"params":%b}' % (encode(method), params)


def request_frame(id: Id, method: str, params: bytes) -> bytes:
    """A request."""
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}' % (encode(id), encode(method), params)


def holds(raw: bytes, word: bytes) -> bool:
    """`word in raw`, only cheaper: for bytes CPython first tries the word as a number, which costs an exception."""
    return raw.find(word) >= 0


def splice(raw: bytes, members: bytes) -> bytes:
    """Add members (`"a":1,"b":2`) to the end of a JSON object without opening it."""
    body = raw.rstrip()[:-1]
    return b"%b%b%b}" % (body, b"" if body.rstrip().endswith(b"{") else b",", members)
