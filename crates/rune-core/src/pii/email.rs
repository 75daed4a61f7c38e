//! `local@domain.tld`, found from its `@`.

use super::chars::{ALNUM, DOMAIN, LETTER, LOCAL, at, is};

/// The longest local part and the longest domain that are looked at, in bytes.
const LONGEST: usize = 254;

/// The address around the `@` at a place.
pub fn find(text: &[u8], place: usize) -> Option<(usize, usize)> {
    let start = local(text, place)?;
    let end = domain(text, place + 1)?;
    Some((start, end))
}

fn local(text: &[u8], place: usize) -> Option<usize> {
    let lowest = place.saturating_sub(LONGEST);
    let mut start = place;
    while start > lowest && is(text[start - 1], LOCAL) {
        start -= 1;
    }
    if start > 0 && start == lowest && is(text[start - 1], LOCAL) {
        return None;
    }
    // The rest of a letter that is none of ours.
    while start < place && text[start] & 0xC0 == 0x80 {
        start += 1;
    }
    while start < place && !is(text[start], ALNUM) && text[start] != b'_' {
        start += 1;
    }
    (start < place).then_some(start)
}

fn domain(text: &[u8], first: usize) -> Option<usize> {
    let highest = text.len().min(first + LONGEST);
    let mut end = first;
    while end < highest && is(text[end], DOMAIN) {
        if text[end] == b'.' && at(text, end + 1, DOMAIN) && text[end + 1] == b'.' {
            break;
        }
        end += 1;
    }
    if end == highest && at(text, end, DOMAIN) {
        return None;
    }
    if !at(text, first, ALNUM) || text[first] & 0xC0 == 0x80 {
        return None;
    }
    (first + 1..end).rev().filter(|&dot| text[dot] == b'.').find_map(|dot| top_level(text, dot + 1, end))
}

/// The end of a top-level domain that begins at a place.
fn top_level(text: &[u8], begin: usize, end: usize) -> Option<usize> {
    let mut stop = begin;
    if text[begin..end].starts_with(b"xn--") {
        while stop < end && text[stop] != b'.' && text[stop] < 0x80 {
            stop += 1;
        }
        while text[stop - 1] == b'-' {
            stop -= 1;
        }
        return (stop > begin + 4 && !(at(text, stop, ALNUM) || at(text, stop, LETTER))).then_some(stop);
    }
    while stop < end && (is(text[stop], LETTER) || text[stop] >= 0x80) {
        stop += 1;
    }
    let follows = at(text, stop, ALNUM) || (stop < text.len() && text[stop] == b'_');
    (stop >= begin + 2 && !follows).then_some(stop)
}
