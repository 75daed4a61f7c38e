//! Personal data in a `str`: offsets in code points, lone surrogates welcome.

use pyo3::prelude::*;
use pyo3::types::PyString;
use rune_core::pii::{Entity, Kind, clean, mask, scan, to_code_points};

use crate::{away, bytes, text_of};

/// A scanner for a set of kinds.
#[pyclass(frozen)]
pub struct Pii {
    kinds: u16,
    by: Vec<u8>,
}

#[pymethods]
impl Pii {
    /// `kinds` by their names; `by` stands for every entity in a masked text.
    #[new]
    fn new(kinds: Vec<String>, by: &Bound<'_, PyString>) -> PyResult<Self> {
        let mut wanted = 0;
        for name in kinds {
            let kind = Kind::ALL.iter().find(|kind| kind.name() == name);
            wanted |=
                kind.ok_or_else(|| pyo3::exceptions::PyValueError::new_err(format!("unknown kind: {name}")))?.bit();
        }
        Ok(Self { kinds: wanted, by: bytes(by)?.into_owned() })
    }

    /// `[(start, end, kind), …]`: sorted, without overlap, offsets in code points.
    fn scan(&self, text: &Bound<'_, PyString>) -> PyResult<Vec<(usize, usize, &'static str)>> {
        let data = bytes(text)?;
        let mut found = away(text.py(), &data, |data| scan(data, self.kinds));
        // Every character of the text is one byte where it has as many as its encoding.
        if !found.is_empty() && text.len()? != data.len() {
            to_code_points(&data, &mut found);
        }
        Ok(found.into_iter().map(|Entity { start, end, kind }| (start, end, kind.name())).collect())
    }

    /// Whether nothing is in the texts of some JSON, as it stands.
    fn clean(&self, py: Python<'_>, json: &[u8]) -> bool {
        away(py, json, |json| clean(json, self.kinds))
    }

    /// The text with every entity replaced; the very same object when there is none.
    fn mask<'py>(&self, text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
        let data = bytes(text)?;
        let Some(masked) = away(text.py(), &data, |data| mask(data, self.kinds, &self.by)) else {
            return Ok(text.clone());
        };
        text_of(text.py(), &masked)
    }
}
