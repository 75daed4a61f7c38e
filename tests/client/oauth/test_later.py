"""Nothing is loaded for a server that wants no sign-in."""

from __future__ import annotations

import pytest

from rune.client.oauth.later import Later
from tests.client.test_proof import Proofs


@pytest.mark.parametrize("there", [False, True])
async def test_it_is_made_when_there_is_a_reason(there: bool) -> None:
    made: list[Proofs] = []
    looked: list[bool] = []

    def make() -> Proofs:
        made.append(Proofs("first", "second"))
        return made[-1]

    def look() -> bool:
        looked.append(there)
        return there

    auth = Later(make, look)
    assert auth.now("POST", "https://a") is None
    for _ in range(3):
        assert await auth.headers("POST", "https://a") == ({"Authorization": "first"} if there else {})
    assert len(made) == there and len(looked) == 1
    # A server that wants nothing costs no waiting.
    assert auth.now("POST", "https://a") == (None if there else {})
    assert await auth.refused({"Authorization": "first"}, 401, {})
    assert await auth.headers("POST", "https://a") == {"Authorization": "second"}
    assert len(made) == 1
