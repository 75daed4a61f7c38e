"""Type hints as msgspec can read them, and the JSON Schema that belongs to them.

msgspec does the work. Added here: constraints and descriptions in `Annotated` from other libraries, unions that
msgspec refuses, paths, and pydantic models when the user has them (pydantic itself is never imported).
"""

from __future__ import annotations

import datetime
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec

from rune.errors import ConfigError

_REF: Final = "#/$defs/"
_CONSTRAINTS: Final = (
    "ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern", "title", "examples",
)  # fmt: skip
_DATES: Final = {datetime.datetime: "date-time", datetime.time: "time"}
_MAX_DEPTH: Final = 64


class _AnyInstance(type):
    """msgspec wants what a hook returns to be an instance of the hint."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True


class Either(metaclass=_AnyInstance):
    """Base of the stand-ins for unions that msgspec refuses: the members are tried from left to right."""

    members: tuple[Any, ...] = ()


def adapt(hint: Any, depth: int = 0) -> Any:
    """A type hint as msgspec can read it.

    Raises:
        TypeError: when it is nested beyond reason.
    """
    if depth > _MAX_DEPTH:
        raise TypeError("the type is nested too deep")
    if isinstance(hint, type) and hint in _DATES:
        return Annotated[hint, msgspec.Meta(extra_json_schema={"format": _DATES[hint]})]
    if isinstance(hint, typing.TypeVar):
        return adapt(hint.__bound__, depth + 1) if hint.__bound__ is not None else Any
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is None or origin is typing.Literal:
        return hint
    if origin is Annotated:
        metas = [meta for extra in arguments[1:] for meta in _metas(extra)]
        base = adapt(arguments[0], depth + 1)
        for meta in metas:
            base = Annotated[base, meta]
        return base
    members = tuple([adapt(each, depth + 1) if not isinstance(each, list) else each for each in arguments])
    if origin in (Union, types.UnionType):
        return _union(members)
    if members == arguments or not members:
        return hint
    return hint.copy_with(members) if hasattr(hint, "copy_with") else origin[members]


def _metas(extra: Any) -> list[msgspec.Meta]:
    """What an entry of `Annotated` says: a Meta, a description, or an object with constraints as attributes."""
    if isinstance(extra, msgspec.Meta):
        return [extra]
    if isinstance(extra, str):
        return [msgspec.Meta(description=extra)]
    found: dict[str, Any] = {}
    for name in _CONSTRAINTS:
        value = getattr(extra, name, None)
        if value is not None and not callable(value):
            found[name] = value
    description = getattr(extra, "description", None) or getattr(extra, "documentation", None)
    if isinstance(description, str):
        found["description"] = description
    metas = [msgspec.Meta(**found)] if found else []
    nested = getattr(extra, "metadata", None)
    if isinstance(nested, (list, tuple)):
        metas += [meta for entry in nested for meta in _metas(entry)]
    return metas


def _union(members: tuple[Any, ...]) -> Any:
    union: Any = Union.__getitem__(members)
    try:
        msgspec.json.Decoder(union)
    except TypeError:
        return _AnyInstance("Either", (Either,), {"members": members})
    return union


# --- reading and writing ---------------------------------------------------------------------------------------------


def read_custom(kind: type, value: Any) -> Any:
    """The `dec_hook` of every decoder here.

    Raises:
        ValueError: when the value does not fit; msgspec adds the path.
    """
    if issubclass(kind, Either):
        return _read_either(kind, value)
    if issubclass(kind, PurePath):
        if not isinstance(value, str):
            raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
        return kind(value)
    validate = getattr(kind, "model_validate", None)
    if validate is None:
        raise NotImplementedError(f"{kind.__name__} is not supported")
    try:
        return validate(value)
    except ValueError as error:
        raise ValueError(_model_errors(error)) from None


def _read_either(kind: type[Either], value: Any) -> Any:
    reasons = []
    for member in kind.members:
        try:
            return msgspec.convert(value, member, dec_hook=read_custom)
        except msgspec.ValidationError as error:
            reasons.append(str(error))
    raise ValueError("fits none of the alternatives: " + "; ".join(dict.fromkeys(reasons)))


def _model_errors(error: ValueError) -> str:
    """What a pydantic model did not like, in one line."""
    listed = getattr(error, "errors", None)
    if not callable(listed):
        return str(error)
    return "; ".join(
        f"{'.'.join(str(part) for part in entry['loc'])}: {entry['msg']}".removeprefix(": ") for entry in listed()
    )


def write_custom(value: Any) -> Any:
    """The `enc_hook` of every encoder here."""
    if isinstance(value, PurePath):
        return str(value)
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json", by_alias=True)
    if isinstance(value, (types.GeneratorType, range, types.MappingProxyType)):
        return dict(value) if isinstance(value, types.MappingProxyType) else list(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be written as JSON")


encode: Final = msgspec.json.Encoder(enc_hook=write_custom).encode


def decoder(kind: Any) -> Callable[[Any], Any]:
    """A compiled `bytes -> value` for an adapted type."""
    return msgspec.json.Decoder(kind, dec_hook=read_custom).decode


def has_custom(kind: Any) -> bool:
    """Whether an adapted type contains a class that only hooks can read."""
    if isinstance(kind, type) and get_origin(kind) is None:
        return issubclass(kind, (Either, PurePath)) or hasattr(kind, "model_validate")
    return any(has_custom(each) for each in get_args(kind))


# --- JSON Schema -----------------------------------------------------------------------------------------------------


def schemas(kinds: Sequence[Any], *, output: bool = False) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The JSON Schemas (2020-12) of adapted types, and their common `$defs`. Enumerations are written in place.

    Raises:
        TypeError: a type has no schema.
        ConfigError: two different types have the same name.
    """
    extra: dict[str, Any] = {}

    def hook(kind: type) -> dict[str, Any]:
        if issubclass(kind, Either):
            members, found = schemas(kind.members, output=output)
            _merge(extra, found)
            return {"anyOf": members}
        if issubclass(kind, PurePath):
            return {"type": "string"}
        describe = getattr(kind, "model_json_schema", None)
        if describe is None:
            raise NotImplementedError
        schema = describe(ref_template=_REF + "{model}", mode="serialization" if output else "validation")
        _merge(extra, schema.pop("$defs", {}))
        return dict(schema)

    found, components = msgspec.json.schema_components(kinds, schema_hook=hook, ref_template=_REF + "{name}")
    defs = dict(components)
    _describe(kinds, defs, set())
    _merge(defs, extra)
    enums = {name: _typed(schema) for name, schema in defs.items() if "enum" in schema}
    written = [inline(schema, enums) for schema in found]
    rest = {name: inline(schema, enums) for name, schema in defs.items() if name not in enums}
    return written, rest


def root_schema(kind: Any, *, output: bool = False) -> dict[str, Any]:
    """One schema that stands alone: the type at its root, `$defs` only for what it refers to."""
    (schema,), defs = schemas([kind], output=output)
    reference = schema.get("$ref")
    if reference is not None and len(schema) == 1:
        name = reference.removeprefix(_REF)
        schema = dict(defs[name])
        if not _refers(schema, name) and not any(_refers(other, name) for key, other in defs.items() if key != name):
            del defs[name]
    return {**schema, "$defs": defs} if defs else schema


def inline(schema: Any, defs: Mapping[str, Any]) -> Any:
    """The schema with references to `defs` replaced by what they stand for."""
    if isinstance(schema, list):
        return [inline(each, defs) for each in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.removeprefix(_REF) in defs:
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {**inline(defs[reference.removeprefix(_REF)], defs), **rest}
    return {key: inline(value, defs) for key, value in schema.items()}


def _describe(hints: Sequence[Any], defs: dict[str, Any], seen: set[Any]) -> None:
    """Descriptions of fields that are plain strings in `Annotated`: msgspec knows only those in a Meta."""
    for hint in hints:
        _describe([each for each in get_args(hint) if not isinstance(each, str)], defs, seen)
        if not isinstance(hint, type) or hint in seen or hint.__name__ not in defs:
            continue
        seen.add(hint)
        try:
            fields = typing.get_type_hints(hint, include_extras=True)
        except (NameError, TypeError):
            continue
        properties = defs[hint.__name__].get("properties", {})
        for name, field in fields.items():
            told = [extra for extra in getattr(field, "__metadata__", ()) if isinstance(extra, str)]
            if told and name in properties:
                properties[name].setdefault("description", told[0])
        _describe(tuple(fields.values()), defs, seen)


def _merge(into: dict[str, Any], found: Mapping[str, Any]) -> None:
    for name, schema in found.items():
        if into.setdefault(name, schema) != schema:
            raise ConfigError(f"two different types are called {name}", hint="rename one of them")


def _typed(schema: dict[str, Any]) -> dict[str, Any]:
    """An enumeration that says of which JSON type its values are: forms and models want to know."""
    if "type" not in schema and all(isinstance(value, str) for value in schema["enum"]):
        return {"type": "string", **schema}
    return schema


def _refers(schema: Any, name: str) -> bool:
    if isinstance(schema, dict):
        return schema.get("$ref") == _REF + name or any(_refers(value, name) for value in schema.values())
    return isinstance(schema, list) and any(_refers(value, name) for value in schema)
