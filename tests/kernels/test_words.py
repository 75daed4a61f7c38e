"""What tells that no word stands in JSON: what it sees, that the twins never differ, and that they miss none."""

from __future__ import annotations

import random
from itertools import islice

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune import native
from rune.kernels.escapes import opened
from rune.kernels.pii import KINDS
from tests.kernels.texts import texts
from tests.sizes import LONG

NATIVE = native.installed()[0] is not None
IMPLEMENTATIONS = ["python", pytest.param("rust", marks=pytest.mark.skipif(not NATIVE, reason=native.installed()[1]))]
BOTH = pytest.mark.skipif(not NATIVE, reason=native.installed()[1])
ESCAPES = st.lists(
    st.sampled_from(
        ["\\", '"', "u", "n", "d83d", "\\ud83d", "\\ude00", "\\u0041", "DROP", "é", "\u212a", "\u0130", "x"]
    )
).map(lambda pieces: "".join(pieces).encode())


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_word_is_seen_in_any_case_and_behind_escapes(implementation):
    absent = native.make_words(implementation, ["Drop Table", "x"])[0].absent
    for json in (
        b'"DROP TABLE"',
        b'{"drop table":1}',
        rb'["dr\u006fp\u0020table"]',
        b"X",
        b'"%bdrop table"' % (b"-" * 99),
    ):
        assert not absent(json), json
    for json in (b"", b'"drop the table"', rb'"drop\ttable"', '"größer"'.encode()):
        assert absent(json), json


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_where_only_unicode_knows_nothing_is_certain(implementation):
    absent = native.make_words(implementation, ["key", "été"])[0].absent
    assert absent(b'"ete"')
    assert not absent('"ÉTÉ"'.encode())
    assert not native.make_words(implementation, ["key"])[0].absent("\u212aEY".encode())


def test_no_other_character_beyond_ascii_has_a_letter_of_it_in_lower_case():
    everything = "".join(map(chr, [*range(128, 0xD800), *range(0xE000, 0x20000)]))
    lower = everything.lower()
    assert sorted(letter for letter in lower if letter < "\x80") == ["i", "k"]
    assert ["i" in "\u0130".lower(), "k" in "\u212a".lower()] == [True, True]


@given(ESCAPES)
def test_escapes_are_read_as_json_reads_them(data):
    text = f'"{data.decode()}"'.encode()
    try:
        value = msgspec.json.decode(text, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert opened(text) == f'"{value}"'.encode()


@BOTH
@given(ESCAPES)
def test_the_twins_agree_about_anything_with_escapes(json):
    for words in (["drop", "a"], ["été"], ['"'], ["\\"]):
        assert len({native.make_words(each, words)[0].absent(json) for each in ("rust", "python")}) == 1
    assert len({native.make_pii(each, KINDS, "#")[0].clean(json) for each in ("rust", "python")}) == 1


@BOTH
def test_the_twins_agree_about_texts_and_never_miss_a_word():
    dice, missed = random.Random(5), 0
    pii = [native.make_pii(each, KINDS, "#")[0] for each in ("rust", "python")]
    words = ["Tel", "rm -rf", "key", 'a"b', "e-mail"]
    both = [native.make_words(each, words)[0].absent for each in ("rust", "python")]
    for text in islice(texts(11), 1_000_000 if LONG else 5_000):
        # msgspec writes no lone surrogates.
        value = text.encode("utf-8", "replace").decode()
        json = msgspec.json.encode({"a": [value, dice.choice(["rm -RF", "quiet"])]})
        assert both[0](json) == both[1](json), json
        assert pii[0].clean(json) == pii[1].clean(json), json
        missed += not both[0](json)
        if both[0](json):
            assert not any(word.lower() in value.lower() for word in words), json
        if pii[0].clean(json):
            assert pii[0].mask(value) is value, json
    assert missed
