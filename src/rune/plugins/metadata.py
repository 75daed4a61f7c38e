"""`metadata_filter`: which headers and which `_meta` reach a source, and which `_meta` comes back from it."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import msgspec

from rune.errors import ConfigError
from rune.plugin import Plugin, PluginConfig
from rune.protocol import jsonrpc
from rune.request import Handler, Request, Result

PARTS: Final = ("headers", "request", "result")
RESERVED: Final = ("io.modelcontextprotocol/*", "progressToken", "rune/*")
"""Members of `_meta` by which the protocol works."""


class Rule:
    """`keep` and `remove`: globs over names in any case. What is kept, if that is said, and is not removed, passes."""

    def __init__(self, part: str, given: Any) -> None:
        if not isinstance(given, dict) or not given or given.keys() - {"keep", "remove"}:
            raise ConfigError(f"{part} has keep and remove", hint=f'config = {{ {part} = {{ remove = ["x-*"] }} }}')
        for key, globs in given.items():
            if not isinstance(globs, list) or not all(isinstance(glob, str) for glob in globs):
                raise ConfigError(f"{part}.{key} must be a list of texts")
        self._keep = [glob.lower() for glob in given.get("keep", ["*"])]
        self._remove = [glob.lower() for glob in given.get("remove", [])]

    def passes(self, name: str) -> bool:
        """Whether something of this name may pass."""
        name = name.lower()
        return any(fnmatchcase(name, glob) for glob in self._keep) and not any(
            fnmatchcase(name, glob) for glob in self._remove
        )

    def meta(self, raw: bytes) -> bytes | None:
        """A `_meta` without what may not pass; None where all of it may."""
        members = jsonrpc.read_object(raw)
        kept = {name: value for name, value in members.items() if self._stays(name)}
        return None if len(kept) == len(members) else jsonrpc.encode(kept)

    def _stays(self, name: str) -> bool:
        return any(fnmatchcase(name, glob) for glob in RESERVED) or self.passes(name)


class MetadataFilter(Plugin):
    """Config: `headers` (of the client, as Python tools see them), `request` and `result` (`_meta` on its way down and
    up, also in the parts of a result), each with `keep` and `remove`.

    Raises:
        ConfigError: for a config without any of them, and for other keys.
    """

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        unknown = config.config.keys() - set(PARTS)
        if unknown or not config.config:
            problem = f"unknown key {sorted(unknown)[0]}" if unknown else "has nothing to filter"
            raise ConfigError(problem, hint=f"known keys: {', '.join(PARTS)}")
        self._rules: Mapping[str, Rule] = {part: Rule(part, given) for part, given in config.config.items()}

    async def handle(self, request: Request, next: Handler) -> Result:
        rules = self._rules
        if "headers" in rules and request.headers is not None:
            headers = {
                name: each for name, each in request.headers.items() if rules["headers"].passes(name.decode("latin-1"))
            }
            request = request.replace(headers=headers)
        if "request" in rules and "_meta" in request.params:
            meta = rules["request"].meta(request.params["_meta"])
            if meta is not None:
                request = request.replace(params={**request.params, "_meta": msgspec.Raw(meta)})
        result = await next(request)
        if "result" not in rules or b'"_meta"' not in result.raw or result.kind != "complete":
            return result
        return Result(self._result(result.raw, rules["result"]))

    def _result(self, raw: bytes, rule: Rule) -> bytes:
        whole: dict[str, Any] = dict(jsonrpc.read_object(raw))
        for key in ("content", "contents"):
            if key in whole and b'"_meta"' in bytes(whole[key]):
                items = msgspec.json.decode(whole[key], type=list[dict[str, msgspec.Raw]])
                whole[key] = [_without(item, rule) for item in items]
        return jsonrpc.encode(_without(whole, rule))


def _without(members: dict[str, Any], rule: Rule) -> dict[str, Any]:
    meta = rule.meta(members["_meta"]) if "_meta" in members else None
    return members if meta is None else {**members, "_meta": msgspec.Raw(meta)}
