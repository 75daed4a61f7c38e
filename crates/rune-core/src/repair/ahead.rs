//! Looks ahead in broken JSON: what follows a quote, a comma, a brace. Never further than [`REACH`], so that time stays
//! linear.

/// How many bytes are looked at to judge one of them.
pub const REACH: usize = 2048;

pub const LEFT: &[u8] = "\u{201c}".as_bytes();
pub const RIGHT: &[u8] = "\u{201d}".as_bytes();
pub const LOW: &[u8] = "\u{201e}".as_bytes();

/// The next closing quotes of a text, however far away. Places only grow: each part is searched once.
#[derive(Default)]
pub struct Quotes([(usize, Option<usize>, bool); 3]);

impl Quotes {
    /// The next one that is not escaped.
    pub fn find(&mut self, text: &[u8], close: &[u8], at: usize) -> Option<usize> {
        let slot = match close[0] {
            b'"' => &mut self.0[0],
            b'\'' => &mut self.0[1],
            _ => &mut self.0[2],
        };
        let (start, end, known) = *slot;
        if known && start <= at && end.is_none_or(|end| at <= end) {
            return end;
        }
        let end = find_until(text, close, at, text.len());
        *slot = (at, end, true);
        end
    }
}

pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

/// Whether a byte may be one of a word: letters beyond ASCII are.
pub fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}

/// Behind white space.
#[inline]
pub fn space(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && is_space(text[at]) {
        at += 1;
    }
    at
}

/// What is there of a text from a place on; nothing behind its end.
pub fn rest(text: &[u8], at: usize) -> &[u8] {
    text.get(at..).unwrap_or_default()
}

/// Behind white space and comments.
pub fn comments(text: &[u8], mut at: usize) -> usize {
    let text = &text[..text.len().min(at + REACH)];
    while at < text.len() {
        let here = &text[at..];
        if is_space(text[at]) {
            at += 1;
        } else if here[0] == b'#' || here.starts_with(b"//") {
            at += here.iter().position(|&byte| byte == b'\n' || byte == b'\r').unwrap_or(here.len());
        } else if let Some(inner) = here.strip_prefix(b"/*")
            && let Some(end) = position(inner, b"*/")
        {
            at += end + 4;
        } else {
            break;
        }
    }
    at
}

pub fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The quote that begins a string here; empty where there is none.
#[inline]
pub fn opening(text: &[u8], at: usize) -> &'static [u8] {
    match text.get(at) {
        Some(b'"') => b"\"",
        Some(b'\'') => b"'",
        Some(0xE2) if text[at..].starts_with(LEFT) => LEFT,
        Some(0xE2) if text[at..].starts_with(RIGHT) => RIGHT,
        _ => b"",
    }
}

/// What ends a string that began with a quote.
pub fn closing(quote: &'static [u8]) -> &'static [u8] {
    if quote.len() == 3 { RIGHT } else { quote }
}

/// The next closing quote that is not escaped, within reach.
pub fn find(text: &[u8], close: &[u8], at: usize) -> Option<usize> {
    find_until(text, close, at, text.len().min(at + REACH))
}

fn find_until(text: &[u8], close: &[u8], mut at: usize, stop: usize) -> Option<usize> {
    let text = &text[..stop];
    while at < stop {
        at += text[at..].iter().position(|&byte| byte == close[0] || byte == b'\\')?;
        if text[at] == b'\\' {
            at += if at + 1 < stop { 2 } else { 1 };
        } else if text[at..].starts_with(close) {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

/// Whether a key in quotes and its colon begin here.
pub fn member(text: &[u8], at: usize) -> bool {
    let quote = opening(text, at);
    if quote.is_empty() {
        return false;
    }
    let close = closing(quote);
    find(text, close, at + quote.len()).is_some_and(|end| colon(text, end + close.len()))
}

/// Whether a colon is what follows.
pub fn colon(text: &[u8], at: usize) -> bool {
    text.get(space(text, at)) == Some(&b':')
}

/// Behind a key without quotes and its colon.
pub fn bare_key(text: &[u8], at: usize) -> Option<usize> {
    let window = &text[..text.len().min(at + REACH)];
    let first = *window.get(at)?;
    if !(is_letter(first) || first.is_ascii_digit() || first == b'_') {
        return None;
    }
    let mut end = at + 1;
    while end < window.len()
        && (is_letter(window[end]) || window[end].is_ascii_digit() || matches!(window[end], b'_' | b'-'))
    {
        end += 1;
    }
    let end = space(text, end);
    (text.get(end) == Some(&b':')).then_some(end + 1)
}

/// Whether a key without quotes begins here whose value can be told from prose.
fn bare_member(text: &[u8], at: usize) -> bool {
    let Some(end) = bare_key(text, at) else { return false };
    let end = space(text, end);
    let here = rest(text, end);
    let literal = [&b"true"[..], b"false", b"null"].iter().any(|word| {
        here.strip_prefix(*word)
            .is_some_and(|rest| rest.first().is_none_or(|&byte| is_space(byte) || matches!(byte, b',' | b'}' | b']')))
    });
    if literal || !opening(text, end).is_empty() || matches!(here.first(), Some(b'{' | b'[' | b'-' | b'0'..=b'9')) {
        return true;
    }
    let window = &here[..here.len().min(REACH)];
    let mark = (0..window.len()).find(|&place| window[place] == b'}' || !opening(window, place).is_empty());
    mark.is_some_and(|place| window[place] == b'}')
}

/// Whether the comma at a place ends the value before it: a member or the end follows.
pub fn ends_member(text: &[u8], at: usize) -> bool {
    let at = space(text, at + 1);
    match text.get(at) {
        None | Some(b'}') => true,
        _ if member(text, at) => true,
        Some(b'`') => bare_key(text, at + 1).is_some(),
        Some(_) => bare_member(text, at),
    }
}
