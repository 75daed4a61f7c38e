"""Arguments of foreign tools against their schemas: what is let through, what is said, and that nothing is fetched."""

from __future__ import annotations

import json
import logging
import socket
import time
from typing import Any

import msgspec
import pytest

from rune.errors import ProtocolError, RuneError
from rune.request import Request, Result
from rune.source import Item, Target
from rune.sources.arguments import KEPT, SIZE, TOLD, Arguments
from tests.sources.test_bounds import chain
from tests.test_gateway import Fixed

SOURCE, OTHER = Fixed("up", None), Fixed("other", None)  # type: ignore[arg-type]
LIMIT = {"type": "object", "properties": {"limit": {"type": "integer", "minimum": 1}, "q": {"type": "string"}},
         "required": ["q"], "additionalProperties": False}  # fmt: skip


def item(schema: Any, name: str = "find") -> Item:
    return Item(name, json.dumps({"name": name, "inputSchema": schema}).encode())


def call(schema: Any, arguments: Any = ..., source: Any = SOURCE, raw: bytes | None = None) -> Request:
    params = (
        {} if arguments is ... and raw is None else {"arguments": msgspec.Raw(raw or json.dumps(arguments).encode())}
    )
    request = Request("tools/call", params)
    request.target = Target(source, "find", item(schema))
    return request


async def through(request: Request) -> Result:
    return Result.of({"content": [], "through": True})


async def ask(request: Request, checks: Arguments | None = None) -> str | None:
    """What is said of wrong arguments; None when the call went through."""
    value = (await (checks or Arguments([SOURCE])).around(through)(request)).value
    if value.get("through"):
        return None
    assert value["isError"] is True and value["resultType"] == "complete"
    (block,) = value["content"]
    assert block["type"] == "text"
    text: str = block["text"]
    assert text.startswith("invalid arguments for tool find: ")
    return text.removeprefix("invalid arguments for tool find: ")


async def test_what_fits_goes_through() -> None:
    assert await ask(call(LIMIT, {"q": "x", "limit": 3})) is None
    for arguments in (..., None, {}):
        assert await ask(call({"type": "object"}, arguments)) is None
    assert await ask(call({"type": "object", "properties": {"n": {"maximum": 10**40}}}, {"n": 10**30})) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, '"q" is a required property'),
        ({"q": 3}, 'q: the value is not of type "string"'),
        ({"q": "x", "limit": 0}, "limit: the value is less than the minimum of 1"),
        ({"q": "x", "limt": 1}, "Additional properties are not allowed ('limt' was unexpected)"),
        ({"q": 1, "limit": "2"}, 'limit: the value is not of type "integer"; q: the value is not of type "string"'),
    ],
)
async def test_what_does_not_is_a_result_that_names_the_field(arguments: Any, said: str) -> None:
    found = await ask(call(LIMIT, arguments))
    assert found is not None
    assert sorted(found.split("; ")) == sorted(said.split("; "))


async def test_fields_are_named_by_their_path() -> None:
    schema = {"properties": {"a": {"items": {"properties": {"b": {"type": "null"}}}}}}
    assert await ask(call(schema, {"a": [{}, {"b": 1}]})) == 'a[1].b: the value is not of type "null"'
    many = {"properties": {f"f{number}": {"type": "string"} for number in range(50)}}
    said = await ask(call(many, dict.fromkeys(many["properties"], 1)))
    assert said is not None and len(said.split("; ")) == TOLD
    long = {"properties": {"a": {"enum": ["x" * 1000, "y" * 1000]}}}
    said = await ask(call(long, {"a": "z"}))
    assert said is not None and len(said) < 400


async def test_only_calls_of_its_sources_are_looked_at() -> None:
    checks = Arguments([SOURCE])
    assert await ask(call(LIMIT, {}, OTHER), checks) is None
    other = call(LIMIT, {})
    other.method = "prompts/get"
    assert await ask(other, checks) is None


@pytest.mark.parametrize("raw", [b"[1]", b'"x"', b"3", b"true", b'{"a":1e999}', b'{"a":"\xff"}'])
async def test_what_is_no_object_is_a_wrong_request(raw: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        await ask(call(LIMIT, raw=raw))
    assert caught.value.code == -32602
    assert caught.value.message.startswith("params.arguments")


@pytest.mark.parametrize(
    ("dialect", "schema", "wrong", "right"),
    [
        ("http://json-schema.org/draft-04/schema#", {"minimum": 1, "exclusiveMinimum": True}, 1, 2),
        ("http://json-schema.org/draft-06/schema#", {"exclusiveMinimum": 1}, 1, 2),
        ("http://json-schema.org/draft-07/schema", {"if": {"const": 1}, "then": False}, 1, 2),
        ("https://json-schema.org/draft/2019-09/schema", {"minimum": 2}, 1, 2),
        ("https://json-schema.org/draft/2020-12/schema", {"prefixItems": [{"const": 1}]}, [2], [1]),
        (None, {"prefixItems": [{"const": 1}]}, [2], [1]),
    ],
)
async def test_dialects(dialect: str | None, schema: Any, wrong: Any, right: Any) -> None:
    whole = {"type": "object", "properties": {"a": schema}, **({"$schema": dialect} if dialect else {})}
    assert await ask(call(whole, {"a": right})) is None
    said = await ask(call(whole, {"a": wrong}))
    assert said is not None and said.startswith("a")


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (
            {"$schema": "http://json-schema.org/draft-03/schema#"},
            "its dialect is not known: http://json-schema.org/draft-03",
        ),
        ({"$schema": "https://example.org/mine"}, "its dialect is not known: https://example.org/mine"),
        ({"$schema": 7}, "its dialect is not known: 7"),
        ({"$ref": "https://example.org/x"}, "it refers to https://example.org/x, and nothing is fetched"),
        ({"type": "strange"}, ": type: the value is not valid"),
        ({"properties": {"a": {"pattern": "("}}}, "is not a"),
        ([], "it is no object"),
        (chain(30), "a check would take too many steps"),
        ({"description": "x" * SIZE}, f"it is larger than {SIZE} bytes"),
        ({"properties": {"a": {"$schema": "https://example.org/mine", "$id": "https://example.org/a"}}}, "example.org"),
    ],
)
async def test_a_schema_that_cannot_be_used_is_an_error_that_says_why(
    schema: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    checks = Arguments([SOURCE])
    with caplog.at_level(logging.WARNING, "rune.arguments"):
        for _ in range(2):
            with pytest.raises(RuneError) as caught:
                await ask(call(schema, {}), checks)
            assert caught.value.code == -32603
            assert caught.value.message.startswith("up: find: its inputSchema cannot be used: ")
            assert why in caught.value.message
            assert caught.value.hint is not None and "validate = false" in caught.value.hint
    assert len(caplog.records) == 1


@pytest.mark.parametrize("place", ["root", "nested", "unused", "id", "schema"])
async def test_nothing_is_ever_fetched(place: str, tmp_path: Any) -> None:
    """A listener on this machine, and a file: both stay unasked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        (tmp_path / "schema.json").write_text("{}")
        for target in (url, (tmp_path / "schema.json").as_uri()):
            schema = {
                "root": {"$ref": target},
                "nested": {"properties": {"a": {"items": {"$ref": target}}}},
                "unused": {"$defs": {"a": {"$ref": target}}},
                "id": {"$id": target, "$ref": "other.json"},
                "schema": {"$schema": target},
            }[place]
            with pytest.raises(RuneError, match="cannot be used"):
                await ask(call(schema, {"a": [1]}))
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"patternProperties": {"a": {"$ref": "#"}}}]}, None),
        ({"properties": {"a": {"pattern": "^(?=a)(a|a)*b\\1$"}}}, {"a": "a" * 5000}),
        ({"properties": {"a": {"pattern": "^(a+)+$"}}}, {"a": "a" * 50_000 + "b"}),
        ({"properties": {"a": {"$ref": "#"}}}, {"a": "deep"}),
    ],
)
async def test_no_check_takes_long(schema: Any, arguments: Any) -> None:
    if arguments is None or arguments["a"] == "deep":
        levels = 40 if arguments is None else 500
        raw = b'{"a":' * levels + b"1" + b"}" * levels
    else:
        raw = json.dumps(arguments).encode()
    began = time.process_time()
    assert await ask(call(schema, raw=raw)) is not None
    assert time.process_time() - began < 5


async def test_each_definition_is_compiled_once() -> None:
    checks = Arguments([SOURCE])
    for _ in range(3):
        assert await ask(call(LIMIT, {"q": "x"}), checks) is None
    assert len(checks._checks) == 1
    checks._checks = {str(number).encode(): next(iter(checks._checks.values())) for number in range(KEPT)}
    assert await ask(call({"type": "object"}, {}), checks) is None
    assert len(checks._checks) == KEPT
