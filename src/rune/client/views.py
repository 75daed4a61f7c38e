"""Results as people like to read them: the dict of the wire, with short names for what is asked for most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from rune.request import Result


class View(dict[str, Any]):
    """A result as it came: its members by their names on the wire, and the bytes in `raw`."""

    __slots__ = ("raw",)

    def __init__(self, result: Result) -> None:
        super().__init__(result.value)
        self.raw = result.raw


class ToolResult(View):
    """The answer of a tool. A tool that failed answers too: look at `is_error`."""

    __slots__ = ()

    @property
    def content(self) -> list[dict[str, Any]]:
        """The content blocks."""
        return list(self.get("content") or [])

    @property
    def structured(self) -> Any:
        """The structured content, None when there is none."""
        return self.get("structuredContent")

    @property
    def is_error(self) -> bool:
        """Whether the tool says that it failed."""
        return self.get("isError") is True

    @property
    def text(self) -> str:
        """All text blocks, one under the other."""
        return _text(self.content)


class ReadResult(View):
    """The contents of a resource."""

    __slots__ = ()

    @property
    def contents(self) -> list[dict[str, Any]]:
        """One entry for each part; `text` or base64 in `blob`."""
        return list(self.get("contents") or [])

    @property
    def text(self) -> str:
        """All text parts, one under the other."""
        return _text(self.contents)


class PromptResult(View):
    """A prompt, filled in."""

    __slots__ = ()

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages, each with `role` and `content`."""
        return list(self.get("messages") or [])

    @property
    def text(self) -> str:
        """The text of all messages, one under the other."""
        return _text(message.get("content") or {} for message in self.messages)


class Completion(View):
    """What an argument could be."""

    __slots__ = ()

    @property
    def suggestions(self) -> list[str]:
        """The suggestions, at most 100."""
        return list(self.get("completion", {}).get("values") or [])


class Notification(NamedTuple):
    """Something that a server said unasked."""

    method: str
    params: dict[str, Any]


def _text(blocks: Iterable[dict[str, Any]]) -> str:
    return "\n".join(block["text"] for block in blocks if isinstance(block.get("text"), str))
