//! Reads broken JSON from left to right and writes it whole as it goes.

use std::borrow::Cow;

use super::ahead::{self, Quotes, REACH, closing, is_letter, is_space, opening, rest, space};
use super::shape::{Rows, decimal, empty, same};
use super::strings::{Place, Stream, bare, quoted};

/// How deep a value may be nested that is repaired.
const DEPTH: usize = 100;
/// How deep sets may be nested: each is read twice.
const SETS: usize = 2;

const FENCE: &[u8] = b"```json";
pub(super) const LITERALS: [(&[u8], &[u8]); 4] =
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
    pub(super) text: &'a [u8],
    quotes: Quotes,
    /// Quotes without backslashes have been tried.
    unescaped: bool,
    pub(super) at: usize,
    pub(super) arrays: usize,
    sets: usize,
    pub(super) depth: usize,
    /// The object before this place lost its end: what comes next is another one of an array.
    again: bool,
    /// Of the array that was closed last.
    rows: Rows,
    out: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a [u8], unescaped: bool) -> Self {
        let out = Vec::with_capacity(text.len() + text.len() / 8 + 16);
        Self {
            text,
            quotes: Quotes::default(),
            unescaped,
            at: 0,
            arrays: 0,
            sets: 0,
            depth: 0,
            again: false,
            rows: Rows::default(),
            out,
        }
    }

    /// All values of the text, as an array when there are several; `None` where there is none.
    pub fn top(mut self) -> Read<Option<Vec<u8>>> {
        let mut whole: Vec<Vec<u8>> = Vec::new();
        while self.seek() {
            // A comma between two values says that both are meant; without one the later may be the better.
            let apart = self.before(self.at) == Some(b',');
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
                    self.object(place, top)?;
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

    fn items(&mut self, close: u8, count: usize) -> Read<(usize, usize)> {
        self.enter()?;
        self.arrays += 1;
        let (mut commas, mut rows) = (0, Rows { count, ..Rows::default() });
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
            if rows.count > 0 {
                self.out.extend_from_slice(b", ");
            }
            let start = self.out.len();
            if self.item()? {
                rows.add(&self.out, start, self.rows.count);
            } else {
                self.out.truncate(mark);
            }
        }
        self.arrays -= 1;
        self.depth -= 1;
        self.out.push(b']');
        self.rows = rows;
        Ok((rows.count, commas))
    }

    /// The array that a member has goes on: with another row where it has rows, else with more items.
    fn go_on(&mut self) -> Read<()> {
        let Rows { width, tail, loose, count } = self.rows;
        self.at += 1;
        self.out.pop();
        if width > 0 && loose == width {
            // A row that lost its bracket.
            self.out.insert(tail + 2, b'[');
            self.out.push(b']');
        }
        if width == 0 || self.text.get(space(self.text, self.at)) == Some(&b'[') {
            self.items(b']', count)?;
            return Ok(());
        }
        self.out.extend_from_slice(b", ");
        let count = self.array(b']')?.0;
        let tail = self.out.len();
        self.out.push(b']');
        self.rows = Rows { width: if count == width { width } else { 0 }, tail, loose: 0, count: 1 };
        Ok(())
    }

    fn item(&mut self) -> Read<bool> {
        let start = self.out.len();
        if std::mem::take(&mut self.again) || ahead::member(self.text, self.at) {
            // Its brace was forgotten.
            self.object(Place::Item, false)?;
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
    fn object(&mut self, place: Place, top: bool) -> Read<()> {
        self.enter()?;
        let (start, mark) = (self.at, self.out.len());
        self.out.push(b'{');
        let first = (place == Place::Item).then_some(mark + 1);
        let mut count = self.members(0, first)?;
        while top && count > 0 && self.continues() {
            count = self.members(count, None)?;
        }
        self.out.push(b'}');
        self.depth -= 1;
        if count == 0 && self.sets < SETS && self.is_set(start) {
            self.out.truncate(mark);
            self.at = start;
            self.sets += 1;
            self.array(b'}')?;
            self.sets -= 1;
            if place == Place::Item && self.text.get(self.at).is_some_and(|&byte| is_letter(byte)) {
                // What hangs on its brace is no item.
                let length = rest(self.text, self.at).iter().position(|byte| matches!(byte, b',' | b']' | b'}' | b'"'));
                self.at = length.map_or(self.text.len(), |length| self.at + length);
            }
        }
        Ok(())
    }

    /// Members up to the closing brace, which is passed, or to a bracket, which is not; how many there are. `first`: where
    /// the first key of an object in an array is written, with which the next one may begin too.
    fn members(&mut self, mut count: usize, first: Option<usize>) -> Read<usize> {
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
                self.go_on()?;
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
            if self.member(first.filter(|_| count > 0))? {
                count += 1;
                array = self.out.last() == Some(&b']');
            } else {
                self.out.truncate(mark);
                if self.again {
                    return Ok(count);
                }
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

    fn member(&mut self, first: Option<usize>) -> Read<bool> {
        if self.is(b':') {
            self.at += 1;
            self.space();
        }
        let (start, mark) = (self.at, self.out.len());
        if !opening(self.text, self.at).is_empty() {
            self.out.push(b'"');
            self.quoted(Place::Key);
            self.out.push(b'"');
        } else if self.is(b'[') {
            return Ok(self.bracketed());
        } else {
            self.word(Place::Key);
            if self.at == start || !ahead::colon(self.text, self.at) {
                return Ok(false);
            }
        }
        self.space();
        if first.is_some_and(|first| self.repeats(first, mark, start)) {
            (self.at, self.again) = (start, true);
            return Ok(false);
        }
        if self.is(b':') || self.pairs() {
            self.at += 1;
        } else if &self.out[mark..] == b"\"\"" || self.is(b'}') || opening(self.text, self.at).is_empty() {
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

    /// Whether a key is the first one of its object again, and a comma before it or a colon behind it is missing.
    fn repeats(&self, first: usize, mark: usize, start: usize) -> bool {
        let key = &self.out[mark..];
        self.out[first..].starts_with(key) && (!self.is(b':') || self.before(start) != Some(b','))
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
