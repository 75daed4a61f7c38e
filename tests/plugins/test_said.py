"""A text in pieces is masked as if it had come in one, wherever it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune.plugins.pii import PiiFilter
from rune.plugins.said import LONGEST, WINDOW, Said

PII = PiiFilter(implementation="python")
SECRETS = (
    "ada@example.org", "+49 30 1234567", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "Tel. 030 1234567",
    "2001:db8:85a3::8a2e:370:7334", "078-05-1120", "192.168.17.4", "00:1A:2B:3C:4D:5E", "jörg.müller@exämple.org",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
)  # fmt: skip
WORDS = st.sampled_from(["so", "the quick brown", "1, 2, 3.", "\n\n", "昨日は", " - ", "x" * 150, "é", "", *SECRETS])


def streamed(pieces, change=PII.mask, window=WINDOW):
    said = Said(change, window)
    sent = [said.piece(piece) for piece in pieces]
    return [*sent, said.rest()]


@given(st.lists(WORDS, max_size=30), st.data())
@settings(max_examples=200)
def test_pieces_put_together_are_the_masked_text(words, data):
    text = " ".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=40)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join(streamed(pieces)) == PII.mask(text)


@pytest.mark.parametrize("secret", SECRETS)
def test_wherever_it_is_cut_nothing_of_it_leaves(secret):
    text = f"{'word ' * 60}{secret}{' word' * 60}"
    for cut in range(290, 310 + len(secret)):
        assert "".join(streamed([text[:cut], text[cut:]])) == PII.mask(text)
    assert "".join(streamed(text)) == PII.mask(text)


def test_a_text_leaves_while_it_comes():
    sent = streamed(["word "] * 1000)
    assert max(sum(map(len, sent[:at])) + 2 * WINDOW - 5 * at for at in range(1000)) >= 0
    assert len(sent[-1]) <= 2 * WINDOW


def test_what_has_no_gap_is_not_held_for_ever_and_costs_little():
    scanned = 0

    def change(text):
        nonlocal scanned
        scanned += len(text)
        return text

    pieces = ["x" * 7] * 5000
    sent = streamed(pieces, change)
    assert "".join(sent) == "".join(pieces)
    assert max(map(len, sent)) <= 2 * LONGEST
    assert scanned < 10 * 7 * 5000


def test_a_filter_with_a_larger_window_sees_that_much():
    def change(text):
        return text.replace("BEGIN" + " x" * 400 + " END", "#")

    text = "start " * 300 + "BEGIN" + " x" * 400 + " END" + " end" * 300
    assert "".join(streamed(text, change, 1000)) == change(text)


@pytest.mark.parametrize(
    ("messages", "leave"),
    [
        (["step 1", "step 2"], ["step 1", "step 2"]),
        (["mail ada@example.org", "done"], ["mail [REDACTED]", "done"]),
        (["mail ada@exam", "ple.org now"], ["mail ada@exam", " now"]),
        (["mail", "ada@example.org now"], ["mail", "[REDACTED] now"]),
        (["card 4111 1111 ", "1111 1111"], ["card 4111 1111 ", ""]),
    ],
)
def test_of_other_messages_only_what_goes_on_is_left_out(messages, leave):
    said = Said(PII.mask)
    assert [said.message(message) for message in messages] == leave
