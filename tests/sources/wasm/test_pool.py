"""Who is stopped when a call is over: the guest that works for it, and nobody after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rune.config.policy import PolicyTable
from rune.sources.wasm.instance import Dead, Guest, Instance
from rune.sources.wasm.loaded import Loaded
from rune.sources.wasm.pool import Ticket

TOOL = "rune:guest/tools@0.1.0#call-tool"


@pytest.fixture
def instance(hand: Path) -> Instance:
    return Loaded("hand", hand, PolicyTable(), None).make()


class Counted(Guest):
    """It only counts what is wanted of it."""

    def __init__(self) -> None:
        self.stops = self.begun = 0

    def stop(self) -> None:
        self.stops += 1

    def fresh(self) -> None:
        self.begun += 1


def test_a_call_that_is_over_before_it_begins_gets_no_guest() -> None:
    ticket, guest = Ticket(), Counted()
    ticket.stop()
    assert not ticket.take(guest)
    assert (guest.stops, guest.begun) == (0, 0)


def test_a_guest_that_has_done_its_work_is_not_stopped_for_it() -> None:
    ticket, guest = Ticket(), Counted()
    assert ticket.take(guest)
    ticket.stop()
    assert (guest.stops, guest.begun) == (1, 1)
    ticket.leave()
    ticket.stop()
    assert guest.stops == 1


def test_a_stop_that_comes_early_is_not_forgotten(instance: Instance) -> None:
    instance.stop()
    with pytest.raises(Dead, match="stopped: the call is over"):
        instance.call(TOOL, "spin", "{}")


def test_a_stop_that_came_late_is_not_that_of_the_next_call(instance: Instance) -> None:
    instance.stop()
    instance.fresh()
    told = instance.call(TOOL, "echo", '{"content":[]}')
    assert told == {"ok": '{"content":[]}'}
