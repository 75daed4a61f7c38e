"""Ids of tasks that others run: the same each time, hidden, and nobody can make one up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.request import Caller
from rune.seal import Key, Seal
from rune.store import MemoryStore
from rune.taskids import Elsewhere, TaskIds

words = st.text(max_size=40).filter(lambda text: text.isprintable())


@given(words, words, words, words)
def test_an_id_says_who_knows_the_task_and_whose_it_is(source: str, id: str, subject: str, tool: str) -> None:
    ids = TaskIds(Seal())
    task = Elsewhere(source, id, subject, tool)
    name = ids.make(task)
    assert ids.read(name) == task
    assert ids.make(task) == name
    assert task.belongs_to(Caller(subject)) and not task.belongs_to(Caller(subject + "x"))
    assert name.replace("-", "").replace("_", "").isalnum(), "it goes into a header as it is"


def test_an_id_hides_what_it_holds() -> None:
    name = TaskIds(Seal()).make(Elsewhere("billing", "job-17", "ann@example.org", "refund"))
    assert not any(word in name for word in ("billing", "job", "ann", "refund"))


@given(st.text(max_size=80))
def test_nothing_else_is_an_id(text: str) -> None:
    assert TaskIds(Seal()).read(text) is None


@given(st.data())
def test_every_change_of_an_id_is_seen(data: st.DataObject) -> None:
    ids = TaskIds(Seal())
    name = ids.make(Elsewhere("a", "b", "c", "d"))
    at = data.draw(st.integers(0, len(name) - 1))
    other = data.draw(st.sampled_from("ABCXYZabcxyz0189-_").filter(lambda letter: letter != name[at]))
    assert ids.read(name[:at] + other + name[at + 1 :]) is None
    assert ids.read(name + data.draw(st.sampled_from(["=", "A", "-TAMPERED", " "]))) is None


@pytest.mark.parametrize("purpose", ["cursor", "state", ""])
def test_what_was_covered_for_something_else_is_no_id(purpose: str) -> None:
    seal = Seal()
    assert TaskIds(seal).read(seal.cover(purpose, b'["a","b","c","d"]')) is None


async def test_processes_that_share_a_store_read_each_others_ids_and_keys_rotate() -> None:
    store = MemoryStore()
    task = Elsewhere("a", "b", "c", "d")
    name = TaskIds(await Seal.load(store)).make(task)
    assert TaskIds(await Seal.load(store)).read(name) == task
    assert TaskIds(await Seal.load(MemoryStore())).read(name) is None
    old, new = Key(b"old!", b"1" * 32), Key(b"new!", b"2" * 32)
    name = TaskIds(Seal([old])).make(task)
    assert TaskIds(Seal([new, old])).read(name) == task
    assert TaskIds(Seal([new])).read(name) is None
