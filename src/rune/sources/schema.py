"""From a function's signature to the JSON Schema of its arguments, and to a compiled decoder that checks them.

Tools, prompts and resources read their functions with this.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from rune.errors import INVALID_PARAMS, ConfigError, ProtocolError
from rune.sources import hints
from rune.sources.context import Context
from rune.sources.docstrings import Docs, read_docs

_EMPTY: Final = inspect.Parameter.empty
_KEYWORD: Final = inspect.Parameter.KEYWORD_ONLY
_HINT: Final = "give it a type that JSON can carry, or describe the arguments yourself with input_schema="

_decode = msgspec.json.Decoder().decode


class InvalidArguments(Exception):
    """Arguments that do not fit. The message names the field."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function, its hint already adapted to msgspec."""

    name: str
    hint: Any
    default: Any
    keyword: bool

    @property
    def required(self) -> bool:
        """Whether the function cannot do without it."""
        return self.default is _EMPTY


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and returns. `context` says where it wants its Context: a position, a name, or nowhere."""

    parameters: tuple[Parameter, ...]
    returns: Any
    docs: Docs
    context: int | str | None = None
    extra: bool = False

    @property
    def plain(self) -> bool:
        """Whether the values can be passed as they come, by position."""
        return self.context is None and not self.extra and not any(each.keyword for each in self.parameters)

    def arrange(self, values: tuple[Any, ...], context: Any) -> tuple[list[Any], dict[str, Any]]:
        """Values in the order of the parameters, as the positional and keyword arguments of a call.

        With `extra`, the last value is a dict of further keyword arguments.
        """
        keywords: dict[str, Any] = dict(values[-1]) if self.extra else {}
        positional = []
        for parameter, value in zip(self.parameters, values, strict=False):
            if parameter.keyword:
                keywords[parameter.name] = value
            else:
                positional.append(value)
        if isinstance(self.context, int):
            positional.insert(self.context, context)
        elif self.context is not None:
            keywords[self.context] = context
        return positional, keywords


def read_signature(function: Callable[..., Any], what: str, *, described: bool = False) -> Signature:
    """Look at a function. `described` says that its arguments have a schema of the user's own.

    Raises:
        ConfigError: naming the function and the parameter that cannot be used.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what}: {error}") from None
    known = _type_hints(function, what)
    parameters: list[Parameter] = []
    context: int | str | None = None
    extra = False
    for position, (name, parameter) in enumerate(signature.parameters.items()):
        hint = known.get(name, Any)
        keyword = parameter.kind is _KEYWORD
        if _is_context(hint):
            if context is not None:
                raise ConfigError(f"{what}: parameter {name}: there is a Context already")
            context = name if keyword else position
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            raise ConfigError(f"{what}: parameter *{name}: arguments have names", hint="use a list parameter")
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            if not described:
                raise ConfigError(f"{what}: parameter **{name} says nothing about its arguments", hint=_HINT)
            extra = True
        else:
            parameters.append(Parameter(name, _adapted(hint, what, name), parameter.default, keyword))
    docs = read_docs(inspect.getdoc(function))
    return Signature(tuple(parameters), known.get("return", _EMPTY), docs, context, extra)


def _type_hints(function: Callable[..., Any], what: str) -> dict[str, Any]:
    target: Any = function
    while isinstance(target, partial):
        target = target.func
    if not (inspect.isroutine(target) or inspect.isfunction(inspect.unwrap(target))):
        target = type(target).__call__
    try:
        try:
            return typing.get_type_hints(target, include_extras=True)
        except NameError:
            # The import of Context may stand under TYPE_CHECKING.
            return typing.get_type_hints(target, localns={"Context": Context}, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        hint = "define the types in the module"
        raise ConfigError(f"{what}: its type hints cannot be read: {error}", hint=hint) from None


def _is_context(hint: Any) -> bool:
    if isinstance(hint, type):
        return issubclass(hint, Context)
    return any(_is_context(each) for each in typing.get_args(hint) if typing.get_origin(hint) is not list)


def _adapted(hint: Any, what: str, name: str) -> Any:
    try:
        adapted = hints.adapt(hint)
        hints.schemas([adapted])
    except (TypeError, ValueError, RecursionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ConfigError(f"{what}: parameter {name}: {reason}", hint=_HINT) from None
    return adapted


# --- arguments -------------------------------------------------------------------------------------------------------


class Arguments:
    """The arguments of one function: their JSON Schema, and `load` from JSON to what `values` makes the values in order
    of. They are two, for a call is faster without a frame of ours around both."""

    __slots__ = ("_struct", "load", "schema", "values")

    def __init__(self, signature: Signature, what: str) -> None:
        # Fields have names of ours: a parameter may be called what a Struct cannot have.
        fields = [_field(f"a{number}", each) for number, each in enumerate(signature.parameters)]
        names = {f"a{number}": each.name for number, each in enumerate(signature.parameters)}
        try:
            self._struct = msgspec.defstruct(
                "Arguments", fields, forbid_unknown_fields=True, kw_only=True, gc=False, rename=names
            )
            load = hints.decoder(self._struct)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{what}: {str(error).splitlines()[-1]}", hint=_HINT) from None
        self.load: Callable[[Any], Any] = load
        self.values: Callable[[Any], tuple[Any, ...]] = msgspec.structs.astuple
        self.schema = _input_schema(signature)

    def convert(self, value: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values from strings, as prompts and URI templates have them.

        Raises:
            msgspec.ValidationError
        """
        return msgspec.structs.astuple(msgspec.convert(value, self._struct, strict=False, dec_hook=hints.read_custom))


class OwnArguments:
    """Arguments with a schema of the user's own: handed over as they are, by name. `load` has the values already."""

    __slots__ = ("_signature", "_whole", "schema", "values")

    def __init__(self, signature: Signature, schema: Mapping[str, Any], what: str) -> None:
        if not isinstance(schema, Mapping) or schema.get("type") != "object":
            raise ConfigError(f"{what}: input_schema must have type object at its root")
        properties = schema.get("properties")
        known = properties if isinstance(properties, Mapping) else {}
        self.schema = schema
        self.values: Callable[[Any], tuple[Any, ...]] = tuple
        self._signature = signature
        # A lone parameter that the schema does not know takes all arguments.
        self._whole = (
            len(signature.parameters) == 1 and not signature.extra and signature.parameters[0].name not in known
        )

    def load(self, raw: Any) -> tuple[Any, ...]:
        """The values in the order of the parameters; the rest last when the function takes `**kwargs`."""
        arguments = _decode(raw)
        if not isinstance(arguments, dict):
            raise msgspec.ValidationError("Expected `object`")
        if self._whole:
            return (arguments,)
        values = []
        for parameter in self._signature.parameters:
            if parameter.name in arguments:
                values.append(arguments.pop(parameter.name))
            elif parameter.required:
                raise InvalidArguments(f"{parameter.name}: is missing")
            else:
                values.append(parameter.default)
        return (*values, arguments) if self._signature.extra else tuple(values)


def _field(name: str, parameter: Parameter) -> Any:
    if parameter.required:
        return name, parameter.hint
    default = parameter.default
    if default is None or isinstance(default, (bool, int, float, str, bytes)):
        return name, parameter.hint, default
    # As in Python, one object for all calls.
    return name, parameter.hint, msgspec.field(default_factory=lambda: default)


def _input_schema(signature: Signature) -> dict[str, Any]:
    found, defs = hints.schemas([each.hint for each in signature.parameters])
    properties: dict[str, Any] = {}
    for parameter, schema in zip(signature.parameters, found, strict=True):
        told = signature.docs.parameters.get(parameter.name)
        if told and "description" not in schema:
            schema = {**schema, "description": told}
        if not parameter.required:
            schema = _with_default(schema, parameter.default)
        properties[parameter.name] = schema
    value: dict[str, Any] = {"type": "object", "properties": properties}
    required = [each.name for each in signature.parameters if each.required]
    if required:
        value["required"] = required
    value["additionalProperties"] = False
    if defs:
        value["$defs"] = defs
    return value


def _with_default(schema: dict[str, Any], default: Any) -> dict[str, Any]:
    """A default that JSON cannot say is left out; the property is optional all the same."""
    try:
        return {**schema, "default": _decode(hints.encode(default))}
    except (TypeError, ValueError, NotImplementedError, OverflowError, RecursionError):
        return schema


# --- what was wrong --------------------------------------------------------------------------------------------------

_PATH: Final = re.compile(r"(?s)(.*) - at `(?:key` in `)?\$\.?(.*?)`")
_MISSING: Final = re.compile(r"Object missing required field `(.+)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.+)`")


def explain(error: Exception) -> str:
    """What is wrong with the arguments, the field first: `items[2].price: expected float, got str`."""
    text = str(error)
    path = ""
    if match := _PATH.fullmatch(text):
        text, path = match[1], match[2]
    if match := _MISSING.fullmatch(text):
        return f"{_join(path, match[1])}: is missing"
    if match := _UNKNOWN.fullmatch(text):
        return f"{_join(path, match[1])}: is not known"
    plain = text.replace("`", "")
    plain = plain[:1].lower() + plain[1:]
    return f"{path}: {plain}" if path else plain


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def check_arguments(raw: Any, error: Exception) -> str:
    """Why `arguments` could not be decoded.

    Raises:
        ProtocolError: -32602 when they are no JSON object at all.
    """
    if isinstance(error, InvalidArguments):
        return str(error)
    if bytes(raw[:1] if isinstance(raw, bytes) else bytes(raw)[:1]) != b"{":
        raise ProtocolError(INVALID_PARAMS, "params.arguments must be an object") from None
    if isinstance(error, UnicodeDecodeError):
        return f"the arguments are not UTF-8: {error.reason}"
    if isinstance(error, RecursionError):
        return "the arguments are nested too deep"
    return explain(error)
