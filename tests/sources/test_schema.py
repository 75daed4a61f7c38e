"""Signatures become JSON Schemas and decoders; what does not fit is explained by its field."""

from __future__ import annotations

import datetime
import enum
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.errors import ConfigError, ProtocolError
from rune.sources import hints
from rune.sources.context import Context
from rune.sources.docstrings import read_docs
from rune.sources.schema import (
    Arguments,
    InvalidArguments,
    OwnArguments,
    check_arguments,
    explain,
    read_signature,
)

T = TypeVar("T")
Age = NewType("Age", int)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Point:
    """A point."""

    x: int
    y: Annotated[int, "how high"] = 0


@dataclass
class Node:
    value: int
    children: list[Node] = field(default_factory=list)


class Movie(TypedDict, total=False):
    title: Annotated[str, "its name"]
    year: int


class Pair(NamedTuple):
    left: int
    right: str


class Item(msgspec.Struct):
    name: str
    price: float


@dataclass
class Bounds:
    """As annotated-types has them: plain attributes."""

    ge: int | None = None
    lt: int | None = None
    max_length: int | None = None


@dataclass
class Described:
    """As pydantic's FieldInfo has them."""

    description: str
    metadata: list[Any]


class FakeModel:
    """As pydantic models look from outside."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    @classmethod
    def model_json_schema(cls, ref_template: str, mode: str) -> dict[str, Any]:
        inner = {"type": "object", "title": mode}
        return {
            "type": "object",
            "properties": {"in": {"$ref": ref_template.format(model="In")}},
            "$defs": {"In": inner},
        }

    @classmethod
    def model_validate(cls, value: Any) -> FakeModel:
        if not isinstance(value, dict):
            raise ModelError
        return cls(**value)

    def model_dump(self, mode: str, by_alias: bool) -> dict[str, Any]:
        return {**self.values, "mode": mode, "by_alias": by_alias}


class ModelError(ValueError):
    def errors(self) -> list[dict[str, Any]]:
        return [{"loc": ("a", 0), "msg": "must be a dict"}, {"loc": (), "msg": "all wrong"}]


class PickyModel(FakeModel):
    @classmethod
    def model_validate(cls, value: Any) -> FakeModel:
        raise ValueError("never good enough")


def arguments(function: Any) -> Arguments:
    return Arguments(read_signature(function, "tool t"), "tool t")


def decode(function: Any, raw: bytes) -> tuple[Any, ...]:
    return values_of(arguments(function), raw)


def values_of(made: Any, raw: bytes) -> tuple[Any, ...]:
    found: tuple[Any, ...] = made.values(made.load(raw))
    return found


def problem(function: Any, raw: bytes) -> str:
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)) as caught:
        decode(function, raw)
    return check_arguments(raw, caught.value)


def test_a_schema_has_properties_required_defaults_and_descriptions() -> None:
    def function(a: int, b: str = "x", *, c: Annotated[float, "how much"] = 1.5) -> None:
        """Do it.

        Args:
            a: the first
                of all
            b (str): the second
            c: not used, there is one already

        Returns:
            Nothing.
        """

    assert arguments(function).schema == {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "description": "the first of all"},
            "b": {"type": "string", "description": "the second", "default": "x"},
            "c": {"type": "number", "description": "how much", "default": 1.5},
        },
        "required": ["a"],
        "additionalProperties": False,
    }


def test_types_that_json_can_carry() -> None:
    def function(
        when: datetime.datetime, day: datetime.date, id: uuid.UUID, price: Decimal, data: bytes, path: Path,
        color: Color, level: Level, word: Literal["a", "b"], several: set[int], pair: Pair, movie: Movie,
        maybe: int | None, both: int | str, age: Age, anything: Any, untyped,
    ) -> None: ...  # fmt: skip

    schema = arguments(function).schema
    properties = schema["properties"]
    jsonschema_rs.meta.validate(schema)
    assert properties["when"] == {"type": "string", "format": "date-time"}
    assert properties["day"] == {"type": "string", "format": "date"}
    assert properties["id"] == {"type": "string", "format": "uuid"}
    assert properties["path"] == {"type": "string"}
    assert properties["color"] == {"type": "string", "title": "Color", "enum": ["blue", "red"]}
    assert properties["level"]["enum"] == [1, 2]
    assert properties["maybe"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert properties["age"] == {"type": "integer"}
    assert properties["anything"] == properties["untyped"] == {}
    assert schema["$defs"]["Movie"]["properties"]["title"]["description"] == "its name"
    raw = msgspec.json.encode({
        "when": "2026-01-02T03:04:05Z", "day": "2026-01-02", "id": str(uuid.UUID(int=1)), "price": "1.10",
        "data": "aGk=", "path": "/tmp/x", "color": "red", "level": 2, "word": "a", "several": [1, 2],
        "pair": [1, "b"], "movie": {"year": 1}, "maybe": None, "both": "s", "age": 3, "anything": [1], "untyped": {},
    })  # fmt: skip
    jsonschema_rs.validate(schema, msgspec.json.decode(raw))
    values = decode(function, raw)
    assert values[1] == datetime.date(2026, 1, 2)
    assert values[2] == uuid.UUID(int=1)
    assert values[3:9] == (Decimal("1.10"), b"hi", Path("/tmp/x"), Color.RED, Level.HIGH, "a")
    assert values[9:] == ({1, 2}, Pair(1, "b"), {"year": 1}, None, "s", 3, [1], {})


def test_classes_are_defs_and_recursion_works() -> None:
    def function(node: Node, point: Point = Point(1)) -> None: ...  # noqa: B008

    schema = arguments(function).schema
    assert schema["properties"]["node"] == {"$ref": "#/$defs/Node"}
    assert schema["properties"]["point"]["default"] == {"x": 1, "y": 0}
    assert schema["$defs"]["Point"]["properties"]["y"]["description"] == "how high"
    assert decode(function, b'{"node":{"value":1,"children":[{"value":2}]}}')[0].children == [Node(2)]


def test_constraints_of_other_libraries() -> None:
    def function(
        a: Annotated[int, Bounds(ge=1, lt=5)],
        b: list[Annotated[str, Bounds(max_length=2)]],
        c: Annotated[int, Described("a number", [Bounds(ge=0)])] = 0,
    ) -> None: ...

    properties = arguments(function).schema["properties"]
    assert properties["a"] == {"type": "integer", "minimum": 1, "exclusiveMaximum": 5}
    assert properties["b"]["items"] == {"type": "string", "maxLength": 2}
    assert properties["c"] == {"description": "a number", "type": "integer", "minimum": 0, "default": 0}
    assert problem(function, b'{"a":9,"b":[]}') == "a: expected int <= 4"
    assert problem(function, b'{"a":1,"b":["ok","long"]}') == "b[1]: expected str of length <= 2"


def test_unions_that_msgspec_refuses_are_tried_from_left_to_right() -> None:
    def function(what: Point | Movie | datetime.date | str, paths: list[Path] | None = None) -> None: ...

    schema = arguments(function).schema
    alternatives = schema["properties"]["what"]["anyOf"]
    assert [each.get("$ref", each.get("format")) for each in alternatives[:3]] == [
        "#/$defs/Point",
        "#/$defs/Movie",
        "date",
    ]
    assert decode(function, b'{"what":{"x":1}}')[0] == Point(1)
    assert decode(function, b'{"what":{"title":"a"}}')[0] == {"title": "a"}
    assert decode(function, b'{"what":"2026-01-02"}')[0] == datetime.date(2026, 1, 2)
    assert decode(function, b'{"what":"no date","paths":["/x"]}') == ("no date", [Path("/x")])
    assert problem(function, b'{"what":[]}').startswith("what: fits none of the alternatives: ")
    assert problem(function, b'{"what":"","paths":[1]}') == "paths[0]: expected str, got int"


def test_models_are_found_by_what_they_can_do() -> None:
    def function(model: FakeModel, picky: PickyModel | None = None) -> None: ...

    schema = arguments(function).schema
    assert schema["$defs"]["In"] == {"type": "object", "title": "validation"}
    assert decode(function, b'{"model":{"a":1}}')[0].values == {"a": 1}
    assert problem(function, b'{"model":1}') == "model: a.0: must be a dict; all wrong"
    assert problem(function, b'{"model":{},"picky":{}}') == "picky: never good enough"
    assert hints.encode(FakeModel(a=1)) == b'{"a":1,"mode":"json","by_alias":true}'
    assert hints.has_custom(list[FakeModel])
    assert not hints.has_custom(list[int])
    assert hints.root_schema(FakeModel, output=True)["$defs"]["In"]["title"] == "serialization"


def test_two_types_of_one_name_are_refused() -> None:
    class In(msgspec.Struct):
        other: int

    with pytest.raises(ConfigError, match="two different types are called In"):
        hints.schemas([In, FakeModel])


def test_root_schemas() -> None:
    assert hints.root_schema(int) == {"type": "integer"}
    assert hints.root_schema(Point)["type"] == "object"
    assert "$defs" not in hints.root_schema(Point)
    node = hints.root_schema(Node)
    assert node["type"] == "object"
    assert node["$defs"]["Node"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert hints.root_schema(list[Point])["$defs"].keys() == {"Point"}


def test_what_cannot_be_written() -> None:
    assert (
        hints.encode({"a": range(2), "b": (n for n in "xy"), "c": Path("/p")}) == b'{"a":[0,1],"b":["x","y"],"c":"/p"}'
    )
    with pytest.raises(NotImplementedError, match="object cannot be written as JSON"):
        hints.encode(object())
    with pytest.raises(NotImplementedError):
        hints.read_custom(complex, 1)


def test_deep_types_are_refused() -> None:
    deep: Any = int
    for _ in range(100):
        deep = list[deep]
    with pytest.raises(TypeError, match="too deep"):
        hints.adapt(deep)


def test_type_variables() -> None:
    bound = TypeVar("bound", bound=int)

    class Box(msgspec.Struct, Generic[T]):
        value: T

    assert hints.adapt(T) is Any
    assert hints.adapt(bound) is int
    assert hints.adapt(Box[int]) == Box[int]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"count":"x","items":[]}', "count: expected int, got str"),
        (b'{"count":1}', "items: is missing"),
        (b'{"count":1,"items":[],"more":1}', "more: is not known"),
        (
            b'{"count":1,"items":[{"name":"a","price":1},{"name":"b","price":"1"}]}',
            "items[1].price: expected float, got str",
        ),
        (b'{"count":1,"items":[{"name":"a"}]}', "items[0].price: is missing"),
        (b'{"count":1,"items":[{"na', "input data was truncated"),
        (b'{"count":1,"items":[],"\xff":1}', "the arguments are not UTF-8: invalid start byte"),
        (b'{"count":' + b"[" * 50 + b"]" * 50 + b',"items":[]}', "count: expected int, got array"),
    ],
)
def test_errors_name_the_field(raw: bytes, reason: str) -> None:
    def function(count: int, items: list[Item]) -> None: ...

    assert problem(function, raw) == reason


def test_deep_arguments_are_no_crash() -> None:
    def function(a: Any) -> None: ...

    raw = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(RecursionError) as caught:
        decode(function, raw)
    assert check_arguments(raw, caught.value) == "the arguments are nested too deep"


@pytest.mark.parametrize("raw", [b"[]", b"1", b'"{}"'])
def test_arguments_that_are_no_object_are_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"params\.arguments must be an object") as caught:
        check_arguments(msgspec.Raw(raw), msgspec.ValidationError("x"))
    assert caught.value.code == -32602


def test_explain_without_a_path() -> None:
    assert explain(ValueError("Something `odd`")) == "something odd"


def test_signatures_know_where_the_context_goes() -> None:
    def first(ctx: Context, a: int) -> None: ...
    def last(a: int, ctx: Context | None = None) -> None: ...
    def keyword(a: int, *, b: int, ctx: Context | None) -> None: ...
    def plain(a: int, /, b: int) -> None: ...

    def arranged(function: Any, *values: Any) -> Any:
        return read_signature(function, "tool t").arrange(values, "CTX")

    assert arranged(first, 1) == (["CTX", 1], {})
    assert arranged(last, 1) == ([1, "CTX"], {})
    assert arranged(keyword, 1, 2) == ([1], {"b": 2, "ctx": "CTX"})
    assert arranged(plain, 1, 2) == ([1, 2], {})
    assert read_signature(plain, "t").plain
    assert not read_signature(keyword, "t").plain


def test_methods_partials_and_callable_objects() -> None:
    class Tool:
        def method(self, a: int) -> str:
            return str(a)

        def __call__(self, b: int) -> str:
            return str(b)

    def function(a: int, b: str) -> None: ...

    assert [each.name for each in read_signature(Tool().method, "t").parameters] == ["a"]
    assert [each.name for each in read_signature(Tool(), "t").parameters] == ["b"]
    assert [each.hint for each in read_signature(partial(function, 1), "t").parameters] == [str]


def context_by_another_name(ctx: Context, x: int) -> None: ...


def unresolved(a: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda *args: None, r"tool t: parameter \*args"),
        (lambda **more: None, r"tool t: parameter \*\*more"),
        (unresolved, "tool t: its type hints cannot be read: name 'Missing'"),
        (int, "tool t"),
    ],
)
def test_functions_that_cannot_be_described(function: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        read_signature(function, "tool t")


def test_unsupported_types_name_the_parameter() -> None:
    def function(good: int, bad: complex) -> None: ...
    def twice(one: Context, two: Context) -> None: ...
    def contradiction(text: Annotated[str, msgspec.Meta(ge=1)]) -> None: ...

    for each, reason in ((function, "parameter bad"), (twice, "parameter two"), (contradiction, "parameter text")):
        with pytest.raises(ConfigError, match=f"tool t: {reason}") as caught:
            read_signature(each, "tool t")
    assert caught.value.hint is not None


def test_defaults_that_json_cannot_say_are_left_out() -> None:
    marker: Any = object()

    def function(a: Any = marker, b: list[int] = []) -> None: ...  # noqa: B006

    schema = arguments(function).schema
    assert schema["properties"] == {"a": {}, "b": {"type": "array", "items": {"type": "integer"}, "default": []}}
    assert "required" not in schema
    assert decode(function, b"{}") == (marker, [])


def test_parameters_may_be_called_anything() -> None:
    def function(self: int, __a: int, copy: int, *, __init__: int = 4) -> None: ...

    assert decode(function, b'{"self":1,"__a":2,"copy":3}') == (1, 2, 3, 4)
    assert problem(function, b'{"self":1,"__a":"2","copy":3}') == "__a: expected int, got str"
    assert problem(function, b'{"a0":1}') == "a0: is not known"


def test_own_schemas_pass_arguments_by_name() -> None:
    own = {"type": "object", "properties": {"a": {}, "b": {}}}

    def by_name(a: int, b: int = 2) -> None: ...
    def with_rest(a: int, **rest: Any) -> None: ...
    def whole(everything: dict[str, Any]) -> None: ...

    def make(function: Any) -> OwnArguments:
        return OwnArguments(read_signature(function, "t", described=True), own, "t")

    assert values_of(make(by_name), b'{"a":"as it is","c":1}') == ("as it is", 2)
    assert values_of(make(with_rest), b'{"c":3,"a":1}') == (1, {"c": 3})
    assert read_signature(with_rest, "t", described=True).arrange((1, {"c": 3}), None) == ([1], {"c": 3})
    assert values_of(make(whole), b'{"x":1}') == ({"x": 1},)
    with pytest.raises(InvalidArguments, match="a: is missing"):
        values_of(make(by_name), b"{}")
    assert check_arguments(b"{}", InvalidArguments("a: is missing")) == "a: is missing"
    with pytest.raises(msgspec.ValidationError):
        values_of(make(by_name), b"[]")
    with pytest.raises(ConfigError, match="must have type object"):
        OwnArguments(read_signature(by_name, "t"), {"type": "array"}, "t")


def test_strings_become_values_for_prompts_and_templates() -> None:
    def function(count: int, on: bool = False, path: Path = Path()) -> None: ...

    assert arguments(function).convert({"count": "3", "on": "true", "path": "/x"}) == (3, True, Path("/x"))
    with pytest.raises(msgspec.ValidationError):
        arguments(function).convert({"count": "three"})


@pytest.mark.parametrize(
    ("docstring", "text", "parameters"),
    [
        (None, "", {}),
        ("Just text.", "Just text.", {}),
        (("Text.\n\nParameters\n----------\na : int\n    The a,\n    really.\n\nb\n    The b.\n\n"
         "Returns\n-------\nint\n    It."),
         "Text.\n\nReturns\n-------\nint\n    It.", {"a": "The a, really.", "b": "The b."}),
        ("Text.\n\n:param a: The a\n    goes on.\n:param int b: The b.\n:returns: It.\n", "Text.",
         {"a": "The a goes on.", "b": "The b."}),
        ("Text.\n\nArgs:\n    a: One.\n      two\n    what is this\n\n    *b (int): Three.\nMore.", "Text.\n\nMore.",
         {"a": "One. two", "b": "Three."}),
        ("Text.\n\nParameters\n----------\na : int\n    A.\nNotes:\n  x", "Text.\n\nNotes:\n  x", {"a": "A."}),
        ("Parameters\n----------\na : int\n    A.\n\n  odd\n!!", "!!", {"a": "A."}),
    ],
)  # fmt: skip
def test_docstrings(docstring: str | None, text: str, parameters: dict[str, str]) -> None:
    assert read_docs(docstring) == (text, parameters)


@given(st.text(alphabet="ab: \n-Args:Parameters()*", max_size=200))
def test_docstrings_never_break(docstring: str) -> None:
    docs = read_docs(docstring)
    assert set("".join(docs.parameters)) <= set("abArgsPmet")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=10,
)


@given(
    st.integers(-(2**53), 2**53),
    st.text(),
    st.lists(st.tuples(st.text(), st.floats(allow_nan=False, allow_infinity=False))),
    JSON,
)
def test_what_the_schema_allows_is_decoded_and_what_it_forbids_is_not(
    count: int, text: str, items: Any, extra: Any
) -> None:
    def function(count: int, text: str, items: list[Item], extra: Any = None) -> None: ...

    made = arguments(function)
    value = {
        "count": count,
        "text": text,
        "items": [{"name": name, "price": price} for name, price in items],
        "extra": extra,
    }
    assert jsonschema_rs.is_valid(made.schema, value)
    assert values_of(made, msgspec.json.encode(value)) == (count, text, [Item(*each) for each in items], extra)
    wrong = {**value, "count": text}
    assert not jsonschema_rs.is_valid(made.schema, wrong)
    with pytest.raises(msgspec.ValidationError):
        values_of(made, msgspec.json.encode(wrong))


@given(st.binary(max_size=60))
def test_any_bytes_have_a_defined_answer(raw: bytes) -> None:
    def function(a: int = 0) -> None: ...

    code = 0
    try:
        values = decode(function, raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = ""
        try:
            reason = check_arguments(raw, error)
        except ProtocolError as refused:
            code = refused.code
        assert reason or code == -32602
    else:
        assert isinstance(values[0], int)
