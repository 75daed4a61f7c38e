"""Where things are kept, also for a user who has no home."""

from __future__ import annotations

from pathlib import Path

import pytest

from rune.config import places
from rune.errors import ConfigError


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"RUNE_HOME": "/a/b", "XDG_DATA_HOME": "/x"}, "/a/b"),
        ({"XDG_DATA_HOME": "/x"}, "/x/rune"),
        ({"RUNE_HOME": ""}, "{home}/.local/share/rune"),
    ],
)
def test_the_folder(environ: dict[str, str], folder: str) -> None:
    assert str(places.home(environ)) == folder.format(home=Path.home())
    assert places.vault(environ) == places.home(environ) / "vault"


def test_a_user_without_a_home_has_no_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    assert not places.has_vault({})
    with pytest.raises(ConfigError, match="has no home") as raised:
        places.vault({})
    assert raised.value.hint == "name a folder in RUNE_HOME"


def test_a_vault_is_there_when_something_was_kept(tmp_path: Path) -> None:
    assert not places.has_vault({"RUNE_HOME": str(tmp_path)})
    (tmp_path / "vault").touch()
    assert places.has_vault({"RUNE_HOME": str(tmp_path)})


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool) -> None:
    path = tmp_path / "kept"
    places.put(path, b"old", durable=durable)
    assert path.stat().st_mode & 0o777 == 0o600

    def full(self: Path, target: Path) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="no space left"):
            places.put(path, b"new", durable=durable)
    assert [each.name for each in tmp_path.iterdir()] == ["kept"], "nothing is left behind"
    assert path.read_bytes() == b"old"
    places.put(path, b"new", durable=durable)
    assert path.read_bytes() == b"new"
