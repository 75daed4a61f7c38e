"""Questions that a function may put to the user or the client, and their answers as Python values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypedDict, Unpack

import msgspec

from rune.errors import INVALID_PARAMS, ConfigError, ProtocolError
from rune.protocol.questions import needs
from rune.sources import hints
from rune.sources.content import Message, blocks

_decode = msgspec.json.Decoder().decode
_PRIMITIVES: Final = frozenset({"string", "integer", "number", "boolean"})
_VALUE: Final = "value"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the user said to `elicit`. `content` is None unless the action is `accept`; it has the type asked for."""

    action: str
    content: Any = None

    @property
    def accepted(self) -> bool:
        """Whether the user agreed."""
        return self.action == "accept"


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the client's model said to `sample`. `content` is a content block, or a list of them."""

    role: str
    content: Any
    model: str = ""
    stop_reason: str | None = None

    @property
    def text(self) -> str:
        """The text in it."""
        found = self.content if isinstance(self.content, list) else [self.content]
        return "".join(
            block.get("text", "") for block in found if isinstance(block, dict) and block.get("type") == "text"
        )


class Root(NamedTuple):
    """A folder or file that the client works on."""

    uri: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question for `Context.ask`: made by `form`, `link`, `sampling` and `roots`."""

    method: str
    params: Mapping[str, Any]
    read: Callable[[Any], Any]
    needs: Mapping[str, Any]

    def wire(self) -> dict[str, Any]:
        """As `inputRequests` has it."""
        return {"method": self.method, "params": self.params}


# --- making them -----------------------------------------------------------------------------------------------------


def form(message: str, schema: Any = None) -> Question:
    """Ask the user to fill in a form.

    `schema` is a type (dataclass, Struct, TypedDict, pydantic model, or one primitive value) or a JSON Schema whose
    properties are primitives; without it the user only agrees or not.
    """
    requested, read = _form(schema)
    params = {"mode": "form", "message": message, "requestedSchema": requested}
    return Question("elicitation/create", params, lambda value: _read_answer(value, read), {"elicitation": {}})


def link(message: str, url: str) -> Question:
    """Ask the user to open a URL, for what must not pass through the client: secrets, payments, sign-in."""
    params = {"mode": "url", "message": message, "url": url}
    needs: dict[str, Any] = {"elicitation": {"url": {}}}
    return Question("elicitation/create", params, lambda value: _read_answer(value, lambda content: content), needs)


class SamplingKeywords(TypedDict, total=False):
    """Keywords of `sampling` and `Context.sample`; `max_tokens` is 1000 unless it is said."""

    max_tokens: int
    system_prompt: str | None
    temperature: float | None
    stop_sequences: Sequence[str] | None
    model_preferences: Mapping[str, Any] | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: Mapping[str, Any] | None
    include_context: str | None
    metadata: Mapping[str, Any] | None


def sampling(messages: Any, **options: Unpack[SamplingKeywords]) -> Question:
    """Ask the client's model: a `str`, a Message, a message as the wire has it, or a list of these."""
    unknown = options.keys() - SamplingKeywords.__annotations__.keys()
    if unknown:
        raise TypeError(f"sampling() has no option {', '.join(sorted(unknown))}")
    params: dict[str, Any] = {"messages": wire_messages(messages), "maxTokens": options.get("max_tokens", 1000)}
    for name, value in options.items():
        if value is not None:
            first, *rest = name.split("_")
            params[first + "".join(word.capitalize() for word in rest)] = value
    needs: dict[str, Any] = {"sampling": {"tools": {}} if "tools" in params or "toolChoice" in params else {}}
    return Question("sampling/createMessage", params, _read_sampled, needs)


def roots() -> Question:
    """Ask the client for the folders that it works on."""
    return Question("roots/list", {}, _read_roots, {"roots": {}})


def raw(question: Mapping[str, Any]) -> Question:
    """A question that is written as the wire has it; its answer is read as JSON and no further."""
    method, params = question.get("method"), question.get("params") or {}
    wanted = needs(str(method), params)
    if method is None or wanted is None:
        raise ValueError(f"no such question: {method}")
    return Question(method, params, lambda value: value, wanted)


def wire_messages(messages: Any) -> list[dict[str, Any]]:
    """Messages as the wire has them: a `str` is one of the user."""
    if not isinstance(messages, (list, tuple)):
        messages = [messages]
    found = []
    for each in messages:
        if isinstance(each, Mapping) and "role" in each:
            content = each["content"]
            found.append({**each, "content": blocks(content)[0] if isinstance(content, str) else content})
        else:
            found.append((each if isinstance(each, Message) else Message(each)).wire())
    return found


# --- forms -----------------------------------------------------------------------------------------------------------


def _form(schema: Any) -> tuple[Mapping[str, Any], Callable[[Any], Any]]:
    if schema is None:
        return {"type": "object", "properties": {}}, lambda content: content
    if isinstance(schema, Mapping):
        if schema.get("type") != "object" or not isinstance(schema.get("properties"), Mapping):
            raise ConfigError("elicit: the schema of a form is an object with properties")
        return schema, lambda content: content
    try:
        kind = hints.adapt(schema)
        (found,), defs = hints.schemas([kind])
    except TypeError as error:
        raise ConfigError(f"elicit: {str(error).splitlines()[-1]}") from None
    found = hints.inline(found, defs)
    if found.get("type") == "object":
        return _flat(found), lambda content: msgspec.convert(content, kind, dec_hook=hints.read_custom)
    wrapped = _flat({"type": "object", "properties": {_VALUE: found}, "required": [_VALUE]})
    return wrapped, lambda content: msgspec.convert(content.get(_VALUE), kind, dec_hook=hints.read_custom)


def _flat(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Forms know only primitives: no nesting, no null."""
    properties = {}
    for name, entry in schema.get("properties", {}).items():
        entry = _without_null(entry)
        items = entry.get("items")
        if isinstance(items, Mapping):
            entry["items"] = items = _typed(items)
        choices = isinstance(items, Mapping) and ("enum" in items or "anyOf" in items)
        if entry.get("type") not in _PRIMITIVES and not (entry.get("type") == "array" and choices):
            raise ConfigError(f"elicit: {name}: a form has only text, numbers, booleans and choices")
        properties[name] = entry
    value: dict[str, Any] = {"type": "object", "properties": properties}
    if schema.get("required"):
        value["required"] = schema["required"]
    return value


def _without_null(entry: dict[str, Any]) -> dict[str, Any]:
    alternatives = entry.get("anyOf")
    if isinstance(alternatives, list):
        rest = [each for each in alternatives if each.get("type") != "null"]
        if len(rest) == 1:
            entry = {**rest[0], **{key: value for key, value in entry.items() if key != "anyOf"}}
    entry = dict(_typed(entry))
    if entry.get("default", ...) is None:
        entry = {key: value for key, value in entry.items() if key != "default"}
    return {key: value for key, value in entry.items() if key != "uniqueItems"}


def _typed(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Choices must say that they are strings."""
    if "enum" in entry and "type" not in entry and all(isinstance(value, str) for value in entry["enum"]):
        return {"type": "string", **entry}
    return entry


# --- reading answers -------------------------------------------------------------------------------------------------


def _read_answer(value: Any, read: Callable[[Any], Any]) -> Answer:
    if value["action"] != "accept":
        return Answer(value["action"])
    return Answer("accept", read(value.get("content") or {}))


def _read_sampled(value: Any) -> Sampled:
    return Sampled(value.get("role", "assistant"), value["content"], value.get("model", ""), value.get("stopReason"))


def _read_roots(value: Any) -> list[Root]:
    return [Root(each["uri"], each.get("name")) for each in value["roots"]]


def read_answer(key: str, question: Question, answer: Any) -> Any:
    """The answer to a question as a Python value.

    Raises:
        ProtocolError: -32602 when it does not have the shape that the question wants.
    """
    try:
        return question.read(_decode(answer))
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error).replace("`", "")
        raise ProtocolError(INVALID_PARAMS, f"params.inputResponses.{key}: {reason}") from None
