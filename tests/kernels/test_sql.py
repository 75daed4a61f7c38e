"""The two judges of SQL: what they say, that they never differ, and that a parser of others agrees."""

from __future__ import annotations

import json
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune import native
from rune.errors import ConfigError
from rune.kernels.sql import DIALECTS
from rune.plugins.sql import SqlCheck, named
from tests import peers
from tests.kernels.glued import glued
from tests.sizes import LONG

NATIVE = native.installed()[0] is not None
IMPLEMENTATIONS = ["python", pytest.param("rust", marks=pytest.mark.skipif(not NATIVE, reason=native.installed()[1]))]

FACTS = [
    ("generic", "SELECT a FROM t WHERE b = 'x; DROP TABLE y -- z'", "select"),
    ("generic", "select 1; select 2;", "several select"),
    ("generic", "SELECT 1; -- bye", "comment select"),
    ("generic", "DROP TABLE t", "drop"),
    ("generic", "drop me a note", "other"),
    ("generic", "Update the docs; then tell me", "several update other"),
    ("generic", "DELETE FROM t", "delete_without_where delete"),
    ("generic", "DELETE FROM t WHERE a IN (SELECT b FROM c)", "select delete"),
    ("generic", "UPDATE t SET a = (SELECT b FROM c WHERE d = 1)", "update_without_where select update"),
    ("generic", "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "delete_without_where select delete"),
    ("generic", "EXPLAIN ANALYZE DELETE FROM t", "delete_without_where delete"),
    ("generic", "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 1", "insert"),
    ("generic", "SELECT * FROM t WHERE a = 1 OR 1=1 -- x", "comment tautology select"),
    ("generic", "SELECT * FROM t WHERE a = 1 OR (b = 2 OR 'x' = 'x')", "tautology select"),
    ("generic", "SELECT * FROM t WHERE 1=1 AND a = 2", "select"),
    ("generic", "SELECT * FROM t WHERE a BETWEEN 1 AND 2 OR t.a <> t.a", "select"),
    ("generic", "SELECT * FROM t WHERE TRUE", "tautology select"),
    ("generic", "SELECT * FROM t WHERE a = CASE WHEN b OR 1=1 THEN 2 END", "select"),
    ("generic", "id = 5 OR 1=1", "tautology other"),
    ("generic", "I have 1 or 2", "other"),
    ("generic", "don't", "unterminated other"),
    ("generic", "", ""),
    ("generic", "SELECT $a$ ; DROP TABLE t $a$", "select"),
    ("generic", "CREATE TABLE t (a int)", "create"),
    ("postgres", "SELECT E'it\\'s; DROP TABLE t'", "select"),
    ("postgres", "/* a /* b */ DROP TABLE t */ SELECT 1", "comment select"),
    ("mysql", "SELECT 'a\\'; DROP TABLE t; --'", "select"),
    ("mysql", "SELECT 1 /*!50000 ; DROP TABLE t */", "several comment select drop"),
    ("mysql", "SELECT 1 WHERE a || 1", "tautology select"),
    ("mysql", "SELECT 1--1", "select"),
    ("sqlite", "SELECT [a; DROP TABLE b] FROM t", "select"),
    ("tsql", "SELECT 1 DROP TABLE t", "several select drop"),
    ("tsql", "ALTER TABLE t DROP COLUMN a", "alter"),
    ("oracle", "SELECT q'[it's; DROP TABLE t]' FROM dual", "select"),
]

PIECES = (
    "SELECT ", "select ", "DELETE ", "FROM ", "t ", "UPDATE ", "SET a=1 ", "WHERE ", "HAVING ", "OR ", "AND ", "NOT ",
    "1", "=", "1=1", "'a'", "'a'='a'", "(", ")", ";", "--", "-- x\n", "/*", "*/", "/*!5", "#", "\n", "\r", "'", "''",
    '"', "`", "[", "]", "$", "$$", "$a$", "\\", "\\'", "E'", "N'", "q'[", "nq'(", "]'", "DROP ", "TABLE ", "TRUNCATE ",
    "the ", "ALTER ", "GRANT ", "CREATE ", "EXEC ", "CALL ", "WITH x AS ", "EXPLAIN ", "CASE ", "WHEN ", "THEN ",
    "END ", "BETWEEN ", "LIKE ", "TRUE ", "FALSE ", "NULL ", "a.b", ".", "a . b", "<", ">=", "<>", "!=", "||", "&&",
    "1e-3", "0xE-1", "1.5", "00", "@x", "#t", "ORDER BY ", "UNION ", "FOR ", "INSERT INTO ", "VALUES ", "MERGE ",
    "RETURNING ", ",", "é", "日", "\ud800", "\x00", " ", "or", "and ", "prose ", "SELECTED", "x" * 20, "IF ", "BEGIN ",
)  # fmt: skip


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("dialect", "text", "facts"), FACTS)
def test_what_is_said_of_a_text(implementation, dialect, text, facts):
    assert " ".join(SqlCheck(dialect=dialect, implementation=implementation).facts(text)) == facts


def test_an_unknown_dialect_is_an_error():
    for implementation in ("python", "rust") if NATIVE else ("python",):
        with pytest.raises(ConfigError, match="klingon"):
            SqlCheck(dialect="klingon", implementation=implementation)


@pytest.mark.skipif(not NATIVE, reason=native.installed()[1])
def test_the_twins_agree_on_generated_texts():
    twins = [[native.make_sql(each, dialect)[0] for each in ("rust", "python")] for dialect in DIALECTS]
    for count, text in enumerate(glued(PIECES, 20260728)):
        rust, python = twins[count % len(twins)]
        assert rust.check(text) == python.check(text), repr(text)


@pytest.mark.skipif(not NATIVE, reason=native.installed()[1])
@settings(max_examples=20_000 if LONG else 200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=9), max_size=16).map("".join), st.sampled_from(DIALECTS))
def test_the_twins_agree_on_any_text(text, dialect):
    rust, python = (native.make_sql(each, dialect)[0] for each in ("rust", "python"))
    assert rust.check(text) == python.check(text)


SHAPES = (
    "SELECT {c} FROM {t} WHERE {p}", "SELECT {c} FROM {t} JOIN {t} b ON b.id = 1 WHERE {p} ORDER BY {c}",
    "DELETE FROM {t} WHERE {p}", "DELETE FROM {t}", "UPDATE {t} SET {c} = {v} WHERE {p}", "UPDATE {t} SET {c} = {v}",
    "INSERT INTO {t} ({c}) VALUES ({v})", "DROP TABLE {t}", "TRUNCATE TABLE {t}", "CREATE TABLE {t} ({c} INT)",
    "ALTER TABLE {t} ADD COLUMN {c} INT", "WITH q AS (SELECT {c} FROM {t} WHERE {p}) SELECT * FROM q",
    "SELECT {c} FROM {t} WHERE {c} IN (SELECT {c} FROM {t} WHERE {p})", "SELECT {c} FROM {t} UNION SELECT {v}",
)  # fmt: skip
VALUES = ("1", "'it''s; DROP TABLE x'", "'-- no'", "'/* no'", "2.5", "NULL", '"a; b"', "COALESCE({c}, 1)")
PREDICATES = ("{c} = {v}", "{c} > 3 AND {c} < 9", "({c} = {v} OR {c} IS NULL)", "{c} LIKE 'x%'", "NOT {c} = 2")
ORACLE = """
import json, sys
import sqlglot
from sqlglot import exp
KINDS = {exp.Select: "select", exp.Union: "select", exp.Insert: "insert", exp.Update: "update", exp.Delete: "delete",
         exp.Drop: "drop", exp.TruncateTable: "truncate", exp.Create: "create", exp.Alter: "alter"}
def facts(text):
    trees = [tree for tree in sqlglot.parse(text, read="postgres") if tree and not isinstance(tree, exp.Semicolon)]
    found = {KINDS[type(tree)] for tree in trees}
    found |= {"select" for tree in trees for _ in tree.find_all(exp.Select)}
    if len(trees) > 1:
        found.add("several")
    for kind, name in ((exp.Delete, "delete"), (exp.Update, "update")):
        if any(node.args.get("where") is None for tree in trees for node in tree.find_all(kind)):
            found.add(name + "_without_where")
    return sorted(found)
for line in sys.stdin:
    print(json.dumps(facts(json.loads(line))), flush=True)
"""


def test_a_parser_of_others_agrees():
    """sqlglot builds a tree of each text; the judges have to see the same statements in it, and the same WHEREs."""
    pieces = [
        shape.replace("{p}", predicate).replace("{v}", value).replace("{c}", "col").replace("{t}", "tab")
        for shape in SHAPES
        for predicate in PREDICATES
        for value in VALUES
    ]
    texts = [
        one + (";", " ; ", "; -- said\n", "; /* said; */ ")[place % 4] + two
        for place, (one, two) in enumerate(zip(pieces, pieces[7:] + pieces[:7], strict=True))
    ]
    texts = (texts + pieces)[:: 1 if LONG else 7]
    python = str(peers.python_venv("sqlglot", "sqlglot==30.30.0") / "bin" / "python")
    lines = "\n".join(map(json.dumps, texts))
    done = subprocess.run([python, "-c", ORACLE], input=lines, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    check = SqlCheck(dialect="postgres", implementation="python")
    for text, expected in zip(texts, map(json.loads, done.stdout.splitlines()), strict=True):
        assert sorted(set(check.facts(text)) - {"comment"}) == expected, text


@pytest.mark.parametrize("piece", ["'", "\\'", "$a$", "$a", "/*", "(", "-", "a.", "CASE ", "or 1=1 "])
@pytest.mark.parametrize("dialect", ["mysql", "postgres"])
def test_long_texts_are_read_to_their_end(dialect, piece):
    """A text that were read again and again would not end within the deadline of the whole run."""
    text = piece * (200_000 if LONG else 10_000)
    answers = {
        SqlCheck(dialect=dialect, implementation=each).check(text) for each in (("python", "rust")[: 1 + NATIVE])
    }
    assert len(answers) == 1


def test_all_facts_have_names():
    assert named((1 << 19) - 1)[-1] == "other"
    assert len(named((1 << 19) - 1)) == 19
