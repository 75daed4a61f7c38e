"""JSON as people write it: read like the standard parser where that reads it, edited without touching the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.config.jsontext import MAX_DEPTH, Malformed, insert, line_of, parse, remove
from tests.sizes import LONG

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
MANY = 2000 if LONG else 40
OURS = {"command": "rune", "args": ["serve", "--stdio"]}


@settings(max_examples=MANY)
@given(values, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_plain_json_means_what_it_means_elsewhere(value: Any, indent: int | str | None, plain: bool) -> None:
    assert parse(json.dumps(value, indent=indent, ensure_ascii=plain)).value == value


def test_comments_and_trailing_commas() -> None:
    text = '// a\n{ /* b */ "x": [1, 2,], // c\n "url": "http://y//z", /* "no": 1 */ }\n// end'
    assert parse(text).value == {"x": [1, 2], "url": "http://y//z"}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "expecting a value"),
        ('{\n"a" 1}', 2, 'expecting ":"'),
        ('{"a": 1\n"b": 2}', 2, 'expecting "," or "}"'),
        ("[1\n2]", 2, 'expecting "," or "]"'),
        ("{a: 1}", 1, "expecting a key in quotes"),
        ("{1: 1}", 1, "expecting a key in quotes"),
        ("{,}", 1, "expecting a key in quotes"),
        ("[,]", 1, "expecting a value"),
        ('{"a": }', 1, "expecting a value"),
        ('{"a": 1} x', 1, "something follows the end of the document"),
        ('{"a": 01}', 1, "01 is no value"),
        ('["\\x"]', 1, '"\\x" is no value'),
        ('{"\\x": 1}', 1, '"\\x" is no key'),
        ('{"a": "b\nc"}', 1, "expecting a value"),
        ('{"a": /* open', 1, "expecting a value"),
        ("[" * (MAX_DEPTH + 5), 1, "nested too deeply"),
    ],
)
def test_what_is_wrong_and_where(text: str, line: int, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse(text)
    assert (caught.value.line, str(caught.value)) == (line, message)


@given(st.text(alphabet='{}[],:"/*\\ \n1a', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except Malformed:
        pass


DOCUMENTS = [
    '{"mcpServers": {}}',
    '{\n  "mcpServers": {}\n}\n',
    '{\n    "mcpServers": {\n        "a": {"command": "x"}\n    },\n    "other": true\n}\n',
    '{\n\t"mcpServers": {\n\t\t"a": {}, // about a\n\t\t// and more\n\t},\n}',
    '{\n  "mcpServers": {\n    "a": {} // about a\n    // the end\n  }\n}',
    '{"mcpServers": {"a": {}}}',
    '{"mcpServers": {"a": {},},}',
    '{\r\n  "mcpServers": {\r\n    "a": {}\r\n  }\r\n}\r\n',
    '{"mcpServers": {"a": {}, /* x */ "b": {} /* y */ }}',
    '{"a": 1, "mcpServers": {\n "b": {"c": [1, 2] }}}',
]


@pytest.mark.parametrize("text", DOCUMENTS)
def test_a_member_is_put_in_and_taken_out_again(text: str) -> None:
    new = insert(text, ("mcpServers", "rune"), OURS)
    expected = parse(text).value
    expected["mcpServers"]["rune"] = OURS
    assert parse(new).value == expected
    assert remove(new, ("mcpServers", "rune")) == text


@pytest.mark.parametrize(
    "text", ["", " \n", "{}", "{ }", "{\n}", "{ // nothing\n}", '{"a": 1}', '{\n  "a": 1, // x\n}\n']
)
def test_objects_on_the_way_are_made(text: str) -> None:
    new = insert(text, ("mcpServers", "rune"), OURS)
    before = parse(text).value if text.strip() else {}
    assert parse(new).value == {**before, "mcpServers": {"rune": OURS}}
    assert all(comment in new for comment in ("// nothing", "// x") if comment in text)
    assert parse(remove(new, ("mcpServers", "rune"))).value == {**before, "mcpServers": {}}


def test_it_looks_like_what_is_around_it() -> None:
    assert insert('{\n\t"servers": {\n\t\t"a": {}\n\t}\n}', ("servers", "b"), {"url": "u"}) == (
        '{\n\t"servers": {\n\t\t"a": {},\n\t\t"b": {\n\t\t\t"url": "u"\n\t\t}\n\t}\n}'
    )
    assert insert("{}", ("servers", "b"), {"url": "u"}) == (
        '{\n  "servers": {\n    "b": {\n      "url": "u"\n    }\n  }\n}'
    )


objects = st.dictionaries(st.text(max_size=8), values, max_size=4)


@settings(max_examples=MANY)
@given(objects, st.dictionaries(st.text(max_size=8).filter(lambda key: key != "rune"), values, max_size=3), st.data())
def test_nothing_else_changes(others: dict[str, Any], servers: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps({**others, "mcpServers": servers}, indent=data.draw(st.sampled_from([None, 1, 2, 4, "\t"])))
    new = insert(text, ("mcpServers", "rune"), OURS)
    assert parse(new).value == {**others, "mcpServers": {**servers, "rune": OURS}}
    assert remove(new, ("mcpServers", "rune")) == text


GAPS = ["", "", " ", "\n", "\n  ", "\t", " // one\n", "\n// two\n  ", " /* three */ ", "/* four\n */"]


@st.composite
def written(draw: st.DrawFn, value: Any) -> str:
    """A value as somebody may have written it."""

    def gap() -> str:
        return draw(st.sampled_from(GAPS))

    if not isinstance(value, dict):
        return json.dumps(value)
    members = [f"{gap()}{json.dumps(key)}{gap()}:{gap()}{draw(written(item))}{gap()}" for key, item in value.items()]
    last = "," + gap() if members and draw(st.booleans()) else ""
    return "{" + ",".join(members) + last + gap() + "}"


@settings(max_examples=MANY)
@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 9) | st.just({})), st.data())
def test_nothing_else_changes_however_it_is_written(servers: dict[str, Any], data: st.DataObject) -> None:
    value = {"first": 1, "mcpServers": servers, "last": {"x": []}}
    text = data.draw(written(value))
    new = insert(text, ("mcpServers", "rune"), OURS)
    assert parse(new).value == {**value, "mcpServers": {**servers, "rune": OURS}}
    # No comment is lost, and none comes to stand behind another member.
    assert [new.count(word) for word in ("one", "two", "three", "four")] == [
        text.count(word) for word in ("one", "two", "three", "four")
    ]
    assert parse(remove(new, ("mcpServers", "rune"))).value == value
    if servers:
        assert remove(new, ("mcpServers", "rune")) == text
        gone = data.draw(st.sampled_from(sorted(servers)))
        assert parse(remove(text, ("mcpServers", gone))).value["mcpServers"] == {
            key: item for key, item in servers.items() if key != gone
        }


def test_what_cannot_be_edited() -> None:
    for text, path in [
        ('{"a": 1}', ("a", "b")), ('{"a": {"b": 1}}', ("a", "b")), ("[1]", ("a", "b")),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=r"is in the way|no object"):
            insert(text, path, {})
    for path in [("a", "c"), ("x", "y")]:
        with pytest.raises(ValueError, match="there is no"):
            remove('{"a": {"b": 1}}', path)


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ('{"s": {"a": 1, "b": 2, "c": 3}}', '{"s": {"a": 1, "c": 3}}'),
        ('{"s": {"b": 2, "c": 3}}', '{"s": {"c": 3}}'),
        ('{"s": {\n  "b": 2, // gone\n  "c": 3\n}}', '{"s": { // gone\n  "c": 3\n}}'),
        ('{"s": {\n  "a": 1,\n  // about b\n  "b": 2\n}}', '{"s": {\n  "a": 1\n  // about b\n}}'),
    ],
)
def test_a_member_in_the_middle_goes(text: str, out: str) -> None:
    new = remove(text, ("s", "b"))
    assert parse(new).value == parse(out).value
    assert new.replace(" ", "") == out.replace(" ", "")


def test_lines() -> None:
    text = '{\n  "a": {\n    "b": 1\n  }\n}'
    assert [line_of(text, path) for path in [(), ("a",), ("a", "b"), ("a", "x"), ("y",)]] == [1, 2, 3, 2, 1]
