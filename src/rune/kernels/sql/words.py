"""The words that the judge of SQL knows."""

from __future__ import annotations

from typing import Final

FACTS: Final = (
    "several", "comment", "unterminated", "tautology", "delete_without_where", "update_without_where", "select",
    "insert", "update", "delete", "merge", "drop", "truncate", "alter", "create", "grant", "revoke", "execute", "other",
)  # fmt: skip
"""All facts about a text. Their place is their bit: the first is 1, the second 2, the third 4."""

BITS: Final = {name: 1 << place for place, name in enumerate(FACTS)}
SEVERAL, COMMENT, UNTERMINATED, TAUTOLOGY, DELETE_ALL, UPDATE_ALL = (BITS[name] for name in FACTS[:6])
SELECT, INSERT, UPDATE, DELETE, MERGE, DROP, TRUNCATE, ALTER, CREATE = (BITS[name] for name in FACTS[6:15])
GRANT, REVOKE, EXECUTE, OTHER = (BITS[name] for name in FACTS[15:])

KNOWN: Final = OTHER - SELECT
"""All statements but those that begin with other words."""
ALIKE: Final = DROP | ALTER | CREATE | GRANT | REVOKE | TRUNCATE
"""Statements that letters to people may seem to begin with."""
OPEN: Final = SELECT | INSERT | UPDATE | DELETE | MERGE | EXECUTE | OTHER
"""Statements in which T-SQL lets the next one begin without a semicolon."""
NEXT: Final = DELETE | UPDATE | INSERT | MERGE | DROP | TRUNCATE | ALTER | CREATE | GRANT | REVOKE | EXECUTE

VERBS: Final = {
    b"SELECT": SELECT, b"VALUES": SELECT, b"TABLE": SELECT, b"INSERT": INSERT, b"REPLACE": INSERT, b"UPDATE": UPDATE,
    b"DELETE": DELETE, b"MERGE": MERGE, b"DROP": DROP, b"TRUNCATE": TRUNCATE, b"ALTER": ALTER, b"CREATE": CREATE,
    b"GRANT": GRANT, b"REVOKE": REVOKE, b"EXECUTE": EXECUTE, b"EXEC": EXECUTE, b"CALL": EXECUTE, b"DO": EXECUTE,
}  # fmt: skip
LEADS: Final = frozenset(b"WITH EXPLAIN DESCRIBE DESC ANALYZE PREPARE BEGIN IF WHILE DECLARE".split())
"""Words before a statement that is run all the same."""
ENDS: Final = frozenset(
    b"WHERE HAVING GROUP ORDER LIMIT RETURNING UNION EXCEPT INTERSECT MINUS FETCH OFFSET WINDOW FOR QUALIFY CONNECT "
    b"START FORMAT OUTPUT OPTION".split()
)
"""Words that end a condition."""
PROSE: Final = frozenset(
    b"A AN THE ME US IT THIS THAT THESE THOSE ALL MY YOUR OUR IN OFF OUT BY TO SOME ANY NEW ONE YOU HIM HER "
    b"THEM".split()
)
"""What follows `drop`, `alter` and the like in letters to people, and is nothing that a database has."""
