//! A rate limiter with the clock of this process.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use pyo3::prelude::*;
use rune_core::rate::Limiter;

/// A limit for any number of keys.
#[pyclass(frozen)]
pub struct Rate {
    limiter: Mutex<Limiter>,
    origin: Instant,
}

#[pymethods]
impl Rate {
    /// So many events per second, and so many at once.
    #[new]
    fn new(per_second: f64, burst: f64) -> Self {
        Self { limiter: Mutex::new(Limiter::new(per_second, burst)), origin: Instant::now() }
    }

    /// Whether an event of this key may happen now; then it counts.
    fn allow(&self, key: &str) -> bool {
        self.take(key, self.origin.elapsed().as_secs_f64(), 0.0).is_some()
    }

    /// Seconds to wait for the next place, which is taken; None where that would be more than `patience`.
    fn reserve(&self, key: &str, patience: f64) -> Option<f64> {
        self.take(key, self.origin.elapsed().as_secs_f64(), patience)
    }

    /// The same at a time of one's own.
    fn reserve_at(&self, key: &str, now: f64, patience: f64) -> Option<f64> {
        self.take(key, now, patience)
    }

    fn __len__(&self) -> usize {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Rate {
    fn take(&self, key: &str, now: f64, patience: f64) -> Option<f64> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner).take(key, now, patience)
    }
}
