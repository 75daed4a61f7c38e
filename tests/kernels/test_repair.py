"""The two readers of broken JSON: what they make of it, that it is JSON, and that they never differ."""

from __future__ import annotations

import functools
import json
import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune import native
from rune.plugins.json_repair import JsonRepair
from tests import peers
from tests.kernels.glued import glued
from tests.sizes import LONG

NATIVE = native.installed()[0] is not None
IMPLEMENTATIONS = ["python", pytest.param("rust", marks=pytest.mark.skipif(not NATIVE, reason=native.installed()[1]))]

REPAIRED = [
    ("{a: 1}", '{"a": 1}'),
    ("{'a': “b”, \"\"c\"\": .5,}", '{"a": "b", "c": 0.5}'),
    ('{"a": "b", "c": [1, 2', '{"a": "b", "c": [1, 2]}'),
    ('{"a": "say "hi" to all", "b": 1}', '{"a": "say \\"hi\\" to all", "b": 1}'),
    ('{"a": "New York, "b": "x"}', '{"a": "New York", "b": "x"}'),
    ('{"a": "x}', '{"a": "x"}'),
    ('{"a": "1\n2\t\\d\\x41\\u00e9"}', '{"a": "1\\n2\\t\\\\d\\u0041\\u00e9"}'),
    ('{\\"a\\": \\"b\\"}', '{"a": "b"}'),
    ('["a" "b" c, 1_000 1/3 007 -]', '["a", "b", "c", 1000, "1/3", 7]'),
    ("{a: True, b: None, c: FALSE, d: x y}", '{"a": true, "b": null, "c": false, "d": "x y"}'),
    ("[1, // x\n 2, /* y */ 3, # z ]\n ... ]", "[1, 2, 3]"),
    ("(1, (2), ())", "[1, 2, []]"),
    ("{1, 2}", "[1, 2]"),
    ("text {a: 1} text [2] text", '[{"a": 1}, [2]]'),
    ('{"a": 1}{"a": 2}', '{"a": 2}'),
    ('{"a": 1}, {"a": 2}', '[{"a": 1}, {"a": 2}]'),
    ('{"a": 1}, "b": 2}', '{"a": 1, "b": 2}'),
    ('{"a": ["x"}, "b": 1}', '{"a": ["x"], "b": 1}'),
    ('[{"a": ["x"}, {"b": 1}]', '[{"a": ["x"]}, {"b": 1}]'),
    ('{"a": [1], [2], "b": 3}', '{"a": [1, 2], "b": 3}'),
    ('["a": 1, "b": 2]', '[{"a": 1, "b": 2}]'),
    ('{"a": "```json {"b": [1]}```"}', '{"a": {"b": [1]}}'),
    ('{"a": "„x" y"}', '{"a": "„x\\" y"}'),
    ('{"a": \'\ud800"\'', '{"a": "\ud800\\""}'),
    ('{"a": [[1, 2], 3, 4], [5, 6], "b": 1}', '{"a": [[1, 2], [3, 4], [5, 6]], "b": 1}'),
    ('{"a": [[1, 2], 3], [[4, 5]]', '{"a": [[1, 2], 3, [4, 5]]}'),
    ('[{"a": 1, "b": 2 "a": 3, "b": 4}]', '[{"a": 1, "b": 2}, {"a": 3, "b": 4}]'),
    ('[{"a": 1, "a', '[{"a": 1}, ["a"]]'),
    ('{"a": 1, "" "b": 2}', '{"a": 1, "b": 2}'),
    ('{"a", 105,12, "b": 1}', '{"a": "105,12", "b": 1}'),
    ('{"a", 105, "b"}', '["a", 105, "b"]'),
    ('[{5}s, 6]', '[[5], 6]'),
    ('{"a": "{ b": {} }', '{"a": "{ b"}'),
    ('{"a": "[\\\\"b\\\\\\"]"}', '{"a": "[\\"b\\"]"}'),
    ("""{"a": "^['"]x[^'"]+['"],"}""", """{"a": "^['\\"]x[^'\\"]+['\\"],"}"""),
    ("plain words", None),
    ("", None),
    ("[" * 101 + "x", None),
]  # fmt: skip

PIECES = (
    "{", "}", "[", "]", "(", ")", ":", ",", '"', "'", "“", "”", "„", "\\", '\\"', "\\'", "\\n", "\\u0041", "\\ud83d",
    "\\x41", "\n", " ", "a", "key", '"key"', '"k": ', '"v"', "1", "-", "1.5", "1e", "1_0", ".", "...", "true", "None",
    "NaN", "//", "/*", "*/", "#", "```json", "```", "`", "\x00", "é", "日", "\ud800", '""', '{"a": ', "[1, ", "x y",
    "_", "+", "/", '{"a": "', '["a", ', '"b"}', '"], ', "\t", "\\\\", "[1, 2], ", "{5}", ": {}", '"a", 1', "[^'\"]",
    '\\\\\\"', '[{"a": 1, "b": 2 ',
)  # fmt: skip


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("text", "whole"), REPAIRED)
def test_what_is_made_of_a_text(implementation, text, whole):
    assert JsonRepair(implementation=implementation).repair(text) == whole


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("text", ["{}", ' {"a" : [1, -0.5e+3, "\\u00e9\\/"]}\n', "null", '"x"', "[" * 500 + "]" * 500])
def test_what_is_valid_is_the_very_same(implementation, text):
    assert JsonRepair(implementation=implementation).repair(text) is text


def checked(twins, text):
    whole = {twin(text) for twin in twins}
    assert len(whole) == 1, repr(text)
    for each in whole:
        if each is not None:
            json.loads(each)


@pytest.mark.skipif(not NATIVE, reason=native.installed()[1])
def test_the_twins_agree_on_generated_texts():
    twins = [JsonRepair(implementation=each).repair for each in ("rust", "python")]
    for text in glued(PIECES, 20260728, most=18):
        checked(twins, text)


@pytest.mark.skipif(not NATIVE, reason=native.installed()[1])
@settings(max_examples=20_000 if LONG else 200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=9), max_size=20).map("".join))
def test_the_twins_agree_on_any_text(text):
    checked([JsonRepair(implementation=each).repair for each in ("rust", "python")], text)


@pytest.mark.parametrize(
    "piece",
    ["{", "[", '"', '"a" ', '{"a":', '{"a" ', "[{", '{"a": "x}', "\\", '\\"', "a,", '{"a":[', "(", "/*", "#", "„"],
)
def test_long_texts_are_read_to_their_end(piece):
    """A text that were read again and again would not end within the deadline of the whole run."""
    text = piece * (100_000 if LONG else 1_000)
    checked([JsonRepair(implementation=each).repair for each in (("rust", "python") if NATIVE else ("python",))], text)


RECORDER = """
import json, os
import json_repair, src.json_repair as package, src.json_repair.json_repair as module
plain, seen, out = module.repair_json, set(), open(os.environ["RECORDED"], "w")
def recorded(json_str="", *words, **options):
    if isinstance(json_str, str) and json_str not in seen:
        seen.add(json_str)
        print(json.dumps([json_str, json_repair.repair_json(json_str, return_objects=True)]), file=out, flush=True)
    return plain(json_str, *words, **options)
module.repair_json = package.repair_json = recorded
"""


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("suite", [peers.json_repair_suite, *([peers.json_repair_repository] if LONG else [])])
def test_the_package_that_people_know_agrees(implementation, suite, recorded):
    """Every text in the tests of json_repair: what it makes of them, and what we do."""
    pairs = recorded(suite())
    assert len(pairs) >= 190
    repair = JsonRepair(implementation=implementation).repair
    others = [text for text, value in pairs if json.loads(repair(text) or '""') != value]
    assert len(others) <= 0.01 * len(pairs), f"{len(others)} of {len(pairs)} differ: {others}"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The texts in a test-suite of json_repair, and what its version of today makes of them."""

    @functools.cache
    def run(suite):
        folder = tmp_path_factory.mktemp("recorded")
        (folder / "recorder.py").write_text(RECORDER)
        environ = os.environ | {"RECORDED": str(folder / "recorded"), "PYTHONPATH": f"{folder}{os.pathsep}{suite}"}
        files = sorted(suite.glob("tests/test_parse_*.py"))
        files += [suite / "tests" / f"test_{name}.py" for name in ("json_repair", "strict_mode", "repair_json_cli")]
        done = subprocess.run(
            [peers.json_repair_python(), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "recorder",
             *map(str, files)],
            cwd=suite, env=environ, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:]
        return [json.loads(line) for line in (folder / "recorded").read_text().splitlines()]

    return run
