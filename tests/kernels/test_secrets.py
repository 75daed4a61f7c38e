"""The two scanners for secrets: what they find, what they leave alone, and that they never differ."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rune import native
from rune.errors import ConfigError
from rune.kernels.secrets import KINDS
from rune.kernels.secrets.rules import PREFIXES
from rune.plugins.secrets import SecretScanner
from tests.kernels.glued import glued
from tests.sizes import LONG

NATIVE = native.installed()[0] is not None
IMPLEMENTATIONS = ["python", pytest.param("rust", marks=pytest.mark.skipif(not NATIVE, reason=native.installed()[1]))]
DICE = random.Random(20260728)
SIGNS = (string.ascii_letters + string.digits, string.ascii_letters + string.digits + "_-", "0123456789abcdef",
         "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")  # fmt: skip


def made(rule):
    """A token as a rule has it, made anew so that none lies in this repository."""
    _, prefix, sort, least, _ = rule
    head = "abcdef" if sort < 3 else "ABCDEF"
    return prefix.decode() + head + "".join(DICE.choice(SIGNS[sort]) for _ in range(least - 6))


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF123_-"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIBabc+/=\n-----END RSA PRIVATE KEY-----"
FOUND = [
    (f"key:\n{PEM}\nend", PEM, "private_key"),
    (f"-----BEGIN OPENSSH PRIVATE KEY-----\nMIIB{'x' * 40}", f"-----BEGIN OPENSSH PRIVATE KEY-----\nMIIB{'x' * 40}",
     "private_key"),
    (f"Cookie: a={JWT};", JWT, "jwt"),
    ("postgres://ada:s3cret@db/x", "s3cret", "url_password"),
    ("PASSWORD = 'correct4horse'", "correct4horse", "named_secret"),
    ('{"client_secret": "a1b2c3d4e5f6g7h8"}', "a1b2c3d4e5f6g7h8", "named_secret"),
    ("export API-KEY=a1b2c3d4e5f6g7h8==", "a1b2c3d4e5f6g7h8==", "named_secret"),
    ("Authorization: Bearer a1b2c3d4/e5f6+g7h8.", "a1b2c3d4/e5f6+g7h8", "named_secret"),
    *((f"é ({made(rule)})", None, rule[0]) for rule in PREFIXES),
]  # fmt: skip
LEFT = [
    "", "plain words", "password: required", "token = get_token_of_user2(x)", "secret: aaaaaaaaaaaaaaaa1",
    "https://example.org:8080/a@b", "postgres://ada:${PASSWORD}@db", "AKIAaaaaaaaaaaaaaaaa", "ghp_" + "x" * 36,
    "xghp_" + "a1b2c3" * 6, "-----BEGIN PUBLIC KEY-----\nMIIB", "eyJhbGciOi.eyJ.x", "ghp_short1",
]  # fmt: skip
PIECES = (
    *(made(rule) for rule in PREFIXES), *(rule[1].decode() for rule in PREFIXES), JWT, PEM, "-----BEGIN ",
    "PRIVATE KEY-----", "-----END ", "-----", "RSA ", " BLOCK", "eyJ", "eyJhbGciOiJI", ".", "password", "PassWd", "pwd",
    "token", "secret", "api_key", "access-key", "key", "bearer ", "Bearer", ":", "=", ":=", "=>", " ", "  ", "\t", '"',
    "'", "a1b2c3d4", "abcdefgh12345678", "hunter2hunter2", "==", "(", "://", "@", "ada", "/", "$", "{", "\n", "é", "日",
    "\ud800", "\x00", "_", "-", "A", "1", "x" * 20,
)  # fmt: skip


@pytest.fixture(params=IMPLEMENTATIONS)
def scanner(request):
    return SecretScanner(implementation=request.param, redaction="#")


@pytest.mark.parametrize(("text", "secret", "kind"), FOUND)
def test_what_is_found_and_where(scanner, text, secret, kind):
    expected = text[3:-1] if secret is None else secret
    assert [(text[start:end], kind) for start, end, kind in scanner.scan(text)] == [(expected, kind)]
    assert scanner.mask(text) == text.replace(expected, "#")


@pytest.mark.parametrize("text", LEFT)
def test_what_is_left_alone(scanner, text):
    assert scanner.scan(text) == []
    assert scanner.mask(text) is text


def test_every_kind_has_an_example():
    assert {kind for _, _, kind in FOUND} == set(KINDS)


def test_only_the_wanted_kinds():
    for implementation in ("python", "rust") if NATIVE else ("python",):
        some = SecretScanner(implementation=implementation, kinds=["jwt"], redaction="#")
        assert some.mask(f"{JWT} password=correct4horse") == "# password=correct4horse"
        with pytest.raises(ConfigError, match="charm"):
            SecretScanner(implementation=implementation, kinds=["charm"])


def agree(text):
    for one, two in [[SecretScanner(implementation=each) for each in ("rust", "python")]]:
        assert one.scan(text) == two.scan(text), repr(text)
        assert one.mask(text) == two.mask(text), repr(text)


@pytest.mark.skipif(not NATIVE, reason=native.installed()[1])
def test_the_twins_agree_on_generated_texts():
    rust, python = (SecretScanner(implementation=each) for each in ("rust", "python"))
    for text in glued(PIECES, 20260728):
        assert rust.scan(text) == python.scan(text), repr(text)
        assert rust.mask(text) == python.mask(text), repr(text)


@pytest.mark.skipif(not NATIVE, reason=native.installed()[1])
@settings(max_examples=20_000 if LONG else 200, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=9), max_size=16).map("".join))
def test_the_twins_agree_on_any_text(text):
    agree(text)


@pytest.mark.skipif(not NATIVE, reason=native.installed()[1])
@pytest.mark.parametrize(
    "piece", ["eyJ", "-eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", "-----END ", "://a:", "sk-", "token="]
)
def test_long_texts_are_read_to_their_end(piece):
    """A text that were read again and again would not end within the deadline of the whole run."""
    agree(piece * (100_000 if LONG else 2_000))
