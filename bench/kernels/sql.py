"""SQL: what does a query do? Against the plugin of the incumbent, a parser, and a row of patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Final

from bench.kernels import Row, Times, Within
from bench.kernels.peers import peer
from rune.plugins.sql import SqlCheck

RUST, PYTHON, CPEX, SQLGLOT, PATTERNS = (
    "rust",
    "python",
    "cpex-sql-sanitizer 0.1.4",
    "sqlglot 30.30.0",
    "7 patterns of re",
)
QUERY: Final = (
    "SELECT u.id, u.name, o.total FROM users u JOIN orders o ON o.uid = u.id "
    "WHERE u.name = 'bob' AND o.total > 10 OR 1=1 -- x\nORDER BY o.total DESC LIMIT 10"
)
RISKS: Final = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\bunion\s+(?:all\s+)?select\b", r"\bor\s+1\s*=\s*1\b", r";\s*\w", r"\bdrop\s+(?:table|view|index|database)\b",
        r"\bdelete\s+from\s+\w+\s*(?:;|$)", r"--[^\n]*", r"/\*",
    )
]  # fmt: skip


def yardstick() -> Callable[[], object]:
    """A query of 152 bytes through a parser in Python: what all rows have in common."""
    return partial(peer("sqlglot", "sqlglot==30.30.0").parse_one, QUERY)


def rows() -> Iterator[Row]:
    """One query of about 150 bytes."""
    rust, python = (SqlCheck(implementation=each).check for each in ("rust", "python"))
    work: dict[str, Callable[[], object]] = {
        RUST: partial(rust, QUERY), PYTHON: partial(python, QUERY), CPEX: _cpex(),
        SQLGLOT: partial(peer("sqlglot", "sqlglot==30.30.0").parse_one, QUERY), PATTERNS: _patterns,
    }  # fmt: skip
    yield Row(f"sql, {len(QUERY)} bytes", work, len(QUERY), [Within(400), Times(8, CPEX), Times(100, SQLGLOT)])


def _patterns() -> list[object]:
    return [pattern.search(QUERY) for pattern in RISKS]


def _cpex() -> Callable[[], object]:
    """The hook as its gateway calls it."""
    packages = ("cpex-sql-sanitizer==0.1.4", "cpex==0.1.4")
    # It looks for the framework when it is called.
    tools = peer("cpex.framework.hooks.tools", *packages)
    core = peer("cpex_sql_sanitizer.sql_sanitizer_rust", *packages).SqlSanitizerPluginCore({})
    payload = tools.ToolPreInvokePayload(name="query", args={"sql": QUERY})
    return partial(core.tool_pre_invoke, payload, SimpleNamespace(), None)
