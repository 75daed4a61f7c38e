//! One pass over a query: words, names, strings, numbers, signs. Comments are skipped and remembered.

use super::{COMMENT, Dialect, UNTERMINATED};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word without quotes.
    Word,
    /// A name in quotes.
    Name,
    /// A text.
    Text,
    /// A number.
    Number,
    /// One or two signs.
    Sign,
}

/// `text[start..end]`.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

const SPACE: u8 = 1;
const FIRST: u8 = 1 << 1;
const DIGIT: u8 = 1 << 2;
const REST: u8 = 1 << 3;

static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let each = byte as u8;
        if each.is_ascii_alphabetic() || each == b'_' || each >= 0x80 {
            table[byte] = FIRST | REST;
        } else if each.is_ascii_digit() {
            table[byte] = DIGIT | REST;
        } else if each == b'$' {
            table[byte] = REST;
        } else if matches!(each, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C | 0) {
            table[byte] = SPACE;
        }
        byte += 1;
    }
    table
};

fn has(byte: u8, class: u8) -> bool {
    CLASSES[byte as usize] & class != 0
}

pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    dialect: Dialect,
    /// Comments of `MySQL` whose content is code, and that are open.
    code: usize,
    /// Facts about comments and ends.
    pub facts: u32,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a [u8], dialect: Dialect) -> Self {
        Self { text, at: 0, dialect, code: 0, facts: 0 }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// The next token, or `None` at the end.
    #[inline]
    pub fn next(&mut self) -> Option<Token> {
        loop {
            let &byte = self.text.get(self.at)?;
            if has(byte, SPACE) {
                self.at += 1;
            } else if !self.comment(byte) {
                break;
            }
        }
        let start = self.at;
        let byte = self.text[start];
        let kind = if has(byte, FIRST) {
            self.word(start)
        } else if has(byte, DIGIT) || (byte == b'.' && has(self.peek(1), DIGIT)) {
            self.number(start);
            Kind::Number
        } else {
            self.other(byte)
        };
        Some(Token { kind, start, end: self.at })
    }

    /// Skip a comment that begins here.
    fn comment(&mut self, byte: u8) -> bool {
        let line = match byte {
            b'-' => {
                self.peek(1) == b'-'
                    && (self.dialect != Dialect::Mysql || self.at + 2 >= self.text.len() || self.peek(2) <= b' ')
            }
            b'#' => self.dialect == Dialect::Mysql,
            _ => false,
        };
        if line {
            self.facts |= COMMENT;
            let returns = self.dialect == Dialect::Postgres;
            let rest = &self.text[self.at..];
            let length = rest.iter().position(|&byte| byte == b'\n' || (returns && byte == b'\r'));
            self.at += length.unwrap_or(rest.len());
            return true;
        }
        if byte == b'/' && self.peek(1) == b'*' {
            if self.dialect == Dialect::Mysql && self.peek(2) == b'!' {
                self.facts |= COMMENT;
                self.code += 1;
                self.at += 3;
                while has(self.peek(0), DIGIT) {
                    self.at += 1;
                }
            } else {
                self.block();
            }
            return true;
        }
        if byte == b'*' && self.code > 0 && self.peek(1) == b'/' {
            self.code -= 1;
            self.at += 2;
            return true;
        }
        false
    }

    fn block(&mut self) {
        self.facts |= COMMENT;
        let nested = matches!(self.dialect, Dialect::Postgres | Dialect::Tsql);
        let mut depth = 1;
        self.at += 2;
        while self.at < self.text.len() {
            if self.peek(0) == b'*' && self.peek(1) == b'/' {
                self.at += 2;
                depth -= 1;
                if depth == 0 {
                    return;
                }
            } else if nested && self.peek(0) == b'/' && self.peek(1) == b'*' {
                self.at += 2;
                depth += 1;
            } else {
                self.at += 1;
            }
        }
        self.facts |= UNTERMINATED;
    }

    fn word(&mut self, start: usize) -> Kind {
        let tsql = self.dialect == Dialect::Tsql;
        while let Some(&byte) = self.text.get(self.at)
            && (has(byte, REST) || (tsql && matches!(byte, b'#' | b'@')))
        {
            self.at += 1;
        }
        if self.peek(0) != b'\'' || self.at >= self.text.len() {
            return Kind::Word;
        }
        let word = &self.text[start..self.at];
        match word {
            [b'q' | b'Q'] | [b'n' | b'N', b'q' | b'Q'] if self.dialect == Dialect::Oracle => self.chosen(),
            [b'e' | b'E'] => {
                let escapes = !matches!(self.dialect, Dialect::Sqlite | Dialect::Tsql | Dialect::Oracle);
                self.quoted(b'\'', escapes);
            }
            [b'n' | b'N' | b'b' | b'B' | b'x' | b'X'] => self.quoted(b'\'', self.dialect == Dialect::Mysql),
            _ => return Kind::Word,
        }
        Kind::Text
    }

    fn number(&mut self, start: usize) {
        let hex = matches!(self.text.get(start + 1), Some(b'x' | b'X'));
        while let Some(&byte) = self.text.get(self.at) {
            // A sign belongs to an exponent: 1e-3, but not 0xE-1.
            let exponent = !hex && self.at > start && matches!(self.text[self.at - 1], b'e' | b'E');
            let sign = exponent && matches!(byte, b'+' | b'-') && has(self.peek(1), DIGIT);
            if !(has(byte, REST) || byte == b'.' || sign) {
                break;
            }
            self.at += 1;
        }
    }

    fn other(&mut self, byte: u8) -> Kind {
        match byte {
            b'\'' => {
                self.quoted(byte, self.dialect == Dialect::Mysql);
                Kind::Text
            }
            b'"' => {
                let text = self.dialect == Dialect::Mysql;
                self.quoted(byte, text);
                if text { Kind::Text } else { Kind::Name }
            }
            b'`' if !matches!(self.dialect, Dialect::Postgres | Dialect::Tsql | Dialect::Oracle) => {
                self.quoted(byte, false);
                Kind::Name
            }
            b'[' if matches!(self.dialect, Dialect::Tsql | Dialect::Sqlite) => {
                self.quoted(b']', false);
                Kind::Name
            }
            b'@' | b'#' if self.dialect == Dialect::Tsql => {
                self.at += 1;
                self.word(self.at - 1)
            }
            b'$' if matches!(self.dialect, Dialect::Postgres | Dialect::Generic) => self.dollar(),
            _ => {
                let pair = matches!(
                    (byte, self.peek(1)),
                    (b'<' | b'>' | b'!' | b'=', b'=') | (b'<', b'>') | (b'|', b'|') | (b'&', b'&')
                );
                self.at += 1 + usize::from(pair);
                Kind::Sign
            }
        }
    }

    /// Behind the sign that ends what begins here; a doubled one is part of it.
    fn quoted(&mut self, close: u8, escapes: bool) {
        self.at += 1;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            if byte == close {
                if self.peek(0) != close || self.at >= self.text.len() {
                    return;
                }
                self.at += 1;
            } else if byte == b'\\' && escapes && self.at < self.text.len() {
                self.at += 1;
            }
        }
        self.facts |= UNTERMINATED;
    }

    /// `$tag$ … $tag$`, or a lone `$`.
    fn dollar(&mut self) -> Kind {
        let start = self.at;
        let mut end = start + 1;
        if end < self.text.len() && has(self.text[end], FIRST) {
            while end < self.text.len() && has(self.text[end], FIRST | DIGIT) {
                end += 1;
            }
        }
        if self.text.get(end) != Some(&b'$') {
            self.at += 1;
            return Kind::Sign;
        }
        let tag = &self.text[start..=end];
        self.at = end + 1;
        while self.at < self.text.len() {
            if self.text[self.at] == b'$' && self.text[self.at..].starts_with(tag) {
                self.at += tag.len();
                return Kind::Text;
            }
            self.at += 1;
        }
        self.facts |= UNTERMINATED;
        Kind::Text
    }

    /// Oracle's `q'[…]'`: the sign behind the quote chooses how it ends.
    fn chosen(&mut self) {
        let close = match self.peek(1) {
            b'[' => b']',
            b'(' => b')',
            b'{' => b'}',
            b'<' => b'>',
            other => other,
        };
        self.at = (self.at + 2).min(self.text.len());
        while self.at < self.text.len() {
            if self.text[self.at] == close && self.peek(1) == b'\'' && self.at + 1 < self.text.len() {
                self.at += 2;
                return;
            }
            self.at += 1;
        }
        self.facts |= UNTERMINATED;
    }
}
