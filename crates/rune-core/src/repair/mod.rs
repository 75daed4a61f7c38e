//! Broken JSON made whole. `docs/reference/json.md` says what is repaired, and how.
//!
//! One pass from left to right writes valid JSON as it reads; nothing is built in between.

mod ahead;
mod cursor;
mod reader;
mod shape;
mod strings;
mod valid;

use reader::{End, Reader};

/// What became of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// It was valid.
    Valid,
    /// There is no JSON in it, or it is nested too deep.
    Nothing,
    /// Valid JSON instead of it.
    Whole(Vec<u8>),
}

/// Valid JSON instead of a text.
#[must_use]
pub fn repair(text: &[u8]) -> Repaired {
    if valid::valid(text) {
        return Repaired::Valid;
    }
    match Reader::new(text, false).top() {
        Ok(whole) => whole.map_or(Repaired::Nothing, Repaired::Whole),
        Err(End::TooDeep) => Repaired::Nothing,
        Err(End::Escaped(at)) => {
            let text = without_backslashes(text, at);
            match Reader::new(&text, true).top() {
                Ok(Some(whole)) => Repaired::Whole(whole),
                _ => Repaired::Nothing,
            }
        }
    }
}

/// The text with all quotes from a place on without their backslashes.
fn without_backslashes(text: &[u8], at: usize) -> Vec<u8> {
    let mut plain = text[..at].to_vec();
    for quote in *b"\"'" {
        let rest = if quote == b'"' { text[at..].to_vec() } else { plain.split_off(at) };
        let mut place = 0;
        while place < rest.len() {
            place += usize::from(rest[place] == b'\\' && rest.get(place + 1) == Some(&quote));
            plain.push(rest[place]);
            place += 1;
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{Repaired, repair};

    fn whole(text: &str) -> String {
        match repair(text.as_bytes()) {
            Repaired::Whole(whole) => String::from_utf8(whole).unwrap_or_default(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn what_is_valid_is_left() {
        for text in ["{}", " [1, -0.5e+3, \"\\u00e9\", null, {\"a\": [[]]}] ", "true", "\"\""] {
            assert_eq!(repair(text.as_bytes()), Repaired::Valid, "{text}");
        }
        for text in ["", "01", "[1,]", "{\"a\" 1}", "\"\t\"", "tru", "[1] x", "\"\\u12\"", "1.", "-"] {
            assert_ne!(repair(text.as_bytes()), Repaired::Valid, "{text}");
        }
    }

    #[test]
    fn what_is_broken_is_made_whole() {
        for (text, expected) in [
            ("{a: 'b', \"c\": True,", r#"{"a": "b", "c": true}"#),
            ("[1, 2, 3", "[1, 2, 3]"),
            ("{\"a\": \"say \"hi\" to all\", \"b\": .5}", r#"{"a": "say \"hi\" to all", "b": 0.5}"#),
            ("text ```json {\"a\": 1} ``` text", r#"{"a": 1}"#),
            ("{\\\"a\\\": \\\"b\\\"}", r#"{"a": "b"}"#),
            ("{1, 2} // set", "[1, 2]"),
        ] {
            assert_eq!(whole(text), expected, "{text}");
        }
    }

    #[test]
    fn there_are_bounds() {
        assert_eq!(repair("[".repeat(100_000).as_bytes()), Repaired::Nothing);
        assert_eq!(repair(b"no JSON at all"), Repaired::Nothing);
    }
}
