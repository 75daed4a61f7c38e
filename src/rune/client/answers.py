"""What the user of the public client answers when a tool asks: three functions and their shapes on the wire."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from rune.errors import INVALID_REQUEST, ProtocolError
from rune.protocol import jsonrpc

Reply: TypeAlias = Mapping[str, Any] | None
Elicit: TypeAlias = Callable[[dict[str, Any]], Reply | Awaitable[Reply]]
Sample: TypeAlias = Callable[[dict[str, Any]], str | Mapping[str, Any] | Awaitable[str | Mapping[str, Any]]]
Root: TypeAlias = str | Path | Mapping[str, Any]
Roots: TypeAlias = Sequence[Root] | Callable[[], Sequence[Root] | Awaitable[Sequence[Root]]]

_ACTIONS: Final = ("accept", "decline", "cancel")


class Answers:
    """The three functions. One that is missing is not declared, so a server must not ask for it."""

    def __init__(self, elicitation: Elicit | None, sampling: Sample | None, roots: Roots | None) -> None:
        self._elicitation = elicitation
        self._sampling = sampling
        self._roots = roots
        self.capabilities: dict[str, Any] = {}
        if elicitation is not None:
            self.capabilities["elicitation"] = {"form": {}, "url": {}}
        if sampling is not None:
            self.capabilities["sampling"] = {}
        if roots is not None:
            self.capabilities["roots"] = {}

    async def to(self, questions: Any) -> dict[str, msgspec.Raw]:
        """Answer all questions of one round, one after the other: they may all want the same user.

        Raises:
            ProtocolError: -32600 for a question that this client did not offer to answer.
        """
        if not isinstance(questions, dict):
            raise ProtocolError(INVALID_REQUEST, "inputRequests must be an object")
        return {key: msgspec.Raw(jsonrpc.encode(await self._answer(question))) for key, question in questions.items()}

    async def _answer(self, question: Any) -> Mapping[str, Any]:
        method = question.get("method") if isinstance(question, dict) else None
        params = question.get("params") or {} if isinstance(question, dict) else {}
        if method == "elicitation/create" and self._elicitation is not None:
            return elicited(await _value(self._elicitation(params)))
        if method == "sampling/createMessage" and self._sampling is not None:
            return sampled(await _value(self._sampling(params)))
        if method == "roots/list" and self._roots is not None:
            roots = await _value(self._roots()) if callable(self._roots) else self._roots
            return {"roots": [rooted(root) for root in roots]}
        raise ProtocolError(INVALID_REQUEST, f"the server asked for {method}, which this client does not offer")


def elicited(reply: Reply) -> Mapping[str, Any]:
    """An ElicitResult: None declines, a dict with an `action` is one already, any other dict is the content."""
    if reply is None:
        return {"action": "decline"}
    if reply.get("action") in _ACTIONS and reply.keys() <= {"action", "content", "_meta"}:
        return reply
    return {"action": "accept", "content": dict(reply)}


def sampled(reply: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """A CreateMessageResult: a string is the text of the assistant."""
    if isinstance(reply, str):
        return {"role": "assistant", "content": {"type": "text", "text": reply}, "model": "client"}
    return {"role": "assistant", "model": "client", **reply}


def rooted(root: Root) -> Mapping[str, Any]:
    """A Root: a path becomes a file URI."""
    if isinstance(root, Mapping):
        return root
    if isinstance(root, str) and "://" in root:
        return {"uri": root}
    return {"uri": Path(root).absolute().as_uri()}


async def _value(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
