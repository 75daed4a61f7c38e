//! Classes of bytes. Word rules are ASCII on purpose: a number right after a Chinese word is still a number.

pub const DIGIT: u16 = 1;
pub const LETTER: u16 = 1 << 1;
pub const UPPER: u16 = 1 << 2;
pub const HEX: u16 = 1 << 3;
/// `[A-Za-z0-9_]`.
pub const WORD: u16 = 1 << 4;
/// Between groups of digits: space and `-./()`.
pub const JOINT: u16 = 1 << 5;
/// The local part of an address: `[A-Za-z0-9._%+'-]` and letters from U+00C0 to U+04FF, all of their bytes.
pub const LOCAL: u16 = 1 << 6;
/// The domain of an address: `[A-Za-z0-9.-]` and the same letters.
pub const DOMAIN: u16 = 1 << 7;
/// A letter, a digit, or a byte of one of those letters.
pub const ALNUM: u16 = 1 << 8;
/// A key or token: `[A-Za-z0-9_-]`.
pub const KEY: u16 = 1 << 9;
/// The value of a named key: `[A-Za-z0-9_./+~-]`.
pub const VALUE: u16 = 1 << 10;
/// What stands between the name of a key and its value: `[ "':=>]`.
pub const ASSIGN: u16 = 1 << 11;
/// Before a short lone number, these may make it part of something.
pub const BEFORE: u16 = 1 << 12;

/// Hex digits, and what joins them in addresses: `:` and `.`.
pub const ADDRESS: u16 = 1 << 13;

const fn classes(byte: u8) -> u16 {
    let mut found = 0;
    if byte.is_ascii_digit() {
        found |= DIGIT;
    }
    if byte.is_ascii_alphabetic() {
        found |= LETTER;
    }
    if byte.is_ascii_uppercase() {
        found |= UPPER;
    }
    if byte.is_ascii_hexdigit() {
        found |= HEX | ADDRESS;
    }
    if byte.is_ascii_alphanumeric() {
        found |= ALNUM | WORD | LOCAL | DOMAIN | KEY | VALUE | BEFORE;
    }
    if matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')') {
        found |= JOINT;
    }
    // Leading bytes of U+00C0 to U+04FF, and the bytes that follow them.
    if matches!(byte, 0xC3..=0xD3 | 0x80..=0xBF) {
        found |= LOCAL | DOMAIN | ALNUM;
    }
    match byte {
        b'_' => found |= WORD | LOCAL | KEY | VALUE | BEFORE,
        b'-' => found |= LOCAL | DOMAIN | KEY | VALUE | BEFORE,
        b'.' => found |= LOCAL | DOMAIN | VALUE | BEFORE,
        b'+' => found |= LOCAL | VALUE | BEFORE,
        b'~' | b'/' => found |= VALUE | BEFORE,
        b'%' | b'\'' => found |= LOCAL,
        b'(' => found |= BEFORE,
        _ => {}
    }
    if matches!(byte, b' ' | b'"' | b'\'' | b':' | b'=' | b'>') {
        found |= ASSIGN;
    }
    if matches!(byte, b':' | b'.') {
        found |= BEFORE | ADDRESS;
    }
    found
}

static TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = classes(byte as u8);
        byte += 1;
    }
    table
};

/// Whether a byte is in one of the classes.
#[inline]
pub fn is(byte: u8, wanted: u16) -> bool {
    TABLE[byte as usize] & wanted != 0
}

/// Whether there is a byte of one of the classes at a place.
#[inline]
pub fn at(text: &[u8], place: usize, wanted: u16) -> bool {
    place < text.len() && is(text[place], wanted)
}

/// Whether there is a byte of one of the classes before a place.
#[inline]
pub fn before(text: &[u8], place: usize, wanted: u16) -> bool {
    place > 0 && is(text[place - 1], wanted)
}

/// Nothing word-like touches the place from the left, neither directly nor joined by one `-`, `.` or `/`.
pub fn free_left(text: &[u8], place: usize) -> bool {
    if place == 0 {
        return true;
    }
    let last = text[place - 1];
    !(is(last, WORD) || (matches!(last, b'-' | b'.' | b'/') && before(text, place - 1, WORD)))
}

/// Nothing word-like follows, and no digit that is joined by one `-` or `.`.
pub fn free_right(text: &[u8], place: usize) -> bool {
    if place >= text.len() {
        return true;
    }
    let next = text[place];
    !(is(next, WORD) || (matches!(next, b'-' | b'.') && at(text, place + 1, DIGIT)))
}
