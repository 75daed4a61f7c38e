"""What a `rune.toml` says about components: their policies and digests, with file and line where that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from rune.config.components import pinned, remote
from rune.config.lines import Path as KeyPath
from rune.config.model import SourceTable
from rune.config.policy import LimitsTable, NetworkTable, PolicyTable, StorageTable
from rune.errors import ConfigError

if TYPE_CHECKING:
    from rune.config.files import Document


def known_policy(document: Document, path: KeyPath, value: dict[str, Any]) -> None:
    """Refuse keys of a policy that nobody reads."""
    document.known(path, value, PolicyTable.__struct_fields__)
    limits = value.get("limits")
    if isinstance(limits, dict):
        document.known((*path, "limits"), limits, LimitsTable.__struct_fields__)
    for key, shape in (("storage", StorageTable), ("network", NetworkTable)):
        entries = value.get(key)
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, dict):
                document.known((*path, key, index), entry, shape.__struct_fields__)


def with_folders(document: Document, path: KeyPath, policy: PolicyTable | None) -> PolicyTable | None:
    """Folders that a component may see, from the folder of the config; they must be there."""
    if policy is None:
        return None
    found = []
    for index, each in enumerate(policy.storage):
        folder = in_folder(document.path, each.path)
        if not folder.is_dir():
            raise document.error((*path, "policy", "storage", index), f"no such folder: {folder}")
        found.append(msgspec.structs.replace(each, path=str(folder)))
    return msgspec.structs.replace(policy, storage=tuple(found))


def pinned_digest(document: Document, path: KeyPath, table: SourceTable) -> str:
    """That of a component which has to be fetched: one that cannot be told from another is not."""
    if not remote(table.wasm or ""):
        for key in ("digest", "private"):
            if getattr(table, key):
                raise document.error((*path, key), f"{key} is for a component from a URL", "take it out")
        return ""
    try:
        return pinned(table.wasm or "", table.digest)
    except ConfigError as error:
        raise document.error((*path, "wasm"), error.message, error.hint) from None


def in_folder(path: Path, other: str) -> Path:
    """A path in a config file is meant from the folder of that file."""
    return (path.absolute().parent / Path(other).expanduser()).resolve()
