"""`regex_filter`: searches and replaces in every text that passes, with patterns of the operator."""

from __future__ import annotations

import re
from typing import Any

from rune.errors import ConfigError
from rune.plugin import PluginConfig
from rune.plugins.texts import TextPlugin


class RegexFilter(TextPlugin):
    """`words`: a list of `{search, replace}`, applied in their order. Patterns are those of Python's `re`.

    Raises:
        ConfigError: for a pattern that cannot be compiled, and for other keys.
    """

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        unknown = config.config.keys() - {"words"}
        if unknown:
            raise ConfigError(f"unknown key {sorted(unknown)[0]}", hint="known keys: words")
        words = config.config.get("words")
        if not isinstance(words, list) or not words:
            raise ConfigError("has no words", hint='config = { words = [{ search = "…", replace = "…" }] }')
        self._words = [_compiled(entry) for entry in words]

    def text(self, text: str) -> str:
        for pattern, replacement in self._words:
            changed, count = pattern.subn(replacement, text)
            text = changed if count else text
        return text


def _compiled(entry: Any) -> tuple[re.Pattern[str], str]:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("search", "replace")):
        raise ConfigError(f"{entry!r} is no word", hint='it is { search = "…", replace = "…" }')
    try:
        pattern = re.compile(entry["search"])
        # A replacement may name a group that is not there: better now than in the middle of a call.
        pattern.sub(entry["replace"], "")
        re._parser.parse_template(entry["replace"], pattern)  # type: ignore[attr-defined]
    except (re.error, IndexError) as error:
        raise ConfigError(f"{entry['search']!r}: {error}", hint="correct the pattern") from None
    return pattern, entry["replace"]
