//! What is made whole is valid, and stays as it is when it is read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rune_core::repair::{Repaired, repair};

fuzz_target!(|text: &[u8]| {
    if let Repaired::Whole(whole) = repair(text) {
        assert_eq!(repair(&whole), Repaired::Valid);
    }
});
