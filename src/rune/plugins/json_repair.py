"""`json_repair`: makes broken JSON in results whole. `docs/reference/json.md` says what is repaired, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rune.errors import ConfigError
from rune.native import Implementation, Wanted, make_repair
from rune.plugin import Plugin, PluginConfig, PluginContext, PluginResult
from rune.plugins.texts import UNTOUCHED, mapped

_STARTS: Final = ("{", "[", "```json")


class JsonRepair:
    """Makes broken JSON whole.

    `implementation` is "rust" or "python" and may be chosen; the output is the same. `repair(text)` returns valid JSON,
    the very same object where it was valid, and None where there is none in it.

    Raises:
        ConfigError: for "rust" where there is none.
    """

    repair: Callable[[str], str | None]
    implementation: Implementation

    def __init__(self, *, implementation: Wanted = "auto") -> None:
        self.repair, self.implementation = make_repair(implementation)


class JsonRepairPlugin(Plugin):
    """Repairs texts of results and resources that mean to be JSON: they begin with a bracket or a fence for it.

    Config: `anywhere` (also JSON in the middle of prose, which then is all that stays), `arguments` (of calls too),
    `implementation`.

    Raises:
        ConfigError: for an unknown key, or a value of another type.
    """

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        options = config.options("anywhere", "arguments", "implementation")
        for key in ("anywhere", "arguments"):
            if not isinstance(options.get(key, False), bool):
                raise ConfigError(f"{key} must be true or false")
        json = JsonRepair(implementation=options.get("implementation", "auto"))
        self.implementation = json.implementation
        self._repair = json.repair
        self._anywhere = options.get("anywhere", False)
        self._arguments = options.get("arguments", False)

    def _text(self, text: str) -> str:
        if not (self._anywhere or text.lstrip().startswith(_STARTS)):
            return text
        repaired = self._repair(text)
        return text if repaired is None else repaired

    def _through(self, payload: Any, key: str, kept: frozenset[str]) -> PluginResult[Any]:
        value = getattr(payload, key)
        changed = mapped(value, self._text, kept)
        if changed is value:
            return PluginResult()
        setattr(payload, key, changed)
        return PluginResult(modified_payload=payload)

    async def tool_pre_invoke(self, payload: Any, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "args", frozenset()) if self._arguments else PluginResult()

    async def tool_post_invoke(self, payload: Any, context: PluginContext) -> PluginResult[Any]:
        # What is structured is JSON already; a text in it is a text.
        result = payload.result
        content = result.get("content") if isinstance(result, dict) else None
        changed = mapped(content, self._text, UNTOUCHED)
        if changed is content:
            return PluginResult()
        payload.result = {**result, "content": changed}
        return PluginResult(modified_payload=payload)

    async def resource_post_fetch(self, payload: Any, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "content", UNTOUCHED)

    async def progress_pre_send(self, payload: Any, context: PluginContext) -> PluginResult[Any]:
        """What leaves early is a part or a remark: it passes as it is."""
        return PluginResult()

    async def log_pre_send(self, payload: Any, context: PluginContext) -> PluginResult[Any]:
        """A remark: it passes as it is."""
        return PluginResult()
