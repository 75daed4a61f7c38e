"""`deny_list`: refuses what contains one of some words, and keeps tools out of the lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate
from typing import Any

from rune.errors import ConfigError
from rune.plugin import ListPayload, Plugin, PluginConfig, PluginContext, PluginResult, PluginViolation


class DenyList(Plugin):
    """`words` (in any case) must not stand in arguments; `tools` (globs over the names that clients see) do not exist.

    Raises:
        ConfigError: for a config with neither, or with other keys.
    """

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        unknown = config.config.keys() - {"words", "tools"}
        if unknown:
            raise ConfigError(f"unknown key {sorted(unknown)[0]}", hint="known keys: words, tools")
        self._words = tuple(word.lower() for word in _texts(config, "words"))
        self._tools = tuple(_texts(config, "tools"))
        self._matches = re.compile("|".join(map(translate, self._tools))).match if self._tools else None
        if not (self._words or self._tools):
            raise ConfigError("has nothing to deny", hint='config = { words = ["…"] } or { tools = ["…"] }')

    def passes(self, hook: str, raw: Mapping[str, bytes]) -> bool:
        """Nothing is decoded where no word stands anywhere in the JSON."""
        args = raw.get("args")
        # An escape may stand for anything.
        if args is None or b"\\" in args:
            return False
        if self._matches is not None and "name" in raw and self._matches(str(raw["name"], "utf-8")[1:-1]):
            return False
        if self._words:
            lower = str(args, "utf-8").lower()
            for word in self._words:
                if word in lower:
                    return False
        return True

    def _denied(self, name: str) -> bool:
        return self._matches is not None and self._matches(name) is not None

    def _hit(self, value: Any) -> str | None:
        """The first word that stands in a value"""
        kind = type(value)
        if kind is str:
            lower = value.lower()
            for word in self._words:
                if word in lower:
                    return word
            return None
        for item in value.values() if kind is dict else value if kind is list else ():
            hit = self._hit(item)
            if hit is not None:
                return hit
        return None

    def _judge(self, args: Any) -> PluginResult[Any]:
        hit = self._hit(args) if self._words else None
        if hit is None:
            return PluginResult()
        # Which word it was is for the log: it may be what nobody is to say.
        return _refused("holds a word that is not allowed", "deny", f"the word {hit!r}")

    async def tool_pre_invoke(self, payload: Any, context: PluginContext) -> PluginResult[Any]:
        if self._denied(payload.name):
            return _refused(f"the tool {payload.name} is not allowed", "deny_tool")
        return self._judge(payload.args)

    async def prompt_pre_fetch(self, payload: Any, context: PluginContext) -> PluginResult[Any]:
        return self._judge(payload.args)

    async def tools_post_list(self, payload: ListPayload, context: PluginContext) -> PluginResult[Any]:
        items = [tool for tool in payload.items if not self._denied(str(tool.get("name")))]
        if len(items) == len(payload.items):
            return PluginResult()
        payload.items = items
        return PluginResult(modified_payload=payload)


def _texts(config: PluginConfig, key: str) -> list[str]:
    value = config.config.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise ConfigError(f"{key} must be a list of texts")
    return value


def _refused(reason: str, code: str, description: str = "") -> PluginResult[Any]:
    return PluginResult(continue_processing=False, violation=PluginViolation(reason, description, code))
