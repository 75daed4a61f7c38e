"""What a foreign schema may cost is known before a validator is asked."""

from __future__ import annotations

import time
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.sources.bounds import DEPTH, MOST, SUBSCHEMAS, Bounds, Unusable

DRAFT4 = "http://json-schema.org/draft-04/schema#"


def chain(levels: int) -> dict[str, Any]:
    """Few lines, two to the power of `levels` steps."""
    names = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}, {"$ref": f"#/$defs/a{n + 1}"}]} for n in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": {**names, f"a{levels}": {"type": "object"}}}


def test_a_plain_schema_costs_what_it_says() -> None:
    bounds = Bounds({"type": "object", "properties": {"a": {"type": "string"}, "b": {"anyOf": [{}, {}]}}})
    assert not bounds.recursive
    # The object, and the dearest of its members with its two alternatives.
    assert bounds.steps(0) == 1
    assert bounds.steps(1) == 1 + 3
    assert bounds.steps(DEPTH) < 1000


def test_what_grows_by_powers_is_counted_and_not_walked() -> None:
    began = time.process_time()
    assert Bounds(chain(20)).steps(0) >= 2**20
    assert Bounds(chain(100)).steps(0) == MOST
    assert time.process_time() - began < 5


def test_a_tree_is_linear_and_a_thicket_is_not() -> None:
    tree = {"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}
    thicket = {"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"patternProperties": {".": {"$ref": "#"}}}]}
    assert Bounds(tree).recursive and Bounds(thicket).recursive
    assert Bounds(tree).steps(40) < 500
    assert Bounds(thicket).steps(40) > 2**30


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/definitions/a", "definitions": {"a": {"type": "string"}}},
        {"$ref": "#/$defs/a%25b~1c", "$defs": {"a%b/c": True}},
        {"$ref": "#here", "$defs": {"a": {"$anchor": "here"}}},
        {"$id": "https://x.example/root.json", "$ref": "other.json", "$defs": {"o": {"$id": "other.json"}}},
        {
            "$id": "https://x.example/a/root",
            "$ref": "b#n",
            "$defs": {"o": {"$id": "b", "$defs": {"p": {"$anchor": "n"}}}},
        },
        {"$schema": DRAFT4, "id": "http://x/y", "properties": {"a": {"$ref": "z"}}, "definitions": {"b": {"id": "z"}}},
        {"definitions": {"a": {"$id": "#old"}}, "$ref": "#old"},
        {"properties": {"schema": {"$ref": "http://json-schema.org/draft-07/schema#"}}},
        {"properties": {"children": {"items": {"$recursiveRef": "#"}}}, "$recursiveAnchor": True},
        {"$dynamicAnchor": "node", "properties": {"children": {"items": {"$dynamicRef": "#node"}}}},
        {"components": {"a": {"type": "string"}}, "$ref": "#/components/a"},
        {"properties": {"$ref": {"type": "string"}, "enum": {"type": "string"}, "$id": {"type": "integer"}}},
        {"enum": [{"$ref": "https://x.example/y"}], "default": {"$ref": "z"}, "examples": [{"$ref": "z"}]},
        {
            "items": [{"type": "string"}],
            "additionalItems": False,
            "dependencies": {"a": ["b"], "c": {"type": "object"}},
        },
    ],
)
def test_what_stays_inside_is_accepted(schema: dict[str, Any]) -> None:
    assert Bounds(schema).steps(3) >= 1


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$ref": "https://x.example/y.json"}, "refers to https://x.example/y.json, and nothing is fetched"),
        ({"$defs": {"a": {"items": {"$ref": "file:///etc/passwd"}}}}, "refers to file:///etc/passwd, and nothing"),
        ({"$ref": "other.json"}, "refers to other.json, and nothing is fetched"),
        ({"$id": "https://x.example/a", "$ref": "b"}, "refers to b, and nothing is fetched"),
        ({"properties": {"enum": {"$ref": "https://x.example/"}}}, "refers to https://x.example/, and nothing"),
        ({"$dynamicRef": "https://x.example/#a"}, "and nothing is fetched"),
        ({"$ref": "#/$defs/none"}, "refers to #/$defs/none, which is not in it"),
        ({"$ref": "#none"}, "refers to #none, which is not in it"),
        ({"required": ["a"], "$ref": "#/required/0"}, "which is not in it"),
        ({"$ref": "http://[x"}, "refers to http://[x"),
        ({"$ref": "#"}, "refers to itself without end"),
        ({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"not": {"$ref": "#"}}}}, "refers to itself without end"),
        ({"$dynamicAnchor": "n", "allOf": [{"$dynamicRef": "#n"}]}, "refers to itself without end"),
        ({"anyOf": [{}] * (SUBSCHEMAS + 1)}, f"more than {SUBSCHEMAS} subschemas"),
    ],
)
def test_what_does_not_is_refused(schema: dict[str, Any], why: str) -> None:
    with pytest.raises(Unusable, match=r"^its? ") as caught:
        Bounds(schema)
    assert why in str(caught.value)


def test_levels_are_bounded() -> None:
    schema: dict[str, Any] = {}
    for _ in range(DEPTH // 2 - 1):
        schema = {"properties": {"a": schema}}
    Bounds(schema)
    with pytest.raises(Unusable, match="levels deep"):
        Bounds({"properties": {"a": {"properties": {"a": schema}}}})


def test_a_long_chain_and_a_dense_net_are_refused_in_time() -> None:
    links = {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(2_000)}
    with pytest.raises(Unusable, match="too long a chain"):
        Bounds({"$ref": "#/$defs/a0", "$defs": {**links, "a2000": {}}})
    names = [f"a{n}" for n in range(600)]
    net = {
        name: {"properties": {"x": {"$ref": f"#/$defs/{other}"}}}
        for name, other in zip(names, names[1:] + names[:1], strict=True)
    }
    began = time.process_time()
    with pytest.raises(Unusable, match="too often"):
        Bounds({"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names], "$defs": net})
    assert time.process_time() - began < 10


# --- the count is not too small ---

LEAVES = st.sampled_from([{}, True, {"type": "string"}, {"$ref": "#"}, {"$ref": "#/$defs/d"}, {"minimum": 3}])
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda a, b: {"allOf": [a, b]}, inner, inner),
        st.builds(lambda a, b: {"properties": {"a": a, "b": b}}, inner, inner),
        st.builds(lambda a, b: {"patternProperties": {"a": a}, "additionalProperties": b}, inner, inner),
        st.builds(lambda a, b: {"prefixItems": [a], "items": b}, inner, inner),
        st.builds(lambda a: {"not": {"not": a}}, inner),
    ),
    max_leaves=8,
)
VALUES = st.recursive(
    st.sampled_from([1, "x", None]),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "c"]), inner)),
    max_leaves=10,
)


@settings(deadline=None)
@given(SCHEMAS, SCHEMAS, VALUES)
def test_no_check_takes_more_steps_than_were_counted(schema: Any, other: Any, value: Any) -> None:
    """Against an evaluation that does every step there could be."""
    root = {"allOf": [schema], "$defs": {"d": other}}
    try:
        bounds = Bounds(root)
    except Unusable:
        # It refers to itself without end: there is nothing to count.
        return
    taken, values = evaluated(root, root, value), size(value)
    assert taken <= values * bounds.steps(depth(value))
    jsonschema_rs.validator_for(root).is_valid(value)


def evaluated(root: Any, schema: Any, value: Any) -> int:
    if not isinstance(schema, dict):
        return 1
    steps = 1
    for each in schema.get("allOf", ()):
        steps += evaluated(root, each, value)
    if "not" in schema:
        steps += evaluated(root, schema["not"], value)
    if "$ref" in schema:
        steps += evaluated(root, root if schema["$ref"] == "#" else root["$defs"]["d"], value)
    if isinstance(value, dict):
        for key, inner in value.items():
            named = schema.get("properties", {}).get(key)
            if named is not None:
                steps += evaluated(root, named, inner)
            for pattern, each in schema.get("patternProperties", {}).items():
                if pattern in key:
                    steps += evaluated(root, each, inner)
            if "additionalProperties" in schema:
                steps += evaluated(root, schema["additionalProperties"], inner)
    if isinstance(value, list):
        for number, inner in enumerate(value):
            first = schema.get("prefixItems", ())
            if number < len(first):
                steps += evaluated(root, first[number], inner)
            elif "items" in schema:
                steps += evaluated(root, schema["items"], inner)
    return steps


def size(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(size, inner))


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)
