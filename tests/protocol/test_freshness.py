"""How long an answer holds, and for whom."""

from __future__ import annotations

import msgspec
import pytest

from rune.protocol.freshness import MAX_TTL, Freshness, freshness, outdated


@pytest.mark.parametrize(
    ("ttl", "read"),
    [
        (b"5", 5),
        (b"1.9", 1),
        (b"-1", 0),
        (b"null", 0),
        (b"true", 0),
        (b'"5"', 0),
        (b"[]", 0),
        (b"1e400", 0),
        (b"1e300", MAX_TTL),
        (b"99999999999999999999", MAX_TTL),
    ],
)
def test_the_time_is_a_number_that_makes_sense(ttl, read):
    assert freshness({"ttlMs": msgspec.Raw(ttl), "cacheScope": msgspec.Raw(b'"public"')}) == Freshness(read, False)


@pytest.mark.parametrize("scope", [None, b'"private"', b"null", b'"everybody"'])
def test_what_is_not_said_to_be_public_is_private(scope):
    members = {} if scope is None else {"cacheScope": msgspec.Raw(scope)}
    assert freshness(members) == Freshness(0, True)


def test_a_change_makes_its_lists_old():
    assert outdated("notifications/resources/list_changed") == ("resources/list", "resources/templates/list")
    assert outdated("notifications/progress") == ()
