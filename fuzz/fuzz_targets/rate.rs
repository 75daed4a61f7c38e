//! Nobody waits longer than the patience, and time that runs backwards breaks nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rune_core::rate::Limiter;

fuzz_target!(|events: Vec<(u8, u16, u8)>| {
    let mut limiter = Limiter::new(10.0, 3.0);
    for (key, now, patience) in events {
        let patience = f64::from(patience);
        if let Some(wait) = limiter.take(&key.to_string(), f64::from(now), patience) {
            assert!((0.0..=patience).contains(&wait));
        }
    }
    assert!(limiter.len() <= 256);
});
