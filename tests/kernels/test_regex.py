"""Patterns of operators: that Rust finds what Python finds, what is left to Python, and that no text keeps it busy."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune import native
from rune.errors import ConfigError, TimedOut
from rune.kernels.regex import pattern
from rune.plugins.regex import RegexSub
from rune.plugins.slow import SlowSearch
from tests.kernels.glued import COUNT
from tests.sizes import LONG

NATIVE = native.installed()[0] is not None
IMPLEMENTATIONS = ["python", pytest.param("rust", marks=pytest.mark.skipif(not NATIVE, reason=native.installed()[1]))]
needs_rust = pytest.mark.skipif(not NATIVE, reason=native.installed()[1])

PORTABLE = [
    "a", "ab|a", r"\d+", r"\w+@\w+\.com", "[^a-c]x", ".", "(?s).", "(?i)k[a-c]s?i", "(?ai)ki", "^a", "a$", r"a\Z",
    r"\Aa", "(?m)^a.*$", r"\ba", r"(?a)\bé?a\b", r"\Bb", r"\s", r"\S+", r"\W", r"\D", "(a)(b)?", "(?:a|(b))+c",
    "a{2,3}?b", "é+", r"[\w.-]+", r"[^\s]", "(?x) a  b # c", "(?i:A)b", "x+?y", "[]a]", "[a&&b]", "[[a]", r"\/\@",
    "\u0130|\u0131|\u212a", "日本?", r"(?P<x>a+)(?P<y>b)", "(?:ab){2}", "(a|b|)c", "\ud800|a", r"\x00|\n|\r",
    "[\U0001f600-\U0001f64f]", "a\\\nb?",
]  # fmt: skip
REFUSED = [
    ("a*", "nothing"), ("(?=a)b", "assert"), (r"(a)\1", "groupref"), ("(?>a)b", "atomic"), ("a++", "possessive"),
    ("(?i)é", "case"), ("(?:a*)+b", "empty"), ("(?<!a)b", "assert"), ("(a)?(?(1)b|c)", "groupref"),
    ("(?:a){0}b", "nothing"),
]  # fmt: skip
PIECES = (
    "a", "b", "c", "A", "k", "K", "s", "\u017f", "i", "\u0130", "\u0131", "x", "y", "é", "É", "日", "本", "\u0301",
    "\u200d", "²", "①", "_", ".", "@", "com", "1", "٣", " ", "\t", "\x1c", "\x85", "\u2028", "\n", "\r\n", "\x00",
    "\U0001f600", "-", "[", "&", "/", "\ud800", "ab", "aab", "aaa", "ki", "\\", "]",
)  # fmt: skip
REPLACEMENTS = ["", "#", r"<\g<0>>", "é\\\\"]


def texts(seed, count):
    dice = random.Random(seed)
    for _ in range(count):
        yield "".join(dice.choices(PIECES, k=dice.randrange(16)))


def checked(sub, compiled, replace, text):
    """What Rust makes of a text, if it does, is what Python makes of it."""
    ours = sub(text)
    if ours is not None:
        assert ours == compiled.sub(replace, text), (compiled.pattern, text)
        if ours == text and not compiled.search(text):
            assert ours is text
    return ours is not None


@needs_rust
@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
@pytest.mark.parametrize("search", PORTABLE)
def test_rust_finds_what_python_finds(search):
    for place, replace in enumerate(REPLACEMENTS):
        rule = pattern(search, replace)
        sub, implementation, _ = native.make_regex("rust", rule)
        assert implementation == "rust", rule.reason
        count = COUNT // len(PORTABLE) // len(REPLACEMENTS)
        done = sum(checked(sub, rule.compiled, replace, text) for text in texts(place, count))
        assert done > 0


SIGNS = st.sampled_from(
    [
        "a",
        "b",
        "k",
        "s",
        "é",
        "日",
        ".",
        r"\d",
        r"\w",
        r"\s",
        r"\W",
        "[ab]",
        "[^a]",
        r"[^\w]",
        "[a-cé]",
        r"\b",
        r"\B",
        "^",
        "$",
        "1",
    ]
)
PATTERNS = st.recursive(
    SIGNS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["+", "*", "?", "{1,2}", "{2}", "+?", "??"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
        inner.map(lambda one: f"({one})"),
    ),
    max_leaves=8,
)
FLAGS = st.sampled_from(["", "(?i)", "(?a)", "(?s)", "(?m)", "(?ims)"])


@needs_rust
@settings(max_examples=30_000 if LONG else 200, deadline=None, derandomize=True)
@given(FLAGS, PATTERNS, st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), min_size=5, max_size=40))
def test_rust_finds_what_python_finds_with_any_pattern(flags, search, given_texts):
    rule = pattern(flags + search, r"<\g<0>>")
    sub, _, _ = native.make_regex("rust", rule)
    if sub is not None:
        for text in given_texts:
            checked(sub, rule.compiled, rule.replace, text)


@needs_rust
def test_groups_that_took_no_part_are_empty():
    assert RegexSub("(a)|(b)", r"\1-\2", implementation="rust").sub("ab") == "a--b"


@needs_rust
@pytest.mark.parametrize(("search", "why"), REFUSED)
def test_what_has_no_counterpart_runs_in_python_and_says_so(search, why):
    rule = RegexSub(search, "x", implementation="rust")
    assert rule.implementation == "python"
    assert why in rule.reason
    assert rule.sub("caab") == re.sub(search, "x", "caab")


@needs_rust
def test_what_only_python_can_tell_is_said():
    assert (
        RegexSub(r"\ba$", "", implementation="rust").reason == "texts beyond ASCII and texts that end with a line end"
    )
    assert RegexSub("a", "", implementation="rust").reason == ""


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_text_without_a_match_is_the_very_same(implementation):
    for text in ("xyz", "xyz é", "\ud800", "x" * 100_000):
        rule = RegexSub(r"\d+ \d+", "", implementation=implementation)
        assert rule.sub(text) is text
        rule.close()


@needs_rust
@pytest.mark.parametrize("search", ["(a+)+b", "(?:a|aa)+b", "(x+x+)+y"])
def test_patterns_that_keep_python_busy_are_linear_in_rust(search):
    text = "ax" * 50 + "a" * 200_000 + "x" * 20_000
    assert RegexSub(search, "", implementation="rust").sub(text) is text


@pytest.mark.parametrize("search", ["(a+)+b", "(?:a|aa)+b", r"(a)(?:\1\1?)+b", "(?=(a+)+b)a"])
def test_a_search_that_takes_too_long_ends(search):
    rule = RegexSub(search, "", implementation="python")
    with pytest.raises(TimedOut, match=r"no answer after 0\.25 s"):
        rule.sub("a" * 60)
    # The next one finds a new process.
    assert rule.sub("aab").count("b") <= 1
    rule.close()


def test_the_process_answers_as_re_does():
    slow = SlowSearch(5)
    rule = pattern("(a+)+b", r"<\1>")
    for text in ("", "aab aab", "\ud800ab", "é" * 100_000 + "ab", "none"):
        assert slow.sub(rule, text) == re.sub("(a+)+b", r"<\1>", text)
    assert slow.sub(rule, text) is text
    slow.close()


@pytest.mark.parametrize(
    ("search", "length", "quick"),
    [
        ("ab", 1_000_000, True), (r"\d{3}-\d{4}", 100_000, True), (r"\d+", 1_000, True), (r"\d+", 100_000, False),
        ("(a+)+", 10, False), ("(ab|c)*", 10, False), ("(a?)*b", 10, False), (r"\w+@\w+", 100, True),
        (r"\w+@\w+", 1_000, False), ("a{1,3}", 10_000, True), (r"(a+)b\1", 50, True), ("(?=a+)a", 1_000, True),
    ],
)  # fmt: skip
def test_what_may_take_long_is_known_before(search, length, quick):
    assert pattern(search, "").quick(length) is quick


@pytest.mark.parametrize(("search", "replace"), [("(", ""), ("a", r"\1"), ("a", r"\g<x>"), ("[b-a]", "")])
def test_what_cannot_be_is_refused(search, replace):
    with pytest.raises(ConfigError):
        RegexSub(search, replace)
