//! What is said to be absent is not there, wherever it would stand, and what is there is seen.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rune_core::escapes::opened;
use rune_core::words::Words;

fuzz_target!(|input: (String, &[u8])| {
    let (word, json) = input;
    let word = word.to_lowercase();
    if word.is_empty() {
        return;
    }
    let words = Words::new([&word]);
    let text = opened(json);
    let there = text.windows(word.len()).any(|bytes| bytes.eq_ignore_ascii_case(word.as_bytes()));
    if words.absent(json) {
        assert!(!there);
    } else if text.is_ascii() {
        assert!(there);
    }
});
