//! Without a backslash nothing changes, and reading never makes a text longer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rune_core::escapes::opened;

fuzz_target!(|json: &[u8]| {
    let text = opened(json);
    assert!(text.len() <= json.len());
    if !json.contains(&b'\\') {
        assert_eq!(&*text, json);
    }
});
