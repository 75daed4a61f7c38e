"""Texts go through the helpers of the guests as they are, wherever in them what must be escaped is."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from rune import Client
from rune.build import around
from rune.config.policy import PolicyTable
from rune.sources.wasm.component import WasmSource
from tests import guests
from tests.rig import ROOT
from tests.sizes import LONG

DEADLINE: Final = 120
SPECIAL: Final = ('"', "\\", "\n", "\x00", "\x01", "\x1f", "\x7f", "é", "✓", "𝄞", "\u2028", '\\"', "\\u0041")
WIDTH: Final = 17
"""More than two words of what looks at eight bytes at a time."""
MANY: Final = 12_000


@pytest.mark.parametrize("suffix", [".c", ".js", ".py"] if LONG else [".c", ".js"])
async def test_every_text_comes_back(suffix: str) -> None:
    path = guests.component(ROOT / "bench" / "wasm" / f"echo{suffix}")
    source = WasmSource("echo", path, PolicyTable(isolation="shared"), guests.compiled() / "wasm")
    texts = ["", *("x" * at + special + "y" * (WIDTH - at) for special in SPECIAL for at in range(WIDTH + 1))]
    texts += [special.join(["x" * MANY] * 2) for special in SPECIAL] + [special * MANY for special in SPECIAL]
    if suffix == ".c":
        # Texts of C end with a zero.
        texts = [text.replace("\x00", "") for text in texts]
    async with asyncio.timeout(DEADLINE), around(source) as gateway, Client(gateway) as client:
        for text in texts:
            assert (await client.call_tool("echo", {"text": text})).text == text
