//! Reads broken JSON from left to right and writes it whole as it goes.

use std::borrow::Cow;

use super::ahead::{self, Quotes, REACH, closing, is_letter, is_space, opening, rest, space};
use super::shape::{decimal, empty, same};
use super::strings::{Place, Stream, bare, quoted};

/// How deep a value may be nested that is repaired.
const DEPTH: usize = 100;
/// How deep sets may be nested: each is read twice.
const SETS: usize = 2;

const FENCE: &[u8] = b"```json";
const LITERALS: [(&[u8], &[u8]); 4] =
    [(b"true", b"true"), (b"false", b"false"), (b"null", b"null"), (b"none", b"null")];

/// Why reading has ended before the text.
pub enum End {
    /// The text is nested deeper than what is repaired.
    TooDeep,
    /// From a place on all quotes stand behind a backslash.
    Escaped(usize),
}

type Read<T> = Result<T, End>;

/// Reads a text.
pub struct Reader<'a> {
    text: &'a [u8],
    quotes: Quotes,
    /// Quotes without backslashes have been tried.
    unescaped: bool,
    at: usize,
    arrays: usize,
    sets: usize,
    depth: usize,
    out: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a [u8], unescaped: bool) -> Self {
        let out = Vec::with_capacity(text.len() + text.len() / 8 + 16);
        Self { text, quotes: Quotes::default(), unescaped, at: 0, arrays: 0, sets: 0, depth: 0, out }
    }

    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn ended(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Whether a sign is here; at the end there is none.
    fn is(&self, sign: u8) -> bool {
        self.text.get(self.at) == Some(&sign)
    }

    fn starts(&self, wanted: &[u8]) -> bool {
        rest(self.text, self.at).starts_with(wanted)
    }

    /// Go on by one character.
    fn skip(&mut self) {
        self.at += 1;
        while self.at < self.text.len() && (0x80..0xC0).contains(&self.text[self.at]) {
            self.at += 1;
        }
    }

    /// All values of the text, as an array when there are several; `None` where there is none.
    pub fn top(mut self) -> Read<Option<Vec<u8>>> {
        let mut whole: Vec<Vec<u8>> = Vec::new();
        while self.seek() {
            // A comma between two values says that both are meant; without one the later may be the better.
            let apart = self.text[..self.at].iter().rev().find(|&&byte| !is_space(byte)) == Some(&b',');
            self.value(Place::Value, true)?;
            let value = std::mem::take(&mut self.out);
            if let Some(last) = whole.last() {
                if empty(&value) {
                    continue;
                }
                if empty(last) || (!apart && same(last, &value)) {
                    whole.pop();
                }
            }
            whole.push(value);
        }
        Ok(match whole.len() {
            0 => None,
            1 => whole.pop(),
            _ => Some([b"[", whole.join(&b", "[..]).as_slice(), b"]"].concat()),
        })
    }

    /// Go to where the next value begins.
    fn seek(&mut self) -> bool {
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
    fn groups(&self) -> bool {
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

    /// Skip a comment that begins here.
    fn comment(&mut self) -> bool {
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

    fn space(&mut self) {
        self.at = space(self.text, self.at);
        while matches!(self.peek(), b'/' | b'#') && self.comment() {
            self.at = space(self.text, self.at);
        }
    }

    /// Write the next value; false where there is none.
    fn value(&mut self, place: Place, top: bool) -> Read<bool> {
        loop {
            self.space();
            if self.ended() {
                return Ok(false);
            }
            match self.peek() {
                b'{' => {
                    self.at += 1;
                    self.object(top)?;
                }
                b'[' => {
                    self.at += 1;
                    self.array(b']')?;
                }
                b'(' => self.group()?,
                _ if !opening(self.text, self.at).is_empty() => self.string(place)?,
                byte if is_letter(byte) => self.literal(place),
                b'0'..=b'9' | b'-' | b'.' => return Ok(self.number(place)),
                b',' | b'}' | b']' | b')' => return Ok(false),
                _ => {
                    self.skip();
                    continue;
                }
            }
            return Ok(true);
        }
    }

    fn string(&mut self, place: Place) -> Read<()> {
        let at = self.at;
        let start = at + opening(self.text, at).len();
        if rest(self.text, start).starts_with(FENCE) {
            let inner = start + FENCE.len();
            if self.text[inner..self.text.len().min(inner + REACH)].contains(&b'`') {
                // A value in a fence in a string.
                self.at = space(self.text, inner);
                if matches!(self.peek(), b'{' | b'[') {
                    self.value(place, false)?;
                    self.at = space(self.text, self.at);
                    if self.starts(b"```") {
                        self.at += 3;
                    }
                    return Ok(());
                }
                self.at = at;
            }
        }
        self.out.push(b'"');
        self.quoted(place);
        self.out.push(b'"');
        Ok(())
    }

    fn stream(&mut self) -> Stream<'_> {
        Stream { text: self.text, out: &mut self.out, quotes: &mut self.quotes, arrays: self.arrays > 0 }
    }

    fn quoted(&mut self, place: Place) {
        let at = self.at;
        self.at = quoted(self.stream(), at, place);
    }

    fn literal(&mut self, place: Place) {
        let here = rest(self.text, self.at);
        let found = LITERALS.iter().find(|(word, _)| {
            let ends = |byte: &u8| is_space(*byte) || matches!(byte, b',' | b')' | b']' | b'}');
            here.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
                && here.get(word.len()).is_none_or(ends)
        });
        if let Some((word, written)) = found {
            self.out.extend_from_slice(written);
            self.at += word.len();
        } else {
            self.word(place);
        }
    }

    /// A string without quotes.
    fn word(&mut self, place: Place) {
        let at = self.at;
        self.out.push(b'"');
        self.at = bare(self.stream(), at, place);
        self.out.push(b'"');
    }

    fn number(&mut self, place: Place) -> bool {
        let (text, start) = (self.text, self.at);
        let mut end = start;
        while end < text.len()
            && match text[end] {
                b'0'..=b'9' | b'.' | b'e' | b'E' | b'/' | b'_' | b'-' => true,
                b'+' => end > start && matches!(text[end - 1], b'e' | b'E'),
                b',' => place == Place::Value && matches!(text.get(end + 1), Some(b'0'..=b'9')),
                _ => false,
            }
        {
            end += 1;
        }
        if text.get(end).is_some_and(|&byte| is_letter(byte)) {
            self.word(place);
            return true;
        }
        self.at = end;
        let run = &text[start..end];
        let written = if run.contains(&b'_') {
            Cow::Owned(run.iter().copied().filter(|&byte| byte != b'_').collect::<Vec<u8>>())
        } else {
            Cow::Borrowed(run)
        };
        let last = written.iter().rposition(|byte| !matches!(byte, b'+' | b'-' | b'e' | b'E' | b'/' | b','));
        let written = last.map_or(&b""[..], |last| &written[..=last]);
        if !written.is_empty() && !decimal(written, &mut self.out) {
            self.out.push(b'"');
            self.out.extend_from_slice(written);
            self.out.push(b'"');
        }
        !written.is_empty()
    }

    fn enter(&mut self) -> Read<()> {
        self.depth += 1;
        if self.depth > DEPTH { Err(End::TooDeep) } else { Ok(()) }
    }

    /// Parentheses: a tuple, or one value that is put in them for nothing.
    fn group(&mut self) -> Read<()> {
        let mark = self.out.len();
        self.at += 1;
        if self.array(b')')? == (1, 0) {
            self.out.remove(mark);
            self.out.pop();
        }
        Ok(())
    }

    /// Items up to a closing sign; how many, and how many commas.
    fn array(&mut self, close: u8) -> Read<(usize, usize)> {
        self.out.push(b'[');
        self.items(close, 0)
    }

    fn items(&mut self, close: u8, mut count: usize) -> Read<(usize, usize)> {
        self.enter()?;
        self.arrays += 1;
        let mut commas = 0;
        loop {
            self.space();
            if self.ended() || self.is(close) || self.is(b'}') {
                if self.ended() || self.is(close) || !self.closes_object() {
                    self.at += 1;
                }
                break;
            }
            if self.is(b',') {
                commas += 1;
                self.at += 1;
                continue;
            }
            if self.starts(b"...") {
                self.at += 3;
                continue;
            }
            let mark = self.out.len();
            if count > 0 {
                self.out.extend_from_slice(b", ");
            }
            if self.item()? {
                count += 1;
            } else {
                self.out.truncate(mark);
            }
        }
        self.arrays -= 1;
        self.depth -= 1;
        self.out.push(b']');
        Ok((count, commas))
    }

    /// Whether a brace in an array is that of the object around it, and the bracket was forgotten.
    fn closes_object(&self) -> bool {
        let at = space(self.text, self.at + 1);
        match self.text.get(at) {
            Some(b',') => self.text.get(space(self.text, at + 1)) == Some(&b'{'),
            Some(b']') => self.depth > 1,
            _ => false,
        }
    }

    fn item(&mut self) -> Read<bool> {
        let start = self.out.len();
        if ahead::member(self.text, self.at) {
            // Its brace was forgotten.
            self.object(false)?;
        } else if !self.value(Place::Item, false)? {
            self.skip();
            return Ok(false);
        }
        let hollow = matches!(&self.out[start..], b"[]" | b"{}");
        if hollow && (self.ended() || !matches!(self.peek(), b']' | b',' | b')' | b'}')) {
            // What looked like a value was none.
            self.skip();
            return Ok(false);
        }
        let written = &self.out[start..];
        if written == b"{}" && self.text.get(self.at - 1) != Some(&b'}') {
            return Ok(false);
        }
        if written == b"\"\"" && self.ended() {
            return Ok(false);
        }
        if self.is(b'}') && written.last() == Some(&b'}') {
            self.at += 1;
        }
        Ok(true)
    }

    /// Members up to the closing brace; a set when there are none.
    fn object(&mut self, top: bool) -> Read<()> {
        self.enter()?;
        let (start, mark) = (self.at, self.out.len());
        self.out.push(b'{');
        let mut count = self.members(0)?;
        while top && count > 0 && self.continues() {
            count = self.members(count)?;
        }
        self.out.push(b'}');
        self.depth -= 1;
        if count == 0 && self.sets < SETS && self.is_set(start) {
            self.out.truncate(mark);
            self.at = start;
            self.sets += 1;
            self.array(b'}')?;
            self.sets -= 1;
        }
        Ok(())
    }

    /// Whether an object goes on behind its closing brace.
    fn continues(&mut self) -> bool {
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
    fn is_set(&mut self, start: usize) -> bool {
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

    /// Members up to the closing brace, which is passed, or to a bracket, which is not; how many there are.
    fn members(&mut self, mut count: usize) -> Read<usize> {
        let mut array = false;
        loop {
            self.space();
            if self.ended() || self.is(b'}') {
                self.at += 1;
                return Ok(count);
            }
            let byte = self.peek();
            if byte == b']' && self.arrays > 0 {
                return Ok(count);
            }
            if byte == b'[' && array {
                // The array before it goes on.
                self.at += 1;
                self.out.pop();
                let count = usize::from(self.out.last() != Some(&b'['));
                self.items(b']', count)?;
                continue;
            }
            let begins =
                is_letter(byte) || byte.is_ascii_digit() || matches!(byte, b'_' | b'"' | b'\'' | b':' | b'}' | b'[');
            if !begins {
                self.unescape()?;
                continue;
            }
            let mark = self.out.len();
            if count > 0 {
                self.out.extend_from_slice(b", ");
            }
            if self.member()? {
                count += 1;
                array = self.out.last() == Some(&b']');
            } else {
                self.out.truncate(mark);
            }
        }
    }

    /// A sign that begins no key; quotes behind a backslash say that all of them have one.
    fn unescape(&mut self) -> Read<()> {
        if !self.unescaped && (self.starts(b"\\\"") || self.starts(b"\\'")) {
            return Err(End::Escaped(self.at));
        }
        self.skip();
        Ok(())
    }

    fn member(&mut self) -> Read<bool> {
        if self.is(b':') {
            self.at += 1;
            self.space();
        }
        if !opening(self.text, self.at).is_empty() {
            self.out.push(b'"');
            self.quoted(Place::Key);
            self.out.push(b'"');
        } else if self.is(b'[') {
            return Ok(self.bracketed());
        } else {
            let start = self.at;
            self.word(Place::Key);
            if self.at == start || !ahead::colon(self.text, self.at) {
                return Ok(false);
            }
        }
        self.space();
        if self.is(b':') {
            self.at += 1;
        } else if self.ended() || self.is(b'}') || opening(self.text, self.at).is_empty() {
            return Ok(false);
        }
        self.out.extend_from_slice(b": ");
        self.space();
        if self.is(b',') || self.is(b'}') || !self.value(Place::Value, false)? {
            self.out.extend_from_slice(b"\"\"");
        }
        self.space();
        let quote = opening(self.text, self.at);
        if !quote.is_empty() && !ahead::member(self.text, self.at) {
            // One too many.
            self.at += closing(quote).len();
        }
        if self.is(b',') {
            self.at += 1;
        }
        Ok(true)
    }

    /// A text in brackets where a key should be: a key without a value.
    fn bracketed(&mut self) -> bool {
        self.at = space(self.text, self.at + 1);
        if opening(self.text, self.at).is_empty() {
            return false;
        }
        self.out.push(b'"');
        self.quoted(Place::Item);
        self.out.extend_from_slice(b"\": \"\"");
        self.at = space(self.text, self.at);
        self.at += usize::from(self.is(b']'));
        true
    }
}
