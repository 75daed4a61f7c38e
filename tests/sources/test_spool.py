"""Large results: kept in files, for their caller, for a time, within bounds."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.errors import NotFound, Unavailable
from rune.request import Caller
from rune.sources.spool import PREFIX, Sink, Spool

ANN, BOB = Caller("ann"), Caller("bob")


async def test_only_the_owner_reads_it() -> None:
    spool = Spool()
    kept = spool.store("grüße".encode(), ANN, "text/markdown")
    assert kept.uri.startswith(PREFIX)
    assert len(kept.uri) == len(PREFIX) + 32
    assert kept.path.stat().st_mode & 0o077 == 0 or kept.path.parent.stat().st_mode & 0o077 == 0
    assert spool.read(kept.uri, ANN) == ("grüße", "text/markdown")
    with pytest.raises(NotFound) as others:
        spool.read(kept.uri, BOB)
    with pytest.raises(NotFound) as missing:
        spool.read(PREFIX + "0" * 32, ANN)
    assert others.value.data == {"uri": kept.uri}
    assert others.value.message.replace(kept.uri, "") == missing.value.message.replace(PREFIX + "0" * 32, "")
    spool.close()
    assert not kept.path.parent.exists()
    with pytest.raises(NotFound):
        spool.read(kept.uri, ANN)
    spool.close()


async def test_results_expire_even_if_nobody_asks() -> None:
    spool = Spool(ttl=0.02)
    first = spool.store(b"1", ANN)
    second = spool.store(b"2", ANN)
    async with asyncio.timeout(30):
        while second.path.exists():
            await asyncio.sleep(0.005)
    assert not first.path.exists()
    assert len(spool) == 0
    spool.close()


async def test_an_expired_result_is_not_read() -> None:
    spool = Spool(ttl=-1)
    kept = spool.store(b"1", ANN)
    with pytest.raises(NotFound):
        spool.read(kept.uri, ANN)
    spool.close()


async def test_the_oldest_make_room() -> None:
    spool = Spool(files=2)
    kept = [spool.store(b"x", ANN) for _ in range(3)]
    assert [each.path.exists() for each in kept] == [False, True, True]
    spool.close()
    spool = Spool(size=10)
    kept = [spool.store(b"x" * 4, ANN) for _ in range(3)]
    assert [each.path.exists() for each in kept] == [False, True, True]
    with pytest.raises(Unavailable, match="11 bytes is more than the 10"):
        spool.store(b"x" * 11, ANN)
    assert len(list(kept[2].path.parent.iterdir())) == 2
    spool.close()


async def test_a_file_that_somebody_removed() -> None:
    spool = Spool()
    kept = spool.store(b"x", ANN)
    kept.path.unlink()
    with pytest.raises(NotFound, match="is gone"):
        spool.read(kept.uri, ANN)
    assert len(spool) == 0
    spool.close()


async def test_nothing_is_left_when_it_is_forgotten() -> None:
    spool = Spool()
    folder = spool.store(b"x", ANN).path.parent
    spool.close()
    spool = Spool()
    file = spool.open()
    file.close()
    folder = Path(file.name).parent
    assert folder.exists()
    del spool
    gc.collect()
    assert not folder.exists()


async def test_a_sink_spills_into_a_file() -> None:
    spool = Spool()
    sink = Sink(spool, 10)
    assert sink.empty
    sink.add("12345")
    assert not sink.spilled
    sink.add("67890\ud800")
    sink.add("the rest")
    assert sink.spilled
    assert sink.text() == "1234567890\ud800"
    kept = sink.keep(ANN)
    assert spool.read(kept.uri, ANN)[0] == "1234567890?the rest"
    sink.close()
    assert kept.path.exists()
    with pytest.raises(AssertionError):
        sink.keep(ANN)
    spool.close()


async def test_a_closed_sink_takes_and_leaves_nothing() -> None:
    spool = Spool()
    sink = Sink(spool, 1)
    sink.add("long enough")
    folder = next(iter(spool.open() for _ in range(1)))
    folder.close()
    sink.close()
    sink.add("more")
    assert sink.text() == "long enough"
    assert [each.name for each in Path(folder.name).parent.iterdir()] == [Path(folder.name).name]
    sink.close()
    spool.close()


@given(st.lists(st.text(alphabet="aé\n", max_size=20), max_size=10), st.integers(0, 40))
async def test_a_sink_keeps_every_piece(pieces: list[str], limit: int) -> None:
    spool = Spool()
    try:
        sink = Sink(spool, limit)
        for piece in pieces:
            sink.add(piece)
        whole = "".join(pieces)
        assert sink.empty == (not pieces)
        assert sink.spilled == (len(whole) > limit)
        assert (spool.read(sink.keep(ANN).uri, ANN)[0] if sink.spilled else sink.text()) == whole
    finally:
        spool.close()
