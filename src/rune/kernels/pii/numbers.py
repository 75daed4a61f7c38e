"""Numbers that are written in groups: SSN, cards, dates, IPv4 addresses, phone numbers.

A run is read once, group by group. At each group the longest entity that begins there is taken, and the reading goes on
behind it. What may begin where in a run depends on its shape alone: runs of the same shape share a plan.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from rune.kernels.pii.chars import WORD, free_left, free_right
from rune.kernels.pii.context import ANY, BIRTH, PHONE, SSN
from rune.kernels.scanner import Found

Group: TypeAlias = tuple[int, int, bytes]
"""Start and end of some digits in a shape, and what joins them to the next ones."""
Judge: TypeAlias = Callable[[bytes, bytes, int, Any], tuple[int, int] | None]
"""Judges what begins at a place of a text, its shapes beside it, with what the plan knows of its kind."""
Sums: TypeAlias = list[tuple[int, int]]
"""How many digits there are up to the end of a group, and how far that is, the longest first."""
Phone: TypeAlias = tuple[bool, bool, bool, Sums]
"""Of the form of the United States; behind a word perhaps; with `)` behind the first group; the ends it may have."""
Kinds: TypeAlias = tuple[tuple[str, Judge, Any], ...]

MOST: Final = 8
"""Groups that are looked at together."""
MANY: Final = 4096
"""Shapes of runs that are remembered."""
LONG: Final = 128
"""Longer shapes hardly come again."""


class Plan(NamedTuple):
    """What may begin in a run, by its shape."""

    start: int
    end: int
    starts: tuple[tuple[int, Kinds], ...]
    """Place of a group in the run, and the kinds that may begin there."""
    weak: bool
    """Whether it is nothing without a `+` or a word before it."""
    plain: bool
    """Whether a letter behind it makes it a time stamp, or something else that is no number."""


_STRETCH: Final = re.compile(rb"0[0 ./()-]{6,}")
"""Where runs may be. Nothing is shorter than seven bytes."""
_RUN: Final = re.compile(rb"0+(?:[ ./()-]{1,2}0+)*")
_GROUPS: Final = re.compile(rb"(0+)([ ./()-]*)")
_LEFT: Final = rb"(?<![0-9A-Za-z_])(?<![0-9A-Za-z_][./-])"
_RIGHT: Final = rb"(?![0-9A-Za-z_]|[.-][0-9])"
# Areas 000, 666 and from 900 on are not given out, nor are group 00 and serial 0000.
_SSN: Final = re.compile(_LEFT + rb"(?!000|666|9)[0-9]{3}([ .-]?)(?!00)[0-9]{2}\1(?!0000)[0-9]{4}" + _RIGHT)
_OCTET: Final = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = re.compile(rb"(?<![0-9A-Za-z_.])" + _OCTET + rb"(?:\." + _OCTET + rb"){3}(?![0-9A-Za-z_]|\.[0-9])")
_NUMBER: Final = rb"[2-9][0-9]{2}[ .-][0-9]{4}"
_OPENED: Final = re.compile(rb"\([2-9][0-9]{2}\)[ .-]?" + _NUMBER)
_AMERICAN: Final = re.compile(
    rb"(?:(?:001|1)(?:[ .-]?\([2-9][0-9]{2}\)[ .-]?|[ .-][2-9][0-9]{2}[ .-])|[2-9][0-9]{2}[ .-])" + _NUMBER
)
_EXTENSION: Final = re.compile(rb" ?(?:extension|ext|x)[.: ]{0,2}([0-9]{1,6})(?![0-9A-Za-z_])", re.IGNORECASE)
_LETTERS: Final = frozenset(b"ABCDFGHIJKLMNOPQRSTUVWYZabcdfghijklmnopqrstuvwyz")
"""Those that no extension begins with."""
_PLANS: Final[dict[bytes, tuple[Plan, ...]]] = {}


def find(text: bytes, shapes: bytes, found: list[Found]) -> None:
    """Add all such numbers of a text in lower case. In `shapes` every digit is 0."""
    known = _PLANS.get
    for match in _STRETCH.finditer(shapes):
        plans = known(match[0])
        if plans is None:
            plans = _planned(match[0])
        for plan in plans:
            start, end = match.start() + plan.start, match.start() + plan.end
            if plan.plain and end < len(text) and text[end] in _LETTERS:
                continue
            if plan.weak and not (start and text[start - 1] == 0x2B) and not ANY.before(text, shapes, start):
                continue
            _read(text, shapes, start, plan.starts, found)


def _read(text: bytes, shapes: bytes, run: int, starts: tuple[tuple[int, Kinds], ...], found: list[Found]) -> None:
    end = 0
    for offset, kinds in starts:
        place = run + offset
        if place < end or (place > 0 and text[place - 1] in WORD):
            continue
        best: Found | None = None
        for kind, judge, known in kinds:
            # Phone numbers come last, and only where they would win: they may have to look for words.
            if best is not None and judge is _phone and not _longer(text, place, known, best[1]):
                continue
            entity = judge(text, shapes, place, known)
            if entity is not None and (best is None or entity[1] > best[1]):
                best = entity[0], entity[1], kind
        if best is not None:
            found.append(best)
            end = best[1]


def _planned(stretch: bytes) -> tuple[Plan, ...]:
    plans = tuple(plan for match in _RUN.finditer(stretch) if (plan := _plan(match[0], match.start())).starts)
    if len(stretch) <= LONG:
        if len(_PLANS) >= MANY:
            _PLANS.clear()
        _PLANS[stretch] = plans
    return plans


def _plan(shape: bytes, start: int) -> Plan:
    """At which groups of a run of this shape what may begin: the longest wins, among equals the first kind."""
    groups = [(match.start(), match.end(1), match[2]) for match in _GROUPS.finditer(shape)]
    starts = []
    for index, (offset, _, _) in enumerate(groups):
        # Between the groups of a run there is no room for a word that would give a meaning to the rest.
        kinds = _kinds(groups[index : index + MOST], nameable=index == 0)
        if kinds:
            starts.append((offset, kinds))
    lens = [end - start for start, end, _ in groups]
    count = sum(lens)
    weak = count < 12 and (len(lens) < 3 or (len(lens) == 3 and count not in (9, 10)))
    plain = len(lens) <= 3 and all(joint in (b"-", b".", b"") for _, _, joint in groups)
    return Plan(start, start + len(shape), tuple(starts), weak, plain)


def _kinds(groups: list[Group], *, nameable: bool) -> Kinds:
    """What may begin with these groups, and what the judge of each kind has to know."""
    first = groups[0][0]
    lens = [end - start for start, end, _ in groups]
    joint = _joint(groups, 3)
    kinds: list[tuple[str, Judge, Any]] = []
    if lens[:3] == [3, 2, 4] and (joint == b"-" or (nameable and joint in (b".", b" "))):
        kinds.append(("ssn", _ssn, joint != b"-"))
    elif lens[0] == 9 and nameable:
        kinds.append(("ssn", _ssn, True))
    cards = [
        groups[count - 1][1] - first
        for count in range(1, min(5, len(groups)) + 1)
        if _card_layout(groups[:count], nameable=nameable)
    ]
    if cards:
        kinds.append(("credit_card", _card, cards))
    if nameable and joint in (b"/", b".", b"-") and 4 in (lens[0], lens[2]) and max(lens[1], min(lens[0], lens[2])) < 3:
        kinds.append(("date_of_birth", _date, [(start - first, end - first) for start, end, _ in groups[:3]]))
    if len(lens) >= 4 and groups[0][2] == groups[1][2] == groups[2][2] == b"." and max(lens[:4]) <= 3:
        kinds.append(("ipv4", _ipv4, None))
    american = lens[:3] == [3, 3, 4] or (lens[0] in (1, 3) and lens[1:4] == [3, 3, 4])
    sums = _sums(groups)
    if american or (nameable and sums):
        kinds.append(("phone", _phone, (american, nameable, groups[0][2][:1] == b")", sums)))
    return tuple(kinds)


def _joint(groups: list[Group], count: int) -> bytes | None:
    """The one byte that joins the first `count` groups, when it is the same everywhere."""
    joint = groups[0][2]
    if len(groups) < count or len(joint) != 1 or any(group[2] != joint for group in groups[1 : count - 1]):
        return None
    return joint


def _sums(groups: list[Group]) -> Sums:
    """How many digits there are up to the end of each group, and that end, the most first."""
    sums = []
    total = 0
    for start, end, _ in groups:
        total += end - start
        if total > 15:
            break
        if total >= 7:
            sums.append((total, end - groups[0][0]))
    return sums[::-1]


def _ssn(text: bytes, shapes: bytes, place: int, named: bool) -> tuple[int, int] | None:
    match = _SSN.match(text, place)
    if match is None or (named and not SSN.before(text, shapes, place)):
        return None
    return match.span()


def _card(text: bytes, shapes: bytes, place: int, ends: list[int]) -> tuple[int, int] | None:
    if not free_left(text, place):
        return None
    for length in reversed(ends):
        end = place + length
        digits = text[place:end].translate(None, b" -")
        if _card_issuer(digits) and _luhn(digits) and free_right(text, end):
            return place, end
    return None


def _card_layout(groups: list[Group], *, nameable: bool) -> bool:
    """12 to 19 digits in one piece, in fours, or as 4-6-5 and 4-6-4; three fours only by themselves."""
    lens = [end - start for start, end, _ in groups]
    if not 12 <= sum(lens) <= 19:
        return False
    if len(lens) == 1:
        return True
    if _joint(groups, len(lens)) not in (b" ", b"-"):
        return False
    if len(lens) == 3 and lens[1] == 6:
        return lens[0] == 4 and lens[2] in (4, 5)
    if sum(lens) == 12 and not (nameable and not groups[-1][2]):
        return False
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


def _date(text: bytes, shapes: bytes, place: int, groups: list[tuple[int, int]]) -> tuple[int, int] | None:
    one, other, year = [text[place + start : place + end] for start, end in groups]
    if len(year) != 4:
        one, other, year = year, other, one
    low, high = int(one), int(other)
    if low > high:
        low, high = high, low
    end = place + groups[2][1]
    if low < 1 or low > 12 or high > 31 or year[:2] not in (b"19", b"20"):
        return None
    if not (free_left(text, place) and free_right(text, end) and BIRTH.before(text, shapes, place)):
        return None
    return place, end


def _ipv4(text: bytes, shapes: bytes, place: int, known: None) -> tuple[int, int] | None:
    match = _IPV4.match(text, place)
    return None if match is None else match.span()


# --- phone numbers ---


def _longer(text: bytes, place: int, known: Phone, end: int) -> bool:
    """Whether a phone number may go on behind an end."""
    sums = known[3]
    return (bool(sums) and place + sums[0][1] > end) or _extension(text, end) > end


def _phone(text: bytes, shapes: bytes, place: int, known: Phone) -> tuple[int, int] | None:
    american, nameable, closed, sums = known
    last = text[place - 1] if place > 0 else 0
    start = place
    end: int | None = None
    if last == 0x2B:
        start = place - 1
        if start > 0 and (text[start - 1] in WORD or text[start - 1] == 0x2B):
            return None
        end = _international(text, place, sums)
    else:
        # A parenthesis belongs to it when it is closed behind the first group.
        opened = last == 0x28 and closed
        start = place - 1 if opened else place
        if not free_left(text, start):
            return None
        if american:
            match = (_OPENED if opened else _AMERICAN).match(text, start)
            if match is not None and _ends(text, match.end()):
                end = match.end()
        if end is None and nameable:
            end = _longest(text, place, sums)
            if end is not None and not PHONE.before(text, shapes, place):
                return None
    return None if end is None else (start, _extension(text, end))


def _international(text: bytes, place: int, sums: Sums) -> int | None:
    """After a `+`: 7 to 15 digits, 11 where the country is 1."""
    first = text[place]
    if first == 0x30:
        return None
    if first == 0x31:
        sums = [each for each in sums if each[0] == 11]
    return _longest(text, place, sums)


def _longest(text: bytes, place: int, sums: Sums) -> int | None:
    """The end of the longest row of groups that may end there."""
    for _, length in sums:
        if _ends(text, place + length):
            return place + length
    return None


def _ends(text: bytes, end: int) -> bool:
    """Whether a phone number may end here."""
    return free_right(text, end) or _extension(text, end) > end


def _extension(text: bytes, end: int) -> int:
    """Behind a number: x12, ext. 12, extension 12."""
    if end >= len(text) or text[end] not in b" xXeE":
        return end
    match = _EXTENSION.match(text, end)
    return end if match is None else match.end(1)
