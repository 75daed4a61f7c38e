"""TOML documents edited as text: a table more, or one less, and all that people wrote around it stays as it is.

Used for `rune.toml` and for configs of others; `edits.py` checks and writes what comes out of here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from rune.config.lines import Path, toml_statements

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
# Comments directly below a table are about it, unless they lead over to the next one.
_COMMENTS: Final = re.compile(r"(?:\r?\n[ \t]*#[^\n]*)*(?=\s*\Z|\r?\n[ \t]*\r?\n)")
WIDTH: Final = 100


def insert(text: str, path: tuple[str, ...], table: Mapping[str, Any]) -> str:
    """The text with a table more, behind the last one of its kind, else at the end."""
    newline = "\r\n" if "\r\n" in text else "\n"
    body = newline.join([f"[{'.'.join(map(_key, path))}]", *_lines(table)])
    statements = list(toml_statements(text))
    if not statements and not text.strip():
        return body + newline + text
    kin = [each for each in statements if (*each.table, *each.key)[: len(path) - 1] == path[:-1] and path[:-1]]
    end = max((each.end for each in kin), default=len(text.rstrip()))
    at = len(text[:end].rstrip("\r"))
    match = _COMMENTS.match(text, at)
    at = len(text[: match.end() if match else at].rstrip("\r"))
    return f"{text[:at]}{newline}{newline}{body}{text[at:]}"


def remove(text: str, path: Path) -> str:
    """The text without a table, its subtables and its keys, wherever they stand; comments between them go with it.

    Raises:
        ValueError: there is no such table, or it is part of an inline table.
    """
    spans: list[tuple[int, int]] = []
    inside = False
    for each in toml_statements(text):
        mine = (*each.table, *each.key)[: len(path)] == path
        if mine and inside:
            spans[-1] = (spans[-1][0], each.end)
        elif mine:
            spans.append((each.start, each.end))
        inside = mine
    if not spans:
        raise ValueError(f"there is no [{'.'.join(map(str, path))}]")
    for start, end in reversed(spans):
        text = _cut(text, start, end)
    return text


def _cut(text: str, start: int, end: int) -> str:
    """Whole lines go, and one of the empty lines around them."""
    start = text.rfind("\n", 0, start) + 1
    match = _COMMENTS.match(text, len(text[:end].rstrip("\r")))
    end = len(text[: match.end() if match else end].rstrip("\r"))
    if start == 0:
        rest = re.sub(r"\A\r?\n", "", text[end:])
        return re.sub(r"\A\r?\n(?=[^\r\n])", "", rest) if rest.strip() else rest
    before = text[:start]
    if match_before := re.search(r"\r?\n\r?\n\Z", before):
        return before[: match_before.start()] + text[end:]
    return re.sub(r"\r?\n\Z", "", before) + text[end:]


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {value(item)}" for key, item in table.items()]


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def value(item: Any) -> str:
    """A value as TOML; lists and tables on one line, a long list on several."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, str):
        return _string(item)
    if isinstance(item, int | float):
        return repr(item)
    if isinstance(item, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {value(each)}" for key, each in item.items()) + " }" if item else "{}"
    parts = [value(each) for each in item]
    short = f"[{', '.join(parts)}]"
    return short if len(short) <= WIDTH else "[\n" + "".join(f"    {part},\n" for part in parts) + "]"


def _string(text: str) -> str:
    # The escapes of JSON are escapes of TOML; TOML wants DEL escaped as well.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
