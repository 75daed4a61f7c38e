"""A task as it is stored, and as its owner sees it."""

from __future__ import annotations

from typing import Any

import msgspec


class Record(msgspec.Struct):
    """A task as it is stored. Times of the wire are ISO 8601, `alive` is a Unix time."""

    id: str
    subject: str
    source: str
    tool: str
    created: str
    updated: str
    ttl: int | None
    poll: int
    alive: float
    status: str = "working"
    message: str | None = None
    questions: dict[str, Any] = {}
    result: bytes = b""
    error: dict[str, Any] | None = None

    def wire(self, *, whole: bool) -> dict[str, Any]:
        """The flat Task of the extension; `whole` adds what goes with the status."""
        value: dict[str, Any] = {
            "taskId": self.id,
            "status": self.status,
            "createdAt": self.created,
            "lastUpdatedAt": self.updated,
            "ttlMs": self.ttl,
            "pollIntervalMs": self.poll,
        }
        if self.message is not None:
            value["statusMessage"] = self.message
        if whole and self.status == "input_required":
            value["inputRequests"] = self.questions
        elif whole and self.status == "completed":
            value["result"] = msgspec.Raw(self.result)
        elif whole and self.status == "failed":
            value["error"] = self.error
        return value
