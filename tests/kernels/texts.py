"""Texts for comparing two scanners: pieces that mean something to one kind or another, glued and damaged."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Sequence

from rune.kernels.pii.tokens import IBAN_LENGTHS

PIECES = (
    "123-45-6789", "4111 1111 1111 1111", "4111-1111-1111-1111", "5500005555555559", "378282246310005",
    "john.doe@example.com", "a@b.co", "@", "DE89 3704 0044 0532 0130 00", "DE89370400440532013000",
    "GB82WEST12345698765432", "192.168.1.1", "255", "256", "1.1.1.1", "2001:db8::1", "fe80::1", "::ffff:1.2.3.4",
    "aa:bb:cc:dd:ee:ff", "00-11-22-33-44-55", "aabb.ccdd.ee1f", "dob: 12/05/1980", "born ", "né le ", "geb. ",
    "d.o.b ", "12/05/1980", "1980-05-12", "+49 30 1234567", "+1 555 234 5678", "(555) 234-5678", "555.234.5678",
    "1-800-555-0199", "x12", "ext. 12", "tel ", "Tel.", "phone: ", "电话", "тел. ", "eyJhbGciOiJIUzI1NiJ9",
    "eyJzdWIiOiIxIn0", "abcDEF123_-abcDEF123_-", "AKIAIOSFODNN7EXAMPLE", "sk-abcdefghijklmnop1234567890",
    "ghp_" + "a1" * 18, "api_key", "api-key", "token", "secret", "access_token=", "Bearer ", "=", '"', ":", " ", "-",
    ".", "/", "(", ")", "+", "_", "~", "\n", "é", "ü", "€", "日", "\U0001f600", "1", "12", "123", "1234", "12345",
    "1234567", "0", "00", "001", "a", "A", "AA", "f", "F", "ssn ", "SSN:", "x", "xn--", "..", "::", ":::", "10:20:30",
    "\ud800", "\x00", "'", "%", "word", "-a-", "key", "6304", "1800", "2131",
)  # fmt: skip
MARKS = "0123456789 -./():@+_~=aAfFzZxé日\n"
LETTERS = string.ascii_uppercase
NOISE = "0123456789  --../():@+_~=aAfFzZeyJ\n"


def texts(seed: int) -> Iterator[str]:
    """Without end, the same for the same seed."""
    dice = random.Random(seed)
    while True:
        kind = dice.random()
        if kind < 0.6:
            text = _glued(dice, 14)
        elif kind < 0.8:
            text = _damaged(dice, _glued(dice, 6))
        else:
            text = "".join(dice.choice(NOISE) for _ in range(dice.randrange(1, 60)))
        if dice.random() < 0.02:
            text *= dice.randrange(2, 40)
        yield text


def mutants(corpus: Sequence[str], seed: int) -> Iterator[str]:
    """Without end: parts of known texts, damaged, anywhere in the blocks and windows that a scanner reads by."""
    dice = random.Random(seed)
    while True:
        known = dice.choice(corpus)
        start = dice.randrange(len(known))
        text = _damaged(dice, known[start : start + dice.randrange(1, 250)])
        if dice.random() < 0.3:
            text = _damaged(dice, text + dice.choice(PIECES) + _glued(dice, 3))
        if dice.random() < 0.03:
            text = (
                dice.choice(("x", " ", "1 ", "a")) * dice.choice((dice.randrange(80), dice.randrange(3960, 4110)))
                + text
            )
        yield text


def ibans(seed: int) -> Iterator[str]:
    """Without end: what has the length and the remainder of an IBAN, with digits and letters in any place."""
    dice = random.Random(seed)
    lengths = sorted(IBAN_LENGTHS.items())
    while True:
        country, length = dice.choice(lengths)
        share = dice.random()
        tail = "".join(dice.choice("0123456789" if dice.random() < share else LETTERS) for _ in range(length - 4))
        ends = [dice.choice(LETTERS) + dice.choice("0123456789" + LETTERS), f"{dice.randrange(100):02}"]
        head = country.decode() + dice.choice(ends)
        for last in "0123456789" + LETTERS:
            code = head[:-1] + last + tail
            if int("".join(str(int(each, 36)) for each in code[4:] + code[:4])) % 97 == 1:
                break
        if dice.random() < 0.4:
            code = " ".join(code[at : at + 4] for at in range(0, length, 4))
        around = ["".join(dice.choice(NOISE) for _ in range(dice.choice((0, 1, 3, 8, 50)))) for _ in range(2)]
        yield code.join(around)


def _glued(dice: random.Random, most: int) -> str:
    return "".join(dice.choice(PIECES) for _ in range(dice.randrange(1, most)))


def _damaged(dice: random.Random, text: str) -> str:
    letters = list(text)
    for _ in range(dice.randrange(1, 4)):
        place = dice.randrange(len(letters) + 1)
        letters[place : place + dice.randrange(2)] = [dice.choice(MARKS)] * dice.randrange(2)
    return "".join(letters)
