"""What `${…}` becomes, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.config.fill import Unfilled, fill

ENV = {"secret:KEY": "k3y", "TOKEN": "t0ken", "EMPTY": "", "a.b-c": "dotted"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${TOKEN}", "t0ken"),
        ("${env:TOKEN}", "t0ken"),
        ("Bearer ${TOKEN}, ${env:TOKEN}!", "Bearer t0ken, t0ken!"),
        ("${TOKEN:-x}", "t0ken"),
        ("${NONE:-x}", "x"),
        ("${env:NONE:-a:-b}", "a:-b"),
        ("${NONE:-}", ""),
        ("${NONE:-http://x:80/}", "http://x:80/"),
        ("${EMPTY:-x}", "x"),
        ("${EMPTY}", ""),
        ("${a.b-c}", "dotted"),
        ("Bearer ${secret:KEY}", "Bearer k3y"),
        ("${secret:NONE:-x}", "x"),
        ("${KEY:-not a secret}", "not a secret"),
        ("$TOKEN ${} ${ TOKEN } ${1} $${", "$TOKEN ${} ${ TOKEN } ${1} $${"),
        ("plain", "plain"),
    ],
)
def test_strings_are_filled(text: str, filled: str) -> None:
    assert fill(text, ENV) == filled


def test_values_at_any_depth_are_filled_and_keys_are_not() -> None:
    value = {"${TOKEN}": [{"a": "${TOKEN}"}, 1, True, None]}
    assert fill(value, ENV) == {"${TOKEN}": [{"a": "t0ken"}, 1, True, None]}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("${NONE}", "${NONE} is not set", "export NONE=… or give a default: ${NONE:-…}"),
        ("${env:NONE}", "${env:NONE} is not set", "export NONE=… or give a default: ${NONE:-…}"),
        ("${secret:NONE}", "${secret:NONE} is not in the vault", "rune secret set NONE"),
        ("${secret:TOKEN}", "${secret:TOKEN} is not in the vault", "rune secret set TOKEN"),
        ("${input:X}", "${input:X}: unknown kind 'input'", "use ${X} or ${env:X}"),
    ],
)
def test_what_cannot_be_filled_says_where_and_what_to_do(text: str, message: str, hint: str) -> None:
    with pytest.raises(Unfilled) as caught:
        fill({"a": ["x", text]}, ENV)
    assert (caught.value.message, caught.value.hint, caught.value.path) == (message, hint, ("a", 1))


@given(st.text(), st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True), st.text())
def test_a_value_goes_in_as_it_is(before: str, name: str, value: str) -> None:
    before = before.replace("$", "")
    assert fill(f"{before}${{{name}}}", {name: value}) == before + value


@given(st.text())
def test_any_text_is_filled_or_refused(text: str) -> None:
    try:
        filled = fill(text, {})
    except Unfilled:
        assert "${" in text
    else:
        assert filled == text or "${" in text
