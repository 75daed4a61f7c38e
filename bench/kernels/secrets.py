"""Secrets: text without any, and text with some, against the plugin of the incumbent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from bench.kernels import Row
from bench.kernels.peers import peer
from rune.plugins.secrets import SecretScanner

RUST, PYTHON, CPEX = "rust", "python", "cpex-secrets-detection 0.3.14"
PROSE: Final = "The quick brown fox jumps over the lazy dog: 42 times, said Ada (2026-11-20), and her token was gone. "
HELD: Final = "password=correct4horse and postgres://ada:s3cret@db/x, xoxb-" + "a1b2c3d4e5" * 3 + " "
CONFIG: Final[dict[str, Any]] = {"redact": True, "block_on_detection": False, "redaction_text": "[SECRET]"}


def rows() -> Iterator[Row]:
    """Two sizes of each."""
    rust, python = (SecretScanner(implementation=each).mask for each in ("rust", "python"))
    module = peer("cpex_secrets_detection.secrets_detection_rust", "cpex-secrets-detection==0.3.14", "cpex==0.1.4")
    for size, length in (("1 kB", 1_000), ("100 kB", 100_000)):
        for name, piece in (("clean", PROSE), ("with secrets", PROSE * 8 + HELD)):
            text = (piece * (length // len(piece) + 1))[:length]
            work: dict[str, Callable[[], object]] = {
                RUST: partial(rust, text),
                PYTHON: partial(python, text),
                CPEX: partial(module.py_scan_container, {"text": text}, CONFIG),
            }
            yield Row(f"secrets, {name}, {size}", work, length)
