//! Words in JSON: whether they certainly are not there.

use pyo3::prelude::*;

use crate::away;

/// Words that are looked for.
#[pyclass(frozen)]
pub struct Words {
    words: rune_core::words::Words,
}

#[pymethods]
impl Words {
    /// `words` in lower case, as UTF-8.
    #[new]
    fn new(words: Vec<Vec<u8>>) -> Self {
        Self { words: rune_core::words::Words::new(words) }
    }

    /// Whether certainly none of them stands in some JSON, in any case.
    fn absent(&self, py: Python<'_>, json: &[u8]) -> bool {
        away(py, json, |json| self.words.absent(json))
    }
}
