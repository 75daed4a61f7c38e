"""`key=value key:=json` or one JSON object, with and without a schema."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.cli.arguments import convert, needs_schema, parse, types_of

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "flag": {"type": "boolean"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "either": {"type": ["string", "integer"]},
        "list": {"type": "array", "items": {"type": "integer"}},
        "point": {"$ref": "#/$defs/Point"},
        "level": {"enum": [1, 2, 3]},
        "one": {"const": False},
        "half": {"oneOf": [{"const": 1.5}, {"const": None}]},
        "shape": {"enum": [{}, []]},
        "loop": {"$ref": "#/properties/loop"},
        "broken": {"$ref": "#/nowhere/at~1all"},
        "odd": True,
    },
    "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "number"}}}},
}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("text=1", "1"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("text=a:=b", "a:=b"),
        ("text={not json", "{not json"),
        ("count=1", 1),
        ("count=-12", -12),
        ("count=1.5", "1.5"),
        ("count=x", "x"),
        ("ratio=1", 1),
        ("ratio=1.50", 1.5),
        ("ratio=-.5e3", -500.0),
        ("ratio=nan", "nan"),
        ("flag=true", True),
        ("flag=false", False),
        ("flag=yes", "yes"),
        ("maybe=null", None),
        ("maybe=7", 7),
        ("either=7", "7"),
        ("list=[1, 2]", [1, 2]),
        ("list=1", "1"),
        ("list=[1", "[1"),
        ('point={"x": 1}', {"x": 1}),
        ("level=2", 2),
        ("one=false", False),
        ("half=1.5", 1.5),
        ("half=null", None),
        ("shape={}", {}),
        ("shape=[]", []),
        ("loop=1", "1"),
        ("broken=1", "1"),
        ("odd=1", "1"),
        ("unknown=1", "1"),
        ("count:=1.5", 1.5),
        ('text:="a"', "a"),
        ("list:=[1, {}]", [1, {}]),
        ("text:=null", None),
    ],
)
def test_one_word(word: str, value: Any) -> None:
    parsed = parse([word], SCHEMA)
    assert list(parsed.values()) == [value]
    assert type(next(iter(parsed.values()))) is type(value)


def test_several_words_or_one_object() -> None:
    assert parse(["count=1", "text=x", "flag:=true"], SCHEMA) == {"count": 1, "text": "x", "flag": True}
    assert parse([' {"a": [1]}']) == {"a": [1]}
    assert parse([]) == {}
    assert parse(["count=1"]) == {"count": "1"}


def test_only_plain_words_need_a_schema() -> None:
    assert needs_schema(["a:=1", "b=2"])
    assert not needs_schema(["a:=1"])
    assert not needs_schema(['{"a": "b"}'])
    assert not needs_schema([])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["what"], "'what' is neither key=value, key:=json nor a JSON object"),
        (["=x"], "'=x' is neither"),
        (["a=1", "a:=2"], "a is given twice"),
        (["a:=x"], "a: no JSON"),
        (["a:=" + "[" * 100_000], "a: no JSON"),
        (["{"], "the argument: no JSON"),
        (["{}", "a=1"], "'{}' is neither"),
    ],
)
def test_other_words_are_wrong_usage(words: list[str], message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        parse(words, SCHEMA)


def test_a_json_text_that_is_no_object() -> None:
    with pytest.raises(click.UsageError, match="is neither"):
        parse(["[1]"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object", type(None): "null"}


@given(st.from_regex(r"[^=:{\s][^=:]{0,9}", fullmatch=True), JSON)
def test_json_values_arrive_as_they_are(key: str, value: Any) -> None:
    assert parse([f"{key}:={json.dumps(value)}"]) == {key: value}
    assert parse([json.dumps({key: value})]) == {key: value}


@given(JSON.filter(lambda value: not isinstance(value, str)))
def test_a_declared_type_is_converted_to(value: Any) -> None:
    text = json.dumps(value)
    schema = {"properties": {"a": {"type": NAMES[type(value)]}}}
    assert parse([f"a={text}"], schema) == {"a": value}


@given(st.text())
def test_text_for_strings_is_never_changed(text: str) -> None:
    assert convert(text, frozenset({"string", "integer", "boolean", "null", "array"})) == text
    assert convert(text, frozenset()) == text


@given(JSON, st.text(max_size=5))
def test_any_schema_can_be_read(schema: Any, key: str) -> None:
    found = types_of({"properties": {key: schema}}, key)
    assert all(isinstance(name, str) for name in found)
