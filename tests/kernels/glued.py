"""Texts for comparing twins: pieces that mean something to a kernel, glued, damaged and repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from tests.sizes import LONG

COUNT = 1_000_000 if LONG else 4_000
"""How many texts a pair of twins is given."""


def glued(pieces: Sequence[str], seed: int, most: int = 14) -> Iterator[str]:
    """COUNT texts, the same for the same seed."""
    dice = random.Random(seed)
    for _ in range(COUNT):
        text = "".join(dice.choices(pieces, k=dice.randrange(1, most)))
        if dice.random() < 0.25:
            text = _damaged(dice, text, pieces)
        if dice.random() < 0.02:
            text *= dice.randrange(2, 20)
        yield text


def _damaged(dice: random.Random, text: str, pieces: Sequence[str]) -> str:
    for _ in range(dice.randrange(1, 4)):
        place = dice.randrange(len(text) + 1)
        text = text[:place] + dice.choice(("", dice.choice(pieces)[:1])) + text[place + dice.randrange(2) :]
    return text
