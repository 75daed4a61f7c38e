"""A text that reaches its reader in pieces: what a filter lets out of it, although it has not seen the rest yet."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

WINDOW: Final = 128
"""Characters that are held back: more than anything with spaces in it that a filter looks for, and a word before."""
LONGEST: Final = 8192
"""Characters without a gap that are held; a text that has more of them is judged as it is."""
TRIES: Final = 8

# Words of what filters look for consist of visible ASCII: a text is cut elsewhere.
_GAP: Final = re.compile(r"[^!-~][!-~]*\Z")


class Said:
    """What one call has said so far, for one filter. `change` is the filter.

    Pieces of one text go through `piece` and, at the end, `rest`: put together, they give what the filter makes of the
    whole. The text is cut where the filter makes the same of both sides as of the two together. Other messages leave
    at once; of each the beginning is left out that the filter sees only in the light of the one before.
    """

    __slots__ = ("_before", "_change", "_due", "_held", "_window")

    def __init__(self, change: Callable[[str], str], window: int = WINDOW) -> None:
        self._change = change
        self._window = window
        self._held = ""
        self._due = window
        self._before = ""

    def piece(self, text: str) -> str:
        """What may leave now that this has come."""
        held = self._held = self._held + text
        if len(held) <= self._due:
            return ""
        whole = self._change(held)
        cut = len(held) - self._window
        for _ in range(TRIES):
            cut = self._gap(held, cut)
            if cut <= 0:
                break
            head = self._change(held[:cut])
            if head + self._change(held[cut:]) == whole:
                self._held, self._due = held[cut:], self._window
                return head
            cut -= 1
        if len(held) >= max(LONGEST, 2 * self._window):
            self._held, self._due = "", self._window
            return whole
        # Looked at again when there is more by a quarter: each character costs the same, however long it takes.
        self._due = len(held) + max(self._window, len(held) // 4)
        return ""

    def rest(self) -> str:
        """What was held back; nothing follows."""
        held, self._held = self._held, ""
        return self._change(held)

    def message(self, text: str) -> str:
        """A message that stands by itself, but may have been cut out of something."""
        alone, before = self._change(text), self._before
        self._before = (before + text)[-self._window :]
        # What had ended is not said again, whatever follows it.
        if not before or not self._change(before).endswith(before[-1]):
            return alone
        both = self._change(before + text)
        if both.endswith(alone):
            return alone
        same = 0
        while same < min(len(alone), len(both)) and alone[-1 - same] == both[-1 - same]:
            same += 1
        return alone[len(alone) - same :]

    @staticmethod
    def _gap(text: str, end: int) -> int:
        """Where the last gap before `end` ends, 0 where there is none."""
        found = _GAP.search(text, max(0, end - LONGEST), end)
        return 0 if found is None else found.start() + 1
