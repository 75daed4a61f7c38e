//! Broken JSON in a `str`, made whole.

use pyo3::prelude::*;
use pyo3::types::PyString;
use rune_core::repair::Repaired;

use crate::{away, bytes, text_of};

/// Valid JSON; the very same object where it was valid; None where there is none, or too deep.
#[pyfunction]
pub fn repair<'py>(text: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyString>>> {
    let data = bytes(text)?;
    match away(text.py(), &data, rune_core::repair::repair) {
        Repaired::Valid => Ok(Some(text.clone())),
        Repaired::Nothing => Ok(None),
        Repaired::Whole(whole) => Ok(Some(text_of(text.py(), &whole)?)),
    }
}
