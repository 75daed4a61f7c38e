"""Servers that want a page to be visited first refuse a call with -32042; for clients of today that is a question."""

from __future__ import annotations

from typing import Any

from rune.errors import INTERNAL_ERROR, ProtocolError
from rune.protocol import jsonrpc
from rune.protocol.legacy.results import URL_ELICITATION_REQUIRED
from rune.protocol.questions import declares
from rune.request import Request, Result


def wanted(name: str, request: Request, error: ProtocolError) -> Result | None:
    """The pages that the user has to visit, as a question; None when the error is another one, or cannot be asked."""
    if error.code != URL_ELICITATION_REQUIRED or not isinstance(error.data, dict):
        return None
    pages = error.data.get("elicitations")
    if not isinstance(pages, list) or not declares({"elicitation": {"url": {}}}, request.capabilities):
        return None
    questions: dict[str, Any] = {}
    for number, page in enumerate(pages):
        if isinstance(page, dict):
            params = {key: value for key, value in page.items() if key != "elicitationId"}
            questions[f"url{number}"] = {"method": "elicitation/create", "params": {**params, "mode": "url"}}
    return Result.ask(questions, {name: {"visits": len(questions)}}) if questions else None


def visited(name: str, request: Request) -> Request:
    """The call anew when the user has agreed; others are what they are.

    Raises:
        ProtocolError: the user does not want to, and the server would only say the same again.
    """
    entry = request.state.get(name)
    if not isinstance(entry, dict) or "visits" not in entry:
        return request
    for answer in (request.answers or {}).values():
        value = jsonrpc.decode(answer)
        if not isinstance(value, dict) or value.get("action") != "accept":
            raise ProtocolError(INTERNAL_ERROR, f"{name}: the user has not visited the page that this needs")
    state = {key: value for key, value in request.state.items() if key != name}
    return request.replace(state=state, answers=None)
