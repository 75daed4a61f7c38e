"""Personal data in text: found, and masked. `docs/reference/pii.md` says what counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from rune.kernels.pii import KINDS
from rune.native import Implementation, Wanted, make_pii
from rune.plugin import HOOKS, Passing, PluginConfig
from rune.plugins.texts import TextPlugin

REDACTION: Final = "[REDACTED]"


class PiiFilter:
    """Finds entities of some kinds (all of `KINDS` when not given) and puts `redaction` in their place.

    `implementation` is "rust" or "python" and may be chosen; "auto" takes Rust where it is installed. The output is the
    same. `mask(text)` returns the very same object when there is nothing to hide. `scan(text)` lists
    `(start, end, kind)`, offsets in code points, sorted, without overlap.

    Raises:
        ConfigError: for an unknown kind, and for "rust" where there is none.
    """

    mask: Callable[[str], str]
    scan: Callable[[str], list[tuple[int, int, str]]]
    clean: Callable[[bytes], bool]
    """Whether nothing is in the texts of some JSON, as it stands."""
    implementation: Implementation

    def __init__(
        self, *, implementation: Wanted = "auto", kinds: Iterable[str] | None = None, redaction: str = REDACTION
    ) -> None:
        scanner, self.implementation = make_pii(implementation, KINDS if kinds is None else tuple(kinds), redaction)
        # Bound here, not wrapped: a frame of Python would cost more than the scan of a short text.
        self.mask = scanner.mask
        self.scan = scanner.scan
        self.clean = scanner.clean

    def __repr__(self) -> str:
        return f"PiiFilter(implementation={self.implementation!r})"


class PiiFilterPlugin(TextPlugin):
    """`pii_filter`: masks personal data in every text that passes. Config: `kinds`, `redaction`, `implementation`.

    Raises:
        ConfigError: for an unknown kind or key.
    """

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        pii = PiiFilter(**config.options("kinds", "redaction", "implementation"))
        self.implementation = pii.implementation
        # Bound here, not wrapped, as above.
        self._clean = pii.clean
        self.text = pii.mask  # type: ignore[method-assign, assignment]

    def passing(self, hook: str) -> Passing | None:
        """Nothing is opened where all of it, as it stands, is free of personal data. Pieces have to be held."""
        if hook == "progress_pre_send":
            return None
        clean, content = self._clean, HOOKS[hook].content
        return lambda raw, caller: clean(raw[content])


__all__ = ["KINDS", "REDACTION", "PiiFilter", "PiiFilterPlugin"]
