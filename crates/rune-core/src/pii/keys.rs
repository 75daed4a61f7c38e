//! Secrets with a shape: JSON Web Tokens, AWS key ids, keys of well-known services, values of named keys.

use super::Kind;
use super::chars::{ASSIGN, DIGIT, KEY, LETTER, UPPER, VALUE, WORD, at, before, is};

/// How far before its first digit a key may begin, in bytes.
const REACH: usize = 128;
/// The shortest value of a named key.
const SHORTEST: usize = 16;

/// How a key of a service begins, and how many characters follow at least.
const PREFIXES: &[(&[u8], usize)] = &[
    (b"sk-", 20),
    (b"sk_live_", 16),
    (b"sk_test_", 16),
    (b"rk_live_", 16),
    (b"rk_test_", 16),
    (b"pk_live_", 16),
    (b"pk_test_", 16),
    (b"ghp_", 30),
    (b"gho_", 30),
    (b"ghu_", 30),
    (b"ghs_", 30),
    (b"ghr_", 30),
    (b"github_pat_", 22),
    (b"glpat-", 16),
    (b"xoxb-", 16),
    (b"xoxp-", 16),
    (b"xoxa-", 16),
    (b"xoxr-", 16),
    (b"xoxs-", 16),
    (b"AIza", 30),
    (b"npm_", 30),
    (b"hf_", 30),
    (b"pypi-", 30),
    (b"dop_v1_", 40),
    (b"shpat_", 30),
];
/// Names end with one of these, after one of the others where there are any.
const NAMES: &[(&[u8], &[&[u8]])] = &[
    (b"key", &[b"api", b"access", b"secret", b"private", b"auth"]),
    (b"token", &[b"api", b"access", b"auth", b"refresh", b"bearer"]),
    (b"secret", &[b"api", b"client", b"app"]),
    (b"bearer", &[]),
];
const AWS: &[&[u8; 4]] =
    &[b"AKIA", b"ASIA", b"ABIA", b"ACCA", b"AGPA", b"AIDA", b"AIPA", b"ANPA", b"ANVA", b"APKA", b"AROA"];

/// An AWS key id that begins at a place: its prefix and 16 of `[A-Z0-9]`.
pub fn aws(text: &[u8], start: usize) -> Option<usize> {
    let end = start + 20;
    if end > text.len() || before(text, start, WORD) || at(text, end, WORD) {
        return None;
    }
    let known = AWS.iter().any(|prefix| text[start..].starts_with(*prefix));
    (known && text[start + 4..end].iter().all(|&byte| is(byte, UPPER | DIGIT))).then_some(end)
}

/// What a token with its first digit at a place may be.
pub fn find(text: &[u8], place: usize) -> Option<(usize, usize, Kind)> {
    let lowest = place.saturating_sub(REACH);
    let mut value = place;
    // The beginning of the value of a named key, and of the narrower token inside of it.
    let mut token = place;
    let mut narrow = true;
    while value > lowest && is(text[value - 1], VALUE) && !is(text[value - 1], DIGIT) {
        value -= 1;
        narrow = narrow && is(text[value], KEY);
        if narrow {
            token = value;
        }
    }
    if before(text, value, VALUE) {
        // It began longer ago than a key may, or has been looked at already.
        if token == value {
            return None;
        }
        return named_prefix(text, token, place);
    }
    named_prefix(text, token, place).or_else(|| named(text, value))
}

fn named_prefix(text: &[u8], start: usize, place: usize) -> Option<(usize, usize, Kind)> {
    if before(text, start, WORD) {
        return None;
    }
    match text[start] {
        b'e' => jwt(text, start, place).map(|end| (start, end, Kind::Jwt)),
        b's' | b'r' | b'p' | b'g' | b'x' | b'A' | b'n' | b'h' | b'd' => {
            let (prefix, shortest) = PREFIXES.iter().find(|(prefix, _)| text[start..].starts_with(prefix))?;
            let end = run(text, start, KEY);
            (end - start >= prefix.len() + shortest).then_some((start, end, Kind::ApiKey))
        }
        _ => None,
    }
}

/// Three parts in base64url joined by dots, five when it is encrypted; the first begins `{"`.
fn jwt(text: &[u8], start: usize, place: usize) -> Option<usize> {
    if !text[start..].starts_with(b"eyJ") {
        return None;
    }
    let head = run(text, start, KEY);
    if head < start + 10 || place >= head || text.get(head) != Some(&b'.') {
        return None;
    }
    let body = run(text, head + 1, KEY);
    if text.get(body) != Some(&b'.') {
        return None;
    }
    let mut end = run(text, body + 1, KEY);
    let unsigned = text[head + 1..body].starts_with(b"eyJ");
    if !unsigned && (end < body + 17 || body < head + 5) {
        return None;
    }
    for _ in 0..2 {
        if text.get(end) == Some(&b'.') && at(text, end + 1, KEY) {
            end = run(text, end + 1, KEY);
        }
    }
    Some(end)
}

/// A value that begins at a place, when the name of a key stands before it.
fn named(text: &[u8], start: usize) -> Option<(usize, usize, Kind)> {
    let mut stop = start;
    while stop > 0 && start - stop < 6 && is(text[stop - 1], ASSIGN) {
        stop -= 1;
    }
    // All names end with one of these.
    if stop == start || stop == 0 || !matches!(text[stop - 1] | 0x20, b'y' | b'n' | b't' | b'r') {
        return None;
    }
    let mut end = run(text, start, VALUE);
    while end > start && text[end - 1] == b'.' {
        end -= 1;
    }
    for _ in 0..2 {
        if text.get(end) == Some(&b'=') {
            end += 1;
        }
    }
    if end - start < SHORTEST || !text[start..end].iter().any(|&byte| is(byte, LETTER)) {
        return None;
    }
    is_name(&text[stop.saturating_sub(16)..stop]).then_some((start, end, Kind::ApiKey))
}

/// Whether a text ends with the name of a key, for example `api_key`.
fn is_name(text: &[u8]) -> bool {
    NAMES.iter().any(|(last, firsts)| {
        let Some(rest) = without_end(text, last) else { return false };
        let rest = match rest {
            [shorter @ .., b'_' | b'-' | b' '] => shorter,
            _ => rest,
        };
        firsts.is_empty() || firsts.iter().any(|first| without_end(rest, first).is_some())
    })
}

fn without_end<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let (rest, last) = text.split_at_checked(text.len().checked_sub(end.len())?)?;
    last.eq_ignore_ascii_case(end).then_some(rest)
}

/// The end of a run of a class.
fn run(text: &[u8], start: usize, class: u16) -> usize {
    start + text[start..].iter().take_while(|&&byte| is(byte, class)).count()
}
