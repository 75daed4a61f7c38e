"""What a WWW-Authenticate header comes to, however it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from rune.client.oauth.challenge import Challenge, scopes


def of(*values: str) -> Challenge:
    return Challenge.of(CIMultiDict([("www-authenticate", value) for value in values]))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ((), Challenge()),
        (("Bearer",), Challenge()),
        (('Bearer resource_metadata="https://a/b", scope="x y"',), Challenge("https://a/b", ("x", "y"))),
        (("bearer error=invalid_token, scope=x",), Challenge(None, ("x",), "invalid_token")),
        (('Basic realm="a, Bearer scope=b", Bearer scope="c"',), Challenge(None, ("c",))),
        (('Basic realm="x"', 'Bearer error="insufficient_scope"'), Challenge(error="insufficient_scope")),
        (('Bearer scope="a\\"b"',), Challenge(None, ('a"b',))),
        (('Bearer scope="a", scope="b"',), Challenge(None, ("a",))),
        (('DPoP error="use_dpop_nonce", algs="ES256"',), Challenge(error="use_dpop_nonce", dpop=True)),
        (('DPoP algs="ES256"', 'Bearer scope="a"'), Challenge(None, ("a",))),
        (("Negotiate abc==", 'Bearer scope="a"'), Challenge(None, ("a",))),
        (('Bearer scope="unfinished',), Challenge(None, ())),
    ],
)
def test_a_challenge_is_read(values: tuple[str, ...], found: Challenge) -> None:
    assert of(*values) == found


def test_plain_mappings_are_fine_too() -> None:
    assert Challenge.of({"WWW-Authenticate": "Bearer scope=a"}) == Challenge(None, ("a",))
    assert Challenge.of({}) == Challenge()


@given(st.text(max_size=300))
def test_no_header_breaks_it(text: str) -> None:
    assert isinstance(of(text), Challenge)


@pytest.mark.parametrize(
    ("text", "found"),
    [("a b  a", ("a", "b")), ("repo,gist", ("repo", "gist")), ("", ()), (" ", ()), (None, ()), (["a"], ())],
)
def test_scopes(text: object, found: tuple[str, ...]) -> None:
    assert scopes(text) == found
