"""URI templates (RFC 6570) read backwards: which values make this URI? Sources match with them, clients expand them.

Matching takes time linear in the URI for a given template: no regular expression, no backtracking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

from rune.errors import ConfigError

Value: TypeAlias = str | Sequence[str]

MAX_URI: Final = 8192
MAX_TEMPLATE: Final = 2048
MAX_VARIABLES: Final = 32

# The hyphen is no RFC 6570, but servers use it.
_VARIABLE: Final = re.compile(
    r"((?:[\w-]|%[0-9A-Fa-f]{2})(?:\.?(?:[\w-]|%[0-9A-Fa-f]{2}))*)(?:(\*)|:([1-9]\d{0,3}))?", re.ASCII
)
_TRIPLET: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_RESERVED: Final = ":/?#[]@!$&'()*+,;="


class _Operator(NamedTuple):
    """RFC 6570, appendix A. `stops` ends a raw value when a URI is read: that part of RFC 6570 is ours."""

    first: str
    separator: str
    named: bool
    if_empty: str
    allow: str
    stops: str


_OPERATORS: Final = {
    "": _Operator("", ",", False, "", "", "/?#"),
    "+": _Operator("", ",", False, "", _RESERVED, ""),
    "#": _Operator("#", ",", False, "", _RESERVED, ""),
    ".": _Operator(".", ".", False, "", "", "/?#"),
    "/": _Operator("/", "/", False, "", "", "?#"),
    ";": _Operator(";", ";", True, "", "", "/?#"),
    "?": _Operator("?", "&", True, "=", "", "#"),
    "&": _Operator("&", "&", True, "=", "", "#"),
}


class _Variable(NamedTuple):
    name: str
    explode: bool
    prefix: int


class _Span(NamedTuple):
    """What variables take from a URI: `lead`, then characters that are not in `stops`. Without a lead never nothing.

    It holds one variable, or, if the operator names them, all of one `{?…}`, `{&…}` or `{;…}` in any order.
    """

    variables: tuple[_Variable, ...]
    operator: _Operator
    lead: str
    stops: frozenset[str]
    optional: bool
    lazy: bool


_Expression: TypeAlias = tuple[_Operator, tuple[_Variable, ...]]


class Template:
    """A URI template. `literal` says that it has no variables and so is a plain URI."""

    __slots__ = ("_expressions", "_parts", "_prefix", "literal", "text", "variables")

    def __init__(self, text: str) -> None:
        """Read a template.

        Raises:
            ConfigError: it is no RFC 6570 template, or a monstrous one.
        """
        self.text = text
        self._expressions = _read(text)
        names = [variable.name for item in self._expressions if not isinstance(item, str) for variable in item[1]]
        if len(names) > MAX_VARIABLES:
            raise _refuse(text, f"more than {MAX_VARIABLES} variables")
        self.variables: tuple[str, ...] = tuple(dict.fromkeys(names))
        self.literal = not names
        parts = _parts(self._expressions)
        first = parts[0] if parts else ""
        self._prefix = first if isinstance(first, str) else ""
        self._parts = parts[1:] if self._prefix else parts

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    def match(self, uri: str) -> dict[str, str] | None:
        """The values that make this URI, percent-decoded; None when it is no instance of this template.

        A `{name}` ends at `/`, `?` and `#`; a `{+name}` may hold them. Query parameters come in any order and may be
        left out; an unknown one does not match. The members of an exploded list stay joined.
        """
        if self.literal:
            return {} if uri == self.text else None
        if not uri.startswith(self._prefix) or len(uri) > MAX_URI:
            return None
        rest = uri[len(self._prefix) :]
        feasible = self._feasible(rest)
        if not feasible[0][0]:
            return None
        values: dict[str, str] = {}
        position = 0
        for part, after in zip(self._parts, feasible[1:], strict=True):
            if isinstance(part, str):
                position += len(part)
                continue
            end = _end(rest, position, part, after)
            if end > position and not _take(values, part, rest[position + len(part.lead) : end]):
                return None
            position = end
        return values

    def expand(self, values: Mapping[str, Value]) -> str:
        """The URI for these values (RFC 6570, without associative arrays). Missing ones are left out."""
        return "".join(item if isinstance(item, str) else _expand(*item, values) for item in self._expressions)

    def _feasible(self, uri: str) -> list[bytearray]:
        """For each part the positions from which it and all after it can match the rest; computed from the end."""
        after = bytearray(len(uri) + 1)
        after[-1] = 1
        table = [after]
        for part in reversed(self._parts):
            after = _starts_of_text(uri, part, after) if isinstance(part, str) else _starts_of_span(uri, part, after)
            table.append(after)
        table.reverse()
        return table


# --- match -----------------------------------------------------------------------------------------------------------


def _starts_of_text(uri: str, text: str, after: bytearray) -> bytearray:
    here = bytearray(len(after))
    found = uri.find(text)
    while found >= 0:
        here[found] = after[found + len(text)]
        found = uri.find(text, found + 1)
    return here


def _starts_of_span(uri: str, span: _Span, after: bytearray) -> bytearray:
    """A span can start where only its own characters lie between its lead and a feasible end."""
    here = bytearray(after) if span.optional else bytearray(len(after))
    reach = after[-1]
    for position in range(len(uri) - 1, -1, -1):
        # `reach`: from the next position its own characters lead to a feasible end, or are there already.
        character = uri[position]
        if reach and character == span.lead:
            here[position] = 1
        reach = reach and character not in span.stops
        if reach and not span.lead:
            here[position] = 1
        reach = reach or after[position]
    return here


def _end(uri: str, position: int, span: _Span, after: bytearray) -> int:
    """Where a span ends: as late as possible, or as early where an expression follows directly (`{name}{.type}`)."""
    if span.lead and uri[position : position + 1] != span.lead:
        return position
    found = position
    start = position + (len(span.lead) or 1)
    for end in range(start, len(uri) + 1):
        if (end > start or not span.lead) and uri[end - 1] in span.stops:
            break
        if after[end]:
            found = end
            if span.lazy:
                break
    return found


def _take(values: dict[str, str], span: _Span, text: str) -> bool:
    """Put the text of a span into `values`; False when it contradicts them or is no text of these variables."""
    if not span.operator.named:
        return _assign(values, span.variables[0], text)
    known = {variable.name: variable for variable in span.variables}
    found: dict[str, list[str]] = {}
    for pair in text.split(span.operator.separator):
        name, _, value = pair.partition("=")
        if name not in known:
            return False
        found.setdefault(name, []).append(value)
    for name, members in found.items():
        variable = known[name]
        if (len(members) > 1 and not variable.explode) or not _assign(values, variable, ",".join(members)):
            return False
    return True


def _assign(values: dict[str, str], variable: _Variable, text: str) -> bool:
    try:
        value = unquote(text, errors="strict")
    except UnicodeDecodeError:
        return False
    if variable.prefix and len(value) > variable.prefix:
        return False
    return values.setdefault(variable.name, value) == value


# --- expand ----------------------------------------------------------------------------------------------------------


def _expand(operator: _Operator, variables: tuple[_Variable, ...], values: Mapping[str, Value]) -> str:
    texts: list[str] = []
    for variable in variables:
        value = values.get(variable.name)
        if isinstance(value, str):
            text = _quote(value[: variable.prefix] if variable.prefix else value, operator.allow)
            texts.append(_named(operator, variable, text))
        elif value:
            members = [_quote(member, operator.allow) for member in value]
            if variable.explode:
                texts.extend(_named(operator, variable, member) for member in members)
            else:
                texts.append(_named(operator, variable, ",".join(members)))
    return operator.first + operator.separator.join(texts) if texts else ""


def _named(operator: _Operator, variable: _Variable, text: str) -> str:
    if not operator.named:
        return text
    return f"{variable.name}={text}" if text else variable.name + operator.if_empty


def _quote(value: str, allow: str) -> str:
    if not allow:
        return quote(value, safe="~")
    # What is percent-encoded already stays so where reserved characters may stand (RFC 6570, 3.2.3).
    parts = _TRIPLET.split(value)
    triplets = [*_TRIPLET.findall(value), ""]
    return "".join(quote(part, safe=allow) + triplet for part, triplet in zip(parts, triplets, strict=True))


# --- read ------------------------------------------------------------------------------------------------------------


def _read(text: str) -> list[str | _Expression]:
    """Literal texts and expressions, in turn."""
    if len(text) > MAX_TEMPLATE:
        raise _refuse(text[:40] + "…", f"longer than {MAX_TEMPLATE} characters")
    items: list[str | _Expression] = []
    position = 0
    while position < len(text):
        start = text.find("{", position)
        literal = text[position : start if start >= 0 else len(text)]
        if "}" in literal:
            raise _refuse(text, "a } without a {")
        if literal:
            items.append(literal)
        if start < 0:
            break
        end = text.find("}", start)
        if end < 0:
            raise _refuse(text, "a { without a }")
        items.append(_expression(text, text[start + 1 : end]))
        position = end + 1
    return items


def _expression(text: str, body: str) -> _Expression:
    sign = body[:1] if body[:1] in _OPERATORS else ""
    variables: list[_Variable] = []
    for item in body[len(sign) :].split(","):
        found = _VARIABLE.fullmatch(item)
        if found is None:
            raise _refuse(text, f"{{{body}}} is no expression")
        name, explode, prefix = found.groups()
        variables.append(_Variable(name, explode is not None, int(prefix or 0)))
    return _OPERATORS[sign], tuple(variables)


def _parts(items: list[str | _Expression]) -> list[str | _Span]:
    """What is matched one after the other: `{a,b}` is `{a}`, then perhaps `,` and b."""
    parts: list[str | _Span] = []
    for index, item in enumerate(items):
        if isinstance(item, str):
            parts.append(item)
            continue
        operator, variables = item
        adjoining = index + 1 < len(items) and not isinstance(items[index + 1], str)
        if operator.named:
            stops = frozenset(operator.stops)
            parts.append(_Span(variables, operator, operator.first, stops, True, adjoining))
            continue
        for place, variable in enumerate(variables):
            inner = place + 1 < len(variables)
            lead = operator.separator if place else operator.first
            # One value alone may hold the separator unencoded, unless it is the slash of a path.
            parting = operator.separator == "/" or (len(variables) > 1 and operator.separator != ".")
            more = operator.separator if parting and not variable.explode else ""
            stops = frozenset(operator.stops + more)
            parts.append(_Span((variable,), operator, lead, stops, bool(lead), inner or adjoining))
    return parts


def _refuse(text: str, reason: str) -> ConfigError:
    return ConfigError(
        f"uri template {text}: {reason}", hint="see RFC 6570, for example file:///{+path} or user://{id}"
    )
