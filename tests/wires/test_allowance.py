"""A burst is free, a flood has to wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rune.wires.allowance import Allowance


def test_a_burst_costs_nothing_and_comes_back_with_time():
    allowance = Allowance(100, 10)
    assert [allowance.spend(33, 1000.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert allowance.spend(1, 1000.0) > 0
    assert allowance.spend(33, 1004.0) == 0.0
    assert allowance.spend(99, 9999.0) == 0.0, "it saves up no more than one burst"
    assert allowance.spend(99, 9999.0) > 0


@given(st.lists(st.floats(0.1, 500), min_size=1, max_size=50))
def test_who_waits_as_told_never_gets_more_than_the_rate(amounts):
    allowance = Allowance(100, 10)
    now = start = 1000.0
    taken = 0.0
    for amount in amounts:
        # What came at once is never refused: the last piece counts only when the next one is asked for.
        assert taken <= 100 + (now - start) * 10 + 1e-6
        taken += amount
        now += allowance.spend(amount, now)
