"""What a question to the client needs (2026-07-28, MRTR): nobody may ask for what a request did not declare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rune.protocol.modern import missing_capability


def needs(method: str, params: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a client must have declared to be asked this, shaped like ClientCapabilities; None for no question."""
    match method:
        case "elicitation/create":
            return {"elicitation": {"url": {}} if params.get("mode") == "url" else {}}
        case "sampling/createMessage":
            return {"sampling": {"tools": {}} if params.get("tools") else {}}
        case "roots/list":
            return {"roots": {}}
    return None


def declares(wanted: Mapping[str, Any], capabilities: Mapping[str, Any]) -> bool:
    """Whether the client's capabilities cover what a question needs."""
    for kind, parts in wanted.items():
        have = capabilities.get(kind)
        if not isinstance(have, Mapping):
            return False
        if kind == "elicitation" and not parts and have and "form" not in have:
            # `elicitation: {}` means form only; one that names modes has only those.
            return False
        if any(part not in have for part in parts):
            return False
    return True


def check_declared(wanted: Mapping[str, Any], capabilities: Mapping[str, Any]) -> None:
    """A question may only be put to a client that declared its kind in this request.

    Raises:
        ProtocolError: -32021.
    """
    if not declares(wanted, capabilities):
        raise missing_capability(dict(wanted))
