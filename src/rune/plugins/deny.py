"""`deny_list`: refuses what contains one of some words, and keeps tools out of the lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate
from functools import lru_cache
from typing import Any, Final

import msgspec

from rune.errors import ConfigError
from rune.native import make_words
from rune.plugin import ListPayload, Passing, Plugin, PluginConfig, PluginContext, PluginResult, PluginViolation
from rune.request import Caller

NAMES: Final = 1024
"""Names of tools that are remembered as allowed or not."""

_decode = msgspec.json.Decoder().decode


class DenyList(Plugin):
    """`words` (in any case) must not stand in arguments; `tools` (globs over the names that clients see) do not exist.
    `implementation` may be chosen.

    Raises:
        ConfigError: for a config with neither, or with other keys.
    """

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        options = config.options("words", "tools", "implementation")
        self._words = tuple(word.lower() for word in _texts(config, "words"))
        words, self.implementation = make_words(options.get("implementation", "auto"), self._words)
        self._absent = words.absent
        self._tools = tuple(_texts(config, "tools"))
        self._matches = re.compile("|".join(map(translate, self._tools))).match if self._tools else None
        if not (self._words or self._tools):
            raise ConfigError("has nothing to deny", hint='config = { words = ["…"] } or { tools = ["…"] }')

    def passing(self, hook: str) -> Passing | None:
        """Nothing is opened where no word stands anywhere in the JSON."""
        if hook == "tools_post_list":
            return None
        absent = self._absent if self._words else None
        denied = lru_cache(NAMES)(lambda name: self._denied(_decode(name))) if self._tools else None

        def passes(raw: Mapping[str, bytes], caller: Caller) -> bool:
            if denied is not None and "name" in raw and denied(raw["name"]):
                return False
            return absent is None or absent(raw["args"])

        return passes

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
