//! A condition, judged as it is read: true, false, or not known without the data.

use super::lexer::{Kind, Token};
use super::words::is;

pub const FALSE: u8 = 0;
pub const UNKNOWN: u8 = 1;
pub const TRUE: u8 = 2;

/// The longest number that is compared as one.
const DIGITS: usize = 15;

/// What one side of a comparison is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Side {
    #[default]
    Empty,
    Number,
    Text,
    /// A name, with the dots in it.
    Name,
    Truth(u8),
    Other,
}

/// One side of a comparison: `text[start..end]`.
#[derive(Clone, Copy, Default)]
struct Part {
    side: Side,
    start: usize,
    end: usize,
}

/// How two sides are compared.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sign {
    #[default]
    None,
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// A disjunction of conjunctions of comparisons.
#[expect(clippy::struct_excessive_bools, reason = "facts that are independent of each other")]
#[derive(Clone, Copy, Default)]
pub struct Condition {
    /// The disjunction of what has ended.
    any: u8,
    /// What the conjunction of what has ended lacks to be true.
    lack: u8,
    negated: bool,
    between: bool,
    sign: Sign,
    left: Part,
    right: Part,
    /// There was an OR.
    pub ors: bool,
    /// A comparison was true.
    pub compared: bool,
}

impl Condition {
    fn part(&mut self) -> &mut Part {
        if self.sign == Sign::None { &mut self.left } else { &mut self.right }
    }

    /// What comes is more than can be judged.
    pub fn spoil(&mut self) {
        self.part().side = Side::Other;
    }

    /// Whether a parenthesis here holds a condition.
    pub fn opens(&self) -> bool {
        self.sign == Sign::None && self.left.side == Side::Empty
    }

    /// A parenthesis has ended: a condition with a value, or anything else.
    pub fn group(&mut self, inner: Option<(u8, Self)>) {
        let Some((value, state)) = inner else { return self.spoil() };
        self.left.side = Side::Truth(value);
        self.ors |= state.ors;
        self.compared |= state.compared;
    }

    /// A name, a text or a number.
    pub fn operand(&mut self, text: &[u8], token: Token) {
        let side = match token.kind {
            Kind::Number => Side::Number,
            Kind::Text => Side::Text,
            _ => Side::Name,
        };
        let part = self.part();
        if part.side == Side::Empty {
            *part = Part { side, start: token.start, end: token.end };
        } else if part.side == Side::Name && side == Side::Name && text[part.end - 1] == b'.' {
            part.end = token.end;
        } else {
            part.side = Side::Other;
        }
    }

    /// A word that is no connective.
    pub fn word(&mut self, text: &[u8], token: Token, word: u128) {
        let truth = match word {
            is::TRUE => TRUE,
            is::FALSE => FALSE,
            is::NULL => UNKNOWN,
            is::LIKE if self.sign == Sign::None && self.left.side != Side::Empty => {
                self.sign = Sign::Equal;
                return;
            }
            _ => return self.operand(text, token),
        };
        let part = self.part();
        part.side = if part.side == Side::Empty { Side::Truth(truth) } else { Side::Other };
    }

    /// A sign that is no parenthesis.
    pub fn sign(&mut self, sign: &[u8], token: Token) {
        if sign == b"." {
            let part = self.part();
            if part.side == Side::Name {
                part.end = token.end;
            } else {
                part.side = Side::Other;
            }
            return;
        }
        let found = match sign {
            b"=" | b"==" => Sign::Equal,
            b"<>" | b"!=" => Sign::Unequal,
            b"<" => Sign::Less,
            b"<=" => Sign::LessEqual,
            b">" => Sign::Greater,
            b">=" => Sign::GreaterEqual,
            _ => Sign::None,
        };
        if found == Sign::None || self.sign != Sign::None || self.left.side == Side::Empty {
            self.spoil();
        } else {
            self.sign = found;
        }
    }

    /// NOT.
    pub fn not(&mut self) {
        if self.opens() {
            self.negated = !self.negated;
        } else {
            self.spoil();
        }
    }

    /// BETWEEN: the next AND is its own.
    pub fn between(&mut self) {
        self.spoil();
        self.between = true;
    }

    /// AND.
    pub fn and(&mut self, text: &[u8]) {
        if self.between {
            self.between = false;
        } else {
            self.end(text);
        }
    }

    /// OR.
    pub fn or(&mut self, text: &[u8]) {
        self.end(text);
        self.any = self.any.max(TRUE - self.lack);
        self.lack = 0;
        self.ors = true;
    }

    /// What it is when it ends here; `ors` and `compared` are final then.
    pub fn value(&mut self, text: &[u8]) -> u8 {
        self.end(text);
        self.any.max(TRUE - self.lack)
    }

    /// The end of a comparison.
    fn end(&mut self, text: &[u8]) {
        let mut value = self.judge(text);
        if self.negated {
            value = TRUE - value;
        }
        self.compared |= value == TRUE && self.sign != Sign::None;
        self.lack = self.lack.max(TRUE - value);
        self.negated = false;
        self.between = false;
        self.sign = Sign::None;
        self.left.side = Side::Empty;
        self.right.side = Side::Empty;
    }

    fn judge(&self, text: &[u8]) -> u8 {
        let (left, right) = (&text[self.left.start..self.left.end], &text[self.right.start..self.right.end]);
        if self.sign == Sign::None {
            return match self.left.side {
                Side::Number => whole(left).map_or(UNKNOWN, |number| if number == 0 { FALSE } else { TRUE }),
                Side::Truth(value) => value,
                _ => UNKNOWN,
            };
        }
        if self.left.side != self.right.side || !matches!(self.left.side, Side::Number | Side::Text | Side::Name) {
            return UNKNOWN;
        }
        let (less, equal) = match (self.left.side, whole(left), whole(right)) {
            (Side::Number, Some(left), Some(right)) => (left < right, left == right),
            _ if left == right => (false, true),
            _ => return UNKNOWN,
        };
        let holds = match self.sign {
            Sign::Equal => equal,
            Sign::Unequal => !equal,
            Sign::Less => less,
            Sign::LessEqual => less || equal,
            Sign::Greater => !(less || equal),
            _ => !less,
        };
        if holds { TRUE } else { FALSE }
    }
}

/// A whole number that is not too long.
fn whole(text: &[u8]) -> Option<u64> {
    if text.len() > DIGITS {
        return None;
    }
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))
}
