"""JSON documents as people write them, comments and trailing commas included: read, and edited as text.

An edit changes the bytes of one member and nothing else; `edits.py` checks and writes it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from rune.config.lines import Path

MAX_DEPTH: Final = 100
_TOKEN: Final = re.compile(
    r'(?P<skip>(?:[ \t\r\n]+|//[^\r\n]*|/\*.*?\*/)+)'
    r'|(?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")'
    r"|(?P<word>-?[0-9][0-9.eE+-]*|true|false|null)"
    r"|(?P<mark>[\[\]{},:])",
    re.DOTALL,
)  # fmt: skip


_COMMENT: Final = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_BEHIND: Final = re.compile(r"[ \t]*(?://[^\r\n]*|/\*(?:(?!\*/)[^\r\n])*\*/[ \t]*(?=\r?\n))")
_LINE_END: Final = re.compile(r"[ \t]*(?:\r?\n|\Z)")


class Malformed(ValueError):
    """A text that is no JSON; `line` is where."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class Node:
    """A value and where it stands. An object has members; its end is behind the brace."""

    value: Any
    start: int
    end: int
    members: list[Member] = field(default_factory=list)

    def member(self, key: str | int) -> Member | None:
        """The member that counts: the last one of this key."""
        return next((each for each in reversed(self.members) if each.key == key), None)


@dataclass(slots=True)
class Member:
    """One member of an object; `comma` is where the comma behind it stands."""

    key: str
    start: int
    node: Node
    comma: int | None = None


def parse(text: str) -> Node:
    """The document.

    Raises:
        Malformed: naming the line.
    """
    return Parser(text).document()


class Parser:
    """Reads one text from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def document(self) -> Node:
        node = self._value(0)
        self._skip()
        if self.at < len(self.text):
            raise self._malformed("something follows the end of the document")
        return node

    def _malformed(self, message: str) -> Malformed:
        return Malformed(message, self.text.count("\n", 0, self.at) + 1)

    def _skip(self) -> None:
        match = _TOKEN.match(self.text, self.at)
        if match is not None and match.lastgroup == "skip":
            self.at = match.end()

    def _peek(self) -> str:
        self._skip()
        return self.text[self.at : self.at + 1]

    def _token(self, expected: str) -> re.Match[str]:
        self._skip()
        match = _TOKEN.match(self.text, self.at)
        if match is None or match.lastgroup == "skip":
            raise self._malformed(f"expecting {expected}")
        return match

    def _value(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._malformed("nested too deeply")
        match = self._token("a value")
        start, text = match.start(), match.group()
        if text == "{":
            return self._object(start, depth)
        if text == "[":
            return self._array(start, depth)
        if match.lastgroup == "mark":
            raise self._malformed("expecting a value")
        try:
            value = json.loads(text)
        except ValueError:
            raise self._malformed(f"{text[:40]} is no value") from None
        self.at = match.end()
        return Node(value, start, self.at)

    def _object(self, start: int, depth: int) -> Node:
        self.at = start + 1
        node = Node({}, start, start)
        while self._peek() != "}":
            match = self._token("a key in quotes")
            if match.lastgroup != "string":
                raise self._malformed("expecting a key in quotes")
            try:
                key = json.loads(match.group())
            except ValueError:
                raise self._malformed(f"{match.group()[:40]} is no key") from None
            self.at = match.end()
            if self._peek() != ":":
                raise self._malformed('expecting ":"')
            self.at += 1
            member = Member(key, match.start(), self._value(depth + 1))
            node.members.append(member)
            node.value[key] = member.node.value
            if self._peek() == ",":
                member.comma = self.at
                self.at += 1
            elif self._peek() != "}":
                raise self._malformed('expecting "," or "}"')
        self.at += 1
        node.end = self.at
        return node

    def _array(self, start: int, depth: int) -> Node:
        self.at = start + 1
        node = Node([], start, start)
        while self._peek() != "]":
            node.value.append(self._value(depth + 1).value)
            if self._peek() == ",":
                self.at += 1
            elif self._peek() != "]":
                raise self._malformed('expecting "," or "]"')
        self.at += 1
        node.end = self.at
        return node


def line_of(text: str, path: Path) -> int:
    """The line of a member, or of the nearest thing around it."""
    node, at = parse(text), 0
    for key in path:
        member = node.member(key)
        if member is None:
            break
        node, at = member.node, member.start
    return text.count("\n", 0, at) + 1


def insert(text: str, path: tuple[str, ...], value: Any) -> str:
    """The text with a member more; objects on the way that are missing are made.

    Raises:
        ValueError: something on the way is no object, or the member is there.
    """
    if not text.strip():
        nested = value
        for key in reversed(path):
            nested = {key: nested}
        return json.dumps(nested, indent=2, ensure_ascii=False) + "\n" + text
    root = node = parse(text)
    depth = 0
    while (member := node.member(path[depth])) is not None:
        node, depth = member.node, depth + 1
        if depth == len(path) or not isinstance(node.value, dict):
            raise ValueError(f"{'.'.join(path[:depth])} is in the way")
    if not isinstance(node.value, dict):
        raise ValueError("the document is no object")
    for key in reversed(path[depth + 1 :]):
        value = {key: value}
    return _insert(text, node, path[depth], value, _unit(text, root))


def _insert(text: str, node: Node, key: str, value: Any, unit: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    inside = text[node.start : node.end]
    if node.members and "\n" not in inside:
        last = node.members[-1]
        piece = f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
        if last.comma is not None:
            return f"{text[: last.comma + 1]} {piece},{text[last.comma + 1 :]}"
        return f"{text[: last.node.end]}, {piece}{text[last.node.end :]}"
    indent = _indent(text, node.members[0].start) if node.members else _indent(text, node.start) + unit
    rendered = json.dumps(value, indent=unit, ensure_ascii=False).replace("\n", newline + indent)
    piece = f"{newline}{indent}{json.dumps(key, ensure_ascii=False)}: {rendered}"
    if not node.members:
        # What stands between the braces of an empty object can only be blanks and comments: they stay on top.
        comment = inside[1:-1].rstrip()
        at = node.start + 1 + len(comment)
        tail = text[at:]
        closing = "" if tail[: node.end - 1 - at].count("\n") else newline + _indent(text, node.start)
        return f"{text[:at]}{piece}{closing}{tail.lstrip(' ') if closing else tail}"
    last = node.members[-1]
    if last.comma is not None:
        at = _line_end(text, last.comma + 1)
        return f"{text[:at]}{piece},{text[at:]}"
    end = last.node.end
    at = _line_end(text, end)
    return f"{text[:end]},{text[end:at]}{piece}{text[at:]}"


def remove(text: str, path: tuple[str, ...]) -> str:
    """The text without a member; its line goes with it, comments around it stay.

    Raises:
        ValueError: there is no such member.
    """
    node = parse(text)
    for key in path[:-1]:
        found = node.member(key)
        if found is None:
            raise ValueError(f"there is no {'.'.join(path)}")
        node = found.node
    index = next((index for index, each in reversed(list(enumerate(node.members))) if each.key == path[-1]), None)
    if index is None:
        raise ValueError(f"there is no {'.'.join(path)}")
    member = node.members[index]
    if len(node.members) == 1 and not text[node.start + 1 : member.start].strip() and not _rest(text, node).strip():
        return f"{text[: node.start]}{{}}{text[node.end :]}"
    end = member.node.end if member.comma is None else member.comma + 1
    start = _begin(text, node.start + 1 if not index else node.members[index - 1].node.end, member.start, end)
    if index and member.comma is None and (comma := node.members[index - 1].comma) is not None:
        return text[:comma] + text[comma + 1 : start] + text[end:] if start > comma else text[:comma] + text[end:]
    return text[:start] + text[end:]


def _begin(text: str, low: int, start: int, end: int) -> int:
    """Where a member begins, with the blanks before it, and with its newline if it is alone on its lines."""
    before = text[low:start].rstrip(" \t")
    if before.endswith(","):
        return low + len(before)
    if not before.endswith("\n"):
        return start
    line = before.removesuffix("\n").removesuffix("\r")
    comments = [each for each in _COMMENT.finditer(line) if each.end() == len(line) and each[0].startswith("//")]
    # The newline that ends a comment must not go where something follows that would come into it.
    return start if comments and not _LINE_END.match(text, end) else low + len(line)


def _rest(text: str, node: Node) -> str:
    """What follows the last member of an object, up to its brace, without its comma."""
    last = node.members[-1]
    return text[last.node.end if last.comma is None else last.comma + 1 : node.end - 1]


def _unit(text: str, root: Node) -> str:
    """How this document is indented."""
    if root.members:
        indent = _indent(text, root.members[0].start)
        if indent and "\n" in text[root.start : root.members[0].start]:
            return indent
    return "  "


def _indent(text: str, at: int) -> str:
    """The blanks at the begin of a line."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _line_end(text: str, at: int) -> int:
    """Behind a comment on the same line, if nothing but a comment follows there."""
    match = _BEHIND.match(text, at)
    return match.end() if match else at
