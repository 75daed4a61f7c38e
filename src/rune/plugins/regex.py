"""`regex_filter`: searches and replaces in every text that passes, with patterns of the operator."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

from rune.errors import ConfigError
from rune.kernels.regex import Pattern, pattern
from rune.native import Implementation, Wanted, make_regex
from rune.plugin import PluginConfig
from rune.plugins.slow import SlowSearch
from rune.plugins.texts import TextPlugin

log = logging.getLogger("rune.plugins")

DEADLINE: Final = 0.25
"""Seconds of CPU for a search by Python's `re`."""


class RegexSub:
    """Puts `replace` in place of all that `search` finds, as `re.sub` does.

    `implementation` is "rust" or "python" and may be chosen; the output is the same. Where a text might keep `re` busy,
    the search is made in a process of its own, for at most `deadline` seconds of CPU. `sub(text)` returns the very same
    object when nothing is found. `reason` says why a pattern, or texts of some kind, are not for Rust.

    Raises:
        ConfigError: for a pattern or a replacement that cannot be, and for "rust" where there is none.
    """

    implementation: Implementation

    def __init__(
        self, search: str, replace: str, *, implementation: Wanted = "auto", slow: SlowSearch | None = None
    ) -> None:
        try:
            self._pattern: Pattern = pattern(search, replace)
        except (re.error, IndexError, RecursionError, OverflowError) as error:
            raise ConfigError(f"{search!r}: {error}", hint="correct the pattern") from None
        self._native, self.implementation, self.reason = make_regex(implementation, self._pattern)
        self._slow = slow or SlowSearch(DEADLINE)

    def sub(self, text: str) -> str:
        """The text with every match replaced.

        Raises:
            TimedOut: when `re` took too long.
            Unavailable: when its process died.
        """
        if self._native is not None:
            changed = self._native(text)
            if changed is not None:
                return changed
        return self._pattern.sub(text) if self._pattern.quick(len(text)) else self._slow.sub(self._pattern, text)

    def close(self) -> None:
        """End what a search has started."""
        self._slow.close()


class RegexFilter(TextPlugin):
    """`words`: a list of `{search, replace}`, applied in their order; `implementation`; `deadline`, in seconds.

    Raises:
        ConfigError: for a pattern that cannot be compiled, and for other keys.
    """

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        options = config.options("words", "implementation", "deadline")
        words, deadline = options.get("words"), options.get("deadline", DEADLINE)
        if not isinstance(words, list) or not words:
            raise ConfigError("has no words", hint='config = { words = [{ search = "…", replace = "…" }] }')
        if isinstance(deadline, bool) or not isinstance(deadline, int | float) or not 0 < deadline <= 60:
            raise ConfigError(f"deadline {deadline!r}", hint="seconds, more than 0 and at most 60")
        self._slow = SlowSearch(float(deadline))
        self._words = [self._word(each, options.get("implementation", "auto")) for each in words]
        if all(word.implementation == "rust" for word in self._words):
            self.implementation = "rust"

    def _word(self, entry: Any, wanted: Wanted) -> RegexSub:
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("search", "replace")):
            raise ConfigError(f"{entry!r} is no word", hint='it is { search = "…", replace = "…" }')
        word = RegexSub(entry["search"], entry["replace"], implementation=wanted, slow=self._slow)
        if word.reason:
            log.warning("plugin %s: %r: Python's re, with a deadline: %s", self.name, entry["search"], word.reason)
        return word

    def text(self, text: str) -> str:
        for word in self._words:
            text = word.sub(text)
        return text

    async def shutdown(self) -> None:
        self._slow.close()
