"""`sql_sanitizer`: refuses calls whose arguments hold SQL that nobody should run.

`docs/reference/sql.md` says what counts.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from rune.errors import ConfigError
from rune.kernels.sql import BITS, FACTS
from rune.native import Implementation, Wanted, make_sql
from rune.plugin import Plugin, PluginConfig, PluginContext, PluginResult, PluginViolation
from rune.plugins.texts import mapped

log = logging.getLogger("rune.plugins")

REFUSED: Final = (
    "several", "tautology", "delete_without_where", "update_without_where", "drop", "truncate", "alter", "grant",
    "revoke",
)  # fmt: skip
"""What is refused when the config says nothing."""

_STATEMENTS: Final = FACTS[FACTS.index("select") :]
_SAYS_NOTHING: Final = BITS["other"] | BITS["comment"] | BITS["unterminated"]
_KEYS: Final = (
    "refuse", "fields", "dialect", "implementation", "block_on_violation", "blocked_statements",
    "block_delete_without_where", "block_update_without_where", "strip_comments", "require_parameterization",
)  # fmt: skip
_PATTERN: Final = re.compile(r"\\b(\w+)\\b")


class SqlCheck:
    """Says what the statements in a text do.

    `implementation` is "rust" or "python" and may be chosen; the answer is the same. `check(text)` is a number, of
    which `facts` makes names.

    Raises:
        ConfigError: for an unknown dialect, and for "rust" where there is none.
    """

    check: Callable[[str], int]
    implementation: Implementation

    def __init__(self, *, dialect: str = "generic", implementation: Wanted = "auto") -> None:
        judge, self.implementation = make_sql(implementation, dialect)
        self.check = judge.check

    def facts(self, text: str) -> tuple[str, ...]:
        """The names of all that is true of a text."""
        return named(self.check(text))


def named(facts: int) -> tuple[str, ...]:
    """The facts in a sum of them."""
    return tuple(name for name, bit in BITS.items() if facts & bit)


class SqlSanitizer(Plugin):
    """`refuse`: facts that stop a call; `fields`: names of the arguments to look at, else all; `dialect`.

    The keys of others are understood too. With `block_on_violation = false` nothing is refused: what was found is in
    the metadata of the result and in the log.

    Raises:
        ConfigError: for an unknown key, fact, dialect or pattern.
    """

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        options = config.options(*_KEYS)
        sql = SqlCheck(dialect=options.get("dialect", "generic"), implementation=options.get("implementation", "auto"))
        self.implementation = sql.implementation
        self._check = sql.check
        self._refused = sum(BITS[name] for name in _refused(options))
        fields = options.get("fields")
        self._fields = None if fields is None else frozenset(_names(fields, "fields"))
        self._blocks = options.get("block_on_violation", True)
        if options.get("require_parameterization"):
            raise ConfigError("require_parameterization: texts do not show it", hint="refuse tautology and several")
        if options.get("strip_comments") is False:
            log.warning("sql_sanitizer: strip_comments does nothing: comments are never taken for statements")

    def _judge(self, args: Any) -> PluginResult[Any]:
        facts = 0

        def look(text: str) -> str:
            nonlocal facts
            found = self._check(text)
            # Quotes that do not end and dashes are facts of SQL only where there is some.
            if found & ~_SAYS_NOTHING:
                facts |= found
            return text

        for value in (args,) if self._fields is None else _chosen(args, self._fields):
            mapped(value, look)
        hits = named(facts & self._refused)
        if not hits:
            return PluginResult()
        log.info("sql_sanitizer: %s", ", ".join(hits))
        if not self._blocks:
            return PluginResult(metadata={"sql_issues": list(hits)})
        said = ", ".join(hit.replace("_", " ") for hit in hits)
        violation = PluginViolation(f"holds SQL that is not allowed: {said}", code="SQL_SANITIZER")
        return PluginResult(continue_processing=False, violation=violation)

    async def tool_pre_invoke(self, payload: Any, context: PluginContext) -> PluginResult[Any]:
        return self._judge(payload.args)

    async def prompt_pre_fetch(self, payload: Any, context: PluginContext) -> PluginResult[Any]:
        return self._judge(payload.args)


def _refused(options: dict[str, Any]) -> set[str]:
    refused = set(_names(options.get("refuse", list(REFUSED)), "refuse"))
    unknown = refused - set(FACTS)
    if unknown:
        raise ConfigError(f"refuse: unknown fact {sorted(unknown)[0]!r}", hint=f"known: {', '.join(FACTS)}")
    if "blocked_statements" in options:
        statements = {_statement(each) for each in _names(options["blocked_statements"], "blocked_statements")}
        refused = refused.difference(_STATEMENTS) | statements
    for key, fact in (("delete", "delete_without_where"), ("update", "update_without_where")):
        if options.get(f"block_{key}_without_where", fact in refused):
            refused.add(fact)
        else:
            refused.discard(fact)
    return refused


def _statement(pattern: str) -> str:
    match = _PATTERN.fullmatch(pattern)
    name = (pattern if match is None else match[1]).lower()
    if name not in _STATEMENTS:
        raise ConfigError(
            f"blocked_statements: {pattern!r} is no statement", hint=f"statements: {', '.join(_STATEMENTS)}"
        )
    return name


def _names(value: Any, key: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ConfigError(f"{key} must be a list of texts")
    return value


def _chosen(value: Any, fields: frozenset[str]) -> Iterable[Any]:
    """What stands under one of some names, at any depth."""
    if isinstance(value, list):
        for item in value:
            yield from _chosen(item, fields)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in fields:
                yield item
            else:
                yield from _chosen(item, fields)
