"""What a docstring says about a function and its parameters: Google, NumPy and reST style."""

from __future__ import annotations

import inspect
import re
from typing import Final, NamedTuple

_GOOGLE: Final = re.compile(r"(Args|Arguments|Parameters|Params):\s*")
_GOOGLE_END: Final = re.compile(r"(Returns?|Yields?|Raises|Examples?|Notes?|Attributes|Warnings?|See Also|Todo):\s*")
_NUMPY_RULE: Final = re.compile(r"-{3,}\s*")
_ENTRY: Final = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY_ENTRY: Final = re.compile(r"\*{0,2}(\w+)\s*(?::.*)?")
_REST: Final = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_REST_OTHER: Final = re.compile(r":(?:type|returns?|rtype|raises?)\b[^:]*:.*")


class Docs(NamedTuple):
    """The description without the sections about parameters, and those by name."""

    text: str
    parameters: dict[str, str]


def read_docs(docstring: str | None) -> Docs:
    """Split a docstring. What is in no known style stays in the text."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    kept: list[str] = []
    parameters: dict[str, str] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        following = lines[at + 1] if at + 1 < len(lines) else ""
        if _GOOGLE.fullmatch(line):
            at = _entries(lines, at + 1, parameters)
        elif line.strip() in ("Parameters", "Other Parameters") and _NUMPY_RULE.fullmatch(following):
            at = _numpy(lines, at + 2, parameters)
        elif match := _REST.fullmatch(line):
            at, text = _continued(lines, at + 1, match[2], 0)
            parameters[match[1]] = text
        elif _REST_OTHER.fullmatch(line):
            at, _ = _continued(lines, at + 1, "", 0)
        else:
            kept.append(line)
            at += 1
    return Docs(re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip(), parameters)


def _entries(lines: list[str], at: int, found: dict[str, str]) -> int:
    """Google style: an indented block of `name (type): text`."""
    indent: int | None = None
    while at < len(lines):
        line = lines[at]
        depth = len(line) - len(line.lstrip())
        if not line.strip():
            at += 1
            continue
        if depth == 0:
            break
        indent = depth if indent is None else indent
        match = _ENTRY.fullmatch(line.strip())
        if match is None or depth != indent:
            at += 1
            continue
        at, found[match[1]] = _continued(lines, at + 1, match[2], indent)
    return at


def _numpy(lines: list[str], at: int, found: dict[str, str]) -> int:
    """NumPy style: `name : type` at the margin, the text below it, indented."""
    while at < len(lines):
        line = lines[at]
        following = lines[at + 1] if at + 1 < len(lines) else ""
        if _NUMPY_RULE.fullmatch(following) or _GOOGLE_END.fullmatch(line):
            break
        match = _NUMPY_ENTRY.fullmatch(line)
        if match is None:
            if line.strip() and not line.startswith(" "):
                break
            at += 1
            continue
        at, found[match[1]] = _continued(lines, at + 1, "", 0)
    return at


def _continued(lines: list[str], at: int, text: str, indent: int) -> tuple[int, str]:
    """Take the lines that are indented deeper than `indent`; where the next line begins, and the whole text."""
    parts = [text] if text else []
    while at < len(lines) and lines[at].strip() and len(lines[at]) - len(lines[at].lstrip()) > indent:
        parts.append(lines[at].strip())
        at += 1
    return at, " ".join(parts)
