"""Last catalogs on disk: each for one server and one credential, whole or not at all, and never a reason to fail."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.config.places import catalogs
from rune.source import Catalog, Item
from rune.sources.upstream.disk import Disk

RAW = b'{"name":"t","inputSchema":{"type":"object"},"vendor":{"a":1.50,"b":"\\u00e9"}}'
FULL = Catalog(
    tools=(Item("t", RAW),),
    prompts=(Item("p", b'{"name":"p"}'),),
    resources=(Item("x:1", b'{"uri":"x:1","name":"one"}'),),
    templates=(Item("x:{n}", b'{"uriTemplate":"x:{n}","name":"n"}'),),
    ttl=7,
    scope="private",
    completions=True,
    instructions="be kind",
    extensions={"io.modelcontextprotocol/ui": {"mimeTypes": []}},
)


def disk(place: Path, identity: object = "one", source: str = "up") -> Disk:
    return Disk(place / "catalogs", source, identity)


def test_what_is_kept_comes_back_byte_for_byte(tmp_path):
    disk(tmp_path).save(FULL)
    catalog, age = disk(tmp_path).load()
    empty = {"tools": (), "prompts": (), "resources": (), "templates": ()}
    assert replace(catalog, **empty) == replace(FULL, **empty)
    for name in empty:
        assert [(i.name, i.raw) for i in getattr(catalog, name)] == [(i.name, i.raw) for i in getattr(FULL, name)]
    assert 0 <= age < 60


def test_nobody_else_may_read_it(tmp_path):
    old = os.umask(0)
    try:
        kept = disk(tmp_path)
        kept.save(FULL)
    finally:
        os.umask(old)
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700


def test_another_credential_another_server_and_another_name_find_nothing(tmp_path):
    mine = ["https://example.org/mcp", {"Authorization": "Bearer a"}]
    disk(tmp_path, mine).save(FULL)
    for other in (["https://example.org/mcp", {"Authorization": "Bearer b"}], ["https://example.org/mcp", {}], None):
        assert disk(tmp_path, other).load() is None
    assert disk(tmp_path, mine, "other").load() is None
    assert disk(tmp_path, mine).load() is not None
    assert "Bearer" not in "".join(str(path) for path in tmp_path.rglob("*"))
    assert b"Bearer" not in disk(tmp_path, mine).path.read_bytes()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000,
        b'{"version":1,"saved":0,"source":"up","lists":{},"rest":{}}',
        b'{"version":1,"saved":0,"source":"up","lists":{"tools":[],"prompts":[],"resources":[],"templates":[]},"rest":{"ttl":"x"}}',
        b'{"version":9,"saved":0,"source":"up","lists":{"tools":[],"prompts":[],"resources":[],"templates":[]},"rest":{}}',
        b'{"version":1,"saved":0,"source":"no","lists":{"tools":[],"prompts":[],"resources":[],"templates":[]},"rest":{}}',
        b'{"version":1,"saved":0,"source":"up","lists":{"tools":[["t"]]},"rest":{}}',
    ],
)  # fmt: skip
def test_a_broken_file_is_passed_over_with_one_line(tmp_path, data, caplog):
    kept = disk(tmp_path)
    kept.save(FULL)
    kept.path.write_bytes(data)
    assert kept.load() is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    kept.save(FULL)
    assert kept.load() is not None


@given(st.floats(0, 1, exclude_max=True), st.none() | st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_a_file_that_was_cut_or_changed_anywhere_never_raises(tmp_path_factory, part, byte):
    place = tmp_path_factory.mktemp("cut")
    kept = disk(place)
    kept.save(FULL)
    whole = bytearray(kept.path.read_bytes())
    where = int(len(whole) * part)
    if byte is None:
        del whole[where:]
    else:
        whole[where] = byte
    kept.path.write_bytes(whole)
    found = kept.load()
    assert found is None or isinstance(found[0], Catalog)


def test_links_wide_open_files_and_others_are_not_trusted(tmp_path, caplog):
    real, kept = disk(tmp_path, "real"), disk(tmp_path)
    real.save(FULL)
    kept.path.symlink_to(real.path)
    assert kept.load() is None
    kept.path.unlink()
    kept.save(FULL)
    kept.path.chmod(0o644)
    assert kept.load() is None
    kept.path.unlink()
    os.mkfifo(kept.path, 0o600)
    assert kept.load() is None
    assert len(caplog.records) == 3


def test_too_large_is_not_kept_and_not_read(tmp_path, monkeypatch):
    kept = disk(tmp_path)
    kept.save(FULL)
    monkeypatch.setattr("rune.sources.upstream.disk.MAX_SIZE", 100)
    assert kept.load() is None
    kept.save(FULL)
    assert not kept.path.exists(), "an old one must not stand in for it"


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path):
    (tmp_path / "catalogs").write_text("a file")
    kept = disk(tmp_path)
    kept.save(FULL)
    assert kept.load() is None


def test_many_writers_never_show_half_a_file(tmp_path):
    kept = disk(tmp_path)
    large = replace(FULL, tools=tuple(Item(f"t{n}", RAW) for n in range(500)))
    kept.save(large)

    def write(number: int) -> bool:
        disk(tmp_path).save(large if number % 2 else FULL)
        found = disk(tmp_path).load()
        return found is not None and len(found[0].tools) in (1, 500)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(write, range(100)))
    assert [path.name for path in kept.path.parent.iterdir()] == [kept.path.name]


def test_their_number_is_bounded_and_old_ones_go(tmp_path, monkeypatch):
    monkeypatch.setattr("rune.sources.upstream.disk.MAX_FILES", 5)
    for number in range(8):
        kept = disk(tmp_path, number)
        kept.save(FULL)
        os.utime(kept.path, (1e9 + number, 1e9 + number) if number < 2 else None)
    names = {path.name for path in kept.path.parent.iterdir()}
    assert kept.path.name in names
    assert disk(tmp_path, 0).path.name not in names
    assert len(names) <= 5


def test_where_they_are(tmp_path):
    assert catalogs({"RUNE_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a/catalogs")
    assert catalogs({"XDG_CACHE_HOME": "/b", "HOME": "/c"}) == Path("/b/rune/catalogs")
    assert catalogs({"HOME": "/c"}) == Path("/c/.cache/rune/catalogs")
    assert catalogs({}).is_absolute()
