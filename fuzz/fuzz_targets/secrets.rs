//! Secrets are sorted, do not overlap, and lie in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rune_core::secrets::{mask, scan};

fuzz_target!(|text: &[u8]| {
    let found = scan(text, u16::MAX);
    let mut last = 0;
    for secret in &found {
        assert!(last <= secret.start && secret.start < secret.end && secret.end <= text.len());
        last = secret.end;
    }
    assert_eq!(mask(text, u16::MAX, b"#").is_none(), found.is_empty());
});
