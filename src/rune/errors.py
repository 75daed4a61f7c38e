"""What can go wrong, as eight classes: each knows its JSON-RPC code and what the user can do about it."""

from __future__ import annotations

from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022


class RuneError(Exception):
    """Base of all errors of Rune.

    `code` is the JSON-RPC code on the wire, `hint` tells the user what to do, `data` goes out as `error.data`.
    """

    code = INTERNAL_ERROR

    def __init__(self, message: str, *, hint: str | None = None, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.data = data

    def __str__(self) -> str:
        return self.message


class ProtocolError(RuneError):
    """A JSON-RPC error with a code of its own, ours or one that came from an upstream."""

    def __init__(self, code: int, message: str, *, hint: str | None = None, data: Any = None) -> None:
        super().__init__(message, hint=hint, data=data)
        self.code = code


class NotFound(RuneError):
    """A tool, prompt or resource that this caller cannot see (-32602, as the specification wants)."""

    code = INVALID_PARAMS


class Unavailable(RuneError):
    """A source that cannot answer now: dead, starting, or unreachable."""


class TimedOut(RuneError):
    """Something took longer than its deadline."""


class NeedsAuth(RuneError):
    """A source that wants a sign-in first. `door` is the way to one, where a person could be led there."""

    door: Any = None


class ToolError(RuneError):
    """Raise it in a tool: the message becomes a result with `isError`, which the model can read."""


class ConfigError(RuneError):
    """A config file, a target or a decorated function that Rune cannot accept."""
