"""The two scanners for personal data: what they find, what they leave alone, and that they never differ."""

from __future__ import annotations

import time
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune import native
from rune.kernels.pii import KINDS
from tests.kernels.corpus import labelled
from tests.kernels.texts import PIECES, ibans, mutants, texts
from tests.sizes import LONG

NATIVE = native.installed()[0] is not None
IMPLEMENTATIONS = ["python", pytest.param("rust", marks=pytest.mark.skipif(not NATIVE, reason=native.installed()[1]))]


@pytest.fixture(params=IMPLEMENTATIONS)
def scanner(request):
    return native.make_pii(request.param, KINDS, "#")[0]


def found(scanner, text):
    return [(text[start:end], kind) for start, end, kind in scanner.scan(text)]


FOUND = [
    ("write to john.doe+x@example.co.uk today", "john.doe+x@example.co.uk", "email"),
    ("<o'brien@x.io>", "o'brien@x.io", "email"),
    ("jürgen@müller.de.", "jürgen@müller.de", "email"),
    ("请联系test@example.com谢谢", "test@example.com", "email"),
    ("name@xn--bcher-kva.xn--p1ai,", "name@xn--bcher-kva.xn--p1ai", "email"),
    ("it is 123-45-6789.", "123-45-6789", "ssn"),
    ("SSN: 123456789", "123456789", "ssn"),
    ("social security number 123 45 6789", "123 45 6789", "ssn"),
    ("card 4111 1111 1111 1111 123", "4111 1111 1111 1111", "credit_card"),
    ("4111-1111-1111-1111", "4111-1111-1111-1111", "credit_card"),
    ("3782 822463 10005", "3782 822463 10005", "credit_card"),
    ("5500005555555559", "5500005555555559", "credit_card"),
    ("6304000000000000", "6304000000000000", "credit_card"),
    ("IBAN DE89 3704 0044 0532 0130 00.", "DE89 3704 0044 0532 0130 00", "iban"),
    ("GB82WEST12345698765432", "GB82WEST12345698765432", "iban"),
    ("from 192.168.1.1:8080", "192.168.1.1", "ipv4"),
    ("10.0.0.1-10.0.0.1/24", "10.0.0.1", "ipv4"),
    ("at 2001:db8::1.", "2001:db8::1", "ipv6"),
    ("fe80::1%eth0", "fe80::1", "ipv6"),
    ("[::ffff:192.0.2.128]:80", "::ffff:192.0.2.128", "ipv6"),
    ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "ipv6"),
    ("aa:bb:cc:dd:ee:ff", "aa:bb:cc:dd:ee:ff", "mac_address"),
    ("00-11-22-33-44-55", "00-11-22-33-44-55", "mac_address"),
    ("mac aabb.ccdd.ee1f", "aabb.ccdd.ee1f", "mac_address"),
    ("dob: 12/05/1980", "12/05/1980", "date_of_birth"),
    ("born on 1980-05-12", "1980-05-12", "date_of_birth"),
    ("geb. am 12.05.1980", "12.05.1980", "date_of_birth"),
    ("生年月日 1980-05-12", "1980-05-12", "date_of_birth"),
    ("+49 30 1234567", "+49 30 1234567", "phone"),
    ("+49 (0)30 1234567", "+49 (0)30 1234567", "phone"),
    ("+1 (555) 234-5678", "+1 (555) 234-5678", "phone"),
    ("(555) 234-5678", "(555) 234-5678", "phone"),
    ("(555-234-5678)", "555-234-5678", "phone"),
    ("(1 (555) 234-5678)", "1 (555) 234-5678", "phone"),
    ("tel (030 1234567)", "030 1234567", "phone"),
    ("6304 0000 0000", "6304 0000 0000", "credit_card"),
    ("555.234.5678 ext. 12", "555.234.5678 ext. 12", "phone"),
    ("001-555-234-5678x123", "001-555-234-5678x123", "phone"),
    ("Tel. 030 1234567", "030 1234567", "phone"),
    ("Телефон: 8 495 123 45 67", "8 495 123 45 67", "phone"),
    ("电话555-123-4567", "555-123-4567", "phone"),
    ("phone 1700000000", "1700000000", "phone"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF123_-abcDEF123_-",) * 2 + ("jwt",),
    ("id AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE", "aws_access_key"),
    ("sk-abcdefghijklmnop1234567890", "sk-abcdefghijklmnop1234567890", "api_key"),
    ('{"api_key": "abcdef1234567890abcd"}', "abcdef1234567890abcd", "api_key"),
    ("Authorization: Bearer abc/def+1234567890==", "abc/def+1234567890==", "api_key"),
]


@pytest.mark.parametrize(("text", "entity", "kind"), FOUND)
def test_what_is_found_and_where(scanner, text, entity, kind):
    assert (entity, kind) in found(scanner, text)
    assert entity not in scanner.mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "plain words", "a@b", "@home", "user@localhost", "1700000000", "order 123456789", "000-12-3456",
        "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "ORD-123-45-6789", "4111 1111 1111 1112",
        "0.4111111111111111", "6011 3650 6909 0490", "6011 5838 6795 4377", "DE88 3704 0044 0532 0130 00",
        "XX89370400440532013000", "SIAS NPHO MP4O IDQE DCA", "v1.2.3.4", "1.2.3.4.5",
        "256.1.1.1", "01.2.3.4", "12:30:45", "std::dec::bad", "::", "aa:bb:cc:dd:ee", "aa-bb-cc-dd-ee-ff-00",
        "12/05/1980", "on 2026-05-12 at 10:20", "555-123", "155-234-5678", "1,234,567", "3.14159265",
        "550e8400-e29b-41d4-a716-446655440000", "#12345678", "AKIAIOSFODNN7EXAMPLEX", "xAKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9", "task-force-of-the-year-2026", "token 5", "api_key=short1",
    ],
)  # fmt: skip
def test_what_is_left_alone(scanner, text):
    assert scanner.scan(text) == []
    assert scanner.mask(text) is text


def test_offsets_are_code_points(scanner):
    text = "\U0001f600 é john@example.com \ud800 +49 30 1234567"
    assert found(scanner, text) == [("john@example.com", "email"), ("+49 30 1234567", "phone")]
    assert scanner.mask(text) == "\U0001f600 é # \ud800 #"


def test_what_overlaps_is_hidden_whole(scanner):
    assert scanner.scan("555-234-5678@example.com") == [(0, 24, "email")]
    assert scanner.mask("call 555-234-5678@example.com now") == "call # now"


def test_only_the_wanted_kinds():
    for implementation in ("python", "rust") if NATIVE else ("python",):
        scanner, made = native.make_pii(implementation, ["email"], "#")
        assert made == implementation
        assert scanner.mask("a@b.co 192.168.1.1") == "# 192.168.1.1"


@pytest.mark.skipif(not NATIVE, reason=native.installed()[1])
def test_the_twins_agree_on_generated_texts():
    rust, python = (native.make_pii(name, KINDS, "#")[0] for name in ("rust", "python"))
    known = [text for text, _ in labelled(5_000 if LONG else 200)]
    streams = (
        (texts(20260728), 1_000_000 if LONG else 6_000),
        (mutants(known, 20260728), 500_000 if LONG else 2_000),
        (ibans(20260728), 200_000 if LONG else 2_000),
    )
    for stream, count in streams:
        for text in islice(stream, count):
            assert rust.scan(text) == python.scan(text), repr(text)
            assert rust.mask(text) == python.mask(text), repr(text)


@pytest.mark.skipif(not NATIVE, reason=native.installed()[1])
@settings(max_examples=20_000 if LONG else 500, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=12)), max_size=16).map("".join))
def test_the_twins_agree_on_any_text(text):
    rust, python = (native.make_pii(name, KINDS, "#")[0] for name in ("rust", "python"))
    assert rust.scan(text) == python.scan(text)


@pytest.mark.parametrize(
    "piece", ["1 ", "@", "a@a.", "1", "1:", "1.1.", "A00A", "tel 1 1 1 ", "555 234 5678 ", "-", "a_1"]
)
def test_no_text_takes_more_than_its_share_of_time(scanner, piece):
    """Twice the text may take twice the time, not four times: the best of three, against the noise of the machine."""

    def cost(length):
        text = (piece * (length // len(piece) + 1))[:length]
        best = float("inf")
        for _ in range(3):
            began = time.thread_time()
            scanner.scan(text)
            best = min(best, time.thread_time() - began)
        return best

    small, large = cost(5_000), cost(40_000)
    assert large < 8 * 4 * max(small, 1e-4)
