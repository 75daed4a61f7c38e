//! IBAN, IPv6 and MAC addresses: one token each, judged as a whole.

use super::chars::{DIGIT, HEX, UPPER, WORD, at, before, is};

/// The longest text of an IPv6 address: eight groups, the last two as IPv4.
const LONGEST_IPV6: usize = 45;

/// Country and length of its IBANs.
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// The end of an IBAN that begins at a place: country, two check digits, the rest in one piece or in groups of four.
pub fn iban(text: &[u8], start: usize) -> Option<usize> {
    if before(text, start, WORD) || !at(text, start + 3, DIGIT) {
        return None;
    }
    let country = &text[start..start + 2];
    let length = IBAN_LENGTHS.iter().find(|(code, _)| *code == country)?.1;
    let grouped = text.get(start + 4) == Some(&b' ');
    let (mut end, mut remainder, mut head) = (start, 0u32, 0u32);
    for number in 0..length {
        if grouped && number > 0 && number % 4 == 0 {
            if text.get(end) != Some(&b' ') {
                return None;
            }
            end += 1;
        }
        let byte = *text.get(end)?;
        if !is(byte, DIGIT | UPPER) {
            return None;
        }
        end += 1;
        // The first four characters go to the end of the number that is divided by 97.
        let sum = if number < 4 { &mut head } else { &mut remainder };
        let (factor, value) = if is(byte, DIGIT) { (10, byte - b'0') } else { (100, byte - b'A' + 10) };
        *sum = if number < 4 { *sum * factor + u32::from(value) } else { (*sum * factor + u32::from(value)) % 97 };
    }
    // Two letters and two digits: six decimal places.
    let checked = (remainder * (1_000_000 % 97) + head % 97) % 97;
    (checked == 1 && !at(text, end, WORD)).then_some(end)
}

/// The IPv6 address in the token of hex digits, colons and dots around a place, and where that token ends.
pub fn ipv6(text: &[u8], place: usize) -> (Option<(usize, usize)>, usize) {
    let member = |byte: u8| is(byte, HEX) || byte == b':' || byte == b'.';
    let (mut start, mut end) = (place, place);
    while start > 0 && place - start <= LONGEST_IPV6 && member(text[start - 1]) {
        start -= 1;
    }
    while end < text.len() && end - place <= LONGEST_IPV6 && member(text[end]) {
        end += 1;
    }
    let token = end;
    let cut = (start > 0 && member(text[start - 1])) || (end < text.len() && member(text[end]));
    while end > start && text[end - 1] == b'.' {
        end -= 1;
    }
    if end - start >= 2 && text[end - 1] == b':' && text[end - 2] != b':' {
        end -= 1;
    }
    let free = !before(text, start, WORD) && !at(text, end, WORD);
    let valid = !cut
        && free
        && end - start <= LONGEST_IPV6
        && text[start..end].iter().any(|&byte| is(byte, DIGIT))
        && is_ipv6(&text[start..end]);
    (valid.then_some((start, end)), token)
}

fn is_ipv6(address: &[u8]) -> bool {
    let (mut at, mut groups, mut gap) = (0, 0, false);
    if address.starts_with(b"::") {
        (at, gap) = (2, true);
    }
    while at < address.len() {
        let digits = address[at..].iter().take_while(|&&byte| is(byte, HEX)).count();
        let stop = at + digits;
        if address.get(stop) == Some(&b'.') {
            groups += 2;
            return is_ipv4(&address[at..]) && complete(groups, gap);
        }
        if digits == 0 || digits > 4 {
            return false;
        }
        groups += 1;
        at = stop;
        if at == address.len() {
            break;
        }
        at += 1;
        if address.get(at) == Some(&b':') {
            if gap {
                return false;
            }
            gap = true;
            at += 1;
        } else if at == address.len() {
            return false;
        }
    }
    complete(groups, gap)
}

/// Eight groups; a gap stands for at least one of them.
fn complete(groups: usize, gap: bool) -> bool {
    if gap { groups < 8 } else { groups == 8 }
}

/// Four numbers up to 255 without leading zeros, and nothing else.
fn is_ipv4(address: &[u8]) -> bool {
    let mut parts = 0;
    for part in address.split(|&byte| byte == b'.') {
        parts += 1;
        if !is_octet(part) {
            return false;
        }
    }
    parts == 4
}

/// A number up to 255 without leading zeros.
pub fn is_octet(part: &[u8]) -> bool {
    if part.is_empty() || part.len() > 3 || (part[0] == b'0' && part.len() > 1) {
        return false;
    }
    let mut value = 0u32;
    for &byte in part {
        if !is(byte, DIGIT) {
            return false;
        }
        value = value * 10 + u32::from(byte - b'0');
    }
    value <= 255
}

/// A MAC address whose first separator, `:` or `-`, is at a place.
pub fn mac(text: &[u8], place: usize) -> Option<(usize, usize)> {
    let separator = text[place];
    let start = place.checked_sub(2)?;
    let end = start + 17;
    if end > text.len() {
        return None;
    }
    let token = &text[start..end];
    let shaped = token.iter().enumerate().all(|(i, &b)| if i % 3 == 2 { b == separator } else { is(b, HEX) });
    let touched = (start > 0 && text[start - 1] == separator) || text.get(end) == Some(&separator);
    (shaped && !touched && !before(text, start, WORD) && !at(text, end, WORD)).then_some((start, end))
}

/// A MAC address of three groups of four hex digits joined by dots, around the group at a place.
pub fn dotted_mac(text: &[u8], place: usize) -> Option<(usize, usize)> {
    let mut start = place;
    while start > 0 && place - start < 4 && is(text[start - 1], HEX) {
        start -= 1;
    }
    let group = |from: usize| from + 4 <= text.len() && text[from..from + 4].iter().all(|&byte| is(byte, HEX));
    while start >= 5 && text[start - 1] == b'.' && group(start - 5) {
        start -= 5;
    }
    let end = start + 14;
    if end > text.len() {
        return None;
    }
    let shaped = group(start) && group(start + 5) && group(start + 10);
    let dots = shaped && text[start + 4] == b'.' && text[start + 9] == b'.';
    let touched = (start > 0 && text[start - 1] == b'.') || (text.get(end) == Some(&b'.') && at(text, end + 1, WORD));
    (dots && !touched && !before(text, start, WORD) && !at(text, end, WORD)).then_some((start, end))
}
