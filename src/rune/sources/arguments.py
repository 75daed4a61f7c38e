"""Checks the arguments of foreign tools against their inputSchema, where the config says `validate = true`.

Nothing is ever fetched, and what a check may cost is known before it begins (`bounds.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Coroutine
from typing import Any, Final

import jsonschema_rs
import msgspec

from rune.errors import INVALID_PARAMS, ProtocolError, RuneError
from rune.request import Handler, Request, Result
from rune.source import Item, Source, Target
from rune.sources.bounds import DEPTH, Bounds, Unusable

log = logging.getLogger("rune.arguments")

SIZE: Final = 256 * 1024
"""Bytes of an inputSchema."""
BUDGET: Final = 5_000_000
"""Steps of one check; a step takes less than 100 ns."""
BACKTRACKS: Final = 100_000
KEPT: Final = 4096
"""Schemas that are kept compiled."""
TOLD: Final = 5
"""Mistakes that are named at once."""
LENGTH: Final = 300

_decode = msgspec.json.Decoder().decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Check:
    """The inputSchema of one tool, compiled."""

    __slots__ = ("_bounds", "_validator")

    def __init__(self, schema: Any) -> None:
        if not isinstance(schema, dict):
            raise Unusable("it is no object")
        self._bounds = Bounds(schema)
        if self._bounds.steps(0) > BUDGET:
            raise Unusable("a check would take too many steps")
        try:
            self._validator = jsonschema_rs.validator_for(
                schema,
                validate_formats=False,
                retriever=_never,
                pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKS),
                mask="the value",
            )
        except jsonschema_rs.ValidationError as error:
            raise Unusable(_told(error)) from None
        except (jsonschema_rs.ReferencingError, ValueError) as error:
            raise Unusable(str(error)[:LENGTH]) from None

    def mistakes(self, raw: bytes) -> list[str]:
        """What is wrong with arguments, each with its field; nothing if all is well."""
        value = _decode(raw)
        refusal = self._too_much(raw, value)
        if refusal is not None:
            return [refusal]
        try:
            if self._validator.is_valid(value):
                return []
            found = []
            for error in self._validator.iter_errors(value):
                found.append(_told(error))
                if len(found) == TOLD:
                    break
            return found
        except ValueError:
            # Deeper than the validator can follow.
            return ["the arguments are nested too deep"]

    def _too_much(self, raw: bytes, value: Any) -> str | None:
        """Whether the check would take too long; said without doing it."""
        containers = raw.count(b"{") + raw.count(b"[")
        values = containers + raw.count(b",") + 1
        depth = DEPTH
        if self._bounds.recursive:
            depth = containers if containers <= DEPTH else _depth(value)
            if depth > DEPTH:
                return f"the arguments are more than {DEPTH} levels deep"
        if values * self._bounds.steps(depth) > BUDGET:
            return "the arguments are too large for their schema to be checked"
        return None


class Arguments:
    """A Handler around the router, for the tools of some sources."""

    def __init__(self, sources: Collection[Source]) -> None:
        self._sources = frozenset(sources)
        self._checks: dict[bytes, Check | Unusable] = {}

    def around(self, handler: Handler) -> Handler:
        """Let through to `handler` what is as its tool wants it."""

        def handle(request: Request) -> Coroutine[Any, Any, Result]:
            target = request.target
            if target is not None and request.method == "tools/call" and target.source in self._sources:
                refusal = self._refusal(request, target)
                if refusal is not None:
                    return _answer(refusal)
            return handler(request)

        return handle

    def _refusal(self, request: Request, target: Target) -> Result | None:
        assert target.item is not None, "a tool that is called is in a catalog"
        raw = bytes(request.params.get("arguments", b"{}"))
        if raw == b"null":
            raw = b"{}"
        if raw[:1] != b"{":
            raise ProtocolError(INVALID_PARAMS, "params.arguments must be an object")
        check = self._check(target.item, target)
        if isinstance(check, Unusable):
            raise RuneError(
                f"{target.source.name}: {target.name}: its inputSchema cannot be used: {check}",
                hint="validate = false for this source calls it unchecked",
            )
        try:
            mistakes = check.mistakes(raw)
        except RecursionError:
            mistakes = ["the arguments are nested too deep"]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProtocolError(INVALID_PARAMS, f"params.arguments: {error}") from None
        if not mistakes:
            return None
        text = f"invalid arguments for tool {target.name}: {'; '.join(mistakes)}"
        return Result.of({"content": [{"type": "text", "text": text}], "isError": True})

    def _check(self, item: Item, target: Target) -> Check | Unusable:
        """Compiled once for each definition, when it is first called."""
        known = self._checks.get(item.raw)
        if known is None:
            if len(self._checks) >= KEPT:
                self._checks.pop(next(iter(self._checks)))
            known = self._checks[item.raw] = _compile(item)
            if isinstance(known, Unusable):
                log.warning("%s: %s: its inputSchema cannot be used: %s", target.source.name, target.name, known)
        return known


def _compile(item: Item) -> Check | Unusable:
    try:
        raw = bytes(_decode_members(item.raw).get("inputSchema", b"{}"))
        if len(raw) > SIZE:
            raise Unusable(f"it is larger than {SIZE} bytes")
        return Check(_decode(raw))
    except Unusable as error:
        return error
    except RecursionError:
        return Unusable(f"it is more than {DEPTH} levels deep")


def _told(error: jsonschema_rs.ValidationError) -> str:
    """`field.inner[0]: what is wrong`."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path).lstrip(".")
    text = f"{path}: {error.message}" if path else error.message
    return text if len(text) <= LENGTH else f"{text[:LENGTH]}…"


def _depth(value: Any) -> int:
    """Levels of arrays and objects."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


def _never(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of it, and nothing is fetched")


async def _answer(result: Result) -> Result:
    return result
