"""How much work a foreign JSON Schema asks for, counted before it is done: a schema of a few lines can keep a validator
busy for years, and arguments are checked on the event loop. `arguments.py` uses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urldefrag, urljoin

Node: TypeAlias = dict[str, Any]

DEPTH: Final = 64
"""Levels of JSON in a schema, and in arguments for one that refers to itself."""
SUBSCHEMAS: Final = 10_000
VISITS: Final = 20_000
"""Pairs of a subschema and a level that are looked at."""
MOST: Final = 10**12
"""Steps beyond which it does not matter how many more there are."""
DIALECTS: Final = frozenset(
    {
        "https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema", "http://json-schema.org/draft-06/schema",
        "http://json-schema.org/draft-04/schema", "http://json-schema.org/schema",
    }
)  # fmt: skip
META: Final = "json-schema.org/"
META_STEPS: Final = 2_000
"""Steps for arguments that are a schema themselves: the validator brings the schemas of schemas along."""

_MAPS: Final = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
)
_DATA: Final = frozenset({"enum", "const", "default", "examples"})
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")


class Unusable(Exception):
    """A schema that nothing is checked against. The message says why."""


class Bounds:
    """The steps that a validator may take with one schema.

    Raises:
        Unusable: the schema is too large, refers to what is not in it, or to itself without end.
    """

    def __init__(self, schema: Node) -> None:
        self.recursive = False
        self._root = schema
        self._resources: dict[str, Node] = {"": schema}
        self._anchors: dict[tuple[str, str], Node] = {}
        self._dynamic: dict[str, list[Node]] = {}
        self._known: dict[tuple[int, int], int] = {}
        self._open: set[tuple[int, int]] = set()
        self._above: Counter[int] = Counter()
        nodes = list(_walk(schema))
        for node, base in nodes:
            self._enter(node, base)
        self._leads = {id(node): self._targets(node, base) for node, base in nodes}
        self.steps(DEPTH)

    def steps(self, depth: int) -> int:
        """The most steps along one branch of a value that is so many levels deep. The whole value takes no more than
        this times the number of values in it."""
        try:
            return self._count(self._root, depth)
        except RecursionError:
            raise Unusable("its references make too long a chain") from None

    # --- what refers to what ---

    def _enter(self, node: Node, base: str) -> None:
        dialect = node.get("$schema", "")
        if dialect and (not isinstance(dialect, str) or dialect.rstrip("#") not in DIALECTS):
            raise Unusable(f"its dialect is not known: {dialect}")
        for key in ("$id", "id"):
            if isinstance(name := node.get(key), str):
                # `base` has it in already, but for the fragment with which older drafts name a place.
                self._resources.setdefault(base, node)
                self._anchors.setdefault((base, urldefrag(name).fragment), node)
        for key in ("$anchor", "$dynamicAnchor"):
            if isinstance(name := node.get(key), str):
                self._anchors.setdefault((base, name), node)
                if key == "$dynamicAnchor":
                    self._dynamic.setdefault(name, []).append(node)
        if node.get("$recursiveAnchor") is True:
            self._dynamic.setdefault("", []).append(node)

    def _targets(self, node: Node, base: str) -> list[list[Any]]:
        """For each reference of a schema, what it may lead to."""
        found = []
        for key in _REFERENCES:
            if isinstance(reference := node.get(key), str):
                more = () if key == "$ref" else self._dynamic.get(reference.partition("#")[2], ())
                found.append([self._find(base, reference), *more])
        return found

    def _find(self, base: str, reference: str) -> Any:
        if reference.startswith("#"):
            url, fragment = base, reference[1:]
        else:
            url, fragment = urldefrag(_join(base, reference))
        if META in url and url not in self._resources:
            return None
        found: Any = self._resources.get(url)
        if found is None:
            raise Unusable(f"it refers to {reference}, and nothing is fetched")
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            found = self._anchors.get((url, fragment))
        for step in fragment.split("/")[1:] if fragment.startswith("/") else ():
            found = _member(found, step.replace("~1", "/").replace("~0", "~"))
        if not isinstance(found, dict | bool):
            raise Unusable(f"it refers to {reference}, which is not in it")
        return found

    # --- counting ---

    def _count(self, node: Any, depth: int) -> int:
        if not isinstance(node, dict):
            return META_STEPS if node is None else 1
        key = id(node), depth
        known = self._known.get(key)
        if known is not None:
            return known
        if key in self._open:
            raise Unusable("it refers to itself without end")
        if len(self._known) > VISITS:
            raise Unusable("its subschemas refer to each other too often")
        self.recursive = self.recursive or self._above[id(node)] > 0
        self._open.add(key)
        self._above[id(node)] += 1
        total = 1 + sum(self._count(child, depth) for child in _here(node))
        leads = self._leads.get(id(node))
        if leads is None:
            raise Unusable("it refers to a place in it that is no schema")
        for targets in leads:
            total += max(self._count(each, depth) for each in targets)
        if depth:
            total += max(self._members(node, depth - 1), self._items(node, depth - 1))
        self._open.discard(key)
        self._above[id(node)] -= 1
        self._known[key] = total = min(total, MOST)
        return total

    def _members(self, node: Node, depth: int) -> int:
        """One member of an object: only one of `properties` is about it, but each of the others may be."""
        counted = self._most(_values(node, "properties"), depth)
        for key in ("additionalProperties", "unevaluatedProperties"):
            counted += self._count(node[key], depth) if key in node else 0
        counted += sum(self._count(child, depth) for child in _values(node, "patternProperties"))
        return counted + (self._count(node["propertyNames"], 0) if "propertyNames" in node else 0)

    def _items(self, node: Node, depth: int) -> int:
        """One item of an array."""
        items = node.get("items", True)
        counted = self._most(_list(node, "prefixItems"), depth)
        counted += self._most(items, depth) if isinstance(items, list) else self._count(items, depth)
        for key in ("additionalItems", "unevaluatedItems", "contains"):
            counted += self._count(node[key], depth) if key in node else 0
        return counted

    def _most(self, nodes: Iterable[Any], depth: int) -> int:
        return max((self._count(node, depth) for node in nodes), default=0)


def _walk(schema: Node) -> Iterator[tuple[Node, str]]:
    """Every schema in a schema, with the URI that its references start from."""
    waiting: list[tuple[Any, str, bool, int]] = [(schema, "", False, 1)]
    number = 0
    while waiting:
        value, base, mapping, depth = waiting.pop()
        if depth > DEPTH:
            raise Unusable(f"it is more than {DEPTH} levels deep")
        if isinstance(value, dict) and not mapping:
            number += 1
            if number > SUBSCHEMAS:
                raise Unusable(f"it has more than {SUBSCHEMAS} subschemas")
            for key in ("$id", "id"):
                if isinstance(name := value.get(key), str):
                    base = urldefrag(_join(base, name)).url
            yield value, base
            inner = [(item, key in _MAPS) for key, item in value.items() if key not in _DATA]
        else:
            inner = [(item, False) for item in (value.values() if isinstance(value, dict) else value)]
        waiting += [(item, base, maps, depth + 1) for item, maps in inner if isinstance(item, dict | list)]


def _here(node: Node) -> Iterator[Any]:
    """The schemas that are about the same value."""
    for key in ("allOf", "anyOf", "oneOf"):
        yield from _list(node, key)
    for key in ("not", "if", "then", "else"):
        if key in node:
            yield node[key]
    for key in ("dependentSchemas", "dependencies"):
        yield from _values(node, key)


def _values(node: Node, key: str) -> Iterable[Any]:
    found = node.get(key)
    return found.values() if isinstance(found, dict) else ()


def _list(node: Node, key: str) -> Iterable[Any]:
    found = node.get(key)
    return found if isinstance(found, list) else ()


def _member(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return value[int(name)] if name.isdecimal() and len(name) < 6 and int(name) < len(value) else None
    return value.get(name) if isinstance(value, dict) else None


def _join(base: str, reference: str) -> str:
    if reference.startswith("#"):
        return base + reference
    try:
        return urljoin(base, reference)
    except ValueError:
        raise Unusable(f"it refers to {reference}, which is no URI") from None
