"""`rune new plugin`: a package of one's own, written from templates. Offline: it writes files and starts nothing.

A template is `templates/PART/path/of/file.tmpl`. `@name@` and its like are filled in, also in paths; a leading `dot-`
of a file name becomes a dot. `common` is written always, and `python` or `rust` with it.
"""

from __future__ import annotations

import keyword
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from rune.errors import ConfigError

NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
LONGEST: Final = 32
TAKEN: Final = frozenset({"rune", "rune_mcp", "rune_native", "plugins", "tests", "example", "bench"})
"""Modules that a plugin would hide, or that lie beside it in its own folder."""


@dataclass(frozen=True, slots=True)
class Name:
    """One name in the spellings that its package needs."""

    module: str

    @property
    def distribution(self) -> str:
        """As packages are called: `hide-numbers`."""
        return self.module.replace("_", "-")

    @property
    def class_(self) -> str:
        """As classes are called: `HideNumbers`."""
        return "".join(part.capitalize() for part in self.module.split("_"))


def named(text: str) -> Name | None:
    """The name, if a package, a module and a class can have it."""
    module = text.replace("-", "_")
    if len(text) > LONGEST or not NAME.fullmatch(text) or module in TAKEN:
        return None
    return None if keyword.iskeyword(module) or module in sys.stdlib_module_names else Name(module)


def likely(text: str) -> str:
    """The name that was probably meant."""
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+", text)
    name = "-".join(words).lower().lstrip("0123456789-")[:LONGEST].rstrip("-")
    return name if named(name) else f"my-{name}"[:LONGEST].rstrip("-") if name else "my-plugin"


def write(name: Name, folder: Path, *, rust: bool, version: str) -> list[str]:
    """Write the package into a new folder, whole or not at all; what was written, as paths in it.

    Raises:
        ConfigError: when there is something of that name, or nothing can be written there.
    """
    if folder.exists() or folder.is_symlink():
        raise ConfigError(f"{folder}: is there already", hint="choose another name, or another folder with --out")
    values = {"name": name.distribution, "module": name.module, "class": name.class_, "version": version}
    texts: dict[str, str] = {}
    for part in ("common", "rust" if rust else "python"):
        _read(files("rune.scaffold") / "templates" / part, "", values, texts)
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for path, text in texts.items():
                target = work / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, "utf-8", newline="\n")
            work.chmod(0o755)
            work.rename(folder)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}", hint="--out FOLDER elsewhere") from None
    return sorted(texts)


def _read(folder: Traversable, path: str, values: dict[str, str], texts: dict[str, str]) -> None:
    for entry in folder.iterdir():
        place = _filled(f"{path}{entry.name}", values)
        if entry.is_dir():
            _read(entry, f"{place}/", values, texts)
        else:
            head, _, last = place.removesuffix(".tmpl").rpartition("/")
            last = f".{last.removeprefix('dot-')}" if last.startswith("dot-") else last
            texts[f"{head}/{last}" if head else last] = _filled(entry.read_text("utf-8"), values)


def _filled(text: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text
