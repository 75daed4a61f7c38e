//! Strings of broken JSON: where they end, and what stands in them, as the inside of a JSON string.

use super::ahead::{self, LEFT, LOW, Quotes, REACH, RIGHT, closing, opening, rest, space};

/// Where a string stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before a colon.
    Key,
    /// Behind a colon.
    Value,
    /// In an array.
    Item,
}

/// The inside of a quoted string while it is read.
struct Body<'a> {
    text: &'a [u8],
    out: &'a mut Vec<u8>,
    quotes: &'a mut Quotes,
    at: usize,
    start: usize,
    /// Where it begins in what is written.
    mark: usize,
    place: Place,
    arrays: bool,
    close: &'static [u8],
    /// Quotes that were content: the next one is the other of the pair.
    pair: bool,
    /// Behind a low quote, whose pair is any.
    span: bool,
    braces: usize,
}

/// What a string is read from and written to.
pub struct Stream<'a> {
    /// Where from.
    pub text: &'a [u8],
    /// Where to.
    pub out: &'a mut Vec<u8>,
    /// What has been seen of closing quotes.
    pub quotes: &'a mut Quotes,
    /// Whether there is an array around.
    pub arrays: bool,
}

/// Write the inside of the string that begins with the quote at a place; where it has ended.
pub fn quoted(stream: Stream<'_>, at: usize, place: Place) -> usize {
    let Stream { text, out, quotes, arrays } = stream;
    let quote = opening(text, at);
    let (start, mark, close) = (at + quote.len(), out.len(), closing(quote));
    if quote.len() == 1 {
        // Nothing in it is to be made right.
        let rest = &text[start..];
        let length = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..b' ') || byte == quote[0]);
        if let Some(length) = length
            && rest[length] == quote[0]
            && fits(text, start + length + 1, place)
        {
            out.extend_from_slice(&rest[..length]);
            return start + length + 1;
        }
    }
    let mut body =
        Body { text, out, quotes, at: start, start, mark, place, arrays, close, pair: false, span: false, braces: 0 };
    if let Some(end) = body.find()
        && fits(text, end + close.len(), place)
    {
        body.copy(end);
        body.strip(true);
        return end + close.len();
    }
    if text[start..].starts_with(close)
        && let Some(end) = body.doubled()
    {
        return end;
    }
    let closed = body.read();
    body.strip(closed);
    body.at
}

/// Whether what follows a string there is what follows when all is well.
fn fits(text: &[u8], at: usize, place: Place) -> bool {
    text.get(space(text, at)).is_none_or(|&byte| match place {
        Place::Key => byte == b':',
        Place::Value => matches!(byte, b',' | b'}'),
        Place::Item => matches!(byte, b',' | b']' | b')'),
    })
}

impl Body<'_> {
    fn find(&mut self) -> Option<usize> {
        self.quotes.find(self.text, self.close, self.at)
    }

    /// A string that begins with two quotes: empty, or one of them is too much, or all are doubled.
    fn doubled(&mut self) -> Option<usize> {
        let (text, close) = (self.text, self.close);
        let behind = self.at + close.len();
        if rest(text, behind).starts_with(close) {
            return Some(behind);
        }
        let next = ahead::find(text, close, behind);
        if let Some(next) = next
            && text[next + close.len()..].starts_with(close)
        {
            self.at = behind;
            self.copy(next);
            self.strip(true);
            return Some(next + 2 * close.len());
        }
        let after = space(text, behind);
        if after >= text.len()
            || matches!(text[after], b',' | b']' | b'}' | b'{' | b'[')
            || !opening(text, after).is_empty()
        {
            return Some(behind);
        }
        if self.place == Place::Value && next.is_some_and(|next| !fits(text, next + close.len(), Place::Value)) {
            self.content(close);
            self.pair = true;
        }
        self.at = behind;
        None
    }

    fn content(&mut self, quote: &[u8]) {
        if quote == b"\"" {
            self.out.push(b'\\');
        }
        self.out.extend_from_slice(quote);
    }

    /// All up to a place, escapes and control characters made right.
    fn copy(&mut self, end: usize) {
        while self.at < end {
            let length = self.text[self.at..end].iter().position(|&byte| byte == b'\\' || byte < b' ');
            let start = length.map_or(end, |length| self.at + length);
            self.plain(start);
            if length.is_some() {
                self.escape();
            }
        }
    }

    fn plain(&mut self, end: usize) {
        let part = &self.text[self.at..end];
        if self.close == b"\"" {
            self.out.extend_from_slice(part);
        } else {
            for &byte in part {
                if byte == b'"' {
                    self.out.push(b'\\');
                }
                self.out.push(byte);
            }
        }
        self.at = end;
    }

    /// A backslash with what it escapes, or a control character.
    fn escape(&mut self) {
        let (text, at) = (self.text, self.at);
        let byte = text[at];
        if byte != b'\\' {
            match byte {
                8 => self.out.extend_from_slice(b"\\b"),
                9 => self.out.extend_from_slice(b"\\t"),
                10 => self.out.extend_from_slice(b"\\n"),
                12 => self.out.extend_from_slice(b"\\f"),
                13 => self.out.extend_from_slice(b"\\r"),
                _ => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            }
            self.at += 1;
            return;
        }
        let hex = |count: usize| {
            text.get(at + 2..at + 2 + count).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        match text.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.out.extend_from_slice(&text[at..at + 2]);
                self.at += 2;
            }
            Some(b'u') if hex(4) => {
                self.out.extend_from_slice(&text[at..at + 6]);
                self.at += 6;
            }
            Some(b'x') if hex(2) => {
                self.out.extend_from_slice(b"\\u00");
                self.out.extend_from_slice(&text[at + 2..at + 4]);
                self.at += 4;
            }
            // A quote that needs no escape loses it; every other backslash is one that is meant.
            Some(b'\'') => {
                self.out.push(b'\'');
                self.at += 2;
            }
            Some(0xE2) if [LEFT, RIGHT, LOW].iter().any(|quote| text[at + 1..].starts_with(quote)) => {
                self.out.extend_from_slice(&text[at + 1..at + 4]);
                self.at += 4;
            }
            _ => {
                self.out.extend_from_slice(b"\\\\");
                self.at += 1;
            }
        }
    }

    fn special(&self, byte: u8) -> bool {
        byte < b' '
            || match byte {
                b'\\' | b'"' | b'\'' | 0xE2 => true,
                b':' => self.place == Place::Key,
                b',' | b'{' | b'}' => self.place == Place::Value,
                b']' => self.place != Place::Key,
                _ => false,
            }
    }

    /// Up to where the string ends, by quote (then true) or by what follows.
    fn read(&mut self) -> bool {
        let text = self.text;
        loop {
            let length = rest(text, self.at).iter().position(|&byte| self.special(byte));
            let Some(length) = length else {
                if self.at < text.len() {
                    self.plain(text.len());
                }
                return false;
            };
            self.plain(self.at + length);
            let (here, sign) = (&text[self.at..], text[self.at]);
            if sign < b' ' || (sign == b'\\' && !self.escaped_again()) {
                self.escape();
            } else if sign == b'\\' {
                self.content(self.close);
            } else if here.starts_with(LOW) {
                self.span = true;
                self.plain(self.at + 3);
            } else if here.starts_with(self.close) || (self.span && (sign == b'"' || here.starts_with(RIGHT))) {
                if self.quote() {
                    return true;
                }
            } else if matches!(sign, b',' | b':' | b'{' | b'}' | b']') && self.stops(sign) {
                return false;
            } else {
                self.plain(self.at + 1);
            }
        }
    }

    /// A quote: whether it ends the string. If not, it is content.
    fn quote(&mut self) -> bool {
        let text = self.text;
        let quote = opening(text, self.at);
        if !self.span && self.closes(self.at + quote.len()) {
            self.at += quote.len();
            if self.pair && self.place == Place::Value && text.get(space(text, self.at)) == Some(&b'}') {
                // It is the other of a pair, and the one that ends the string was forgotten.
                self.content(quote);
            }
            return true;
        }
        if self.span {
            self.span = false;
        } else if self.place != Place::Value || !self.in_class() {
            self.pair = !self.pair;
        }
        self.content(quote);
        self.at += quote.len();
        false
    }

    /// Pass several backslashes and a quote that is content: a text that was escaped more than once.
    fn escaped_again(&mut self) -> bool {
        let (text, at) = (self.text, self.at);
        if at > self.start && text[at - 1] == b'\\' {
            return false;
        }
        let count = text[at..].iter().take_while(|&&byte| byte == b'\\').count();
        let behind = at + count + self.close.len();
        if count < 2 || !text[at + count..].starts_with(self.close) || (count % 2 == 0 && self.closes(behind)) {
            return false;
        }
        self.at = behind;
        true
    }

    fn closes(&mut self, behind: usize) -> bool {
        let text = self.text;
        let at = space(text, behind);
        let Some(&sign) = text.get(at) else { return true };
        match self.place {
            Place::Key => return matches!(sign, b':' | b',' | b'}') || value_fits(text, at),
            Place::Item => return self.closes_item(at, sign),
            Place::Value => {}
        }
        if self.in_class() {
            return false;
        }
        match sign {
            b'}' => return self.braces == 0,
            b',' => return ahead::ends_member(text, at) || !self.closed_later(at),
            b']' => return self.arrays,
            _ => {}
        }
        if !opening(text, at).is_empty() {
            return ahead::member(text, at) || (at > behind && spare(text, at));
        }
        if sign == b':' {
            // Nobody writes this in a sentence.
            let value = rest(text, space(text, at + 1));
            return value.starts_with(b"{}") || value.starts_with(b"[]");
        }
        if matches!(sign, b'`' | b'/' | b'#') {
            return sign == b'#' || [&b"```"[..], b"//", b"/*"].iter().any(|mark| text[at..].starts_with(mark));
        }
        if self.pair {
            return false;
        }
        // What follows is a remark when the object ends behind it, or the next member begins.
        let window = &text[at..text.len().min(at + REACH)];
        match window.iter().position(|&byte| matches!(byte, b'"' | b'\'' | b'}')) {
            None => at + REACH >= text.len(),
            Some(place) => window[place] == b'}' || ahead::member(text, at + place),
        }
    }

    fn closes_item(&self, at: usize, sign: u8) -> bool {
        if matches!(sign, b',' | b']' | b')' | b'}' | b'#' | b'/') {
            return true;
        }
        if self.pair {
            return false;
        }
        if !opening(self.text, at).is_empty() {
            return true;
        }
        let window = &self.text[at..self.text.len().min(at + REACH)];
        let window = &window[..window.iter().position(|&byte| byte == b']').unwrap_or(window.len())];
        let (mut count, mut place) = (0, 0);
        while place < window.len() {
            if window[place..].starts_with(self.close) {
                count += 1;
                place += self.close.len();
            } else {
                place += 1;
            }
        }
        count == 0 || count % 2 == 1
    }

    /// Whether a quote stands in a character class of a pattern.
    fn in_class(&self) -> bool {
        let low = self.at.saturating_sub(64).max(self.start);
        let before = &self.text[low..self.at];
        let Some(start) = before.iter().rposition(|&byte| byte == b'[') else { return false };
        let after = &self.text[self.at..self.text.len().min(self.at + 64)];
        !before[start..].iter().any(|&byte| byte == b']' || ahead::is_space(byte)) && after.contains(&b']')
    }

    /// Whether a later quote would end the string better.
    fn closed_later(&self, at: usize) -> bool {
        ahead::find(self.text, self.close, at).is_some_and(|end| fits(self.text, end + self.close.len(), Place::Value))
    }

    /// Whether a string without its second quote has ended before this sign.
    fn stops(&mut self, sign: u8) -> bool {
        let (text, at, close) = (self.text, self.at, self.close);
        match sign {
            b':' => match ahead::find(text, close, at) {
                None => true,
                Some(start) => ahead::find(text, close, start + close.len())
                    .is_some_and(|end| fits(text, end + close.len(), Place::Value)),
            },
            b'{' => {
                self.braces += 1;
                false
            }
            b',' => self.braces == 0 && ahead::ends_member(text, at),
            b']' => self.arrays && self.find().is_none(),
            _ if self.braces > 0 => {
                self.braces -= 1;
                false
            }
            _ => {
                if space(text, at + 1) >= text.len() {
                    return true;
                }
                self.find().is_none_or(|end| !fits(text, end + close.len(), Place::Value) && ahead::member(text, end))
            }
        }
    }

    /// `newline`: it has ended well, and loses white space behind it only when that ends with a line end.
    fn strip(&mut self, newline: bool) {
        if !newline || self.out[self.mark..].ends_with(b"\\n") {
            strip(self.out, self.mark);
        }
    }
}

/// Whether a string and what ends a value follow.
fn value_fits(text: &[u8], at: usize) -> bool {
    let quote = opening(text, at);
    let close = closing(quote);
    !quote.is_empty()
        && ahead::find(text, close, at + quote.len()).is_some_and(|end| fits(text, end + close.len(), Place::Value))
}

/// Whether a quote is one too many: the object ends behind it, and no member follows.
fn spare(text: &[u8], at: usize) -> bool {
    let at = space(text, at + opening(text, at).len());
    match text.get(at) {
        Some(b',') => {
            let at = ahead::comments(text, at + 1);
            !ahead::member(text, at) && ahead::bare_key(text, at).is_none()
        }
        byte => byte.is_none_or(|&byte| byte == b'}'),
    }
}

/// Take white space away, escaped or not, from what has been written since a place.
fn strip(out: &mut Vec<u8>, mark: usize) {
    while out.len() > mark {
        let end = out.len() - 1;
        let escaped = || (end - mark - out[mark..end].iter().rev().skip_while(|&&byte| byte == b'\\').count()) % 2 == 1;
        match out[end] {
            b' ' | b'\t' => out.truncate(end),
            b't' | b'n' | b'r' | b'f' if escaped() => out.truncate(end - 1),
            _ => return,
        }
    }
}

/// Write the inside of a string without quotes that begins at a place; where it has ended.
pub fn bare(stream: Stream<'_>, start: usize, place: Place) -> usize {
    let Stream { text, out, quotes: _, arrays } = stream;
    let mark = out.len();
    let mut end = start;
    if place == Place::Key {
        while end < text.len() && !(ahead::is_space(text[end]) || matches!(text[end], b':' | b',' | b'}')) {
            end += 1;
        }
        escaped(&text[start..end], out);
        return end;
    }
    let mut braces = 0;
    let mut after = None;
    while end < text.len() {
        match (place, text[end]) {
            (Place::Value, b'{') => braces += 1,
            (Place::Value, b'}') if braces > 0 => braces -= 1,
            (_, b'"') => {
                after = Some(if place == Place::Value && ahead::member(text, end) { end } else { end + 1 });
                break;
            }
            (Place::Value, b',') if !ahead::ends_member(text, end) => {}
            (_, b',' | b'}') | (Place::Item, b')') => break,
            (_, b']') if arrays => break,
            _ => {}
        }
        end += 1;
    }
    escaped(&text[start..end], out);
    strip(out, mark);
    after.unwrap_or(end)
}

fn escaped(part: &[u8], out: &mut Vec<u8>) {
    let mark = out.len();
    let mut quotes = Quotes::default();
    let (place, close) = (Place::Key, &b""[..]);
    let mut body = Body {
        text: part,
        out,
        quotes: &mut quotes,
        at: 0,
        start: 0,
        mark,
        place,
        arrays: false,
        close,
        pair: false,
        span: false,
        braces: 0,
    };
    body.copy(part.len());
}
