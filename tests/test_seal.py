"""requestState, cursors and ids: what we sealed opens again for its owner, its request and its time, for no other."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rune.errors import ProtocolError
from rune.seal import Key, Seal, binding
from rune.store import MemoryStore

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def request(
    name: str = "t", arguments: object = None, subject: str = "ann", method: str = "tools/call", **more: object
) -> bytes:
    params = {"name": name, "arguments": arguments or {}, **more}
    raw = {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in params.items()}
    return binding(subject, method, raw)


def refused(seal: Seal, text: str, retry: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        seal.open_state(text, retry)
    assert caught.value.code == -32602
    assert caught.value.data == {"reason": "invalid_request_state"}


@given(
    layers=st.dictionaries(st.text(max_size=8), JSON, max_size=4),
    arguments=st.dictionaries(st.text(), JSON, max_size=4),
)
def test_state_comes_back_whole(layers: dict[str, object], arguments: dict[str, object]) -> None:
    seal = Seal()
    text = seal.state(layers, request(arguments=arguments))
    assert seal.open_state(text, request(arguments=arguments, inputResponses={}, requestState=text)) == layers


def test_state_does_not_care_for_the_order_of_keys() -> None:
    seal = Seal()
    text = seal.state({"a": 1}, request(arguments={"x": 1, "y": 2}))
    assert seal.open_state(text, request(arguments={"y": 2, "x": 1})) == {"a": 1}


@pytest.mark.parametrize(
    "retry",
    [request(name="other"), request(arguments={"x": 2}), request(subject="bob"), request(method="prompts/get")],
    ids=["another tool", "other arguments", "another caller", "another method"],
)
def test_state_belongs_to_one_request_of_one_caller(retry: bytes) -> None:
    seal = Seal()
    refused(seal, seal.state({"a": 1}, request()), retry)


def test_state_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    seal = Seal()
    text = seal.state({"a": 1}, request(), ttl=60)
    later = time.time() + 62
    monkeypatch.setattr(time, "time", lambda: later)
    refused(seal, text, request())


@given(st.data())
def test_every_change_of_a_state_is_seen(data: st.DataObject) -> None:
    seal = Seal()
    text = seal.state({"secret": "x"}, request())
    place = data.draw(st.integers(0, len(text)))
    junk = data.draw(st.text(min_size=1, max_size=4))
    refused(seal, text[:place] + junk + text[place:], request())
    cut = data.draw(st.integers(0, len(text) - 1))
    refused(seal, text[:cut], request())


@given(st.text(max_size=80))
def test_nothing_else_is_a_state(text: str) -> None:
    refused(Seal(), text, request())


def test_state_hides_what_it_holds() -> None:
    assert "c2VjcmV0" not in Seal().state({"k": "secret"}, request())
    assert "secret" not in Seal().state({"k": "secret"}, request())


def test_params_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(ProtocolError):
        binding("ann", "tools/call", {"arguments": msgspec.Raw(b'{"x":1e999}')})


def test_keys_rotate() -> None:
    old, new = Key(b"old!", b"1" * 32), Key(b"new!", b"2" * 32)
    text = Seal([old]).state({"a": 1}, request())
    assert Seal([new, old]).open_state(text, request()) == {"a": 1}
    refused(Seal([new]), text, request())


@given(purpose=st.text(max_size=8), value=st.text(max_size=40).filter(str.isprintable))
def test_signed_values_come_back_for_their_purpose_alone(purpose: str, value: str) -> None:
    seal = Seal()
    token = seal.sign(purpose, value)
    assert seal.verify(purpose, token) == value
    assert seal.verify(purpose + "x", token) is None
    assert Seal().verify(purpose, token) is None


@given(st.text(max_size=60))
def test_nothing_else_is_signed(text: str) -> None:
    assert Seal().verify("cursor", text) is None


@given(st.text(max_size=60))
def test_ids_show_who_made_them(text: str) -> None:
    seal = Seal()
    id = seal.new_id("session")
    assert id == id.lower() and id.isalnum()
    assert seal.made("session", id)
    assert not seal.made("task", id)
    assert not seal.made("session", id[:-1] + ("0" if id[-1] != "0" else "1"))
    assert not seal.made("session", text)
    assert id != seal.new_id("session")


async def test_processes_that_share_a_store_share_the_keys() -> None:
    store = MemoryStore()
    one, two = await Seal.load(store), await Seal.load(store)
    assert two.open_state(one.state({"a": 1}, request()), request()) == {"a": 1}
    other = await Seal.load(MemoryStore())
    refused(other, one.state({"a": 1}, request()), request())
