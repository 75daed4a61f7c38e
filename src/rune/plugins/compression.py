"""`compression`: whole HTTP answers for clients that accept it, and what is kept, with a dictionary."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from rune.coding import Coding, Way
from rune.errors import ConfigError
from rune.plugin import Plugin, PluginConfig
from rune.stores.pressed import PressedStore
from rune.zstd import MADE, Press

KEYS: Final = (
    "codings", "minimum_size", "gzip_level", "zstd_level", "tools", "prompts", "resources", "stored", "dictionary",
)  # fmt: skip
OWN: Final = Path(__file__).with_name("answers.zdict")
"""Made by `python -m bench.dictionary` of answers that nobody was given."""
_GZIP: Final = 31


class Compression(Plugin):
    """Config: `codings` (zstd, gzip: the best first), `minimum_size`, `gzip_level`, `zstd_level`; `tools`, `prompts`
    and `resources` (globs) whose answers may be coded besides lists; `stored`, and `dictionary`, a file, for what is
    kept.

    Raises:
        ConfigError: for values that cannot be, for other keys, and where zstd is wanted and not installed.
    """

    def __init__(self, config: PluginConfig) -> None:
        super().__init__(config)
        given = config.options(*KEYS)
        if config.conditions or config.hooks:
            raise ConfigError("hooks and conditions mean nothing here", hint="say which answers: tools = […]")
        levels = {name: _whole(given, f"{name}_level", default, 1, most) for name, default, most in _LEVELS}
        names = _texts(given, "codings", ("zstd", "gzip"))
        if set(names) - _WAYS.keys():
            raise ConfigError(f"codings are {' and '.join(_WAYS)}")
        ways = {name: _WAYS[name](levels[name]) for name in names}
        minimum = _whole(given, "minimum_size", 500, 0, 1 << 40)
        globs = (_texts(given, key, ()) for key in ("tools", "prompts", "resources"))
        self.coding = Coding(ways, minimum, *globs) if ways else None
        stored = given.get("stored", True)
        if not isinstance(stored, bool):
            raise ConfigError("stored must be true or false")
        self.press = Press(_read(given.get("dictionary")), levels["zstd"]) if stored else None
        """How what is kept is compressed."""

    async def initialize(self) -> None:
        if self.press is not None and isinstance(self.store, PressedStore):
            await self.store.learn(self.press)


def _zstd(level: int) -> Way:
    press = Press(b"", level)
    return Way(press.pack, press.pack_aside)


def _gzip(level: int) -> Way:
    code = partial(zlib.compress, level=level, wbits=_GZIP)
    return Way(code, code)


_WAYS: Final[dict[str, Callable[[int], Way]]] = {"zstd": _zstd, "gzip": _gzip}
_LEVELS: Final = (("zstd", 3, 19), ("gzip", 6, 9))


def _read(place: Any) -> bytes:
    if place is not None and not isinstance(place, str):
        raise ConfigError("dictionary must be the path of a file, or empty for none")
    if place == "":
        return b""
    try:
        return Path(place or OWN).expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(f"dictionary {place}: {error.strerror}", hint=MADE) from None


def _whole(given: dict[str, Any], key: str, default: int, least: int, most: int) -> int:
    value = given.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(f"{key} must be a number from {least} to {most}")
    return value


def _texts(given: dict[str, Any], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = given.get(key, default)
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ConfigError(f"{key} must be a list of texts")
    return tuple(value)
