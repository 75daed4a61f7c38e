"""The one door to the native wheel `rune_native`: which kernels run in Rust, and which in Python.

RUNE_NATIVE decides: `auto` takes Rust where it is installed, `require` refuses to run without, `off` runs Python. A
wheel that is there and cannot be used is an error in the log, never a silent fallback.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final, Literal, Protocol, TypeAlias

from rune.errors import ConfigError
from rune.kernels import pii, rate, repair, secrets, sql
from rune.kernels import words as words_twin
from rune.kernels.regex import Pattern

_module: Any = None
_problem = "rune_native is not installed"
try:
    import rune_native

    _module = rune_native
except ModuleNotFoundError as error:
    if error.name != "rune_native":
        _problem = f"rune_native is broken: {error}"
except ImportError as error:
    _problem = f"rune_native is broken: {error}"

log = logging.getLogger("rune.native")

Implementation: TypeAlias = Literal["rust", "python"]
Wanted: TypeAlias = Literal["auto", "rust", "python"]

ABI: Final = 7
"""What this version of Rune calls in the wheel; it says so itself as `rune_native.ABI`."""
MODES: Final = ("auto", "require", "off")


class Scanner(Protocol):
    """A scanner for kinds of things in text."""

    def scan(self, text: str) -> list[tuple[int, int, str]]: ...

    def mask(self, text: str) -> str: ...


class Pii(Scanner, Protocol):
    """A scanner for personal data."""

    def clean(self, json: bytes) -> bool: ...


class Words(Protocol):
    """Words that are looked for in JSON."""

    def absent(self, json: bytes) -> bool: ...


class Sql(Protocol):
    """A judge for SQL."""

    def check(self, text: str) -> int: ...


class Rate(Protocol):
    """Limits how often something may happen, for any number of keys."""

    @property
    def allow(self) -> Callable[[str], bool]: ...

    def reserve(self, key: str, patience: float) -> float | None: ...

    def reserve_at(self, key: str, now: float, patience: float) -> float | None: ...

    def __len__(self) -> int: ...


def make_rate(wanted: Wanted, per_second: float, burst: float) -> tuple[Rate, Implementation]:
    """A limit, and what it is made of.

    Raises:
        ConfigError: for Rust where there is none, and for a limit that nothing could meet.
    """
    if not (per_second > 0 and burst >= 1):
        raise ConfigError(f"rate: {per_second:g} per second, {burst:g} at once", hint="more than 0, and at least 1")
    return _made(wanted, rate.Rate, float(per_second), float(burst))


def make_pii(wanted: Wanted, kinds: Iterable[str], by: str) -> tuple[Pii, Implementation]:
    """A scanner for some kinds, and what it is made of.

    Raises:
        ConfigError: for Rust where there is none, and for an unknown kind.
    """
    try:
        return _made(wanted, pii.Pii, list(kinds), by)
    except ValueError as error:
        raise ConfigError(f"pii: {error}", hint=f"known kinds: {', '.join(pii.KINDS)}") from None


def make_sql(wanted: Wanted, dialect: str) -> tuple[Sql, Implementation]:
    """A judge for the SQL of one kind of database, and what it is made of.

    Raises:
        ConfigError: for Rust where there is none, and for an unknown dialect.
    """
    try:
        return _made(wanted, sql.Sql, dialect)
    except ValueError as error:
        raise ConfigError(f"sql: {error}", hint=f"known dialects: {', '.join(sql.DIALECTS)}") from None


def make_words(wanted: Wanted, words: Iterable[str]) -> tuple[Words, Implementation]:
    """What tells that none of some words stands in JSON, in any case, and what it is made of.

    Raises:
        ConfigError: for Rust where there is none.
    """
    return _made(wanted, words_twin.Words, [word.lower().encode("utf-8", "surrogatepass") for word in words])


def make_secrets(wanted: Wanted, kinds: Iterable[str], by: str) -> tuple[Scanner, Implementation]:
    """A scanner for some kinds of secrets, and what it is made of.

    Raises:
        ConfigError: for Rust where there is none, and for an unknown kind.
    """
    try:
        return _made(wanted, secrets.Secrets, list(kinds), by)
    except ValueError as error:
        raise ConfigError(f"secrets: {error}", hint=f"known kinds: {', '.join(secrets.KINDS)}") from None


def make_repair(wanted: Wanted) -> tuple[Callable[[str], str | None], Implementation]:
    """What makes broken JSON whole, and what it is made of.

    Raises:
        ConfigError: for Rust where there is none.
    """
    module = choose(wanted)
    return (repair.repair, "python") if module is None else (module.repair, "rust")


def make_regex(wanted: Wanted, pattern: Pattern) -> tuple[Callable[[str], str | None] | None, Implementation, str]:
    """What replaces in Rust all that a pattern finds (None where only Python can tell), what the pattern is made of,
    and what Rust does not do of it. None where it does nothing.

    Raises:
        ConfigError: for Rust where there is none.
    """
    module = choose(wanted)
    if module is None:
        return None, "python", ""
    found = pattern.program
    if found is None:
        return None, "python", pattern.reason
    try:
        made = module.Regex(found.ascii, found.wide, found.closed, pattern.template)
    except ValueError as error:
        return None, "python", str(error).splitlines()[-1]
    parts = ("" if found.wide else "texts beyond ASCII", "texts that end with a line end" if found.closed else "")
    return made.sub, "rust", " and ".join(filter(None, parts))


def _made(wanted: Wanted, twin: Callable[..., Any], *arguments: Any) -> tuple[Any, Implementation]:
    """What a twin makes, or what the one of the same name in the wheel makes where Rust is to run."""
    module = choose(wanted)
    if module is None:
        return twin(*arguments), "python"
    return getattr(module, twin.__name__)(*arguments), "rust"


def choose(wanted: Wanted = "auto") -> Any:
    """The native module, or None where Python is to run.

    Raises:
        ConfigError: when Rust is wanted or required and cannot be had.
    """
    mode = os.environ.get("RUNE_NATIVE", "auto")
    if mode not in MODES:
        raise ConfigError(f"RUNE_NATIVE: {mode!r} is unknown", hint=f"it is one of {', '.join(MODES)}")
    if wanted == "python" or (mode == "off" and wanted == "auto"):
        return None
    module, problem = installed()
    if module is None and (wanted == "rust" or mode == "require"):
        raise ConfigError(f"native kernels: {problem}", hint="`make setup` builds them where cargo is installed")
    return module


@cache
def installed() -> tuple[Any, str]:
    """The wheel, or why it cannot be used: in the log too, unless it is simply not there."""
    problem = _problem
    if _module is not None:
        found = getattr(_module, "ABI", None)
        if found == ABI:
            return _module, ""
        problem = f"rune_native speaks version {found}, this is version {ABI}: install the two together"
    if not problem.endswith("not installed"):
        log.error("native kernels: %s; Python runs instead", problem)
    return None, problem
