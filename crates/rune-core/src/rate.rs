//! How often something may happen: the generic cell rate algorithm, one number for each key.
//!
//! For a key it keeps the time at which the next event is due by the rate. An event may come early by the time that a
//! burst takes. Times are seconds on any clock that does not run backwards; the twin in Python computes the same
//! floating point numbers.

use std::collections::HashMap;

/// Part of an interval by which an event may be early on top: rounding must not cost the last one of a burst.
const SLACK: f64 = 0.001;
/// Keys from which on those that are not needed are thrown away.
const SWEEP: usize = 16_384;

/// A limit for any number of keys.
pub struct Limiter {
    interval: f64,
    tolerance: f64,
    due: HashMap<Box<str>, f64>,
    sweep: usize,
}

impl Limiter {
    /// So many events per second, and so many at once. Both are at least above zero.
    #[must_use]
    pub fn new(per_second: f64, burst: f64) -> Self {
        let interval = 1.0 / per_second;
        Self { interval, tolerance: (burst - 1.0 + SLACK) * interval, due: HashMap::new(), sweep: SWEEP }
    }

    /// Seconds until an event of this key may happen that is asked for now: it counts from here on, unless it would
    /// have to wait longer than `patience`; then `None`.
    pub fn take(&mut self, key: &str, now: f64, patience: f64) -> Option<f64> {
        if let Some(due) = self.due.get_mut(key) {
            let from = if *due > now { *due } else { now };
            let wait = from - now - self.tolerance;
            if wait > patience {
                return None;
            }
            *due = from + self.interval;
            return Some(if wait > 0.0 { wait } else { 0.0 });
        }
        if self.due.len() >= self.sweep {
            self.due.retain(|_, due| *due > now);
            self.sweep = SWEEP.max(2 * self.due.len());
        }
        self.due.insert(key.into(), now + self.interval);
        Some(0.0)
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Limiter, SWEEP};

    #[test]
    fn a_burst_then_the_rate() {
        let mut limiter = Limiter::new(10.0, 3.0);
        for _ in 0..3 {
            assert_eq!(limiter.take("a", 5.0, 0.0), Some(0.0));
        }
        assert_eq!(limiter.take("a", 5.0, 0.0), None);
        assert_eq!(limiter.take("b", 5.0, 0.0), Some(0.0));
        assert_eq!(limiter.take("a", 5.1, 0.0), Some(0.0));
        assert_eq!(limiter.take("a", 5.1, 0.0), None);
    }

    #[test]
    fn who_waits_is_served_in_turn() {
        let mut limiter = Limiter::new(1.0, 1.0);
        let waits: Vec<f64> = (0..3).map(|_| limiter.take("a", 0.0, 9.0).unwrap().round()).collect();
        assert_eq!(waits, [0.0, 1.0, 2.0]);
        assert_eq!(limiter.take("a", 0.0, 2.5), None);
        assert_eq!(limiter.take("a", 0.0, 3.0).map(f64::round), Some(3.0));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut limiter = Limiter::new(1.0, 1.0);
        for number in 0..10 * u32::try_from(SWEEP).unwrap() {
            limiter.take(&number.to_string(), f64::from(number), 0.0);
        }
        assert!(limiter.len() <= SWEEP + 1);
        assert!(!limiter.is_empty());
    }
}
