"""Trains the dictionary for what is kept: `python -m bench.dictionary [FILE]`.

Of answers that nobody was given: the shapes in which tools answer, filled with words and numbers by chance. A
dictionary stays with what was compressed with it, so that it must not be made of what callers were told.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from rune.plugins.compression import OWN
from rune.taskrecord import Record
from rune.zstd import zstd

SAMPLES: Final = 4000
SIZE: Final = 16 * 1024
SEED: Final = 2026
_WORDS: Final = (
    "the of and to in is that for it as was with be by on not this are from or an which you one all have can error "
    "file line value name result page time date user status open closed created updated number total found "
    "server request issue branch commit message title body author label list item order price amount city country "
    "street email note search query table row column index key data type string description path content text image "
    "code test function"
)
_KEYS: Final = (
    "id name title description status state type url html_url created_at updated_at timestamp date email user author "
    "owner path size count total price currency quantity tags labels items results rows data value score number body "
    "summary text content message level language version enabled active public address city country latitude longitude"
)
WORDS: Final = _WORDS.split()
KEYS: Final = _KEYS.split()

_encode = msgspec.json.encode


def words(chance: random.Random, least: int, most: int) -> str:
    """So many words."""
    return " ".join(chance.choices(WORDS, k=chance.randint(least, most)))


def moment(chance: random.Random) -> str:
    """A time as most write it."""
    return (
        f"20{chance.randint(20, 29)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}T"
        f"{chance.randint(0, 23):02}:{chance.randint(0, 59):02}:{chance.randint(0, 59):02}Z"
    )


def value(chance: random.Random, key: str) -> Any:
    """What a member of this name would be."""
    if key.endswith(("_at", "date", "timestamp")):
        return moment(chance)
    if key in ("id", "size", "count", "total", "quantity", "number"):
        return chance.randint(1, 10**6)
    if key in ("price", "score", "latitude", "longitude"):
        return round(chance.uniform(-180, 180), 4)
    if key in ("enabled", "active", "public"):
        return chance.random() < 0.5
    if key.endswith("url"):
        return f"https://{chance.choice(WORDS)}.example.com/{chance.choice(WORDS)}/{chance.randint(1, 9999)}"
    if key in ("tags", "labels"):
        return chance.choices(WORDS, k=chance.randint(0, 3))
    return words(chance, 1, 12) if key in ("body", "summary", "text", "description") else words(chance, 1, 2)


def record(chance: random.Random) -> dict[str, Any]:
    """One row of an answer."""
    return {key: value(chance, key) for key in chance.sample(KEYS, chance.randint(3, 9))}


def result(chance: random.Random) -> dict[str, Any]:
    """A CallToolResult."""
    rows = [record(chance)] * chance.randint(1, 5) if chance.random() < 0.2 else None
    shaped = rows or [record(chance) for _ in range(chance.randint(1, 6))]
    kinds: tuple[Callable[[], dict[str, Any]], ...] = (
        lambda: {"content": [{"type": "text", "text": words(chance, 20, 150)}]},
        lambda: {"content": [{"type": "text", "text": _encode(shaped).decode()}]},
        lambda: {
            "content": [{"type": "text", "text": _encode({"result": shaped}).decode()}],
            "structuredContent": {"result": shaped},
        },
        lambda: {
            "content": [
                {"type": "resource_link", "uri": f"file:///{chance.choice(WORDS)}", "name": chance.choice(WORDS)},
                {"type": "text", "text": words(chance, 5, 30), "annotations": {"audience": ["user"]}},
            ]
        },
        lambda: {"content": [{"type": "text", "text": words(chance, 3, 20)}], "isError": True},
    )
    return {"resultType": "complete", **chance.choice(kinds)()}


def samples(count: int, seed: int) -> Iterator[bytes]:
    """What the store keeps of tasks, and bare results."""
    chance = random.Random(seed)
    for _ in range(count):
        raw = _encode(result(chance))
        if chance.random() < 0.4:
            yield raw
            continue
        task = Record(
            id=f"task-{chance.randbytes(16).hex()}", subject="", source=chance.choice(WORDS),
            tool=f"{chance.choice(WORDS)}_{chance.choice(WORDS)}", created=moment(chance), updated=moment(chance),
            ttl=3_600_000, poll=500, alive=chance.uniform(1.7e9, 1.9e9), status="completed", result=raw,
        )  # fmt: skip
        yield msgspec.msgpack.encode(task)


def main(place: Path) -> None:
    """Train it, and say what it is good for."""
    found = zstd.train_dict(list(samples(SAMPLES, SEED)), SIZE)
    place.write_bytes(found.dict_content)
    plain, bare, better = 0, 0, 0
    for each in samples(500, SEED + 1):
        plain += len(each)
        bare += len(zstd.compress(each, 3))
        better += len(zstd.compress(each, 3, zstd_dict=found))
    sys.stdout.write(f"{place}: {plain / bare:.2f} without, {plain / better:.2f} with it\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OWN)
