//! The inner loops of Rune's plugins: pure functions on bytes. Each has a Python twin with the same output.
#![deny(unsafe_code)]

pub mod escapes;
pub mod pii;
pub mod rate;
pub mod regex;
pub mod repair;
pub mod secrets;
mod span;
pub mod sql;
mod trigger;
mod window;
pub mod words;
