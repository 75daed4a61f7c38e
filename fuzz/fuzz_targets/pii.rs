//! Entities are sorted, do not overlap, and lie in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rune_core::pii::{EVERYTHING, mask, scan};

fuzz_target!(|text: &[u8]| {
    let found = scan(text, EVERYTHING);
    let mut last = 0;
    for entity in &found {
        assert!(last <= entity.start && entity.start < entity.end && entity.end <= text.len());
        last = entity.end;
    }
    assert_eq!(mask(text, EVERYTHING, b"#").is_none(), found.is_empty());
});
