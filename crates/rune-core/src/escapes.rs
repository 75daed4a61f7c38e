//! JSON with its escapes read: each of its texts stands in it between quotes, as programs see it.

use std::borrow::Cow;

const BLOCK: usize = 32;

/// The JSON, with every escape in it replaced by what it stands for; lone surrogates become three bytes. What is no
/// escape stays as it is.
#[must_use]
pub fn opened(json: &[u8]) -> Cow<'_, [u8]> {
    let Some(mut at) = next(json, 0) else { return Cow::Borrowed(json) };
    let mut text = Vec::with_capacity(json.len());
    let mut done = 0;
    loop {
        text.extend_from_slice(&json[done..at]);
        done = escape(json, at, &mut text);
        match next(json, done) {
            Some(place) => at = place,
            None => break,
        }
    }
    text.extend_from_slice(&json[done..]);
    Cow::Owned(text)
}

/// Where the next backslash is: blocks without one are passed by as a whole, which vector units do.
fn next(json: &[u8], from: usize) -> Option<usize> {
    let (blocks, _) = json[from..].as_chunks::<BLOCK>();
    let clear = |block: &&[u8; BLOCK]| block.iter().fold(0, |found, byte| found | u8::from(*byte == b'\\')) == 0;
    let at = from + blocks.iter().take_while(clear).count() * BLOCK;
    json[at..].iter().position(|&byte| byte == b'\\').map(|place| at + place)
}

/// Read the escape at `at`; where it ends.
fn escape(json: &[u8], at: usize, text: &mut Vec<u8>) -> usize {
    let plain = match json.get(at + 1) {
        Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(b'u') => {
            let Some(first) = unit(json, at) else {
                text.push(b'\\');
                return at + 1;
            };
            if let (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) = (first, unit(json, at + 6)) {
                encode(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00), text);
                return at + 12;
            }
            encode(first, text);
            return at + 6;
        }
        _ => b'\\',
    };
    text.push(plain);
    at + if plain == b'\\' && json.get(at + 1) != Some(&b'\\') { 1 } else { 2 }
}

/// The number of a `\uXXXX` that begins at `at`.
fn unit(json: &[u8], at: usize) -> Option<u32> {
    let all = json.get(at..at + 6)?;
    if &all[..2] != b"\\u" {
        return None;
    }
    all[2..].iter().try_fold(0, |number, &byte| Some(number << 4 | char::from(byte).to_digit(16)?))
}

/// Add a code point as UTF-8, a surrogate like any other.
fn encode(code: u32, text: &mut Vec<u8>) {
    let tail = |shift: u32| 0x80 | (code >> shift & 0x3f) as u8;
    match code {
        0..0x80 => text.push(code as u8),
        0x80..0x800 => text.extend([0xc0 | (code >> 6) as u8, tail(0)]),
        0x800..0x10000 => text.extend([0xe0 | (code >> 12) as u8, tail(6), tail(0)]),
        _ => text.extend([0xf0 | (code >> 18) as u8, tail(12), tail(6), tail(0)]),
    }
}

#[cfg(test)]
mod tests {
    use super::opened;

    #[test]
    fn each_escape_is_read() {
        assert!(matches!(opened(b"{\"a\":1}"), std::borrow::Cow::Borrowed(_)));
        assert_eq!(&*opened(br#"\"\\\/\b\f\n\r\t"#), b"\"\\/\x08\x0c\n\r\t");
        assert_eq!(&*opened(br"a\u0041\u00e9\u20AC\ud83d\ude00z"), "aA\u{e9}\u{20ac}\u{1f600}z".as_bytes());
        assert_eq!(&*opened(br"\ud83d\u0041\ude00"), b"\xed\xa0\xbdA\xed\xb8\x80");
    }

    #[test]
    fn what_is_none_stays() {
        for text in [&b"\\"[..], b"a\\", b"\\x\\u12\\u12g4", b"\\u"] {
            assert_eq!(&*opened(text), text);
        }
        assert_eq!(&*opened(br"\\u0041"), br"\u0041");
    }
}
