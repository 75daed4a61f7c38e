"""Prompts made of Python functions, and completions for their arguments and for URI templates."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from rune.errors import INTERNAL_ERROR, INVALID_PARAMS, ConfigError, ProtocolError, RuneError, ToolError
from rune.request import Request, Result
from rune.source import Item
from rune.sources import hints
from rune.sources.content import Message
from rune.sources.context import Context
from rune.sources.questions import wire_messages
from rune.sources.routine import Routine
from rune.sources.schema import Arguments, Parameter, explain

MAX_VALUES: Final = 100


class PromptOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All that the decorator may say about a prompt; see `Server.prompt`."""

    title: str | None = None
    description: str | None = None
    icons: Any = None
    meta: Mapping[str, Any] | None = None


class Prompt:
    """A prompt: a function that returns text or messages."""

    __slots__ = ("_readers", "arguments", "choices", "item", "name", "options", "routine")

    def __init__(self, name: str, routine: Routine, options: PromptOptions) -> None:
        self.name = name
        self.routine = routine
        self.options = options
        self.arguments = Arguments(routine.signature, routine.what)
        parameters = routine.signature.parameters
        self._readers = {each.name: reader for each in parameters if (reader := _reader(each)) is not None}
        self.choices = {each.name: found for each in parameters if (found := _choices(each.hint))}
        self.item = Item(name, hints.encode(self._definition()))

    def _definition(self) -> dict[str, Any]:
        signature, options = self.routine.signature, self.options
        arguments = []
        for parameter in signature.parameters:
            told = self.arguments.schema["properties"][parameter.name].get("description")
            arguments.append(
                {"name": parameter.name, **({"description": told} if told else {}), "required": parameter.required}
            )
        members = {
            "name": self.name,
            "title": options.title,
            "description": options.description or signature.docs.text or None,
            "arguments": arguments or None,
            "icons": options.icons,
            "_meta": options.meta,
        }
        return {key: value for key, value in members.items() if value is not None}

    async def get(self, request: Request) -> Result:
        """Answer a prompts/get.

        Raises:
            ProtocolError: -32602 for arguments that are missing, unknown or do not fit.
        """
        given = request.value("arguments")
        given = {} if given is None else given
        if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
            raise ProtocolError(INVALID_PARAMS, "params.arguments must be an object of strings")
        try:
            read = {key: self._readers[key](value) if key in self._readers else value for key, value in given.items()}
            values = self.arguments.convert(read)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise ProtocolError(INVALID_PARAMS, f"prompt {self.name}: {explain(error)}") from None
        return await self.routine.converse(request, partial(self._run, values))

    async def _run(self, values: tuple[Any, ...], context: Context) -> Result:
        clock = self.routine.clock()
        context.attach(None, clock, self.routine.services.threads)
        try:
            work = self.routine.invoke(values, context)
            value = await (work if clock is None else clock.run(work))
            return self._result(value)
        except ToolError as error:
            raise ProtocolError(INTERNAL_ERROR, f"prompt {self.name}: {error.message}") from None
        except RuneError:
            raise
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ProtocolError(INTERNAL_ERROR, f"prompt {self.name} failed: {reason}") from error
        finally:
            context.close()

    def _result(self, value: Any) -> Result:
        if isinstance(value, dict) and isinstance(value.get("messages"), list):
            messages = wire_messages(value["messages"])
            return Result(hints.encode({"resultType": "complete", **value, "messages": messages}))
        members: dict[str, Any] = {"resultType": "complete"}
        description = self.options.description or self.routine.signature.docs.text
        if description:
            members["description"] = description
        members["messages"] = wire_messages(value if isinstance(value, (list, Message)) else [value])
        return Result(hints.encode(members))


def _reader(parameter: Parameter) -> Callable[[str], Any] | None:
    """How the string of an argument becomes a value that is more than a string: it is JSON then."""
    (schema,), _ = hints.schemas([parameter.hint])
    structured = schema.get("type") in ("object", "array") or "$ref" in schema
    return hints.decoder(parameter.hint) if structured else None


def _choices(hint: Any) -> list[str]:
    """The values of an enumeration, for completion."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return [each for each in typing.get_args(hint) if isinstance(each, str)]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [each.value for each in hint if isinstance(each.value, str)]
    return [choice for each in typing.get_args(hint) for choice in _choices(each)] if origin is not list else []


# --- completion ------------------------------------------------------------------------------------------------------


class Completion:
    """Values for one argument of a prompt or template: a function of what is typed so far, and of other arguments."""

    __slots__ = ("routine", "wants_arguments")

    def __init__(self, routine: Routine) -> None:
        count = len(routine.signature.parameters)
        if count not in (1, 2):
            raise ConfigError(f"{routine.what}: takes what is typed so far, and perhaps the other arguments as a dict")
        self.routine = routine
        self.wants_arguments = count == 2

    async def complete(self, value: str, arguments: dict[str, str], request: Request) -> Result:
        """Answer a completion/complete."""
        context = self.routine.context(request)
        clock = self.routine.clock()
        context.attach(None, clock, self.routine.services.threads)
        try:
            work = self.routine.invoke((value, arguments) if self.wants_arguments else (value,), context)
            found = await (work if clock is None else clock.run(work))
        except RuneError:
            raise
        except (Exception, SystemExit) as error:
            raise ProtocolError(
                INTERNAL_ERROR, f"{self.routine.what} failed: {type(error).__name__}: {error}"
            ) from error
        finally:
            context.close()
        return completed(found)


def completed(found: Any) -> Result:
    """A CompleteResult: at most 100 values, and how many there are."""
    more: dict[str, Any] = {}
    if isinstance(found, dict):
        more = {key: found[key] for key in ("total", "hasMore") if key in found}
        found = found["values"]
    values = [str(value) for value in found or ()] if not isinstance(found, str) else [found]
    cut = len(values) > MAX_VALUES
    return Result.of({"completion": {"values": values[:MAX_VALUES], "total": len(values), "hasMore": cut} | more})


def matching(choices: Iterable[str], value: str) -> Result:
    """The choices that begin with what is typed so far."""
    return completed([choice for choice in choices if choice.lower().startswith(value.lower())])
