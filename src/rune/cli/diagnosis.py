"""What to do about a source that cannot be used: one sentence for each cause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rune.config.model import SourceConfig
from rune.errors import RuneError, TimedOut

_VARIABLE: Final = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_SECRET: Final = re.compile(r"KEY|TOKEN|SECRET|PASSW")
_BROUGHT: Final = {
    "npx": "Node.js", "npm": "Node.js", "node": "Node.js", "uvx": "uv", "uv": "uv", "docker": "Docker",
    "bunx": "Bun", "bun": "Bun", "deno": "Deno", "pipx": "pipx",
}  # fmt: skip


def hint_for(source: SourceConfig, error: RuneError, stderr: Sequence[str]) -> str | None:
    """The fix that is likely; what the error says itself comes first."""
    text = str(error)
    if source.kind == "command":
        program = Path(source.command[0]).name
        if "command not found" in text and program in _BROUGHT:
            return f"install {_BROUGHT[program]}, which brings {program}, or give its full path"
        if error.hint is None:
            return _command(source, text, stderr, late=isinstance(error, TimedOut))
    elif error.hint is None:
        return _url(text, late=isinstance(error, TimedOut))
    return error.hint


def _command(source: SourceConfig, text: str, stderr: Sequence[str], *, late: bool) -> str:
    for line in reversed(stderr):
        for name in _VARIABLE.findall(line):
            if source.env.get(name):
                continue
            kind = "secret:" if _SECRET.search(name) else ""
            first = f"rune secret set {name}, and " if kind else f"it asks for {name}: "
            return f'{first}env = {{ {name} = "${{{kind}{name}}}" }} in [sources.{source.name}]'
    if "exited" in text or "killed" in text:
        return "run its command by hand, it says more there"
    if late:
        return "is it an MCP server on stdio? --timeout gives it longer"
    return "is it an MCP server on stdio?"


def _url(text: str, *, late: bool) -> str:
    if "secure connection" in text:
        return "check its certificate; SSL_CERT_FILE can name an authority of your own"
    if late:
        return "is it overloaded, or no MCP server? --timeout gives it longer"
    return "is that the URL of an MCP server? most of them live at /mcp"
