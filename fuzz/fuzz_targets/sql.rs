//! Every dialect reads to the end; what counts as several has a statement that is known.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rune_core::sql::{Dialect, OTHER, SELECT, SEVERAL, check};

fuzz_target!(|text: &[u8]| {
    for (_, dialect) in Dialect::ALL {
        let facts = check(text, dialect);
        assert!(facts < OTHER << 1);
        assert!(facts & SEVERAL == 0 || facts & (OTHER - SELECT) != 0);
    }
});
