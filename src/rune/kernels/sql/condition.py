"""A condition, judged as it is read: true, false, or not known without the data."""

from __future__ import annotations

from typing import Final

from rune.kernels.sql.lexer import NUMBER, TEXT, Token

FALSE, UNKNOWN, TRUE = range(3)

_DIGITS: Final = 15
"""The longest number that is compared as one."""
_EMPTY, _NUMBER, _TEXT, _NAME, _TRUTH, _OTHER = range(6)
_SIGNS: Final = {b"=": "=", b"==": "=", b"<>": "!=", b"!=": "!=", b"<": "<", b"<=": "<=", b">": ">", b">=": ">="}
_TRUTHS: Final = {b"TRUE": TRUE, b"FALSE": FALSE, b"NULL": UNKNOWN}


class Condition:
    """A disjunction of conjunctions of comparisons. `ors`: there was an OR; `compared`: a comparison was true."""

    __slots__ = (
        "_all",
        "_any",
        "_between",
        "_ends",
        "_negated",
        "_sides",
        "_sign",
        "_starts",
        "_truth",
        "compared",
        "ors",
    )

    def __init__(self) -> None:
        self._any, self._all = FALSE, TRUE
        self._negated = self._between = False
        self._sign = ""
        # The left side and the right one.
        self._sides, self._starts, self._ends = [_EMPTY, _EMPTY], [0, 0], [0, 0]
        self._truth = UNKNOWN
        self.ors = self.compared = False

    def spoil(self) -> None:
        """What comes is more than can be judged."""
        self._sides[self._sign != ""] = _OTHER

    def opens(self) -> bool:
        """Whether a parenthesis here holds a condition."""
        return not self._sign and self._sides[0] == _EMPTY

    def group(self, value: int, inner: Condition) -> None:
        """A condition in parentheses has ended."""
        self._sides[0], self._truth = _TRUTH, value
        self.ors = self.ors or inner.ors
        self.compared = self.compared or inner.compared

    def operand(self, text: bytes, token: Token) -> None:
        """A name, a text or a number."""
        kind, start, end = token
        side = _NUMBER if kind == NUMBER else _TEXT if kind == TEXT else _NAME
        part = self._sign != ""
        if self._sides[part] == _EMPTY:
            self._sides[part], self._starts[part], self._ends[part] = side, start, end
        elif self._sides[part] == side == _NAME and text[self._ends[part] - 1] == 0x2E:
            self._ends[part] = end
        else:
            self._sides[part] = _OTHER

    def word(self, text: bytes, token: Token, word: bytes) -> None:
        """A word that is no connective."""
        truth = _TRUTHS.get(word)
        part = self._sign != ""
        if word == b"LIKE" and not part and self._sides[0] != _EMPTY:
            self._sign = "="
        elif truth is None:
            self.operand(text, token)
        elif self._sides[part] == _EMPTY:
            self._sides[part] = _TRUTH
            self._truth = truth
        else:
            self._sides[part] = _OTHER

    def sign(self, sign: bytes, token: Token) -> None:
        """A sign that is no parenthesis."""
        part = self._sign != ""
        if sign == b"." and self._sides[part] == _NAME:
            self._ends[part] = token[2]
            return
        found = _SIGNS.get(sign, "")
        if not found or part or self._sides[0] == _EMPTY:
            self._sides[part] = _OTHER
        else:
            self._sign = found

    def negate(self) -> None:
        """NOT."""
        if self.opens():
            self._negated = not self._negated
        else:
            self.spoil()

    def between(self) -> None:
        """BETWEEN: the next AND is its own."""
        self.spoil()
        self._between = True

    def and_(self, text: bytes) -> None:
        """AND."""
        if self._between:
            self._between = False
        else:
            self._end(text)

    def or_(self, text: bytes) -> None:
        """OR."""
        self._end(text)
        self._any, self._all = max(self._any, self._all), TRUE
        self.ors = True

    def value(self, text: bytes) -> int:
        """What it is when it ends here; `ors` and `compared` are final then."""
        self._end(text)
        return max(self._any, self._all)

    def _end(self, text: bytes) -> None:
        """The end of a comparison."""
        value = self._judge(text)
        if self._negated:
            value = TRUE - value
        if value == TRUE and self._sign:
            self.compared = True
        self._all = min(self._all, value)
        self._negated = self._between = False
        self._sign = ""
        self._sides = [_EMPTY, _EMPTY]

    def _judge(self, text: bytes) -> int:
        side, other = self._sides
        left = text[self._starts[0] : self._ends[0]]
        if not self._sign:
            if side == _TRUTH:
                return self._truth
            number = _whole(left) if side == _NUMBER else None
            return UNKNOWN if number is None else TRUE if number else FALSE
        if side != other or side not in (_NUMBER, _TEXT, _NAME):
            return UNKNOWN
        right = text[self._starts[1] : self._ends[1]]
        one, two = (_whole(left), _whole(right)) if side == _NUMBER else (None, None)
        if one is not None and two is not None:
            less, equal = one < two, one == two
        elif left == right:
            less, equal = False, True
        else:
            return UNKNOWN
        holds = {"=": equal, "!=": not equal, "<": less, "<=": less or equal, ">": not (less or equal), ">=": not less}
        return TRUE if holds[self._sign] else FALSE


def _whole(text: bytes) -> int | None:
    """A whole number that is not too long."""
    return int(text) if len(text) <= _DIGITS and text.isdigit() else None
