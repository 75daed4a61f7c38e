"""Every text in a JSON value, through one function: what the filters among the plugins have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rune.plugin import (
    AnswerPayload,
    CompletionPayload,
    ListPayload,
    LogPayload,
    Plugin,
    PluginContext,
    PluginResult,
    ProgressPayload,
    PromptPosthookPayload,
    PromptPrehookPayload,
    QuestionPayload,
    ResourcePostFetchPayload,
    ToolPostInvokePayload,
    ToolPreInvokePayload,
)
from rune.plugins.said import WINDOW, Said

UNTOUCHED: Final = frozenset({"type", "mimeType", "blob", "data", "uri", "resultType", "role", "cacheScope"})
"""Members of content whose texts have a meaning for programs."""


def mapped(value: Any, change: Callable[[str], str], kept: frozenset[str] = frozenset()) -> Any:
    """The value with every text changed; the very same object where nothing has. `kept` members stay as they are."""
    kind = type(value)
    if kind is str:
        return change(value)
    if kind is dict:
        members = None
        for key, item in value.items():
            new = (item if key in kept else change(item)) if type(item) is str else mapped(item, change, kept)
            if new is not item:
                members = members or dict(value)
                members[key] = new
        return members or value
    if kind is list:
        items = None
        for index, item in enumerate(value):
            new = mapped(item, change, kept)
            if new is not item:
                items = items or list(value)
                items[index] = new
        return items or value
    return value


class TextPlugin(Plugin):
    """A plugin that changes texts wherever they pass. `text` is all that it has to have. Nothing that it looks for is
    longer than `window`, unless it is one run of visible ASCII characters."""

    window = WINDOW

    def text(self, text: str) -> str:
        """The text as it may pass; the very same object when nothing is wrong with it."""
        raise TypeError(f"{type(self).__name__} has no text()")

    def _through(self, payload: Any, key: str, kept: frozenset[str] = frozenset()) -> PluginResult[Any]:
        value = getattr(payload, key)
        changed = mapped(value, self.text, kept)
        if changed is value:
            return PluginResult()
        setattr(payload, key, changed)
        return PluginResult(modified_payload=payload)

    async def tool_pre_invoke(self, payload: ToolPreInvokePayload, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "args")

    async def tool_post_invoke(self, payload: ToolPostInvokePayload, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "result", UNTOUCHED)

    async def prompt_pre_fetch(self, payload: PromptPrehookPayload, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "args")

    async def prompt_post_fetch(self, payload: PromptPosthookPayload, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "result", UNTOUCHED)

    async def resource_post_fetch(self, payload: ResourcePostFetchPayload, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "content", UNTOUCHED)

    async def completion_post(self, payload: CompletionPayload, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "result", UNTOUCHED)

    async def tools_post_list(self, payload: ListPayload, context: PluginContext) -> PluginResult[Any]:
        return self._descriptions(payload)

    async def prompts_post_list(self, payload: ListPayload, context: PluginContext) -> PluginResult[Any]:
        return self._descriptions(payload)

    async def resources_post_list(self, payload: ListPayload, context: PluginContext) -> PluginResult[Any]:
        return self._descriptions(payload)

    def _descriptions(self, payload: ListPayload) -> PluginResult[Any]:
        """What is listed keeps its names: they are how it is asked for."""
        items = [
            {key: self.text(value) if key in ("title", "description") else value for key, value in item.items()}
            for item in payload.items
        ]
        if items == payload.items:
            return PluginResult()
        payload.items = items
        return PluginResult(modified_payload=payload)

    async def progress_pre_send(self, payload: ProgressPayload, context: PluginContext) -> PluginResult[Any]:
        message = payload.message or ""
        said = context.state.get("said")
        if said is None:
            said = context.state["said"] = Said(self.text, self.window)
        if not payload.piece:
            payload.message = said.message(message)
        elif payload.last:
            payload.message = said.piece(message) + said.rest()
        else:
            payload.message = said.piece(message)
        return PluginResult() if payload.message == message else PluginResult(modified_payload=payload)

    async def log_pre_send(self, payload: LogPayload, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "data")

    async def elicitation_pre(self, payload: QuestionPayload, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "params", frozenset({"mode", "url", "type", "format"}))

    async def elicitation_post(self, payload: AnswerPayload, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "answer", frozenset({"action"}))

    async def sampling_pre(self, payload: QuestionPayload, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "params", UNTOUCHED)

    async def sampling_post(self, payload: AnswerPayload, context: PluginContext) -> PluginResult[Any]:
        return self._through(payload, "answer", UNTOUCHED | {"model", "stopReason"})
