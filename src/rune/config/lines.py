"""Where a key stands in a TOML or JSON file, so that errors can name the line: the standard parsers do not say."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
Lines: TypeAlias = dict[Path, int]

_STRING: Final = r'"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'"
_PART: Final = rf"(?:[A-Za-z0-9_-]+|{_STRING})"
_KEY: Final = re.compile(rf"(?P<open>\[\[?)?[ \t]*(?P<key>{_PART}(?:[ \t]*\.[ \t]*{_PART})*)[ \t]*\]{{0,2}}")
_SKIPPED: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_VALUE: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")|' + r"'''.*?'{3,5}(?!')|" + rf"{_STRING}|#[^\n]*|[^\"'#\n\[\]{{}}]+|.", re.DOTALL
)
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^"\s,:\[\]{}]+|[,:\[\]{}]', re.DOTALL)


def find(lines: Lines, path: Path) -> int:
    """The line of a key, or of the nearest thing around it."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class Statement(NamedTuple):
    """A header or a key of a TOML document: the table that it opens or stands in, its key there, and where it is."""

    table: Path
    key: Path
    start: int
    end: int


def toml_statements(text: str) -> Iterator[Statement]:
    """The headers (with an empty key) and keys of a TOML document that `tomllib` has accepted."""
    table: Path = ()
    arrays: dict[Path, int] = {}
    at = _past(_SKIPPED, text, 0)
    while match := _KEY.match(text, at):
        key: Path = tuple(_parts(match["key"]))
        if match["open"] is not None:
            table, key = _resolve(key, arrays), ()
            if match["open"] == "[[":
                arrays[table] = arrays.get(table, -1) + 1
                table = (*table, arrays[table])
        end = _statement_end(text, match.end())
        yield Statement(table, key, at, end)
        at = _past(_SKIPPED, text, end)


def toml_lines(text: str) -> Lines:
    """The line of every table and key of a TOML document that `tomllib` has accepted.

    Keys inside inline tables are not listed: they are found with the key that holds them.
    """
    lines: Lines = {}
    for table, key, start, _ in toml_statements(text):
        line = text.count("\n", 0, start) + 1
        for end in range(1, len(key) + 1):
            lines.setdefault((*table, *key[:end]), line)
        if not key:
            # The first element of an array of tables stands for the array, too.
            if isinstance(table[-1], int):
                lines.setdefault(table[:-1], line)
            lines.setdefault(table, line)
    return lines


def _parts(key: str) -> Iterator[str]:
    """The parts of a dotted key, unquoted by the parser that knows how."""
    value = tomllib.loads(f"{key}=0")
    while isinstance(value, dict):
        part, value = next(iter(value.items()))
        yield part


def _resolve(key: Path, arrays: dict[Path, int]) -> Path:
    """A table's path, with the index of the last element where an array of tables is passed on the way."""
    found: Path = ()
    for index, part in enumerate(key):
        found = (*found, part)
        if index < len(key) - 1 and found in arrays:
            found = (*found, arrays[found])
    return found


def _statement_end(text: str, at: int) -> int:
    """The newline that ends the statement: outside of strings, comments and brackets."""
    depth = 0
    while at < len(text):
        if depth <= 0 and text[at] == "\n":
            return at
        end = _past(_VALUE, text, at)
        if end == at + 1:
            depth += (text[at] in "[{") - (text[at] in "]}")
        at = end
    return at


def _past(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at + 1


def json_lines(text: str) -> Lines:
    """The line of every key and element of a JSON document that `json` has accepted."""
    lines: Lines = {}
    path: list[str | int] = []
    objects: list[bool] = []
    line, last, key_next = 1, 0, False
    for match in _TOKEN.finditer(text):
        line += text.count("\n", last, match.start())
        last = match.start()
        token = match.group()
        if token == ":":
            continue
        if token in ("]", "}"):
            path.pop()
            objects.pop()
            key_next = False
        elif token == ",":
            key_next = objects[-1]
            if not objects[-1]:
                path[-1] = int(path[-1]) + 1
        elif key_next:
            path[-1] = json.loads(token)
            lines[tuple(path)] = line
            key_next = False
        else:
            lines.setdefault(tuple(path), line)
            if token in ("[", "{"):
                objects.append(token == "{")
                key_next = token == "{"
                path.append(0)
    return lines
