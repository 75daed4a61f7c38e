"""Components written as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from wasmtime import wat2wasm

HERE: Final = Path(__file__).parent
TOOLS: Final = ("echo", "trap", "spin", "bomb", "refuse", "who", "progress", "list", "utf", "flood", "number")


def tools(folder: Path, names: tuple[str, ...] = TOOLS, name: str = "hand", *, asks: tuple[str, ...] = ()) -> Path:
    """A guest of `rune:guest` in a folder: see `tools.wat` for what its tools do. `asks` are further imports."""
    listed = json.dumps([{"name": each, "inputSchema": {"type": "object"}} for each in names])
    text = (HERE / "tools.wat").read_text("utf-8")
    text = text.replace("LISTED", listed.replace('"', "\\22")).replace("SIZE", str(len(listed)))
    more = "".join(f'(import "{each}" (instance))' for each in asks)
    return component(folder, text.replace("(component\n", f"(component {more}\n", 1), name)


def component(folder: Path, text: str, name: str = "hand") -> Path:
    """A component from its text."""
    path = folder / f"{name}.wasm"
    path.write_bytes(wat2wasm(text))
    return path
