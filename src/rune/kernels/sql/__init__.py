"""SQL in a text, judged by its statements: the twin of `rune-core/src/sql`. `docs/reference/sql.md` says what counts.

One pass, no tree: a frame per open parenthesis remembers the statement and the condition that it is in.
"""

from __future__ import annotations

from rune.kernels.sql import words
from rune.kernels.sql.condition import TRUE, Condition
from rune.kernels.sql.lexer import DIALECTS, SIGN, WORD, Lexer, Token
from rune.kernels.sql.words import BITS, FACTS, KNOWN


class Sql:
    """A judge for the SQL of one kind of database, with the interface of `rune_native.Sql`."""

    def __init__(self, dialect: str) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"unknown dialect: {dialect}")
        self._dialect = dialect

    def check(self, text: str) -> int:
        """The sum of the facts about a text."""
        data = text.encode("utf-8", "surrogatepass")
        lexer = Lexer(data, self._dialect)
        judge = _Judge(data, self._dialect)
        for token in lexer.tokens():
            judge.take(token)
        judge.close()
        facts = judge.facts | lexer.facts
        return facts | words.SEVERAL if judge.statements > 1 and facts & KNOWN else facts


class _Frame:
    """What a parenthesis, a CASE or the whole text is so far."""

    __slots__ = (
        "awaited", "bare", "begun", "case", "condition", "filtered", "from_", "length", "set_", "state", "verb",
        "wrapped",
    )  # fmt: skip

    def __init__(self, *, condition: bool = False, bare: bool = False, case: bool = False) -> None:
        self.case = case
        self.begun = case
        self.wrapped = False
        self.verb = words.OTHER if case else 0
        self.awaited = 0
        self.length = 0
        self.from_ = self.set_ = self.filtered = False
        self.condition = condition
        self.bare = bare
        self.state = Condition()


class _Judge:
    def __init__(self, text: bytes, dialect: str) -> None:
        self._text = text
        self._mysql = dialect == "mysql"
        self._tsql = dialect == "tsql"
        self._last = b""
        self._dotted = False
        self._now = _Frame()
        self._outer: list[_Frame] = []
        self.facts = 0
        self.statements = 0

    def take(self, token: Token) -> None:
        kind, start, end = token
        word = b""
        if kind == WORD:
            word = self._text[start:end].upper()
            self._word(token, word)
        elif kind == SIGN:
            self._sign(token, self._text[start:end])
        else:
            self._operand(token)
        self._last = word
        self._dotted = kind == SIGN and self._text[start] == 0x2E

    def _sign(self, token: Token, sign: bytes) -> None:
        now = self._now
        if sign == b"(":
            condition = now.condition and not now.case and now.state.opens()
            now.wrapped = now.wrapped or not now.begun
            self._begin(settled=False)
            self._outer.append(now)
            self._now = _Frame(condition=condition, bare=now.bare and condition)
        elif sign == b")":
            while self._now.case and self._outer:
                self._pop()
            if self._outer:
                self._pop()
            else:
                self._now.state.spoil()
        elif sign == b";":
            self.close()
        else:
            if sign != b".":
                self._begin(settled=True)
                now.length += 1
            if not now.condition:
                return
            if self._mysql and sign == b"||":
                now.state.or_(self._text)
            elif self._mysql and sign == b"&&":
                now.state.and_(self._text)
            else:
                now.state.sign(sign, token)

    def _operand(self, token: Token) -> None:
        self._begin(settled=True)
        self._settle(b"")
        if not self._dotted:
            self._now.length += 1
        if self._now.condition:
            self._now.state.operand(self._text, token)

    def _word(self, token: Token, word: bytes) -> None:
        # Behind a dot it is a name, whatever it says.
        if self._dotted:
            self._operand(token)
        elif self._now.verb == 0 and not self._now.case:
            self._first(token, word)
        else:
            self._settle(word)
            if self._tsql and self._next_statement(word):
                self.close()
                self._first(token, word)
            else:
                self._clause(token, word)

    def _first(self, token: Token, word: bytes) -> None:
        """A word where a statement may begin."""
        found = words.VERBS.get(word, 0)
        if found:
            self._count()
            self._now.begun = True
            self._now.verb = found
            if found & words.ALIKE:
                self._now.awaited = found
            else:
                self.facts |= found
            self._now.condition = False
        elif word in words.LEADS and not self._now.condition:
            self._begin(settled=False)
        else:
            self._begin(settled=True)
            self._clause(token, word)

    def _begin(self, *, settled: bool) -> None:
        """The first token of a statement or of a parenthesis. `settled`: it can be no statement that we know."""
        now = self._now
        if now.begun:
            return
        self._count()
        now.begun = True
        if not settled:
            return
        now.verb = words.OTHER
        if not self._outer:
            now.condition = now.bare = True
            now.state = Condition()

    def _count(self) -> None:
        if not self._outer and not self._now.begun:
            self.statements += 1

    def _settle(self, word: bytes) -> None:
        """Behind DROP and the like: whether it was meant for a database."""
        if self._now.awaited:
            self.facts |= words.OTHER if word in words.PROSE else self._now.awaited
            self._now.awaited = 0

    def _clause(self, token: Token, word: bytes) -> None:
        now = self._now
        if now.condition and self._connective(word):
            return
        if now.condition and word not in words.ENDS and word != b"CASE":
            now.state.word(self._text, token, word)
        elif now.condition and word != b"CASE":
            self._end_condition()
        if word in (b"WHERE", b"HAVING"):
            now.filtered = now.filtered or word == b"WHERE"
            now.condition = True
            now.state = Condition()
        elif word == b"FROM":
            now.from_ = True
        elif word == b"SET":
            now.set_ = True
        elif word == b"CASE":
            self._outer.append(now)
            self._now = _Frame(case=True)
        elif word == b"END" and now.case and self._outer:
            self._pop()
        else:
            now.length += 1

    def _connective(self, word: bytes) -> bool:
        state = self._now.state
        if word == b"OR":
            state.or_(self._text)
        elif word == b"AND":
            state.and_(self._text)
        elif word == b"NOT":
            state.negate()
        elif word == b"BETWEEN":
            state.between()
        else:
            return False
        return True

    def _next_statement(self, word: bytes) -> bool:
        """T-SQL: a word that begins the next statement."""
        now, found = self._now, words.VERBS.get(word, 0)
        return bool(
            found & words.NEXT
            and now.verb & words.OPEN
            and not self._outer
            and now.begun
            and not (now.bare and now.verb == words.OTHER)
            and word not in (b"REPLACE", b"DO", b"CALL")
            and self._last not in (b"AS", b"FOR", b"THEN")
            and not (now.verb == words.INSERT and found == words.EXECUTE)
        )

    def _end_condition(self) -> None:
        now = self._now
        always = now.state.value(self._text) == TRUE
        # In what may be a letter to people it takes more.
        if always and (now.verb & KNOWN or (now.state.compared and (now.state.ors or not now.bare))):
            self.facts |= words.TAUTOLOGY
        now.condition = now.bare = False

    def _finish(self) -> None:
        """What a frame has been, judged when it ends."""
        self._settle(b"")
        now = self._now
        if now.verb == words.DELETE and not now.filtered and (now.from_ or now.length <= 1):
            self.facts |= words.DELETE_ALL
        if now.verb == words.UPDATE and not now.filtered and now.set_:
            self.facts |= words.UPDATE_ALL

    def _pop(self) -> None:
        self._finish()
        inner = self._now
        group = inner.condition and not inner.verb & KNOWN
        if inner.condition and not group:
            self._end_condition()
        now = self._now = self._outer.pop()
        if now.wrapped and not now.verb and inner.verb & KNOWN:
            now.verb = inner.verb
        if now.condition and group:
            now.state.group(inner.state.value(self._text), inner.state)
        elif now.condition:
            now.state.spoil()
        now.length += 1

    def close(self) -> None:
        """The end of a statement."""
        while self._outer:
            self._pop()
        if self._now.begun:
            self._finish()
            if self._now.condition:
                self._end_condition()
            if not self._now.verb & KNOWN:
                self.facts |= words.OTHER
        self._now = _Frame()


__all__ = ["BITS", "DIALECTS", "FACTS", "Sql"]
