"""Questions to the client: `inputRequests` of 2026-07-28 against the requests that legacy servers send, and answers."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from rune.errors import INVALID_PARAMS, ProtocolError
from rune.protocol.legacy.members import encode
from rune.protocol.legacy.results import downgrade_result
from rune.protocol.legacy.tasks import RELATED

Value: TypeAlias = dict[str, Any]

ELICIT: Final = "elicitation/create"
SAMPLE: Final = "sampling/createMessage"
ROOTS: Final = "roots/list"

KEY: Final = "rune/key"
"""In `_meta` of a question of ours: its key in `inputRequests`, for a Rune in between that talks to a newer client."""

_decode = msgspec.json.Decoder().decode

_TOOL_BLOCKS: Final = ("tool_use", "tool_result")


def downgrade_question(question: Value, revision: str, elicitation_id: str = "") -> Value | None:
    """`{method, params}` of an input request as a client of a legacy revision can be asked it, None if it cannot.

    URL mode needs an id that the caller keeps unique; without one the URL itself serves. The question may come from
    a foreign server: what has no proper shape cannot be asked either.
    """
    method, params = question.get("method"), question.get("params")
    if method == ROOTS:
        return {"method": ROOTS}
    if not isinstance(params, dict):
        return None
    if method == ELICIT:
        asked = _elicitation(params, revision, elicitation_id)
    elif method == SAMPLE:
        asked = _sampling(params, revision)
    else:
        return None
    return None if asked is None else {"method": method, "params": asked}


def upgrade_question(method: str, params: Any) -> Value | None:
    """A request of a legacy server as an input request, None when it is no question."""
    if method == ROOTS:
        return {"method": ROOTS}
    if method not in (ELICIT, SAMPLE) or not isinstance(params, dict):
        return None
    dropped = ("_meta", "task", "elicitationId") if method == ELICIT else ("_meta", "task")
    return {"method": method, "params": {key: value for key, value in params.items() if key not in dropped}}


def upgrade_answer(method: str, result: Any) -> Value:
    """What a legacy client answered, as an input response.

    Raises:
        ProtocolError: -32602 when it is no object.
    """
    if not isinstance(result, dict):
        raise ProtocolError(INVALID_PARAMS, f"the answer to {method} must be an object")
    answer = dict(result)
    meta = answer.pop("_meta", None)
    if method == SAMPLE and isinstance(meta, dict):
        meta = {key: value for key, value in meta.items() if key != RELATED}
        if meta:
            answer["_meta"] = meta
    if method == ELICIT and answer.get("content", ...) is None:
        del answer["content"]
    return answer


def downgrade_answer(method: str, answer: Value, revision: str) -> Value:
    """An input response as the answer to the request of a legacy server."""
    content = answer.get("content")
    if method != SAMPLE or revision >= "2025-11-25" or not isinstance(content, list):
        return answer
    texts = [block["text"] for block in content if isinstance(block, dict) and isinstance(block.get("text"), str)]
    if len(content) == 1 or not texts:
        return {**answer, "content": content[0] if content else {"type": "text", "text": ""}}
    return {**answer, "content": {"type": "text", "text": "\n".join(texts)}}


# --- elicitation -----------------------------------------------------------------------------------------------------


def _elicitation(params: Value, revision: str, elicitation_id: str) -> Value | None:
    if revision < "2025-06-18":
        return None
    if revision >= "2025-11-25":
        if params.get("mode") == "url":
            return {**params, "elicitationId": elicitation_id or params.get("url")}
        return params
    schema = params.get("requestedSchema")
    if params.get("mode", "form") != "form" or not isinstance(schema, dict):
        return None
    form = _form(schema)
    if form is None:
        return None
    return {**{key: value for key, value in params.items() if key != "mode"}, "requestedSchema": form}


def _form(schema: Value) -> Value | None:
    """A form of 2025-06-18: no multiple choice, titles of an enum beside it."""
    fields, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(fields, dict) or not isinstance(required, list):
        return None
    properties: Value = {}
    for name, definition in fields.items():
        if not isinstance(definition, dict) or definition.get("type") == "array":
            if name in required:
                return None
            continue
        properties[name] = _choice(definition)
    return {**{key: value for key, value in schema.items() if key != "$schema"}, "properties": properties}


def _choice(definition: Value) -> Value:
    options = definition.get("oneOf")
    if not isinstance(options, list) or not all(isinstance(option, dict) and "const" in option for option in options):
        return definition
    return {
        **{key: value for key, value in definition.items() if key != "oneOf"},
        "enum": [option["const"] for option in options],
        "enumNames": [option.get("title", option["const"]) for option in options],
    }


# --- sampling --------------------------------------------------------------------------------------------------------


def _sampling(params: Value, revision: str) -> Value | None:
    found = params.get("messages")
    if not isinstance(found, list) or not all(isinstance(message, dict) for message in found):
        return None
    if revision < "2025-11-25":
        return _plain_sampling(params, found, revision)
    asked = {**params, "messages": [{**message, "content": _tool_results(message.get("content"))} for message in found]}
    if "tools" in params:
        listed = encode({"tools": params["tools"]})
        asked["tools"] = _decode(downgrade_result("tools/list", listed, revision))["tools"]
    return asked


def _tool_results(content: Any) -> Any:
    """Content whose tool results keep `structuredContent` only if it is an object (2025-11-25)."""
    if isinstance(content, list):
        return [_tool_results(block) for block in content]
    if not isinstance(content, dict) or isinstance(content.get("structuredContent", {}), dict):
        return content
    return {key: value for key, value in content.items() if key != "structuredContent"}


def _plain_sampling(params: Value, found: list[Value], revision: str) -> Value | None:
    """A request without tools, one block in each message; None where it makes no sense without them."""
    choice = params.get("toolChoice")
    if isinstance(choice, dict) and choice.get("mode") == "required":
        return None
    messages: list[Value] = []
    for message in found:
        content = message.get("content")
        for block in content if isinstance(content, list) else [content]:
            kind = block.get("type") if isinstance(block, dict) else None
            if kind in _TOOL_BLOCKS or (kind == "audio" and revision < "2025-03-26"):
                return None
            messages.append({**message, "content": block})
    asked = {key: value for key, value in params.items() if key not in ("tools", "toolChoice")}
    return {**asked, "messages": messages}
