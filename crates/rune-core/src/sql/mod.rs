//! SQL in a text: what its statements do, as a sum of facts. `docs/reference/sql.md` says what counts.
//!
//! One pass, no tree: a frame per open parenthesis remembers the statement and the condition that it is in.

mod condition;
mod lexer;
mod words;

use condition::{Condition, TRUE};
use lexer::{Kind, Lexer, Token};
use words::{ends_condition, is, leads, packed, prose, verb};

/// More than one statement.
pub const SEVERAL: u32 = 1;
/// A comment.
pub const COMMENT: u32 = 1 << 1;
/// A string, a name or a comment that does not end.
pub const UNTERMINATED: u32 = 1 << 2;
/// A condition that always holds.
pub const TAUTOLOGY: u32 = 1 << 3;
/// A DELETE without WHERE.
pub const DELETE_ALL: u32 = 1 << 4;
/// An UPDATE without WHERE.
pub const UPDATE_ALL: u32 = 1 << 5;
/// A statement that reads.
pub const SELECT: u32 = 1 << 6;
/// INSERT, REPLACE.
pub const INSERT: u32 = 1 << 7;
/// UPDATE.
pub const UPDATE: u32 = 1 << 8;
/// DELETE.
pub const DELETE: u32 = 1 << 9;
/// MERGE.
pub const MERGE: u32 = 1 << 10;
/// DROP.
pub const DROP: u32 = 1 << 11;
/// TRUNCATE.
pub const TRUNCATE: u32 = 1 << 12;
/// ALTER.
pub const ALTER: u32 = 1 << 13;
/// CREATE.
pub const CREATE: u32 = 1 << 14;
/// GRANT.
pub const GRANT: u32 = 1 << 15;
/// REVOKE.
pub const REVOKE: u32 = 1 << 16;
/// EXECUTE, EXEC, CALL, DO.
pub const EXECUTE: u32 = 1 << 17;
/// A statement that begins with none of these words, or no SQL at all.
pub const OTHER: u32 = 1 << 18;

/// All statements but [`OTHER`].
const KNOWN: u32 = OTHER - SELECT;
/// Statements that letters to people may seem to begin with.
const ALIKE: u32 = DROP | ALTER | CREATE | GRANT | REVOKE | TRUNCATE;
/// Statements in which T-SQL lets the next one begin without a semicolon.
const OPEN: u32 = SELECT | INSERT | UPDATE | DELETE | MERGE | EXECUTE | OTHER;

/// The language of a database, where it differs in strings, names and comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// What most have in common.
    Generic,
    /// `PostgreSQL`.
    Postgres,
    /// `MySQL`, `MariaDB`.
    Mysql,
    /// `SQLite`.
    Sqlite,
    /// SQL Server.
    Tsql,
    /// Oracle.
    Oracle,
}

impl Dialect {
    /// All of them, with their names in configurations.
    pub const ALL: [(&'static str, Self); 6] = [
        ("generic", Self::Generic),
        ("postgres", Self::Postgres),
        ("mysql", Self::Mysql),
        ("sqlite", Self::Sqlite),
        ("tsql", Self::Tsql),
        ("oracle", Self::Oracle),
    ];
}

/// What is true of a text, as a sum of facts.
#[must_use]
pub fn check(text: &[u8], dialect: Dialect) -> u32 {
    let mut lexer = Lexer::new(text, dialect);
    let mut judge = Judge {
        text,
        dialect,
        facts: 0,
        statements: 0,
        last: 0,
        dotted: false,
        now: Frame::default(),
        outer: Vec::new(),
    };
    while let Some(token) = lexer.next() {
        judge.take(token);
    }
    judge.close();
    let mut facts = judge.facts | lexer.facts;
    if judge.statements > 1 && facts & KNOWN != 0 {
        facts |= SEVERAL;
    }
    facts
}

/// What a parenthesis, a CASE or the whole text is so far.
#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
#[derive(Clone, Copy, Default)]
struct Frame {
    case: bool,
    /// A token has been seen.
    begun: bool,
    /// That token was a parenthesis.
    wrapped: bool,
    /// The statement, once its word is there.
    verb: u32,
    /// Waits for the word behind DROP and the like.
    awaited: u32,
    /// Tokens after DELETE, names with dots as one.
    length: u8,
    from: bool,
    set: bool,
    filtered: bool,
    /// In a condition of WHERE or HAVING, or in a text that may be nothing but a condition.
    condition: bool,
    bare: bool,
    state: Condition,
}

struct Judge<'a> {
    text: &'a [u8],
    dialect: Dialect,
    facts: u32,
    statements: usize,
    /// The word before, 0 where it was none.
    last: u128,
    /// The token before was a dot.
    dotted: bool,
    now: Frame,
    outer: Vec<Frame>,
}

impl Judge<'_> {
    #[inline]
    fn take(&mut self, token: Token) {
        let mut word = 0;
        match token.kind {
            Kind::Word => {
                word = packed(&self.text[token.start..token.end]);
                self.word(token, word);
            }
            Kind::Sign => self.sign(token),
            _ => self.operand(token),
        }
        self.last = word;
        self.dotted = token.kind == Kind::Sign && self.text[token.start] == b'.';
    }

    fn sign(&mut self, token: Token) {
        match self.text[token.start] {
            b'(' => {
                let condition = self.now.condition && !self.now.case && self.now.state.opens();
                self.now.wrapped |= !self.now.begun;
                self.begin(false);
                let bare = self.now.bare;
                self.outer.push(self.now);
                self.now = Frame { condition, bare: bare && condition, ..Frame::default() };
            }
            b')' => {
                while self.now.case && !self.outer.is_empty() {
                    self.pop();
                }
                if self.outer.is_empty() {
                    self.now.state.spoil();
                } else {
                    self.pop();
                }
            }
            b';' => self.close(),
            byte => {
                if byte != b'.' {
                    self.begin(true);
                    self.grow();
                }
                if self.now.condition {
                    let connective = self.dialect == Dialect::Mysql && token.end == token.start + 2;
                    match byte {
                        b'|' if connective => self.now.state.or(self.text),
                        b'&' if connective => self.now.state.and(self.text),
                        _ => self.now.state.sign(&self.text[token.start..token.end], token),
                    }
                }
            }
        }
    }

    fn operand(&mut self, token: Token) {
        self.begin(true);
        self.settle(0);
        if !self.dotted {
            self.grow();
        }
        if self.now.condition {
            self.now.state.operand(self.text, token);
        }
    }

    fn word(&mut self, token: Token, word: u128) {
        // Behind a dot it is a name, whatever it says.
        if self.dotted {
            return self.operand(token);
        }
        if self.now.verb == 0 && !self.now.case {
            return self.first(token, word);
        }
        self.settle(word);
        if self.dialect == Dialect::Tsql && self.next_statement(word) {
            self.close();
            return self.first(token, word);
        }
        self.clause(token, word);
    }

    /// A word where a statement may begin.
    fn first(&mut self, token: Token, word: u128) {
        let found = verb(word);
        if found != 0 {
            self.count();
            self.now.begun = true;
            self.now.verb = found;
            if found & ALIKE != 0 {
                self.now.awaited = found;
            } else {
                self.facts |= found;
            }
            self.now.condition = false;
        } else if leads(word) && !self.now.condition {
            self.begin(false);
        } else {
            self.begin(true);
            self.clause(token, word);
        }
    }

    /// The first token of a statement or of a parenthesis. `settled`: it can be no statement that we know.
    fn begin(&mut self, settled: bool) {
        if self.now.begun {
            return;
        }
        self.count();
        self.now.begun = true;
        if self.outer.is_empty() {
            if settled {
                self.now.verb = OTHER;
                self.now.condition = true;
                self.now.bare = true;
                self.now.state = Condition::default();
            }
        } else if settled {
            self.now.verb = OTHER;
        }
    }

    fn count(&mut self) {
        if self.outer.is_empty() && !self.now.begun {
            self.statements += 1;
        }
    }

    /// Behind DROP and the like: whether it was meant for a database.
    fn settle(&mut self, word: u128) {
        if self.now.awaited != 0 {
            self.facts |= if prose(word) { OTHER } else { self.now.awaited };
            self.now.awaited = 0;
        }
    }

    fn grow(&mut self) {
        self.now.length = self.now.length.saturating_add(1);
    }

    fn clause(&mut self, token: Token, word: u128) {
        if self.now.condition {
            match word {
                is::OR => return self.now.state.or(self.text),
                is::AND => return self.now.state.and(self.text),
                is::NOT => return self.now.state.not(),
                is::BETWEEN => return self.now.state.between(),
                is::CASE => {
                    self.outer.push(self.now);
                    self.now = Frame { case: true, begun: true, verb: OTHER, ..Frame::default() };
                    return;
                }
                _ if ends_condition(word) => self.end_condition(),
                _ => self.now.state.word(self.text, token, word),
            }
        }
        match word {
            is::WHERE => {
                self.now.filtered = true;
                self.now.condition = true;
                self.now.state = Condition::default();
            }
            is::HAVING => {
                self.now.condition = true;
                self.now.state = Condition::default();
            }
            is::FROM => self.now.from = true,
            is::SET => self.now.set = true,
            is::CASE => {
                self.outer.push(self.now);
                self.now = Frame { case: true, begun: true, verb: OTHER, ..Frame::default() };
            }
            is::END if self.now.case && !self.outer.is_empty() => self.pop(),
            _ => self.grow(),
        }
    }

    /// T-SQL: a word that begins the next statement.
    fn next_statement(&self, word: u128) -> bool {
        let found = verb(word);
        found & (DELETE | UPDATE | INSERT | MERGE | DROP | TRUNCATE | ALTER | CREATE | GRANT | REVOKE | EXECUTE) != 0
            && self.now.verb & OPEN != 0
            && self.outer.is_empty()
            && self.now.begun
            && !(self.now.bare && self.now.verb == OTHER)
            && !matches!(word, is::REPLACE | is::DO | is::CALL)
            && !matches!(self.last, is::AS | is::FOR | is::THEN)
            && !(self.now.verb == INSERT && found == EXECUTE)
    }

    fn end_condition(&mut self) {
        let mut state = self.now.state;
        let always = state.value(self.text) == TRUE;
        // In what may be a letter to people it takes more.
        if always && (self.now.verb & KNOWN != 0 || (state.compared && (state.ors || !self.now.bare))) {
            self.facts |= TAUTOLOGY;
        }
        self.now.condition = false;
        self.now.bare = false;
    }

    /// What a frame has been, judged when it ends.
    fn finish(&mut self) {
        self.settle(0);
        let frame = self.now;
        if frame.verb == DELETE && !frame.filtered && (frame.from || frame.length <= 1) {
            self.facts |= DELETE_ALL;
        }
        if frame.verb == UPDATE && !frame.filtered && frame.set {
            self.facts |= UPDATE_ALL;
        }
    }

    fn pop(&mut self) {
        self.finish();
        let mut inner = self.now;
        let group = inner.condition && inner.verb & KNOWN == 0;
        if inner.condition && !group {
            self.end_condition();
        }
        let Some(outer) = self.outer.pop() else { return };
        self.now = outer;
        if self.now.wrapped && self.now.verb == 0 && inner.verb & KNOWN != 0 {
            self.now.verb = inner.verb;
        }
        if self.now.condition {
            let value = inner.state.value(self.text);
            self.now.state.group(group.then_some((value, inner.state)));
        }
        self.grow();
    }

    /// The end of a statement.
    fn close(&mut self) {
        while !self.outer.is_empty() {
            self.pop();
        }
        if self.now.begun {
            self.finish();
            if self.now.condition {
                self.end_condition();
            }
            if self.now.verb & KNOWN == 0 {
                self.facts |= OTHER;
            }
        }
        self.now = Frame::default();
    }
}

#[cfg(test)]
mod tests;
