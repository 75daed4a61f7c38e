"""Messages that are broken in some way, and the codes that may answer them. Used by test_bad_input.py."""

from __future__ import annotations

import json
from typing import Final

from tests.wire.client import Client
from tests.wire.schemas import MODERN

DEEP: Final = 100_000
META: Final = json.dumps(Client(MODERN).meta())


def nested(opening: str, closing: str = "") -> str:
    """A value in so many lists or objects."""
    return opening * DEEP + "1" + closing * DEEP


LISTS: Final = nested("[", "]")
OBJECTS: Final = nested('{"a":', "}")


def request(params: str, id: str = "1") -> bytes:
    """A tools/call with these params."""
    return b'{"jsonrpc":"2.0","id":%b,"method":"tools/call","params":%b}' % (
        id.encode(),
        params.encode("utf-8", "replace"),
    )


def call(*members: str, name: str = '"echo"', meta: str = META) -> bytes:
    """A modern tools/call with a name, `_meta` and these members."""
    return request("{" + ",".join([f'"name":{name}', f'"_meta":{meta}', *members]) + "}")


PARSE: Final = (-32700,)
INVALID: Final = (-32600,)
EITHER: Final = (-32600, -32700)
# Whoever looks first: at the headers, at the params, at the name.
PARAMS: Final = (-32602, -32600, -32700, -32020)

BROKEN: Final[dict[str, tuple[bytes, tuple[int, ...]]]] = {
    "nothing": (b"", PARSE),
    "half": (b'{"jsonrpc":"2.0","id":1,', PARSE),
    "two": (b'{"jsonrpc":"2.0","id":1,"method":"ping"}{"x":1}', PARSE),
    "trailing comma": (b'{"jsonrpc":"2.0","id":1,"method":"ping",}', PARSE),
    "single quotes": (b"{'jsonrpc':'2.0'}", PARSE),
    "no JSON": (b"GET / HTTP/1.1", PARSE),
    "bad UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"p\xff"}', PARSE),
    "bad UTF-8 in params": (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\xff"}}', PARSE),
    "overlong UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xc0\xaf"}', PARSE),
    "CESU surrogates": (b'{"jsonrpc":"2.0","id":1,"method":"\xed\xa0\x80"}', PARSE),
    "UTF-16": ('{"jsonrpc":"2.0","id":1,"method":"ping"}'.encode("utf-16"), PARSE),
    "BOM": (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"}', PARSE),
    "NUL": (b'{"jsonrpc":"2.0"\0}', PARSE),
    "NaN": (call('"arguments":{"value":NaN}'), PARSE),
    "Infinity": (call('"arguments":{"value":-Infinity}'), PARSE),
    "lone surrogate": (call(name=r'"\ud800"'), PARAMS),
    "lone surrogate in the method": (b'{"jsonrpc":"2.0","id":1,"method":"\\udfff"}', (-32700, -32600, -32601, -32020)),
    "true": (b"true", INVALID),
    "a number": (b"7", INVALID),
    "a string": (b'"ping"', INVALID),
    "null": (b"null", INVALID),
    "an empty object": (b"{}", INVALID),
    "version 1": (b'{"id":1,"method":"ping"}', INVALID),
    "version 3": (b'{"jsonrpc":"3.0","id":1,"method":"ping"}', INVALID),
    "id null": (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', INVALID),
    "id list": (b'{"jsonrpc":"2.0","id":[1],"method":"ping"}', INVALID),
    "id true": (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', INVALID),
    "id fraction": (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', INVALID),
    "id huge": (b'{"jsonrpc":"2.0","id":%b,"method":"ping"}' % (b"9" * 5000), EITHER),
    "method number": (b'{"jsonrpc":"2.0","id":1,"method":7}', INVALID),
    "params list": (request("[1]"), PARAMS),
    "params string": (request('"x"'), PARAMS),
    "params null": (request("null"), PARAMS),
    "both": (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}', INVALID),
    "neither": (b'{"jsonrpc":"2.0","id":1}', INVALID),
    "deep top": (LISTS.encode(), EITHER),
    "deep open": (nested("[").encode(), PARSE),
    "deep objects": (OBJECTS.encode(), EITHER),
    "deep id": (request("{}", id=LISTS), EITHER),
    "deep params": (request(OBJECTS), PARAMS),
    "deep name": (call(name=LISTS), PARAMS),
    "deep _meta": (call(meta=OBJECTS), PARAMS),
    "deep arguments": (call(f'"arguments":{LISTS}'), PARAMS),
    "deep state": (call(f'"requestState":{LISTS}'), PARAMS),
    "deep answers": (call(f'"inputResponses":{{"a":{LISTS}}}', '"requestState":""'), PARAMS),
    "empty batch": (b"[]", INVALID),
    "batch": (b"[" + request("{}") + b"]", INVALID),
}
