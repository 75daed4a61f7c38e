"""A pattern of the operator and what is put in place of its matches: Python's `re`, the twin of `rune-core/src/regex`.

`docs/reference/regex.md` says which patterns Rust understands, and what happens to the others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from rune.kernels.regex.cost import Cost, cost
from rune.kernels.regex.portable import NotPortableError, Program, program

Template = list[str | int]
"""Texts, and the numbers of groups."""

BUDGET: Final = 2_000_000
"""Steps that a search may take in the worst case before it wants a deadline: some 20 ms."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern. `program` is what Rust runs; where there is none `reason` says why."""

    compiled: re.Pattern[str]
    replace: str
    template: Template
    program: Program | None
    reason: str
    cost: Cost | None

    def sub(self, text: str) -> str:
        """The text with every match replaced; the very same object when there is none."""
        changed, count = self.compiled.subn(self.replace, text)
        return changed if count else text

    def quick(self, length: int) -> bool:
        """Whether no text so long can keep a search long."""
        return self.cost is not None and self.cost.steps(length) <= BUDGET


def pattern(search: str, replace: str) -> Pattern:
    """A pattern, and what is put in place.

    Raises:
        re.error: for a pattern or a replacement that cannot be.
        IndexError: for a group in the replacement that is not there.
    """
    compiled = re.compile(search)
    tree = re._parser.parse(search)  # type: ignore[attr-defined]
    template, found, reason = _template(replace, compiled), None, ""
    try:
        replace.encode()
        found = program(tree)
    except NotPortableError as error:
        reason = str(error)
    except UnicodeEncodeError:
        reason = "its replacement is no text"
    return Pattern(compiled, replace, template, found, reason, cost(tree))


def _template(replace: str, compiled: re.Pattern[str]) -> Template:
    parsed = re._parser.parse_template(replace, compiled)  # type: ignore[attr-defined]
    if isinstance(parsed, tuple):
        # CPython 3.11: the places of groups among the texts.
        groups, parsed = dict(parsed[0]), list(parsed[1])
        parsed = [groups.get(place, part) for place, part in enumerate(parsed)]
    return [part for part in parsed if part != ""]
