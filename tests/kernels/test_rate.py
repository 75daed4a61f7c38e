"""The rate limiter: what the algorithm promises, and that both implementations compute the same."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from rune import native
from rune.kernels import rate
from tests.sizes import LONG

EVENTS = 1_000_000 if LONG else 20_000
BOTH = [
    rate.Rate,
    pytest.param(
        getattr(native.installed()[0], "Rate", None),
        marks=pytest.mark.skipif(not native.installed()[0], reason=native.installed()[1]),
        id="rust",
    ),
]


@pytest.mark.skipif(not native.installed()[0], reason=native.installed()[1])
def test_both_say_the_same_to_the_last_bit():
    dice = random.Random(4)
    for _ in range(EVENTS // 1000):
        per_second, burst = dice.choice([0.1, 1, 7, 1000, 1e6]) * dice.random() + 0.001, dice.randint(1, 30)
        python, rust = rate.Rate(per_second, burst), native.installed()[0].Rate(per_second, burst)
        now = dice.random() * 1e6
        for _ in range(1000):
            now += dice.random() * dice.choice([0, 0.5, 3]) / per_second
            key, patience = dice.choice(["a", "b", "ä", "", "c" * 40]), dice.choice([0, 0, 1, 1e9])
            assert python.reserve_at(key, now, patience) == rust.reserve_at(key, now, patience)
        assert len(python) == len(rust)


@pytest.mark.skipif(not native.installed()[0], reason=native.installed()[1])
def test_both_forget_the_same():
    python, rust = rate.Rate(1, 1), native.installed()[0].Rate(1, 1)
    for number in range(3 * rate.SWEEP):
        for each in (python, rust):
            each.reserve_at(f"caller {number}", number / 1000, 0)
    assert len(python) == len(rust) <= rate.SWEEP + 1


@pytest.mark.parametrize("kind", BOTH)
def test_no_stretch_of_time_has_more_than_the_rate_and_one_burst(kind):
    dice, burst = random.Random(5), 5
    limit = kind(10.0, float(burst))
    now, taken = 1000.0, []
    for _ in range(2000):
        now += dice.random() * 0.1
        if limit.reserve_at("a", now, 0.0) is not None:
            taken.append(now)
    for first, at in enumerate(taken):
        within = sum(1 for later in taken[first:] if later <= at + 1)
        assert within <= burst + 10
    # And so many it does have: nobody is refused who could come.
    assert len(taken) >= Fraction(10) * Fraction(now - 1000) * Fraction(9, 10)


@pytest.mark.parametrize("kind", BOTH)
def test_a_burst_and_then_no_more_for_each_key_by_itself(kind):
    limit = kind(0.001, 3.0)
    assert [limit.allow("a") for _ in range(5)] == [True, True, True, False, False]
    assert limit.allow("b")
    assert limit.reserve("a", 10.0) is None
    wait = limit.reserve("a", 2000.0)
    assert 900 < wait < 1000
