"""The line of every key, against documents whose lines we know because we wrote them."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.config.lines import Path, find, json_lines, toml_lines

TOML = '''\
# a comment with [brackets] and "quotes"
top = 1

[server]   # another
host = "a # no comment"
text = """
[not.a.table]
key = 1
"""
list = [
  "]", # ]
  2,
]

["quoted.table".'x']
a.b . c = { d = 1, e = [
  1 ] }
"\\u00e9" = \'\'\'
x\'\'\'

[[items]]
name = 1
[items.sub]
deep = 1
[[items]]
name = 2
'''


def test_toml_keys_have_their_lines() -> None:
    lines = toml_lines(TOML)
    tomllib.loads(TOML)
    assert lines[("top",)] == 2
    assert lines[("server",)] == 4
    assert lines[("server", "host")] == 5
    assert lines[("server", "text")] == 6
    assert lines[("server", "list")] == 10
    assert lines[("quoted.table", "x")] == 15
    assert lines[("quoted.table", "x", "a", "b", "c")] == 16
    assert lines[("quoted.table", "x", "é")] == 18
    assert lines[("items", 0, "name")] == 22
    assert lines[("items", 0, "sub", "deep")] == 24
    assert lines[("items", 1)] == 25
    assert lines[("items", 1, "name")] == 26
    assert ("not", "a", "table") not in lines


def test_a_missing_key_is_found_where_it_would_stand() -> None:
    lines = toml_lines("[a]\nb = 1\n")
    assert find(lines, ("a", "b", "c", 0)) == 2
    assert find(lines, ("nowhere",)) == 1


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "a = 1", "[a]"])
def test_small_toml_documents(text: str) -> None:
    assert set(toml_lines(text)) == {(key,) for key in tomllib.loads(text)}


def _paths(value: Any, path: Path = ()) -> list[Path]:
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += _paths(item, (*path, key))
    return found


KEYS = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 0, 2]))
def test_json_lines_names_every_key_on_its_line(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    lines = json_lines(text)
    assert set(lines) == set(_paths(value))
    rows = text.split("\n")
    for path, line in lines.items():
        if path and isinstance(path[-1], str):
            assert json.dumps(path[-1], ensure_ascii=False) in rows[line - 1]


def _toml(value: dict[str, Any], path: tuple[str, ...], rows: list[str], expected: dict[Path, int]) -> None:
    tables = {key: item for key, item in value.items() if isinstance(item, dict)}
    for key, item in value.items():
        if key not in tables:
            rows.append(f"{json.dumps(key)} = {json.dumps(item)}")
            expected[(*path, key)] = len(rows)
    for key, item in tables.items():
        rows.append("")
        rows.append(f"[{'.'.join(json.dumps(part) for part in (*path, key))}]  # ]")
        expected[(*path, key)] = len(rows)
        _toml(item, (*path, key), rows, expected)


PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), max_size=6)
SCALARS = st.booleans() | st.integers(-(2**40), 2**40) | PLAIN | st.lists(PLAIN, max_size=3)


@given(st.dictionaries(PLAIN, SCALARS | st.dictionaries(PLAIN, SCALARS, max_size=3), max_size=4))
def test_toml_lines_names_every_key_on_its_line(value: dict[str, Any]) -> None:
    rows: list[str] = []
    expected: dict[Path, int] = {}
    _toml(value, (), rows, expected)
    text = "\n".join(rows)
    assert tomllib.loads(text) == value
    assert toml_lines(text) == expected


@given(st.text(max_size=60))
def test_any_text_that_toml_accepts_has_lines_for_its_top_keys(text: str) -> None:
    text = text.replace("\r", "")
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert {path[0] for path in toml_lines(text)} == set(value)
