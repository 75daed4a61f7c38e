"""Broken JSON, string to string: against json_repair, the same in Rust, and on valid texts the parser of Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from bench.kernels import Rate, Row, Times
from bench.kernels.peers import peer
from rune.plugins.json_repair import JsonRepair

RUST, PYTHON, JSON_REPAIR, FAST, JSON = (
    "rust",
    "python",
    "json_repair 0.64.6",
    "fast_json_repair 0.2.3",
    "json.loads, dumps",
)
SIZES: Final = (("1 kB", 8), ("10 kB", 80), ("1 MB", 8000))
SLOW: Final = 100
"""Items up to which those in Python take part: a megabyte takes them seconds."""


def document(items: int) -> str:
    """A valid text with numbers, literals, letters beyond ASCII and words."""
    value = [
        {"id": at, "name": f"item {at} é", "ok": bool(at % 2), "v": [at, at * 1.5, None], "t": "some text " * 3}
        for at in range(items)
    ]
    return json.dumps({"items": value}, ensure_ascii=False)


def rows() -> Iterator[Row]:
    """Three sizes: with bare keys, Python's literals and without an end; in single quotes; valid."""
    rust, python = (JsonRepair(implementation=each).repair for each in ("rust", "python"))
    slow = peer("json_repair", "json_repair==0.64.6").repair_json
    fast = peer("fast_json_repair", "fast_json_repair==0.2.3").repair_json
    for size, items in SIZES:
        valid = document(items)
        broken = valid.replace('"ok"', "ok").replace("true", "True")[:-2] + ","
        for name, text in (("broken", broken), ("single quotes", valid.replace('"', "'")), ("valid", valid)):
            work: dict[str, Callable[[], object]] = {RUST: partial(rust, text), FAST: partial(fast, text)}
            if items <= SLOW:
                work |= {PYTHON: partial(python, text), JSON_REPAIR: partial(slow, text)}
            if name == "valid":
                work[JSON] = partial(_through, text)
            assert json.loads(rust(text) or "") == json.loads(valid), "a bench of wrong results measures nothing"
            targets: list[Any] = [Rate(0.3), Times(2, FAST)] if name != "valid" else [Rate(0.3)]
            yield Row(f"json, {name}, {size}", work, len(text.encode()), targets)


def _through(text: str) -> str:
    return json.dumps(json.loads(text))
