"""`deny_list`: refuses what contains one of some words, and keeps tools out of the lists."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from rune.errors import ConfigError
from rune.plugin import ListPayload, Plugin, PluginConfig, PluginContext, PluginResult, PluginViolation
from rune.plugins.texts import mapped


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
        if not (self._words or self._tools):
            raise ConfigError("has nothing to deny", hint='config = { words = ["…"] } or { tools = ["…"] }')

    def _denied(self, name: str) -> bool:
        return any(fnmatchcase(name, glob) for glob in self._tools)

    def _judge(self, args: Any) -> PluginResult[Any]:
        hit: list[str] = []

        def look(text: str) -> str:
            lower = text.lower()
            hit.extend(word for word in self._words if word in lower)
            return text

        mapped(args, look)
        if not hit:
            return PluginResult()
        # Which word it was is for the log: it may be what nobody is to say.
        return _refused("holds a word that is not allowed", "deny", f"the word {hit[0]!r}")

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
