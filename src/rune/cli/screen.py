"""All that is printed: colour only on a terminal, quiet when piped, errors in one shape."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from rune.errors import RuneError

_COLOURS: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINES: Final = 3


class Misuse(click.UsageError):
    """Wrong usage, with what to do instead of reading the help."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def terminal(*, err: bool = False) -> bool:
    """Whether a person is looking at stdout, or at stderr."""
    return (sys.stderr if err else sys.stdout).isatty()


def interactive() -> bool:
    """Whether a person can be asked something."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def paint(text: str, colour: str, *, err: bool = False) -> str:
    """The text in a colour, where stdout or stderr shows colours."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not terminal(err=err):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def clean(text: str) -> str:
    """Text of somebody else's without control characters: it must not steer the terminal."""
    return _CONTROL.sub("", text) if terminal() else text


def program() -> str:
    """How this command can be typed again."""
    path = Path(sys.argv[0])
    if path.name == "__main__.py":
        return f"{Path(sys.executable).name} -m rune"
    found = shutil.which(path.name)
    if found and Path(found).resolve() == path.resolve():
        return path.name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def out(text: str = "") -> None:
    print(text, file=sys.stdout, flush=True)


def err(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def value(data: Any) -> None:
    """JSON: indented for people, one line for programs."""
    encoded = msgspec.json.encode(data)
    out((msgspec.json.format(encoded, indent=2) if terminal() else encoded).decode())


def rows(table: Sequence[Sequence[str]], colour: str = "cyan") -> None:
    """Aligned columns on a terminal, cut to its width; tabs between whole cells when piped."""
    if not terminal():
        for row in table:
            out("\t".join(cell.replace("\t", " ") for cell in row).rstrip("\t"))
        return
    width = shutil.get_terminal_size().columns
    widths = [max(len(clean(row[index])) for row in table) for index in range(len(table[0]))] if table else []
    for row in table:
        left = "  ".join(clean(cell).ljust(size) for cell, size in zip(row[:-1], widths, strict=False))
        room = max(width - len(left) - 2, 20)
        last = clean(row[-1])
        last = last if len(last) <= room else last[: room - 1] + "…"
        out(f"{paint(left, colour)}  {last}" if left else last)


def block(content: dict[str, Any]) -> str:
    """A content block as text; what is no text is named."""
    kind = content.get("type")
    if kind == "text":
        return clean(str(content.get("text", "")))
    if kind == "resource_link":
        return f"[{clean(str(content.get('name')))}: {clean(str(content.get('uri')))}]"
    inner = content.get("resource")
    if kind == "resource" and isinstance(inner, dict):
        return clean(inner["text"]) if isinstance(inner.get("text"), str) else f"[{clean(str(inner.get('uri')))}]"
    return f"[{kind} {content.get('mimeType', '')}, {3 * len(str(content.get('data', ''))) // 4} bytes]"


def data(content: bytes, kind: str) -> None:
    """Bytes, as they are where they do no harm."""
    if terminal():
        out(f"[{clean(kind)}, {len(content)} bytes]")
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def status(text: str) -> None:
    """A line on the terminal that the next one replaces; an empty one removes it."""
    width = shutil.get_terminal_size().columns
    sys.stderr.write(f"\r\x1b[K{_CONTROL.sub('', text)[: width - 1]}")
    sys.stderr.flush()


def diff(text: str, *, asked: bool = False) -> None:
    """What changes in a file: on stderr, unless it is what was asked for."""
    for line in text.splitlines():
        colour = {"+": "green", "-": "red", "@": "dim"}.get(line[:1])
        plain = _CONTROL.sub("", line)
        (out if asked else err)(paint(plain, colour, err=not asked) if colour else plain)


def compact(data: Any) -> str:
    """JSON on one line."""
    return msgspec.json.encode(data).decode()


def first_line(text: Any) -> str:
    """The first line of a description, empty when there is none."""
    return text.strip().partition("\n")[0] if isinstance(text, str) else ""


def closest(word: str, words: Iterable[str]) -> str | None:
    """The word that was probably meant."""
    return next(iter(get_close_matches(word, list(words), 1)), None)


def sentence(text: str) -> str:
    """A sentence of a library in our style: lower case, without the full stop."""
    return (text[:1].lower() + text[1:]).rstrip(".")


def misuse(problem: click.UsageError) -> None:
    """Wrong usage of the command line."""
    path = problem.ctx.command_path if problem.ctx else "rune"
    hint = problem.hint if isinstance(problem, Misuse) and problem.hint else f"{path} --help"
    error(f"{path}: {sentence(problem.format_message())}", hint)


def error(message: str, hint: str | None = None) -> None:
    """What went wrong, in at most four lines, the last of them what to do."""
    lines = [line for line in message.splitlines() if line.strip()]
    if len(lines) > _LINES:
        lines = [lines[0], *lines[1 - _LINES :]]
    text = "\n  ".join(_CONTROL.sub("", line) for line in lines)
    err(paint(text, "red", err=True))
    if hint:
        err(f"  fix: {hint}")


def failure(problem: RuneError, *, as_json: bool) -> None:
    """An error of Rune, for people and, where asked for, for programs."""
    if as_json:
        detail = {"code": problem.code, "message": problem.message, "hint": problem.hint, "data": problem.data}
        value({"error": {key: item for key, item in detail.items() if item is not None}})
    error(problem.message, problem.hint)
