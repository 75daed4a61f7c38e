"""Values of every type go in and come back as they were, and what a schema allows is what can be passed."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rune.config.policy import PolicyTable
from rune.errors import ConfigError, ToolError
from rune.request import Request
from rune.sources.wasm.loaded import Loaded
from tests.sources.wasm.shapes import SHAPES, Shape, echo
from tests.sources.wasm.wat import component

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 65), 1 << 65) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5) | st.sampled_from(["ok", "err", "tag", "case-0", "flag-0", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["a", "field-1", "tag", "val", "ok", "err", "other"]), inner, max_size=3
    ),
    max_leaves=5,
)  # fmt: skip

Call = Callable[[str, Any], tuple[bool, Any]]


@contextmanager
def loaded(text: str) -> Iterator[tuple[Loaded, Call]]:
    """A component, and how to call its tools: whether that went well, and what came back."""
    with tempfile.TemporaryDirectory() as folder:
        found = Loaded("made", component(Path(folder), text, "made"), PolicyTable(), None)
    instance = found.make()

    def call(tool: str, arguments: Any) -> tuple[bool, Any]:
        params = {"name": json.dumps(tool).encode(), "arguments": json.dumps(arguments).encode()}
        answer = json.loads(found.dialect.answer(instance, Request("tools/call", params)).raw)  # type: ignore[arg-type]
        failed = answer.get("isError", False)
        return not failed, answer["content"][0]["text"] if failed else answer["structuredContent"]["result"]

    try:
        yield found, call
    finally:
        instance.close()


def schemas(found: Loaded) -> tuple[Any, Any]:
    (tool,) = found.offer.catalog.tools
    return tool.value["inputSchema"], tool.value["outputSchema"]


@given(SHAPES, st.data())
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_goes_in_comes_back(shape: Shape, data: st.DataObject) -> None:
    with loaded(echo(shape)) as (found, call):
        given_schema, told_schema = (jsonschema_rs.validator_for(each) for each in schemas(found))
        for _ in range(3):
            value = data.draw(st.lists(shape.values, max_size=4))
            assert given_schema.is_valid({"given": value})
            good, told = call("echo", {"given": value})
            assert good, told
            assert told == value
            assert told_schema.is_valid({"result": told})


@given(SHAPES, st.data())
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_the_schema_allows_is_what_can_be_passed(shape: Shape, data: st.DataObject) -> None:
    """A value with something else in it, somewhere: it is refused if the schema refuses it, and only then."""
    with loaded(echo(shape)) as (found, call):
        schema = jsonschema_rs.validator_for(schemas(found)[0])
        for _ in range(4):
            value = data.draw(st.lists(shape.values, min_size=1, max_size=2))
            wrong = {"given": damaged(data, value, data.draw(JSON))}
            good, told = call("echo", wrong)
            if "base64" in str(told) or (not good and "into an f32" in str(told)):
                # What a schema cannot say.
                continue
            assert good == schema.is_valid(wrong), (wrong, told)
            assert good or told.startswith("invalid arguments for tool echo: given"), told
            # Nothing is left of it.
            assert call("echo", {"given": value}) == (True, value)


def damaged(data: st.DataObject, value: Any, other: Any) -> Any:
    """The value with another one at a place in it."""
    value = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []

    def walk(inner: Any) -> None:
        for key in inner if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else ():
            places.append((inner, key))
            walk(inner[key])

    walk(value)
    inner, key = data.draw(st.sampled_from(places))
    if isinstance(inner, dict) and data.draw(st.booleans()):
        del inner[key]
    inner[key] = other
    return value


# --- what has no JSON ------------------------------------------------------------------------------------------------

NUMBERS = """(component
  (core module $code
    (func (export "nan") (result f64) (f64.const nan))
    (func (export "inf") (result f32) (f32.const -inf))
    (func (export "half") (result f32) (f32.const 0.5)))
  (core instance $core (instantiate $code))
  (func (export "nan") (result f64) (canon lift (core func $core "nan")))
  (func (export "inf") (result f32) (canon lift (core func $core "inf")))
  (func (export "half") (result f32) (canon lift (core func $core "half"))))
"""


def test_numbers_that_json_has_not_are_said() -> None:
    with loaded(NUMBERS) as (_, call):
        for tool in ("nan", "inf"):
            with pytest.raises(ToolError, match="no JSON"):
                call(tool, {})
        assert call("half", {}) == (True, 0.5)


@pytest.mark.parametrize(
    ("value", "said"),
    [(1e300, "does not fit into an f32"), (-1e39, "does not fit into an f32"), (10**400, "too large for an f32")],
)
def test_numbers_that_do_not_fit_are_said(value: Any, said: str) -> None:
    with loaded(echo(Shape(lambda text: "f32", st.nothing()))) as (_, call):
        good, told = call("echo", {"given": [1, value]})
        assert not good and said in told and "given.1" in told


RESOURCES = """(component
  (type $thing' (resource (rep i32)))
  (export $thing "thing" (type $thing'))
  (core func $new (canon resource.new $thing))
  (core module $code
    (import "host" "new" (func $new (param i32) (result i32)))
    (func (export "make") (result i32) (call $new (i32.const 1)))
    (func (export "take") (param i32))
    (func (export "plain") (result i32) (i32.const 7)))
  (core instance $core (instantiate $code (with "host" (instance (export "new" (func $new))))))
  (func (export "make") (result (own $thing)) (canon lift (core func $core "make")))
  (func (export "take") (param "it" (borrow $thing)) (canon lift (core func $core "take")))
  (func (export "[method]thing.look") (param "self" (borrow $thing)) (canon lift (core func $core "take")))
  PLAIN)
"""
PLAIN = '(func (export "plain") (result u32) (canon lift (core func $core "plain")))'


def test_what_takes_or_gives_resources_is_not_offered(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "rune.wasm"), loaded(RESOURCES.replace("PLAIN", PLAIN)) as (found, call):
        assert [tool.name for tool in found.offer.catalog.tools] == ["plain"]
        assert call("plain", {}) == (True, 7)
    assert "made: take is not offered: resources cannot be JSON" in caplog.text
    assert "methods of resources cannot be called from outside" in caplog.text
    with pytest.raises(ConfigError, match="no function to offer") as caught, loaded(RESOURCES.replace("PLAIN", "")):
        pass
    assert "make: resources cannot be JSON" in caught.value.message
