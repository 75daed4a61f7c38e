"""Numbers that are written in groups: SSN, cards, dates, IPv4 addresses, phone numbers.

A run is read once, group by group. At each group the longest entity that begins there is taken, and the reading goes on
behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from rune.kernels.pii.chars import WORD, Found, free_left, free_right
from rune.kernels.pii.context import BIRTH, PHONE, SSN
from rune.kernels.pii.tokens import is_octet

Group: TypeAlias = tuple[int, int, bytes]
"""Start and end of some digits, and what joins them to the next ones."""

Judge: TypeAlias = Callable[[bytes, bytes, list[Group]], tuple[int, int] | None]
Starts: TypeAlias = tuple[tuple[int, tuple[tuple[str, Judge], ...]], ...]
"""Number of a group, and the kinds that may begin there."""

MOST: Final = 8
"""Groups that are looked at together."""
MANY: Final = 4096
"""Shapes of runs that are remembered."""

_HIT: Final = re.compile(rb"0(?:[ ./()-]{1,2}0|0{6})")
"""Two groups that are joined, or seven digits: every entity has one or the other."""
_RUN: Final = re.compile(rb"[0-9]+(?:[ ./()-]{1,2}[0-9]+)*")
_GROUPS: Final = re.compile(rb"([0-9]+)([ ./()-]*)")
_CHARS: Final = b"0123456789 -./()"
_STARTS: Final[dict[bytes, Starts]] = {}
_BEFORE: Final = re.compile(rb"[0-9][ ./()-]{1,2}\Z")
_EXTENSION: Final = re.compile(rb" ?(?:extension|ext|x)[.: ]{0,2}([0-9]{1,6})(?![0-9A-Za-z_])", re.IGNORECASE)
_PLAIN: Final = frozenset((b"-", b".", b" "))
_CLOSING: Final = frozenset((b")", b") ", b")-", b")."))
_OPENING: Final = frozenset((b" (", b"-(", b".(", b"("))


def find(text: bytes, shapes: bytes, found: list[Found]) -> None:
    """Add all such numbers of a text. In `shapes` every digit is 0."""
    low = 0
    hit = _HIT.search(shapes)
    while hit is not None:
        place = hit.start()
        start = low + len(text[low:place].rstrip(_CHARS))
        run = _RUN.search(text, start)
        while run is not None and run.end() <= place:
            run = _RUN.search(text, run.end())
        assert run is not None, "a hit lies in a run"
        low = run.end()
        shape = shapes[run.start() : low]
        starts = _STARTS.get(shape)
        if starts is None:
            if len(_STARTS) >= MANY:
                _STARTS.clear()
            starts = _STARTS[shape] = _plan(shape)
        if starts:
            _read(text, shapes, run, starts, found)
        hit = _HIT.search(shapes, low)


def _read(text: bytes, shapes: bytes, run: re.Match[bytes], starts: Starts, found: list[Found]) -> None:
    groups = _split(text, run.start(), run.end())
    end = 0
    for index, kinds in starts:
        place = groups[index][0]
        if place < end or (place > 0 and text[place - 1] in WORD):
            continue
        best: Found | None = None
        for kind, judge in kinds:
            entity = judge(text, shapes, groups[index : index + MOST])
            if entity is not None and (best is None or entity[1] > best[1]):
                best = entity[0], entity[1], kind
        if best is not None:
            found.append(best)
            end = best[1]


def _split(text: bytes, start: int, end: int) -> list[Group]:
    return [(match.start(), match.end(1), match.group(2)) for match in _GROUPS.finditer(text, start, end)]


def _plan(shape: bytes) -> Starts:
    """At which groups of a run of this shape what may begin: the longest wins, among equals the first kind."""
    groups = _split(shape, 0, len(shape))
    starts = []
    for index in range(len(groups)):
        window = groups[index : index + MOST]
        lens = [end - start for start, end, _ in window]
        kinds = []
        # Between the groups of a run there is no room for a word that would give a meaning to the rest.
        nameable = index == 0
        if lens[:3] == [3, 2, 4] or (lens[0] == 9 and nameable):
            kinds.append(("ssn", _ssn))
        if any(12 <= sum(lens[:count]) <= 19 and _card_layout(lens[:count]) for count in range(1, 6)):
            kinds.append(("credit_card", _card))
        if nameable and len(lens) >= 3 and _joint(window, 3) in (b"/", b".", b"-") and 4 in (lens[0], lens[2]):
            kinds.append(("date_of_birth", _date))
        if len(lens) >= 4 and window[0][2] == window[1][2] == window[2][2] == b"." and max(lens[:4]) <= 3:
            kinds.append(("ipv4", _ipv4))
        if sum(lens) >= 7 and (nameable or lens[0] in (1, 3)):
            kinds.append(("phone", _phone))
        if kinds:
            starts.append((index, tuple(kinds)))
    return tuple(starts)


def _joint(groups: list[Group], count: int) -> bytes | None:
    """The one byte that joins the first `count` groups, when it is the same everywhere."""
    joint = groups[0][2]
    if len(joint) != 1 or any(group[2] != joint for group in groups[1 : count - 1]):
        return None
    return joint


def _ssn(text: bytes, shapes: bytes, groups: list[Group]) -> tuple[int, int] | None:
    place, end, _ = groups[0]
    if len(groups) >= 3 and [stop - start for start, stop, _ in groups[:3]] == [3, 2, 4]:
        joint = _joint(groups, 3)
        if joint is None or joint not in b"-. " or (joint != b"-" and not SSN.before(text, shapes, place)):
            return None
        digits = b"".join(text[start:stop] for start, stop, _ in groups[:3])
        end = groups[2][1]
    elif end - place == 9 and SSN.before(text, shapes, place):
        digits = text[place:end]
    else:
        return None
    area = digits[:3]
    # Areas 000, 666 and from 900 on are not given out, nor are group 00 and serial 0000.
    if area in (b"000", b"666") or area >= b"900" or digits[3:5] == b"00" or digits[5:] == b"0000":
        return None
    return (place, end) if free_left(text, place) and free_right(text, end) else None


def _card(text: bytes, shapes: bytes, groups: list[Group]) -> tuple[int, int] | None:
    place = groups[0][0]
    digits = b""
    best = None
    for count, (start, end, _) in enumerate(groups[:5], 1):
        digits += text[start:end]
        if len(digits) > 19 or (count > 1 and _joint(groups, count) not in (b" ", b"-")):
            break
        if (
            len(digits) >= 12
            and _card_layout([stop - begin for begin, stop, _ in groups[:count]])
            and (len(digits) > 12 or count == 1 or not (groups[count - 1][2] or _joined(text, place)))
            and _card_issuer(digits)
            and _luhn(digits)
            and free_left(text, place)
            and free_right(text, end)
        ):
            best = place, end
    return best


def _joined(text: bytes, place: int) -> bool:
    """Whether a group is joined to one before it."""
    return _BEFORE.search(text, max(place - 3, 0), place) is not None


def _card_layout(lens: list[int]) -> bool:
    """In one piece, in fours, or as 4-6-5 and 4-6-4."""
    if len(lens) == 1:
        return True
    if len(lens) == 3 and lens[1] == 6:
        return lens[0] == 4 and lens[2] in (4, 5)
    return all(length == 4 for length in lens[:-1]) and 1 <= lens[-1] <= 4


def _card_issuer(digits: bytes) -> bool:
    """Whether an issuer has numbers of this beginning and length."""
    n = len(digits)
    four = int(digits[:4])
    two = four // 100
    match digits[:1]:
        case b"4":
            return n in (13, 16, 19)
        case b"5":
            return (51 <= two <= 55 and n == 16) or two == 50 or two >= 56
        case b"2":
            return (2221 <= four <= 2720 and n == 16) or (four == 2131 and n == 15)
        case b"3":
            return (
                (two in (34, 37) and n == 15)
                or ((3000 <= four <= 3059 or four == 3095 or two in (36, 38, 39)) and n >= 14)
                or (3528 <= four <= 3589 and n >= 16)
            )
        case b"6":
            return True
        case b"1":
            return four == 1800 and n == 15
    return False


_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")


def _luhn(digits: bytes) -> bool:
    """The check digit of a card number (ISO/IEC 7812-1)."""
    backwards = digits[::-1]
    plain, doubled = backwards[::2], backwards[1::2].translate(_DOUBLED)
    return (sum(plain) + sum(doubled) - 48 * len(digits)) % 10 == 0


def _date(text: bytes, shapes: bytes, groups: list[Group]) -> tuple[int, int] | None:
    if len(groups) < 3 or _joint(groups, 3) not in (b"/", b".", b"-"):
        return None
    parts = [text[start:end] for start, end, _ in groups[:3]]
    if len(parts[0]) == 4:
        year, one, other = parts
    else:
        one, other, year = parts
    if len(year) != 4 or year[:2] not in (b"19", b"20") or len(one) > 2 or len(other) > 2:
        return None
    low, high = sorted((int(one), int(other)))
    place, end = groups[0][0], groups[2][1]
    if low < 1 or low > 12 or high > 31 or not (free_left(text, place) and free_right(text, end)):
        return None
    return (place, end) if BIRTH.before(text, shapes, place) else None


def _ipv4(text: bytes, shapes: bytes, groups: list[Group]) -> tuple[int, int] | None:
    if len(groups) < 4 or not (groups[0][2] == groups[1][2] == groups[2][2] == b".") or groups[3][2] == b".":
        return None
    place, end = groups[0][0], groups[3][1]
    if (place > 0 and text[place - 1] == 0x2E) or (end < len(text) and text[end] in WORD):
        return None
    return (place, end) if all(is_octet(text[start:stop]) for start, stop, _ in groups[:4]) else None


# --- phone numbers ---


def _phone(text: bytes, shapes: bytes, groups: list[Group]) -> tuple[int, int] | None:
    place = groups[0][0]
    last = text[place - 1] if place > 0 else 0
    if last == 0x2B:
        start = place - 1
        if start > 0 and (text[start - 1] in WORD or text[start - 1] == 0x2B):
            return None
        end = _international(text, groups)
    else:
        # A parenthesis belongs to it when it is closed behind the first group.
        opened = last == 0x28 and groups[0][2][:1] == b")"
        start = place - 1 if opened else place
        if not free_left(text, start):
            return None
        end = _north_american(text, groups, opened=opened)
        if end is None:
            end = _longest(text, groups, 7, 15)
            if end is None or not PHONE.before(text, shapes, place):
                return None
    return None if end is None else (start, _extension(text, end))


def _international(text: bytes, groups: list[Group]) -> int | None:
    """After a `+`: 7 to 15 digits, 11 where the country is 1."""
    first = text[groups[0][0]]
    if first == 0x30:
        return None
    if first != 0x31:
        return _longest(text, groups, 7, 15)
    return _longest(text, groups, 11, 11)


def _longest(text: bytes, groups: list[Group], least: int, most: int) -> int | None:
    """The end of the longest row of groups with so many digits together."""
    total = 0
    best = None
    for start, end, _ in groups:
        total += end - start
        if total > most:
            break
        if total >= least and _ends(text, end):
            best = end
    return best


def _north_american(text: bytes, groups: list[Group], *, opened: bool) -> int | None:
    """(555) 234-5678, 555-234-5678, 1 555 234 5678: area and exchange begin with 2 to 9."""
    first = text[groups[0][0] : groups[0][1]]
    prefix = int(first in (b"1", b"001"))
    number = groups[prefix : prefix + 3]
    if len(number) < 3 or [end - start for start, end, _ in number] != [3, 3, 4] or (opened and prefix):
        return None
    area, exchange, line = number
    if text[area[0]] < 0x32 or text[exchange[0]] < 0x32:
        return None
    parenthesis = opened
    if prefix:
        if groups[0][2] in _OPENING:
            parenthesis = True
        elif groups[0][2] not in _PLAIN:
            return None
    if area[2] not in (_CLOSING if parenthesis else _PLAIN) or exchange[2] not in _PLAIN:
        return None
    return line[1] if _ends(text, line[1]) else None


def _ends(text: bytes, end: int) -> bool:
    """Whether a phone number may end here."""
    return free_right(text, end) or _extension(text, end) > end


def _extension(text: bytes, end: int) -> int:
    """Behind a number: x12, ext. 12, extension 12."""
    if end >= len(text) or text[end] not in b" xXeE":
        return end
    match = _EXTENSION.match(text, end)
    return end if match is None else match.end(1)
