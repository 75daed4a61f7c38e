//! What was found in a text: where and of what kind, what is put in its place, and where it is in code points.

/// Something found: `text[start..end]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<K> {
    /// The first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
    /// What it is.
    pub kind: K,
}

/// The text with every span replaced (they are sorted and do not overlap); `None` when there is none.
pub fn hide<K>(text: &[u8], found: &[Span<K>], by: &[u8]) -> Option<Vec<u8>> {
    if found.is_empty() {
        return None;
    }
    let mut masked = Vec::with_capacity(text.len() + found.len() * by.len());
    let mut last = 0;
    for span in found {
        masked.extend_from_slice(&text[last..span.start]);
        masked.extend_from_slice(by);
        last = span.end;
    }
    masked.extend_from_slice(&text[last..]);
    Some(masked)
}

/// Turn offsets in bytes into offsets in code points.
pub fn to_code_points<K>(text: &[u8], found: &mut [Span<K>]) {
    let (mut byte, mut point) = (0, 0);
    let mut advance = |to: usize| {
        point += text[byte..to].iter().filter(|&&byte| byte & 0xC0 != 0x80).count();
        byte = to;
        point
    };
    for span in found {
        span.start = advance(span.start);
        span.end = advance(span.end);
    }
}
