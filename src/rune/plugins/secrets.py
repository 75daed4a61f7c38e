"""`secrets`: masks keys, tokens and passwords in every text that passes, or refuses what holds them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from rune.errors import ConfigError
from rune.kernels.secrets import KINDS
from rune.native import Implementation, Wanted, make_secrets
from rune.plugin import PluginConfig, PluginResult, PluginViolation
from rune.plugins.texts import TextPlugin, mapped

log = logging.getLogger("rune.plugins")

REDACTION: Final = "[SECRET]"
KEYS: Final = (
    "kinds", "redaction", "action", "implementation", "enabled", "redact", "redaction_text", "block_on_detection",
    "min_findings_to_block", "field_allowlist", "field_denylist",
)  # fmt: skip
ENABLED: Final[dict[str, tuple[str, ...]]] = {
    "aws_access_key_id": ("aws_access_key",),
    "aws_secret_access_key": ("named_secret",),
    "google_api_key": ("google_api_key",),
    "github_token": ("github_token",),
    "stripe_secret_key": ("stripe_key",),
    "slack_token": ("slack_token",),
    "private_key_block": ("private_key",),
    "generic_api_key_assignment": ("named_secret",),
    "jwt_like": ("jwt",),
    "hex_secret_32": (),
    "base64_24": (),
}
"""Kinds of others, and ours for them."""
_OFF: Final = frozenset(("generic_api_key_assignment", "jwt_like", "hex_secret_32", "base64_24"))
"""Kinds of others that are off unless they are asked for."""


class SecretScanner:
    """Finds secrets of some kinds (all of `KINDS` when not given) and puts `redaction` in their place.

    `implementation` is "rust" or "python" and may be chosen; the output is the same. `mask(text)` returns the very same
    object when there is nothing to hide. `scan(text)` lists `(start, end, kind)`, offsets in code points, sorted.

    Raises:
        ConfigError: for an unknown kind, and for "rust" where there is none.
    """

    mask: Callable[[str], str]
    scan: Callable[[str], list[tuple[int, int, str]]]
    implementation: Implementation

    def __init__(
        self, *, implementation: Wanted = "auto", kinds: Iterable[str] | None = None, redaction: str = REDACTION
    ) -> None:
        wanted = KINDS if kinds is None else tuple(kinds)
        scanner, self.implementation = make_secrets(implementation, wanted, redaction)
        self.mask = scanner.mask
        self.scan = scanner.scan


class SecretsPlugin(TextPlugin):
    """`action`: "mask" (as usual), "block", or "report" in the metadata alone. `kinds`, `redaction`, `implementation`.

    The keys of others are understood too.

    Raises:
        ConfigError: for an unknown kind, key or action, and for lists of fields.
    """

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        options = config.options(*KEYS)
        if options.get("field_allowlist") or options.get("field_denylist"):
            raise ConfigError("lists of fields are not known", hint="conditions of the plugin choose tools")
        self._action = options.get("action") or _action(options)
        if self._action not in ("mask", "block", "report"):
            raise ConfigError(f"action {self._action!r} is unknown", hint="mask, block or report")
        redaction = options.get("redaction", options.get("redaction_text", REDACTION))
        kinds = options.get("kinds", _kinds(options["enabled"]) if "enabled" in options else None)
        scanner = SecretScanner(implementation=options.get("implementation", "auto"), kinds=kinds, redaction=redaction)
        self.implementation = scanner.implementation
        self._mask = scanner.mask
        self._scan = scanner.scan
        self._least = options.get("min_findings_to_block", 1)

    def text(self, text: str) -> str:
        return self._mask(text)

    def _through(self, payload: Any, key: str, kept: frozenset[str] = frozenset()) -> PluginResult[Any]:
        if self._action == "mask":
            return super()._through(payload, key, kept)
        found: list[str] = []

        def look(text: str) -> str:
            found.extend(kind for _, _, kind in self._scan(text))
            return text

        mapped(getattr(payload, key), look, kept)
        if len(found) < self._least:
            return PluginResult()
        kinds = sorted(set(found))
        if self._action == "report":
            return PluginResult(metadata={"secrets": {"count": len(found), "kinds": kinds}})
        # Only what kind it was is said: the secret itself is nobody's.
        violation = PluginViolation(f"holds a secret: {', '.join(kinds)}", code="SECRETS_DETECTED")
        return PluginResult(continue_processing=False, violation=violation)


def _action(options: dict[str, Any]) -> str:
    if not options.keys() & {"redact", "block_on_detection"}:
        return "mask"
    if options.get("block_on_detection", True):
        return "block"
    return "mask" if options.get("redact") else "report"


def _kinds(enabled: Any) -> list[str]:
    if not isinstance(enabled, dict) or enabled.keys() - ENABLED.keys():
        raise ConfigError("enabled: unknown kind", hint=f"known: {', '.join(ENABLED)}")
    chosen = [name for name in ENABLED if enabled.get(name, name not in _OFF)]
    for name in chosen:
        if not ENABLED[name]:
            log.warning("secrets: %s does nothing: there is no telling such texts from others", name)
    return sorted({kind for name in chosen for kind in ENABLED[name]})


__all__ = ["KINDS", "REDACTION", "SecretScanner", "SecretsPlugin"]
