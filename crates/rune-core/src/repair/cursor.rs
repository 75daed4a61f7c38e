//! The place of a reader, and what can be told about it without writing anything.

use super::ahead::{self, REACH, is_letter, is_space, opening, rest, space};
use super::reader::{LITERALS, Reader};

impl Reader<'_> {
    pub(super) fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    pub(super) fn ended(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Whether a sign is here; at the end there is none.
    pub(super) fn is(&self, sign: u8) -> bool {
        self.text.get(self.at) == Some(&sign)
    }

    pub(super) fn starts(&self, wanted: &[u8]) -> bool {
        rest(self.text, self.at).starts_with(wanted)
    }

    /// Go on by one character.
    pub(super) fn skip(&mut self) {
        self.at += 1;
        while self.at < self.text.len() && (0x80..0xC0).contains(&self.text[self.at]) {
            self.at += 1;
        }
    }

    /// Go to where the next value begins.
    pub(super) fn seek(&mut self) -> bool {
        loop {
            let start =
                rest(self.text, self.at).iter().position(|byte| matches!(byte, b'{' | b'[' | b'(' | b'#' | b'/'));
            let Some(start) = start else { return false };
            self.at += start;
            match self.peek() {
                b'{' | b'[' => return true,
                b'(' if self.groups() => return true,
                b'#' | b'/' if self.comment() => {}
                _ => self.at += 1,
            }
        }
    }

    /// Whether a parenthesis is a value, and no remark in a sentence.
    pub(super) fn groups(&self) -> bool {
        let (text, at) = (self.text, self.at);
        let before = text[..at].iter().rev().find(|&&byte| byte != b' ' && byte != b'\t');
        if before.is_some_and(|&byte| byte != b'\n' && byte != b'\r') {
            return false;
        }
        let window = &text[at..text.len().min(at + REACH)];
        let line = &window[..window.iter().position(|&byte| byte == b'\n' || byte == b'\r').unwrap_or(window.len())];
        let last = line.iter().rev().find(|&&byte| !is_space(byte));
        if line.contains(&b')') && last != Some(&b')') {
            return false;
        }
        let inner = rest(text, space(text, at + 1));
        let literal = LITERALS
            .iter()
            .any(|(word, _)| inner.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)));
        literal
            || !opening(inner, 0).is_empty()
            || matches!(inner.first(), Some(b'0'..=b'9' | b'.' | b')' | b'(' | b'{' | b'[' | b'-'))
    }

    /// The last sign before a place that is no white space.
    pub(super) fn before(&self, at: usize) -> Option<u8> {
        self.text[..at].iter().rev().copied().find(|&byte| !is_space(byte))
    }

    /// Skip a comment that begins here.
    pub(super) fn comment(&mut self) -> bool {
        let here = rest(self.text, self.at);
        let length = if let Some(inner) = here.strip_prefix(b"/*") {
            ahead::position(inner, b"*/").map(|end| end + 4)
        } else if here.starts_with(b"//") {
            here.iter().position(|&byte| byte == b'\n' || byte == b'\r')
        } else if here.first() == Some(&b'#') {
            // A remark that would hide what closes a value is cut short.
            let (depth, arrays) = (self.depth > 0, self.arrays > 0);
            here.iter().position(|&byte| match byte {
                b'\n' | b'\r' => true,
                b'}' => depth,
                b']' => depth && arrays,
                _ => false,
            })
        } else {
            return false;
        };
        self.at += length.unwrap_or(here.len());
        true
    }

    pub(super) fn space(&mut self) {
        self.at = space(self.text, self.at);
        while matches!(self.peek(), b'/' | b'#') && self.comment() {
            self.at = space(self.text, self.at);
        }
    }

    /// Whether a brace in an array is that of the object around it, and the bracket was forgotten.
    pub(super) fn closes_object(&self) -> bool {
        let at = space(self.text, self.at + 1);
        match self.text.get(at) {
            Some(b',') => self.text.get(space(self.text, at + 1)) == Some(&b'{'),
            Some(b']') => self.depth > 1,
            _ => false,
        }
    }

    /// Whether an object goes on behind its closing brace.
    pub(super) fn continues(&mut self) -> bool {
        let at = space(self.text, self.at);
        if self.text.get(at) != Some(&b',') {
            return false;
        }
        let at = space(self.text, at + 1);
        let goes_on = !opening(self.text, at).is_empty();
        if goes_on {
            self.at = at;
        }
        goes_on
    }

    /// Whether there was something in an object without members, and no colon.
    pub(super) fn is_set(&mut self, start: usize) -> bool {
        let stop = self.at.min(self.text.len());
        self.at = start;
        while self.at < stop {
            let byte = self.peek();
            if is_space(byte) || byte == b'}' {
                self.at += 1;
            } else if !(matches!(byte, b'/' | b'#') && self.comment()) {
                let body = &self.text[self.at..stop];
                self.at = stop;
                return !body.contains(&b':') && body.iter().any(|&byte| is_letter(byte) || byte.is_ascii_digit());
            }
        }
        self.at = stop;
        false
    }

    /// Whether the comma here stands for a colon: a number follows, and behind it the next member or the end.
    pub(super) fn pairs(&self) -> bool {
        if !self.is(b',') {
            return false;
        }
        let at = space(self.text, self.at + 1);
        let here = rest(self.text, at);
        let length =
            |wanted: fn(u8) -> bool, text: &[u8]| text.iter().position(|&byte| !wanted(byte)).unwrap_or(text.len());
        let number = length(|byte| matches!(byte, b'0'..=b'9' | b'.' | b',' | b'-'), here);
        let here = &here[number..];
        let end = length(|byte| is_space(byte) || byte == b',', here);
        number > 0 && (matches!(here.get(end), None | Some(b'}')) || ahead::member(here, end))
    }
}
