//! What has been written: numbers, whether a value is empty, whether two are of one shape.

/// Whether a value says nothing.
pub fn empty(value: &[u8]) -> bool {
    matches!(value, b"\"\"" | b"[]" | b"{}" | b"0" | b"-0" | b"0.0" | b"false" | b"null")
}

/// Whether two values have the same members and items in one order, whatever stands in them.
pub fn same(one: &[u8], two: &[u8]) -> bool {
    Shape(one).eq(Shape(two))
}

/// The tokens of a valid value: keys and signs as they are, one of a kind for each of the others.
struct Shape<'a>(&'a [u8]);

impl<'a> Iterator for Shape<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|&byte| !matches!(byte, b' ' | b':'))?;
        let text = &self.0[start..];
        let run = |wanted: fn(&u8) -> bool| text.iter().position(|byte| !wanted(byte)).unwrap_or(text.len());
        let (end, token): (usize, &'a [u8]) = match text[0] {
            b'"' => {
                let mut end = 1;
                while text[end] != b'"' {
                    end += 1 + usize::from(text[end] == b'\\');
                }
                end += 1;
                (end, if text.get(end) == Some(&b':') { &text[..end] } else { b"\"" })
            }
            b'-' | b'0'..=b'9' => {
                let end = run(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
                let whole = !text[..end].iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
                (end, if whole { b"1" } else { b"1.5" })
            }
            byte if byte.is_ascii_lowercase() => {
                let end = run(u8::is_ascii_lowercase);
                (end, if &text[..end] == b"null" { b"null" } else { b"true" })
            }
            _ => (1, &text[..1]),
        };
        self.0 = &text[end..];
        Some(token)
    }
}

/// Write a number as JSON has it; false when it is none.
pub fn decimal(written: &[u8], out: &mut Vec<u8>) -> bool {
    let (minus, text) = written.strip_prefix(b"-").map_or((false, written), |text| (true, text));
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, mut text) = text.split_at(digits(text));
    let mut part = None;
    if let Some(behind) = text.strip_prefix(b".") {
        let (digits, behind) = behind.split_at(digits(behind));
        (part, text) = (Some(digits), behind);
    }
    let mut exponent = None;
    if let [b'e' | b'E', behind @ ..] = text {
        let sign = usize::from(matches!(behind.first(), Some(b'+' | b'-')));
        let end = sign + digits(&behind[sign..]);
        if end > sign {
            (exponent, text) = (Some(&behind[..end]), &behind[end..]);
        }
    }
    if !text.is_empty() || (whole.is_empty() && part.is_none_or(<[u8]>::is_empty)) {
        return false;
    }
    if minus {
        out.push(b'-');
    }
    let zeros = whole.iter().take_while(|&&byte| byte == b'0').count();
    let whole = &whole[zeros..];
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    if let Some(part) = part {
        out.push(b'.');
        out.extend_from_slice(if part.is_empty() { b"0" } else { part });
    }
    if let Some(exponent) = exponent {
        out.push(b'e');
        out.extend_from_slice(exponent);
    }
    true
}

/// The items of an array, as far as they are arrays of one length.
#[derive(Clone, Copy, Default)]
pub struct Rows {
    /// That length; 0 where they have none in common.
    pub width: usize,
    /// Where the items behind the last row begin in what is written.
    pub tail: usize,
    /// How many those are.
    pub loose: usize,
    /// How many items the array itself has.
    pub count: usize,
}

impl Rows {
    /// An item has been written from a place on; where it is an array it has `inner` items.
    pub fn add(&mut self, out: &[u8], start: usize, inner: usize) {
        self.count += 1;
        if out[start] != b'[' {
            self.loose += 1;
            return;
        }
        self.width = if self.count == 1 || (self.width == inner && self.loose == 0) { inner } else { 0 };
        (self.tail, self.loose) = (out.len(), 0);
    }
}
