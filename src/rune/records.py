"""What plugins did: one line of JSON for each change, refusal and failure, on the logger `rune.audit`.

`[server] audit` says where the lines go. None of them holds anything of what has passed.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from rune.plugin import GlobalContext

AUDIT: Final = logging.getLogger("rune.audit")
log = logging.getLogger("rune.plugins")

_encode = msgspec.json.Encoder().encode


class Record(msgspec.Struct, frozen=True):
    """What one plugin did to one request, where it did something. `seconds` are those of the clock on the wall;
    `reason` is what the client is told, `more` is for the log alone."""

    plugin: str
    hook: str
    status: str
    seconds: float
    reason: str = ""
    more: str = ""


def tell(record: Record, facts: Mapping[str, str | None], shared: GlobalContext) -> None:
    """Write it down, where somebody wants to know."""
    if record.status == "blocked" and log.isEnabledFor(logging.INFO):
        log.info("%s: %s blocked: %s %s", record.plugin, record.hook, record.reason, record.more)
    if not AUDIT.isEnabledFor(logging.INFO):
        return
    what = facts.get("tools") or facts.get("prompts") or facts.get("resources")
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "plugin": record.plugin,
        "hook": record.hook,
        "status": record.status,
        "microseconds": int(record.seconds * 1e6),
        # What an exception says may be what it has seen: the log has it.
        "reason": record.reason if record.status == "blocked" else None,
        "caller": shared.user,
        "server": shared.server_id,
        "target": what,
        "request": shared.request_id,
    }
    AUDIT.info("%s", _encode({key: value for key, value in line.items() if value}).decode())


def audit(place: str) -> logging.Handler:
    """Send the lines to a file, which only its owner may read and which grows, or to stderr for "stderr".

    Raises:
        OSError: the file cannot be written.
    """
    handler: logging.Handler
    if place == "stderr":
        handler = logging.StreamHandler(sys.stderr)
    else:
        os.close(os.open(place, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        # Another file of this name is taken up: whoever rotates logs moves the old one away.
        handler = logging.handlers.WatchedFileHandler(place, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    AUDIT.addHandler(handler)
    AUDIT.setLevel(logging.INFO)
    AUDIT.propagate = False
    return handler
