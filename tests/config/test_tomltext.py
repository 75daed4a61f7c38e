"""TOML edited as text: one table more or less, everything else byte for byte."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rune.config.tomltext import insert, remove
from tests.sizes import LONG

NEW: dict[str, Any] = {
    "command": ["npx", "a b"],
    "env": {"A.B": 'say "${X}"\\'},
    "prefix": "",
    "timeout": 2.5,
    "on": True,
}
PATH = ("sources", "new")

DOCUMENTS = [
    "",
    "\n",
    "# only a comment",
    "# only a comment\n",
    "[server]\nport = 1\n",
    '[sources.a]\nurl = "x"\n',
    '[sources.a]\nurl = "x"',
    '[sources.a]\nurl = "x" # here\n# prefix = "y"\n\n[server]\nport = 1\n',
    '[sources.a]\nurl = "x"\n# about b\n[sources.b]\nurl = "y"\n\n\n[[plugins]]\nuse = "z"\n',
    '[sources]\na = { url = "x" }\n\n[server]\n',
    '[server]\r\nport = 1\r\n\r\n[sources.a]\r\nurl = "x"\r\n# end\r\n\r\n[[plugins]]\r\nuse = "z"\r\n',
    '[sources.a]\ncommand = [\n  "x", # one\n  "y",\n]\n\n[sources.a.env]\nA = """\n[sources.fake]\n"""\n',
    "[server]\n\n\n\n",
]


@pytest.mark.parametrize("text", DOCUMENTS)
def test_a_table_is_put_in_and_taken_out_again(text: str) -> None:
    new = insert(text, PATH, NEW)
    expected = tomllib.loads(text)
    expected.setdefault("sources", {})["new"] = NEW
    assert tomllib.loads(new) == expected
    assert remove(new, PATH) == text
    assert [line for line in text.splitlines() if line not in new.splitlines()] == []


def test_it_stands_behind_the_last_of_its_kind() -> None:
    text = '[sources.a]\nurl = "x"\n# about a\n\n# about the server\n[server]\nport = 1\n'
    assert insert(text, PATH, {"url": "y"}) == (
        '[sources.a]\nurl = "x"\n# about a\n\n[sources.new]\nurl = "y"\n\n# about the server\n[server]\nport = 1\n'
    )


@given(
    st.dictionaries(st.text(max_size=12), st.text() | st.lists(st.text(), max_size=9) | st.integers() | st.booleans())
)
def test_values_are_written_so_that_they_are_read_again(table: dict[str, Any]) -> None:
    assert tomllib.loads(insert("", ("a b", "c"), table)) == {"a b": {"c": table}}


def test_long_lists_get_a_line_for_each_element() -> None:
    assert "[\n    " in insert("", ("a",), {"command": ["x" * 60, "y" * 60]})


@pytest.mark.parametrize(
    ("text", "out"),
    [
        (
            '[sources.a]\nurl = "x"\n\n[sources.a.env]\nA = "1"\n\n# b\n[sources.b]\nurl = "y"\n',
            '# b\n[sources.b]\nurl = "y"\n',
        ),
        ('[sources]\na.url = "x"\na.prefix = ""\nb.url = "y"\n', '[sources]\nb.url = "y"\n'),
        ('[sources]\na = { url = "x" }\nb.url = "y"\n', '[sources]\nb.url = "y"\n'),
        ('sources.a.url = "x"\nsources.b.url = "y"\n', 'sources.b.url = "y"\n'),
        ('[sources.a]\nurl = "x"\n[server]\nport = 1\n[sources.a.env]\nA = "1"\n', "[server]\nport = 1\n"),
        ('[sources.a]\n# inside\nurl = "x"\n# below\n\n[server]\n', "[server]\n"),
        ('[sources.a]\nurl = "x"\n# about the server\n[server]\n', "# about the server\n[server]\n"),
        ('[server]\n\n# about a\n[sources.a]\nurl = "x"\n\n[sources.b]\n', "[server]\n\n# about a\n\n[sources.b]\n"),
    ],
)
def test_a_table_goes_with_all_that_is_its_own(text: str, out: str) -> None:
    assert remove(text, ("sources", "a")) == out


PIECES = [
    "# a comment", "", "  ", "\t", '[sources.a]\nurl = "x"', "[sources.b] # here", "[server]", "port = 1 # one",
    "[[plugins]]", 'use = """\n[sources.new]\n"""', "[sources.a.env]\nA = '''\n# no comment\n'''",
    "list = [ # first\n  1,\n\n  2,\n]", "inline = { x = [1, 2], y.z = 'q' }", "a.b.c = 1", "[sources]",
    "c = { url = 'y' }", "d.url = 'z'", "[x.y]", '"quoted key" = 1', "[sources.'e-f']", "date = 2026-01-01T00:00:00Z",
]  # fmt: skip


@settings(max_examples=2000 if LONG else 40)
@given(
    st.lists(st.sampled_from(PIECES), max_size=9), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\n", "\n\n"])
)
def test_documents_of_any_make(pieces: list[str], newline: str, end: str) -> None:
    text = ("\n".join(pieces) + end).replace("\n", newline)
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    sources = before.setdefault("sources", {})
    assume(isinstance(sources, dict))
    sources["new"] = NEW
    new = insert(text, PATH, NEW)
    assert tomllib.loads(new) == before
    assert remove(new, PATH) == text


def test_there_must_be_something_to_take_out() -> None:
    with pytest.raises(ValueError, match="there is no"):
        remove("[server]\n", ("sources", "a"))
    with pytest.raises(ValueError, match="there is no"):
        remove("sources = { a = { url = 'x' } }\n", ("sources", "a"))
