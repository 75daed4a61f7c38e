"""An update that asks for more is held until somebody accepts it; until then the version before it is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from rune.config.model import SourceConfig
from rune.config.policy import PolicyTable, StorageTable
from rune.errors import ConfigError
from rune.sources.wasm.shelf import digest_of
from rune.sources.wasm.stock import Stock, chosen, forget
from rune.sources.wasm.updates import Updates
from tests.sources.wasm.wat import tools

ENVIRONMENT = "wasi:cli/environment@0.2.0"
FILES = "wasi:filesystem/preopens@0.2.0"


class Place:
    """A component in a folder, as a source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.config = SourceConfig("hand", "wasm", place=str(folder / "hand.wasm"))

    def write(self, *names: str, asks: tuple[str, ...] = ()) -> str:
        """Another version; its digest."""
        return digest_of(tools(self.folder, names, asks=asks).read_bytes())

    async def served(self, policy: PolicyTable | None = None) -> tuple[str, tuple[str, ...]]:
        """What a gateway serves that starts now, and what an update asks for that is held."""
        policy = policy or PolicyTable()
        choice = await Stock(self.config, policy, self.cache).find()
        assert chosen(self.config, policy, self.cache) == choice.digest
        assert digest_of(choice.path.read_bytes()) == choice.digest == f"sha256:{choice.sha256}"
        return choice.digest, choice.held.more if choice.held else ()

    def accept(self) -> None:
        Stock(self.config, PolicyTable(), self.cache).accept()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_one_that_asks_for_more_waits(place: Place) -> None:
    one = place.write("echo")
    assert await place.served() == (one, ())
    two = place.write("echo", "number", asks=(ENVIRONMENT,))
    assert await place.served() == (one, ("environment",))
    # A new start changes nothing, and neither does a third version.
    place.write("number", asks=(ENVIRONMENT, FILES))
    assert await place.served() == (one, ("environment", "storage"))
    place.write("echo", "number", asks=(ENVIRONMENT,))
    place.accept()
    assert await place.served() == (two, ())
    # What was accepted once is known; what is new is not.
    three = place.write("echo", asks=(ENVIRONMENT,))
    assert await place.served() == (three, ())
    place.write("echo", asks=(ENVIRONMENT, FILES))
    assert await place.served() == (three, ("storage",))


async def test_what_is_granted_need_not_be_accepted(place: Place) -> None:
    place.write("echo")
    await place.served()
    two = place.write("echo", asks=(FILES,))
    granting = PolicyTable(storage=(StorageTable(path=str(place.folder), mount="/x"),))
    assert await place.served(granting) == (two, ())


async def test_one_that_asks_for_no_more_is_served(place: Place) -> None:
    place.write("echo", asks=(FILES,))
    await place.served()
    for names in (("echo", "number"), ("number",)):
        version = place.write(*names, asks=(FILES,))
        assert await place.served() == (version, ())
    version = place.write("echo")
    assert await place.served() == (version, ())


async def test_each_place_has_its_own_notes(place: Place, tmp_path: Path) -> None:
    place.write("echo")
    await place.served()
    (tmp_path / "other").mkdir()
    other = Place(tmp_path / "other")
    one = other.write("echo", asks=(FILES,))
    assert await other.served() == (one, ())
    place.write("echo", asks=(FILES,))
    assert (await place.served())[1] == ("storage",)


async def test_without_the_version_before_it_is_said(place: Place) -> None:
    place.write("echo")
    choice = await Stock(place.config, PolicyTable(), place.cache).find()
    (place.cache / f"{choice.sha256}.wasm").unlink()
    place.write("echo", asks=(FILES,))
    with pytest.raises(ConfigError, match="asks for storage, and the version before it is gone") as caught:
        await place.served()
    assert caught.value.hint is not None and f"rune wasm grant {place.config.place} accepts it" in caught.value.hint


async def test_a_new_digest_in_a_config_is_an_update_too(place: Place) -> None:
    versions = [place.write("echo"), place.write("echo", asks=(FILES,))]
    place.cache.mkdir()
    for version, asks in zip(versions, ((), (FILES,)), strict=True):
        data = tools(place.folder, ("echo",), asks=asks).read_bytes()
        (place.cache / f"{version.removeprefix('sha256:')}.wasm").write_bytes(data)
    found = []
    for version in (*versions, *versions[:1]):
        config = SourceConfig(
            "far", "wasm", place="https://example.org/x.wasm", digest=version, stands_for=str(place.folder / "far.wasm")
        )
        choice = await Stock(config, PolicyTable(), place.cache).find()
        found.append((choice.digest, bool(choice.held)))
    assert found == [(versions[0], False), (versions[0], True), (versions[0], False)]
    forget(config, place.cache)
    assert not (place.cache / f"{versions[0].removeprefix('sha256:')}.wasm").exists()
    assert (place.cache / f"{versions[1].removeprefix('sha256:')}.wasm").exists()
    assert Updates(config.file).read(Updates(config.file).served) is None


async def test_without_a_home_all_are_served(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    home = place.folder / "home"
    home.write_text("a file where a folder should be")
    monkeypatch.setenv("RUNE_HOME", str(home))
    version = place.write("echo")
    with caplog.at_level("WARNING", "rune.wasm"):
        choice = await Stock(place.config, PolicyTable(), place.cache).find()
    assert choice.digest == version
    assert "its next update will not be held" in caplog.text


def test_a_note_that_cannot_be_read_holds_nothing_silently(place: Place) -> None:
    place.write("echo")
    updates = Updates(place.config.file)
    updates.served.parent.mkdir(parents=True)
    updates.served.write_text("{")
    with pytest.raises(ConfigError, match=r"components"):
        Stock(place.config, PolicyTable(), place.cache).choose()
