"""Keys, tokens and passwords in text: the twin of `rune-core/src/secrets`. `docs/reference/secrets.md` is the grammar.

Works on UTF-8. A few patterns find the places worth looking at; each is judged by its rule.
"""

from __future__ import annotations

import re
from typing import Final

from rune.kernels.scanner import Found, Scanner
from rune.kernels.secrets.rules import BASE64, CLASSES, KINDS, NAMES, PREFIXES, SHORT

_PREFIX: Final = re.compile(
    rb"(?<![A-Za-z0-9_])(?=" + b"|".join(sorted({re.escape(rule[1]) for rule in PREFIXES})) + rb")"
)
_RULES: Final = {prefix: [rule for rule in PREFIXES if rule[1] == prefix] for _, prefix, _, _, _ in PREFIXES}
_LENGTHS: Final = sorted({len(prefix) for prefix in _RULES}, reverse=True)
_NAMED: Final = re.compile(
    rb"(" + b"|".join(NAMES) + rb")[\"']?[ \t]{0,3}(?:=>|:=|[:=])[ \t]{0,3}[\"']?(?=[A-Za-z0-9_./+~-])", re.IGNORECASE
)
_BEARER: Final = re.compile(rb"bearer[ \t]{1,3}(?=[A-Za-z0-9_./+~-])", re.IGNORECASE)
_VALUE: Final = re.compile(rb"[A-Za-z0-9_./+~-]*")
_JWT: Final = re.compile(
    rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,2}"
)
_BEGIN: Final = re.compile(rb"-----BEGIN (?:[A-Z0-9 ]{0,32} )?PRIVATE KEY(?: BLOCK)?-----")
_END: Final = re.compile(rb"-----END [A-Z0-9 ]{0,64}-----")
_URL: Final = re.compile(rb"://[^\s/:@\"'<>\\]{0,128}:(?=[^\s/@\"'<>\\]{1,256}@)([^\s/@\"'<>\\]{1,256})@")
_LETTER: Final = re.compile(rb"[A-Za-z]")
_DIGIT: Final = re.compile(rb"[0-9]")
_RANK: Final = {kind: rank for rank, kind in enumerate(KINDS)}


class Secrets(Scanner):
    """A scanner for a set of kinds, with the interface of `rune_native.Secrets`."""

    KINDS = KINDS

    def _scan(self, data: bytes) -> list[Found]:
        found: list[Found] = []
        for match in _PREFIX.finditer(data):
            _prefixed(data, match.start(), found)
        for match in _JWT.finditer(data):
            found.append((match.start(), match.end(), "jwt"))
        for match in _NAMED.finditer(data):
            _named(data, match.end(), match[1].lower() in SHORT, found)
        for match in _BEARER.finditer(data):
            _named(data, match.end(), False, found)
        _private_keys(data, found)
        _passwords(data, found)
        return _fused([each for each in found if each[2] in self._kinds])


def _prefixed(text: bytes, start: int, found: list[Found]) -> None:
    """A token of a service that begins at a place: the first rule that fits."""
    for length in _LENGTHS:
        for kind, prefix, sort, least, most in _RULES.get(text[start : start + length], ()):
            at = start + len(prefix)
            run = CLASSES[sort].match(text, at, at + most + 1)
            end = at if run is None else run.end()
            if least <= end - at <= most and _varied(text[at:end], 6):
                found.append((start, end, kind))
                return


def _named(text: bytes, start: int, short: bool, found: list[Found]) -> None:
    """The value behind a name, when it does not look like a word."""
    run = _VALUE.match(text, start)
    end = start if run is None else run.end()
    while end > start and text[end - 1] == 0x2E:
        end -= 1
    value = text[start:end]
    for _ in range(2):
        if text[end : end + 1] == b"=":
            end += 1
    if len(value) < (8 if short else 16) or text[end : end + 1] in (b"(", b"["):
        return
    if _LETTER.search(value) and _DIGIT.search(value) and _varied(value, 5 if short else 8):
        found.append((start, end, "named_secret"))


def _varied(value: bytes, least: int) -> bool:
    """Whether there are enough different characters: what people write as an example repeats one."""
    return len(set(value)) >= least


def _private_keys(text: bytes, found: list[Found]) -> None:
    at, open_ended = 0, False
    while True:
        begin = _BEGIN.search(text, at)
        if begin is None:
            return
        end = None if open_ended else _END.search(text, begin.end())
        open_ended = end is None
        run = BASE64.match(text, begin.end())
        at = end.end() if end is not None else begin.end() if run is None else run.end()
        found.append((begin.start(), at, "private_key"))


def _passwords(text: bytes, found: list[Found]) -> None:
    """Passwords in URLs, unless they are names of variables."""
    for match in _URL.finditer(text):
        if not any(sign in match[1] for sign in b"${}*"):
            found.append((match.start(1), match.end(1), "url_password"))


def _fused(found: list[Found]) -> list[Found]:
    """Secrets that overlap become one, of the kind of the first."""
    found.sort(key=lambda each: (each[0], _RANK[each[2]], each[1]))
    fused: list[Found] = []
    for start, end, kind in found:
        if fused and start < fused[-1][1]:
            first, last, known = fused[-1]
            fused[-1] = first, max(last, end), known
        else:
            fused.append((start, end, kind))
    return fused


__all__ = ["KINDS", "Secrets"]
