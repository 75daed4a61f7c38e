"""Resources and URI templates made of Python functions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import msgspec

from rune.errors import INTERNAL_ERROR, ConfigError, NotFound, ProtocolError, RuneError
from rune.protocol.uritemplate import Template
from rune.request import Request, Result
from rune.source import Item
from rune.sources.content import Audio, Embedded, Image, Text, contents
from rune.sources.context import Context
from rune.sources.hints import encode
from rune.sources.routine import Routine
from rune.sources.schema import Arguments

_SCOPES: Final = ("private", "public")


class ResourceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All that the decorator may say about a resource; see `Server.resource`."""

    name: str | None = None
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    size: int | None = None
    icons: Any = None
    annotations: Mapping[str, Any] | None = None
    meta: Mapping[str, Any] | None = None
    ttl_ms: int = 0
    scope: str = "private"


class Resource:
    """A resource, or a template of many: a URI with `{variables}` that are the function's parameters."""

    __slots__ = ("arguments", "item", "options", "routine", "template", "uri")

    def __init__(self, uri: str, routine: Routine, options: ResourceOptions) -> None:
        what = routine.what
        if options.scope not in _SCOPES or options.ttl_ms < 0:
            raise ConfigError(f"{what}: scope is private or public, ttl_ms not below 0")
        self.uri = uri
        self.routine = routine
        self.options = options
        self.template = Template(uri) if "{" in uri else None
        self.arguments = Arguments(routine.signature, what)
        variables = set() if self.template is None else set(self.template.variables)
        for parameter in routine.signature.parameters:
            if parameter.name not in variables and parameter.required:
                raise ConfigError(f"{what}: parameter {parameter.name} is no variable of {uri}")
        for variable in sorted(variables - {each.name for each in routine.signature.parameters}):
            raise ConfigError(f"{what}: {variable} of {uri} is no parameter of the function")
        self.item = Item(uri, encode(self._definition()))

    def _definition(self) -> dict[str, Any]:
        options = self.options
        members = {
            "uriTemplate" if self.template else "uri": self.uri,
            "name": options.name or getattr(self.routine.function, "__name__", self.uri),
            "title": options.title,
            "description": options.description or self.routine.signature.docs.text or None,
            "mimeType": options.mime_type,
            "size": options.size,
            "icons": options.icons,
            "annotations": options.annotations,
            "_meta": options.meta,
        }
        return {key: value for key, value in members.items() if value is not None}

    def match(self, uri: str) -> Mapping[str, Any] | None:
        """The variables of a URI, None when this is no template, or not its."""
        return None if self.template is None else self.template.match(uri)

    async def read(self, request: Request, uri: str, variables: Mapping[str, Any]) -> Result:
        """Answer a resources/read.

        Raises:
            NotFound: the function says so, returns None, or the variables have no valid values.
        """
        try:
            values = self.arguments.convert(variables)
        except msgspec.ValidationError as error:
            raise NotFound(f"no such resource: {uri}: {error}", data={"uri": uri}) from None
        return await self.routine.converse(request, partial(self._run, uri, values))

    async def _run(self, uri: str, values: tuple[Any, ...], context: Context) -> Result:
        clock = self.routine.clock()
        context.attach(None, clock, self.routine.services.threads)
        try:
            work = self.routine.invoke(values, context)
            value = await (work if clock is None else clock.run(work))
            if self.routine.kind in ("generator", "asyncgen") and all(isinstance(each, str) for each in value):
                value = "".join(value)
            found = self._contents(uri, value)
        except NotFound as error:
            raise NotFound(error.message, hint=error.hint, data=error.data or {"uri": uri}) from None
        except RuneError:
            raise
        except (Exception, SystemExit) as error:
            raise ProtocolError(INTERNAL_ERROR, f"resource {uri} failed: {type(error).__name__}: {error}") from error
        finally:
            context.close()
        return Result(
            encode(
                {
                    "resultType": "complete",
                    "contents": found,
                    "ttlMs": self.options.ttl_ms,
                    "cacheScope": self.options.scope,
                }
            )
        )

    def _contents(self, uri: str, value: Any) -> list[dict[str, Any]]:
        mime = self.options.mime_type
        if isinstance(value, dict) and isinstance(value.get("contents"), list):
            return list(value["contents"])
        if isinstance(value, list) and value and all(isinstance(each, Embedded) for each in value):
            return [contents(each.uri, each.content, each.mime) for each in value]
        match value:
            case None:
                raise NotFound(f"no such resource: {uri}")
            case str() | bytes() | bytearray():
                return [contents(uri, value, mime)]
            case Text():
                return [contents(uri, value.text, mime)]
            case Image() | Audio():
                block = value.block()
                return [{"uri": uri, "mimeType": block["mimeType"], "blob": block["data"]}]
            case Embedded():
                return [contents(value.uri, value.content, value.mime or mime)]
        return [contents(uri, encode(value).decode(), mime or "application/json")]
