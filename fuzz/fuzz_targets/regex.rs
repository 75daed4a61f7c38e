//! Any pattern on any text: what is not replaced is left, and no match is left.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rune_core::regex::{Filter, Filtered, Part};

fuzz_target!(|input: (&str, &str)| {
    let (pattern, text) = input;
    let Ok(filter) = Filter::new(pattern, Some(pattern), true, vec![Part::Text(b"<".to_vec()), Part::Group(1)]) else {
        return;
    };
    let plain = Filter::new(pattern, Some(pattern), true, vec![]).expect("the same pattern");
    match (filter.sub(text.as_bytes()), plain.sub(text.as_bytes())) {
        (Filtered::Changed(_), Filtered::Changed(left)) => assert!(left.len() <= text.len()),
        (one, two) => assert_eq!(one, two),
    }
});
