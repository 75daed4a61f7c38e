"""IBAN, IPv6 and MAC addresses: one token each, judged as a whole."""

from __future__ import annotations

import re
from typing import Final

from rune.kernels.pii.chars import DIGIT, WORD
from rune.kernels.scanner import Found

LONGEST_IPV6: Final = 45
"""The longest text of an IPv6 address: eight groups, the last two as IPv4."""

_LENGTHS: Final = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)
IBAN_LENGTHS: Final = {entry[:2].encode(): int(entry[2:]) for entry in _LENGTHS.split()}
"""Country -> length of its IBANs."""

_VALUES: Final = {ord(letter): str(int(letter, 36)) for letter in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_COLONS: Final = re.compile(rb":[0-9A-Fa-f]{0,4}:")
_DASHES: Final = re.compile(rb"-[0-9A-Fa-f]{2}-")
_DOTS: Final = re.compile(rb"\.[0-9A-Fa-f]{4}\.")
_MEMBERS: Final = b"0123456789abcdefABCDEF:."
_MEMBER: Final = frozenset(_MEMBERS)
_TOKEN: Final = re.compile(rb"[0-9A-Fa-f:.]*")
_PLAIN: Final = re.compile(rb"[A-Z]{2}[0-9]{2}[0-9A-Z]+")
_MAC: Final = re.compile(rb"[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![0-9A-Za-z_]|\1)")
_DOTTED: Final = re.compile(rb"[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![0-9A-Za-z_]|\.[0-9A-Za-z_])")
_OCTET: Final = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = re.compile(_OCTET + rb"(?:\." + _OCTET + rb"){3}\Z")
_GROUP: Final = re.compile(rb"[0-9A-Fa-f]{1,4}\Z")


def find(text: bytes, capitals: list[int], found: list[Found]) -> None:
    """Add all such tokens of a text. `capitals` are the places where an IBAN may begin."""
    for place in capitals:
        end = _iban(text, place)
        if end is not None:
            found.append((place, end, "iban"))
    _with_colons(text, found)
    match = _DASHES.search(text)
    while match is not None:
        _mac(text, match.start(), found)
        match = _DASHES.search(text, match.start() + 1)
    match = _DOTS.search(text)
    while match is not None:
        _dotted_mac(text, match.start() - 4, found)
        match = _DOTS.search(text, match.start() + 1)


def _with_colons(text: bytes, found: list[Found]) -> None:
    done = 0
    match = _COLONS.search(text)
    while match is not None:
        place = match.start()
        if match.end() - place == 4:
            _mac(text, place, found)
        if place >= done:
            done = _ipv6(text, place, found)
        match = _COLONS.search(text, place + 1)


def _iban(text: bytes, start: int) -> int | None:
    """The end of an IBAN that begins at a place: country, two check digits, the rest in one piece or in fours."""
    length = IBAN_LENGTHS.get(text[start : start + 2])
    if length is None or (start > 0 and text[start - 1] in WORD):
        return None
    if text[start + 4 : start + 5] == b" ":
        end = start + length + (length - 1) // 4
        code = text[start:end]
        if code[4::5] != b" " * len(code[4::5]):
            return None
        code = code.replace(b" ", b"")
    else:
        end = start + length
        code = text[start:end]
    if len(code) != length or _PLAIN.fullmatch(code) is None or (end < len(text) and text[end] in WORD):
        return None
    number = int("".join([_VALUES[byte] for byte in code[4:] + code[:4]]))
    return end if number % 97 == 1 else None


def _ipv6(text: bytes, place: int, found: list[Found]) -> int:
    """Judge the token around a place; where it ends."""
    low = max(place - LONGEST_IPV6 - 1, 0)
    start = low + len(text[low:place].rstrip(_MEMBERS))
    match = _TOKEN.match(text, place, place + LONGEST_IPV6 + 1)
    token = end = match.end() if match is not None else place
    cut = (start > 0 and text[start - 1] in _MEMBER) or (end < len(text) and text[end] in _MEMBER)
    while end > start and text[end - 1] == 0x2E:
        end -= 1
    if end - start >= 2 and text[end - 1] == 0x3A and text[end - 2] != 0x3A:
        end -= 1
    touched = (start > 0 and text[start - 1] in WORD) or (end < len(text) and text[end] in WORD)
    address = text[start:end]
    if not (cut or touched) and end - start <= LONGEST_IPV6 and not DIGIT.isdisjoint(address) and _is_ipv6(address):
        found.append((start, end, "ipv6"))
    return token


def _is_ipv6(address: bytes) -> bool:
    head, gap, tail = address.partition(b"::")
    before = head.split(b":") if head else []
    after = tail.split(b":") if tail else []
    parts = before + after
    count = len(parts)
    if parts and b"." in parts[-1]:
        # An IPv4 address stands for the last two groups; before a gap it cannot stand.
        if (gap and not after) or _IPV4.match(parts[-1]) is None:
            return False
        parts.pop()
        count += 1
    return all(map(_GROUP.match, parts)) and (count < 8 if gap else count == 8)


def _mac(text: bytes, place: int, found: list[Found]) -> None:
    """A MAC address whose first separator is at a place."""
    start = place - 2
    if start < 0 or (start > 0 and (text[start - 1] in WORD or text[start - 1] == text[place])):
        return
    match = _MAC.match(text, start)
    if match is not None:
        found.append((start, match.end(), "mac_address"))


def _dotted_mac(text: bytes, start: int, found: list[Found]) -> None:
    """A MAC address of three groups of four hex digits joined by dots, at least one digit among them."""
    if start < 0 or (start > 0 and (text[start - 1] in WORD or text[start - 1] == 0x2E)):
        return
    match = _DOTTED.match(text, start)
    if match is not None and not DIGIT.isdisjoint(match.group()):
        found.append((start, match.end(), "mac_address"))
